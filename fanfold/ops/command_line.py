"""`fanfold`: every command of the operator, put together. Nothing but `fanfold.__main__` imports this.

`fanfold NOUN VERB` is in `fanfold/ops/NOUN.py`, or in `fanfold/ops/NOUN/command.py`.
"""

from __future__ import annotations

import sys
from typing import Any

import typer

from fanfold.core.errors import FanfoldError
from fanfold.core.exit_codes import MEANINGS, ExitCode
from fanfold.ops import (
    activity,
    events,
    explain,
    modes,
    rebuild,
    revoke,
    schema,
    serve,
    status,
    token,
    top,
    topics,
)
from fanfold.ops.audit import command as audit
from fanfold.ops.dead_letters import command as dead_letters
from fanfold.ops.graph_import import command as graph_import
from fanfold.ops.options import complain
from fanfold.ops.plan import command as plan
from fanfold.ops.replay import command as replay

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Fanfold, a social feed backend.",
    epilog="\n\n".join(
        ["Exit status", *(f"{code:d} {meaning}" for code, meaning in MEANINGS.items())]
    ),
)
app.command()(serve.serve)
app.command()(serve.dev)
app.command()(status.status)
app.command()(top.top)
app.command()(explain.explain)
app.command()(audit.audit)
app.command()(rebuild.rebuild)
app.command()(replay.replay)
app.command()(replay.compare)
app.command()(token.token)
app.command()(revoke.revoke)
app.command()(plan.plan)
app.add_typer(schema.app, name="schema")
app.add_typer(topics.app, name="topics")
app.add_typer(events.app, name="events")
app.add_typer(graph_import.app, name="graph")
app.add_typer(modes.app, name="modes")
app.add_typer(activity.app, name="activity")
app.add_typer(dead_letters.app, name="dead-letters")


def main() -> None:
    """Run the command of the arguments. An expected failure is one line that says what to change."""
    try:
        status = app(standalone_mode=False)
    except typer.TyperException as error:
        _complain_of_usage(error)
        sys.exit(ExitCode.USAGE)
    except typer.Abort:
        sys.exit(ExitCode.INTERRUPTED)
    except FanfoldError as error:
        complain(str(error))
        sys.exit(ExitCode.FAILED)
    if isinstance(status, int):
        sys.exit(status)


def _complain_of_usage(error: Any) -> None:
    """In one line. Typer would print a box; it has printed the help already where only that was missing."""
    message = " ".join(error.format_message().split()).replace("Value error, ", "")
    if message:
        command = error.ctx.command_path if error.ctx else "fanfold"
        complain(f"{message.rstrip('.')}; see `{command} --help`")
