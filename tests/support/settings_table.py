"""The configuration table of the README, made from `Settings`.

`python -m tests.support.settings_table` writes it; tests/unit/test_docs.py compares it.
"""

from __future__ import annotations

import re
from pathlib import Path

from fanfold.core.settings import Settings

README = Path(__file__).parents[2] / "README.md"

_MARKED = re.compile(r"(?<=<!-- settings -->\n).*?(?=\n<!-- /settings -->)", re.DOTALL)


def settings_table() -> str:
    """One row a setting, in the order of the class."""
    prefix = Settings.model_config["env_prefix"]
    rows = ["| variable | default | what it decides |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = "" if field.default is None else f"`{field.default}`"
        rows.append(f"| `{prefix}{name.upper()}` | {default} | {field.description} |")
    return "\n".join(rows)


def settings_table_in(readme: str) -> str:
    """The table as the README has it."""
    found = _MARKED.search(readme)
    assert found, "the README has no place for the table"
    return found.group()


if __name__ == "__main__":
    README.write_text(_MARKED.sub(lambda _: settings_table(), README.read_text()))
