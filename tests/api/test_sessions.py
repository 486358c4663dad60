"""Sessions of people: bounded, and the idle ones do not stay."""

from __future__ import annotations

from pathlib import Path

from acsmpd.api.access import MOST_SESSIONS, Credentials, Known
from acsmpd.clock import Moment
from acsmpd.security.throttle import RateLimit
from acsmpd.security.tokens import token_hash
from acsmpd.store.database import Store

BEGIN = Moment(1_800_000_000_000, 100.0, "boot")
ADMIN, OTHER = Known("person", "admin"), Known("person", "other")


def test_a_person_has_twenty_sessions_and_the_least_used_ends(tmp_path: Path) -> None:
    store = Store(tmp_path / "acsmpd.db").open()
    try:
        credentials = Credentials(store, 1800)
        credentials.open_session(token_hash("theirs"), OTHER, BEGIN)
        for number in range(MOST_SESSIONS):
            credentials.open_session(token_hash(f"s{number}"), ADMIN, BEGIN.later(number))
        now = BEGIN.later(60)
        assert credentials.find(token_hash("s0"), "10.0.0.1", now, RateLimit()) == ADMIN  # in use: it stays
        credentials.open_session(token_hash("late"), ADMIN, now)
        alive = [one for one in range(MOST_SESSIONS) if credentials.known(token_hash(f"s{one}"))]
        assert alive == [0, *range(2, MOST_SESSIONS)]
        assert credentials.known(token_hash("theirs")) == OTHER
    finally:
        store.close()


def test_idle_sessions_of_anybody_go_when_one_is_opened(tmp_path: Path) -> None:
    store = Store(tmp_path / "acsmpd.db").open()
    try:
        credentials = Credentials(store, 1800)
        credentials.open_session(token_hash("old"), OTHER, BEGIN)
        credentials.open_session(token_hash("used"), OTHER, BEGIN.later(1000))
        credentials.open_session(token_hash("new"), ADMIN, BEGIN.later(1801))
        left = {one for one in ("old", "used", "new") if credentials.known(token_hash(one))}
        assert left == {"used", "new"}
    finally:
        store.close()
