"""Accounts, API keys, and the tokens platforms above gave us."""

from __future__ import annotations

import peewee
import pytest

from acsmpd.store import accounts
from acsmpd.store.database import Store
from tests.store.rows import NOW

UP, UP2 = "11000000005020000009", "11000000005020000008"


def test_people(store: Store) -> None:
    with store.write() as tx:
        assert accounts.any_person(tx) is False
        accounts.add_person(tx, name="ann", password="scrypt$x", roles=["operator"], created_ms=NOW)
        assert accounts.any_person(tx) is True
        accounts.change_person(tx, "ann", must_change=True, roles=["viewer"])
        found = accounts.person(tx, "ann")
        assert found is not None
        assert (found["roles"], found["must_change"], found["enabled"]) == (["viewer"], True, True)
        assert accounts.person(tx, "Ann") is None  # names are compared exactly


def test_two_people_of_one_name_are_refused(store: Store) -> None:
    with store.write() as tx:
        accounts.add_person(tx, name="ann", password="x", roles=[], created_ms=NOW)
    with pytest.raises(peewee.IntegrityError), store.write() as tx:
        accounts.add_person(tx, name="ann", password="y", roles=[], created_ms=NOW)
    with store.read() as tx:
        found = accounts.person(tx, "ann")
    assert found is not None
    assert found["password"] == "x"


def test_keys_by_name_and_by_hash(store: Store) -> None:
    with store.write() as tx:
        for name, age in (("b", 2), ("a", 1), ("c", 2)):
            accounts.add_key(tx, name=name, hash=f"h-{name}", roles=["viewer"], created_ms=NOW + age)
        assert [row["name"] for row in accounts.keys(tx)] == ["a", "b", "c"]
        found, same = accounts.key(tx, "b"), accounts.key_by_hash(tx, "h-b")
        assert found is not None
        assert found == same
        assert accounts.drop_key(tx, "b") == 1
        assert accounts.drop_key(tx, "b") == 0
        assert accounts.key(tx, "b") is None
        assert accounts.key_by_hash(tx, "h-b") is None


def test_of_upstream_tokens_the_newest_counts_and_older_ones_live_on_for_a_while(store: Store) -> None:
    def dying(code: str) -> list[tuple[str, int | None]]:
        with store.read() as tx:
            return [(row["hash"], row["dies_ms"]) for row in accounts.upstream_tokens(tx, code)]

    with store.write() as tx:
        accounts.add_upstream_token(tx, UP, "h1", "s1", NOW, NOW + 100)
        accounts.add_upstream_token(tx, UP2, "x", "sx", NOW, NOW + 100)
        accounts.add_upstream_token(tx, UP, "h2", "s2", NOW + 10, NOW + 110)
    assert dying(UP) == [("h2", None), ("h1", NOW + 110)]
    assert dying(UP2) == [("x", None)]
    with store.write() as tx:
        accounts.add_upstream_token(tx, UP, "h2", "s2", NOW + 20, NOW + 120)  # the same again
    assert dying(UP) == [("h2", None), ("h1", NOW + 110)]
    with store.write() as tx:
        accounts.add_upstream_token(tx, UP, "h3", "s3", NOW + 111, NOW + 211)
        assert accounts.upstream_token(tx, "h1") is None  # dead by now
        assert accounts.upstream_token(tx, "h2") is not None
    assert dying(UP) == [("h3", None), ("h2", NOW + 211)]
    with store.write() as tx:
        accounts.drop_upstream_tokens(tx, UP)
        assert [row["hash"] for row in accounts.upstream_tokens(tx)] == ["x"]
