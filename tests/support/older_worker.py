"""`python -m tests.support.older_worker`: the fan-out worker, knowing the events of the previous version and no other."""

from __future__ import annotations

import runpy

from fanfold.core.events import wire
from tests.support.previous import types_known


def main() -> None:
    for unknown in {name.decode() for name in wire._BY_TYPE} - types_known():
        del wire._BY_TYPE[unknown.encode()]
    runpy.run_module("fanout_service", run_name="__main__")


if __name__ == "__main__":
    main()
