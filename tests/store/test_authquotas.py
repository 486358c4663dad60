"""What authorisation servers said, as it is kept: the last good word stays, whatever becomes of asking again."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from acsmpd.store import asks, authquotas, services
from acsmpd.store.authquotas import Health, Known
from acsmpd.store.database import Store, Tx
from tests.store.rows import NOW, add_load, add_package


def answer(tx: Tx, server: int = 1, capability: str = "A", now: int = NOW, **more: Any) -> None:
    values = {"used": 3, "total": 30, "counted": 2, "address": "10.0.0.1:8808", **more}
    authquotas.note_answer(tx, server, capability, now, **values)


def test_nothing_is_known_of_one_never_asked(store: Store) -> None:
    with store.read() as tx:
        assert authquotas.known(tx) == {}
        assert authquotas.get(tx, 1, "A") is None


def test_an_answer_is_kept_whole(store: Store) -> None:
    with store.write() as tx:
        answer(tx)
    wanted = Known(1, "A", 3, 30, 2, NOW, NOW, "", "10.0.0.1:8808")
    with store.read() as tx:
        assert authquotas.get(tx, 1, "A") == wanted
        assert authquotas.known(tx) == {(1, "A"): wanted}


def test_a_failure_keeps_the_last_good_word_and_says_why(store: Store) -> None:
    with store.write() as tx:
        answer(tx)
        authquotas.note_failure(tx, 1, "A", NOW + 5, "10.0.0.1:8808: connection refused")
        wanted = Known(1, "A", 3, 30, 2, NOW, NOW + 5, "10.0.0.1:8808: connection refused", "10.0.0.1:8808")
        assert authquotas.get(tx, 1, "A") == wanted
        answer(tx, now=NOW + 9, used=4, total=-1, counted=0, address="10.0.0.2:8808")
        assert authquotas.get(tx, 1, "A") == Known(1, "A", 4, -1, 0, NOW + 9, NOW + 9, "", "10.0.0.2:8808")


def test_a_failure_alone_declares_nothing(store: Store) -> None:
    with store.write() as tx:
        authquotas.note_failure(tx, 1, "A", NOW, "no connection in time")
        assert authquotas.get(tx, 1, "A") == Known(1, "A", 0, -1, 0, None, NOW, "no connection in time", "")


def test_a_server_is_forgotten_alone_and_whole(store: Store) -> None:
    with store.write() as tx:
        for server, capability in ((1, "A"), (1, "B"), (2, "A")):
            answer(tx, server, capability)
        authquotas.forget(tx, 1)
        authquotas.forget(tx, 7)
        assert set(authquotas.known(tx)) == {(2, "A")}


def test_it_outlives_a_restart(store: Store) -> None:
    with store.write() as tx:
        answer(tx)
    store.close()
    again = Store(store.path).open()
    with again.read() as tx:
        assert (authquotas.get(tx, 1, "A") or pytest.fail("gone")).total == 30
    again.close()


@pytest.mark.parametrize("state", ["open", "running"])
def test_who_asks_the_same_shares_the_question(store: Store, state: str) -> None:
    with store.write() as tx:
        first = authquotas.ask(tx, 1, "A", NOW)
        asks.change(tx, first, NOW, state=state)
        assert authquotas.ask(tx, 1, "A", NOW + 1) == first
        others = {authquotas.ask(tx, 2, "A", NOW), authquotas.ask(tx, 1, "B", NOW), first}
        assert len(others) == 3
        row = asks.get(tx, first)
    assert row is not None
    assert (row["kind"], row["subject"]) == ("quota", "1/A")
    assert row["arguments"] == {"Server": 1, "Capability": "A"}


@pytest.mark.parametrize("state", ["done", "failed"])
def test_what_was_answered_is_asked_anew(store: Store, state: str) -> None:
    with store.write() as tx:
        first = authquotas.ask(tx, 1, "A", NOW)
        asks.change(tx, first, NOW, state=state, answer={})
        assert authquotas.ask(tx, 1, "A", NOW + 1) != first


def test_many_who_ask_at_once_put_one_question(store: Store) -> None:
    found: list[str] = []

    def one() -> None:
        with store.write() as tx:
            found.append(authquotas.ask(tx, 1, "A", NOW))

    threads = [threading.Thread(target=one) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 16
    assert len(set(found)) == 1


# --- how it goes, and what is asked about -------------------------------------------------------------------------


def test_a_server_is_failing_while_the_last_try_of_any_capability_failed(store: Store) -> None:
    with store.write() as tx:
        assert authquotas.health(1, authquotas.known(tx)) == Health("unknown", "", None)
        answer(tx, 1, "A", NOW)
        answer(tx, 2, "A", NOW + 99)
        answer(tx, 1, "B", NOW + 5)
        assert authquotas.health(1, authquotas.known(tx)) == Health("healthy", "", NOW + 5)
        authquotas.note_failure(tx, 1, "A", NOW + 7, "early")
        authquotas.note_failure(tx, 1, "C", NOW + 8, "late")
        answer(tx, 1, "B", NOW + 9)
        assert authquotas.health(1, authquotas.known(tx)) == Health("failing", "late", NOW + 9)
        authquotas.drop(tx, 1, "C")
        assert authquotas.health(1, authquotas.known(tx)) == Health("failing", "early", NOW + 9)
        authquotas.note_failure(tx, 3, "A", NOW, "never")
        assert authquotas.health(3, authquotas.known(tx)) == Health("failing", "never", None)


NEEDS = {"env": [["AUTH_SERVER_ADDR", ""], ["LOG_LEVEL", "info"]]}
OWN = [{"Name": "AUTH_SERVER_ADDR", "Value": "10.0.0.8:1"}]


def test_what_is_loaded_and_needs_a_server_is_asked_about(store: Store) -> None:
    with store.write() as tx:
        add_package(tx, "p1", ("A", "B"), manifest=NEEDS)
        add_package(tx, "p2", ("C",), manifest=NEEDS, provider="megvii")
        add_package(tx, "p3", ("D",))
        add_package(tx, "p4", ("E",), manifest=NEEDS)
        assert authquotas.wanted(tx) == {}
        for place, package in enumerate(("p1", "p2", "p3", "p1")):
            add_load(tx, f"l{place}", f"s{place}", package_id=package)
        assert authquotas.wanted(tx) == {"ACSMPD": {"A", "B"}, "megvii": {"C"}}
        assert authquotas.held(tx, "ACSMPD") == {"A", "B", "D", "E"}
        assert authquotas.held(tx, "nobody") == set()


@pytest.mark.parametrize(
    ("service", "load"),
    [
        ({"env": OWN}, {}), ({"license_url": "http://10.0.0.9/l"}, {}), ({}, {"wanted": False}), ({}, {"ours": False}),
    ],
)  # fmt: skip
def test_who_brings_its_own_or_goes_asks_no_server_of_ours(
    store: Store, service: dict[str, Any], load: dict[str, Any]
) -> None:
    with store.write() as tx:
        add_package(tx, manifest=NEEDS)
        add_load(tx)
        assert authquotas.wanted(tx) == {"ACSMPD": {"A"}}
        services.change_service(tx, "service-1", **service)
        services.change_load(tx, "load-1", **load)
        assert authquotas.wanted(tx) == {}
        add_load(tx, "load-2", "service-2")
        assert authquotas.wanted(tx) == {"ACSMPD": {"A"}}, "one that does is enough"
