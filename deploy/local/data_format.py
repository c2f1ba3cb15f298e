"""The data format of a local system, in the file `format` of its data directory."""

from __future__ import annotations

from deploy.local.plan import Plan
from deploy.local.status import relative
from fanfold.core.data_format import DATA_FORMAT, refuse_other_format

_UNMARKED = 1
"""The format of data directories from before the file existed."""


def check_data_format(plan: Plan) -> None:
    """Mark a new data directory with this version's format. Raises `Fault` if another version wrote the directory."""
    mark = plan.data / "format"
    if not plan.data.exists() or not any(plan.data.iterdir()):
        plan.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        mark.write_text(f"{DATA_FORMAT}\n")
        return
    home = relative(plan.home)
    refuse_other_format(
        int(mark.read_text()) if mark.exists() else _UNMARKED,
        plan.home,
        delete=f"make down DATA={home}; rm -r {home}",
        choose="make up DATA=…",
    )
