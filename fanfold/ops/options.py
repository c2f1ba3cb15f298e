"""The options that several commands share, and how all of them print."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from fanfold.core.errors import Fault

console = Console(stderr=True, highlight=False)
"""For people. Standard output is kept for what a program reads: `print_json`, and what a command lists."""

Data = Annotated[Path, typer.Option(help="The directory of the system that `make up` started.")]
DataOfEither = Annotated[
    Path, typer.Option(help="The directory of `make up`, or of `make run DATA=`.")
]
DEFAULT_DATA = Path(".fanfold")
AsJson = Annotated[bool, typer.Option("--json", help="The result as JSON on stdout.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Only count what would change; append nothing.")
]


def refuse_no_user_ids(*user_ids: str) -> None:
    """Raises `Fault` for a text that no user can have as an id."""
    # Here, because not every command needs it.
    from fanfold.http.identity.credentials import is_user_id

    if not all(map(is_user_id, user_ids)):
        raise Fault("use 1-64 of A-Z a-z 0-9 . _ - for the user")


def print_json(document: Any, *, indent: int | None = None) -> None:
    """Print one JSON document on standard output."""
    sys.stdout.write(json.dumps(document, indent=indent) + "\n")


def complain(message: str) -> None:
    """Print why a command failed or stopped early."""
    console.print(f"[red]fanfold:[/red] {escape(message)}", soft_wrap=True)
