from __future__ import annotations

from tests.support.local_system_fixtures import gateway, system

__all__ = ["gateway", "system"]
