"""Writes what the planner and its page take from the committed sample of `make bench`: `python -m tests.support.capacity_plan`."""

from __future__ import annotations

import json

from bench.document import SAMPLE
from fanfold.ops.plan.costs import SHIPPED, shipped_form


def shipped() -> str:
    """The costs of the sample, as the package ships them."""
    form = shipped_form(json.loads(SAMPLE.read_text()), name=SAMPLE.name)
    lines = [f'  "{name}": {json.dumps(cost)}' for name, cost in form["costs"].items()]
    return (
        f'{{\n "measured_by": {json.dumps(form["measured_by"])},\n "costs": {{\n'
        + ",\n".join(lines)
        + "\n }\n}\n"
    )


if __name__ == "__main__":
    SHIPPED.write_text(shipped())
