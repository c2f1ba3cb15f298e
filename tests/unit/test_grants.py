"""Names of roles go into statements as they are: what is no name goes nowhere."""

from __future__ import annotations

import pytest

from fanfold.adapters.cassandra.grants import grant
from fanfold.core.errors import Fault
from fanfold.core.settings import Settings


@pytest.mark.parametrize("name", ["", "Robert", "a; DROP KEYSPACE b", "x" * 49, "a:b"])
async def test_a_reader_that_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(Fault, match="role"):
        await grant(Settings(), read=[name], write=[])


@pytest.mark.parametrize("name", ["", "feed:", ":reads", "feed:reads:more", "feed:a b"])
async def test_a_writer_that_is_no_role_and_table_is_refused(name: str) -> None:
    with pytest.raises(Fault, match="role:table"):
        await grant(Settings(), read=[], write=[name])
