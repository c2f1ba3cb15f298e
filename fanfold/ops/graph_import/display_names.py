"""The names file of an import: `user_id,display_name` on each line."""

from __future__ import annotations

import csv
import re
from pathlib import Path

from fanfold.core.errors import Rejected
from fanfold.core.ids import USER_ID_PATTERN
from fanfold.core.text import display_name_error

_HEADER = ["user_id", "display_name"]
_USER_ID = re.compile(USER_ID_PATTERN)


def read_display_names(path: Path) -> dict[str, str]:
    """Display names by user id; a header is optional. Raises `Rejected`, naming the first wrong line.

    The whole file is checked before anything is imported: a name is public, and a later import would not replace it.
    """
    names: dict[str, str] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, strict=True)
            for row in rows:
                if row and row != _HEADER:
                    user_id, name = _checked(row, f"{path}, line {rows.line_num}")
                    names[user_id] = name
    except OSError as error:
        raise Rejected(f"{path} can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Rejected(f"{path} is not UTF-8") from error
    except csv.Error as error:
        raise Rejected(f"{path}, line {rows.line_num}: {error}") from error
    return names


def _checked(row: list[str], line: str) -> tuple[str, str]:
    if len(row) != 2:
        raise Rejected(f"{line}: {len(row)} columns, expected user_id,display_name")
    user_id, name = row
    if len(user_id) > 64 or not _USER_ID.fullmatch(user_id):
        raise Rejected(f"{line}: the id is not a valid user id")
    if (error := display_name_error(name)) is not None:
        raise Rejected(f"{line}: {error}")
    return user_id, name
