"""What is taken back is not good any more, whoever took it back and whatever was under way."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from acsmpd import offline
from acsmpd.api.access import FOLLOW_SECONDS, Credentials, Known
from acsmpd.clock import Clock, Moment
from acsmpd.security.throttle import RateLimit
from acsmpd.security.tokens import token_hash
from acsmpd.settings import Settings, load
from acsmpd.store import accounts, connections, devices
from acsmpd.store.database import Store, Tx

CODE = "11010000005050000009"
BEGIN = Moment(1_800_000_000_000, 100.0, "boot")
LATER = BEGIN.later(FOLLOW_SECONDS)


class Halting(Store):
    """A store whose next read can be held up at its end: what it saw may be out of date by then."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.halt = False
        self.halted, self.on = threading.Event(), threading.Event()

    @contextmanager
    def read(self, *, patient: bool = True) -> Iterator[Tx]:
        with super().read(patient=patient) as tx:
            yield tx
        if self.halt:
            self.halt = False
            self.halted.set()
            assert self.on.wait(10)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load(None, {"ACSMPD_DATA_DIR": str(tmp_path / "var"), "ACSMPD_SITE_CODE": "11010000005020000001"})


@pytest.fixture
def store(settings: Settings) -> Iterator[Halting]:
    with offline.opened(settings) as other:
        path = other.path
    opened = Halting(path)
    opened.open()
    yield opened
    opened.close()


@pytest.fixture
def credentials(store: Halting) -> Credentials:
    made = Credentials(store, 1800.0)
    made.load()
    return made


def find(credentials: Credentials, token: str, now: Moment = BEGIN) -> Known | None:
    return credentials.find(token_hash(token), "127.0.0.1", now, RateLimit())


def with_device(store: Store) -> None:
    with store.write() as tx:
        devices.put(tx, CODE, 1, type="CAD", family="CAD", approved=True, registered=True)
        devices.set_current(tx, CODE, token_hash("t"), "sealed", 1)


def test_a_key_dropped_while_it_is_looked_up_is_not_remembered(
    store: Halting, credentials: Credentials
) -> None:
    with store.write() as tx:
        accounts.add_key(tx, name="leaked", hash=token_hash("k"), roles=["operator"], created_ms=1)
    find(credentials, "nothing")
    seen: list[Known | None] = []
    store.halt = True
    asking = threading.Thread(target=lambda: seen.append(find(credentials, "k")))
    asking.start()
    assert store.halted.wait(10)
    with store.write() as tx:
        accounts.drop_key(tx, "leaked")
    credentials.close(name="leaked", kind="key")
    store.on.set()
    asking.join(10)
    assert seen[0] is not None, "it was good when it was asked for"
    assert find(credentials, "k") is None


def test_a_device_reset_by_the_command_line_has_no_token_left(
    settings: Settings, store: Halting, credentials: Credentials
) -> None:
    with_device(store)
    assert find(credentials, "t") is not None
    offline.reset_device(settings, Clock(), CODE)
    assert find(credentials, "t", BEGIN.later(FOLLOW_SECONDS / 2)) is not None, "asked at most once a second"
    assert find(credentials, "t", LATER) is None


def test_sessions_outlive_a_change_by_the_command_line(
    settings: Settings, store: Halting, credentials: Credentials
) -> None:
    with_device(store)
    credentials.open_session(token_hash("s"), Known("person", "boss"), BEGIN)
    assert find(credentials, "t") is not None
    key = offline.create_key(settings, Clock(), "new", ["viewer"])
    found = find(credentials, key, LATER)
    assert found is not None
    assert (found.kind, found.name) == ("key", "new")
    assert find(credentials, "s", LATER) == Known("person", "boss")
    assert credentials.known(token_hash("t")) is None, "to be looked up afresh"
    assert find(credentials, "t", LATER) is not None


def test_without_a_change_nothing_is_forgotten(store: Halting, credentials: Credentials) -> None:
    with_device(store)
    assert find(credentials, "t") is not None
    with store.write() as tx:
        devices.revoke_tokens(tx, CODE)
    assert find(credentials, "t", LATER) is not None, "our own handlers say what they take back"
    credentials.close(name=CODE, kind="computility")
    assert find(credentials, "t", LATER) is None


def test_an_unknown_token_waits_for_nobodys_search(
    store: Halting, credentials: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server's own thread asks: a stranger would hold everybody up while two search for long."""
    monkeypatch.setattr(connections, "READER_PATIENCE_SECONDS", 30.0)
    begun = time.monotonic()
    with ExitStack() as held:
        for _ in range(connections.READERS):
            held.enter_context(store.read())
        assert credentials.find(token_hash("unknown"), "10.0.0.9", LATER, RateLimit()) is None
    assert time.monotonic() - begun < 20
