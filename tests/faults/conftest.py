from __future__ import annotations

from tests.e2e.conftest import stack
from tests.support.local_system_fixtures import gateway, system

__all__ = ["gateway", "stack", "system"]
