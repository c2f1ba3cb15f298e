"""What roles may do in Cassandra. Names of roles go into statements as they are: what is no name goes nowhere."""

from __future__ import annotations

import pytest

from fanfold.adapters.cassandra.grants import grant, surplus, wanted_rights
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


def test_a_role_may_write_the_tables_that_it_is_named_with_and_read_all() -> None:
    wanted = wanted_rights("fanfold", read=["operator"], write=["post:posts", "post:keys", "all"])
    assert wanted == {
        "operator": {"data/fanfold": {"SELECT"}},
        "post": {
            "data/fanfold": {"SELECT"},
            "data/fanfold/posts": {"MODIFY"},
            "data/fanfold/keys": {"MODIFY"},
        },
        "all": {"data/fanfold": {"SELECT", "MODIFY"}},
    }


def test_unwanted_rights_are_surplus_wherever_they_cover_the_keyspace() -> None:
    held = {
        "data": {"ALTER"},
        "data/fanfold": {"SELECT", "MODIFY"},
        "data/fanfold/posts": {"MODIFY"},
        "data/fanfold/users": {"MODIFY"},
        "data/fanfold_of_others": {"MODIFY"},
        "roles/other": {"ALTER"},
    }
    wanted = {"data/fanfold": {"SELECT"}, "data/fanfold/posts": {"MODIFY"}}
    found = {
        resource: rights for resource, rights in surplus("fanfold", held, wanted).items() if rights
    }
    assert found == {
        "data": {"ALTER"},
        "data/fanfold": {"MODIFY"},
        "data/fanfold/users": {"MODIFY"},
    }
