"""The configuration table of the README, made from `Settings`.

`python -m tests.support.settings_table` writes it; tests/unit/test_docs.py compares it.
"""

from __future__ import annotations

from pathlib import Path

from fanfold.core.settings import Settings
from tests.support.generated_part import GeneratedPart

IN_README = GeneratedPart(Path(__file__).parents[2] / "README.md", "settings")


def settings_table() -> str:
    """One row a setting, in the order of the class."""
    prefix = Settings.model_config["env_prefix"]
    rows = ["| variable | default | what it decides |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = "" if field.default is None else f"`{field.default}`"
        rows.append(f"| `{prefix}{name.upper()}` | {default} | {field.description} |")
    return "\n".join(rows)


if __name__ == "__main__":
    IN_README.write(settings_table())
