"""What a local system's data directory records of itself: its data format in the file `format`, the number of nodes in `nodes`."""

from __future__ import annotations

from pathlib import Path

from deploy.local.plan import Plan
from deploy.local.status import relative
from fanfold.core.data_format import DATA_FORMAT, refuse_other_format
from fanfold.core.errors import Fault

_UNMARKED = 1
"""The format of data directories from before the file existed."""


def check_data_format(plan: Plan) -> None:
    """Mark a new data directory with this version's format. Raises `Fault` if another version wrote the directory."""
    mark = plan.data / "format"
    if not plan.data.exists() or not any(plan.data.iterdir()):
        plan.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        mark.write_text(f"{DATA_FORMAT}\n")
        (plan.data / "nodes").write_text(f"{plan.nodes}\n")
        return
    home = relative(plan.home)
    refuse_other_format(
        int(mark.read_text()) if mark.exists() else _UNMARKED,
        plan.home,
        delete=f"make down DATA={home}; rm -r {home}",
        choose="make up DATA=…",
    )
    kept = nodes_of(plan.home)
    if plan.nodes != kept:
        raise Fault(
            f"{home} holds the data of NODES={kept}, and its copies can't be made more or fewer: make up NODES={kept}, "
            f"or choose another directory (make up NODES={plan.nodes} DATA=…), or delete this one: make down DATA={home}; rm -r {home}"
        )


def nodes_of(home: Path) -> int | None:
    """For how many nodes the data in a directory was made; None where there is no data."""
    data = Path(home) / "data"
    if not data.exists() or not any(data.iterdir()):
        return None
    mark = data / "nodes"
    return int(mark.read_text()) if mark.exists() else 1
