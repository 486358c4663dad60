"""Online quotas (table 34): a real authorisation server in another process, and what becomes of its bad days."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acsmpd.store import authquotas, tables
from tests.support.auth_server import AuthServerProcess, auth_server
from tests.support.fake_cad import FakeCad
from tests.support.packaging import CAPABILITY, PACKAGE_ID, make_package, task_info
from tests.support.site import Answer, Site, running
from tests.support.state import refused
from tests.support.wait import wait_until
from tests.wire.servers import unused_port

SERVERS, QUOTA = "/ACSMP/AuthServer", f"/ACSMP/AuthServer/Quota/{CAPABILITY}"
ALARMS = "/ACSMP/Alarms/Search"
PATH = f"/AuthServer/Quota/{CAPABILITY}"
NEEDS = {"AUTH_SERVER_ADDR": ""}
FREE = "1101000000502000000120261121120000000002"
SHORT = {"licences_quota_timeout_seconds": "1", "licences_quota_refresh_seconds": "0.3"}


@pytest.fixture(scope="module")
def process() -> Iterator[AuthServerProcess]:
    with auth_server() as one:
        yield one


@pytest.fixture
def server(process: AuthServerProcess) -> AuthServerProcess:
    """One that behaves, and was never called."""
    process.set(mode="good", bare=False, delay=0.0, calls=[], streams={}, quotas={})
    process.quota(CAPABILITY, 3, 30)
    return process


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site that knows a capability that needs authorisation, and one that does not."""
    folder = tmp_path_factory.mktemp("site")
    with running(folder / "data", **SHORT) as one:
        assert one.client.upload(make_package(folder, env=NEEDS)).code == 0
        assert (
            one.client.upload(make_package(folder, package_id=FREE, name="free", codes=("FREE-1",))).code == 0
        )
        yield one


@pytest.fixture
def site(shared: Site) -> Site:
    """Without any server."""
    for one in shared.client.fine("POST", f"{SERVERS}/Search", {}):
        shared.client.fine("DELETE", f"{SERVERS}/{one['ID']}")
    return shared


def added(site: Site, *addresses: str, **more: Any) -> int:
    body = {"Server": ",".join(addresses), "Provider": "ACSMPD", "Default": True, **more}
    number: int = site.client.fine("POST", SERVERS, body)
    return number


def health(site: Site, number: int) -> tuple[str, str]:
    """(Health, LastError or "")."""
    found = site.client.fine("GET", f"{SERVERS}/{number}")
    return found["Health"], found.get("LastError", "")


def alarms(site: Site, number: int, *, active: bool = True) -> list[str]:
    body = {"Kind": "auth_server_failing", "Subject": str(number), "Active": active}
    return [one["Text"] for one in site.client.fine("POST", ALARMS, body)["PageContent"]]


def fresh(answer: Answer) -> tuple[int, int]:
    """(used, total) of an answer as it is now."""
    assert (answer.code, answer.message) == (0, "success"), answer
    assert answer.data.keys() == {"AlgoDefCode", "QuotaUsed", "QuotaTotal"}
    return answer.data["QuotaUsed"], answer.data["QuotaTotal"]


# --- fresh ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bare", [False, True])
def test_the_server_is_asked_and_its_word_is_the_answer(
    site: Site, server: AuthServerProcess, bare: bool
) -> None:
    server.set(bare=bare)
    number = added(site, server.address)
    assert health(site, number) == ("unknown", "")
    assert "LastAnswerDate" not in site.client.fine("GET", f"{SERVERS}/{number}")
    answer = site.client.get(QUOTA)
    assert answer.data["AlgoDefCode"] == CAPABILITY
    assert fresh(answer) == (3, 30)
    server.streams(CAPABILITY, 4, "engine-1")
    server.streams(CAPABILITY, 2, "engine-2")
    assert fresh(site.client.get(QUOTA)) == (9, 30)
    server.quota(CAPABILITY, 0, -1)
    assert fresh(site.client.get(QUOTA)) == (6, -1)
    assert server.calls == [PATH] * 3
    assert health(site, number) == ("healthy", "")
    shown = site.client.fine("GET", f"{SERVERS}/{number}")
    assert shown["LastAnswerDate"]
    assert site.client.fine("POST", f"{SERVERS}/Search", {}) == [shown]


def test_the_next_address_is_asked_where_one_is_not_there(site: Site, server: AuthServerProcess) -> None:
    nobody = f"127.0.0.1:{unused_port()}"
    number = added(site, nobody, server.address)
    assert fresh(site.client.get(QUOTA)) == (3, 30)
    with running_known(site) as known:
        assert known[number, CAPABILITY].address == server.address
    with auth_server() as second:
        second.quota(CAPABILITY, 5, 50)
        site.client.fine("PUT", f"{SERVERS}/{number}", {"Server": f"{server.address}, {second.address}"})
        assert fresh(site.client.get(QUOTA)) == (3, 30)
        server.set(mode="html")
        assert fresh(site.client.get(QUOTA)) == (5, 50)
        server.set(mode="good")
        assert fresh(site.client.get(QUOTA)) == (3, 30)
    assert health(site, number) == ("healthy", "")


class running_known:
    """What the store of a site knows."""

    def __init__(self, site: Site) -> None:
        assert site.app is not None
        self._store = site.app.store

    def __enter__(self) -> dict[tuple[int, str], authquotas.Known]:
        with self._store.read() as tx:
            return authquotas.known(tx)

    def __exit__(self, *exc: object) -> None:
        """Nothing."""


def test_the_default_server_of_the_provider_is_asked_and_no_other(
    site: Site, server: AuthServerProcess
) -> None:
    with auth_server() as other:
        other.quota(CAPABILITY, 1, 2)
        added(site, other.address, Provider="megvii")
        refused(
            site.client.get(QUOTA),
            404,
            40401,
            f"provider 'ACSMPD' of capability {CAPABILITY} has no authorisation",
        )
        second = added(site, other.address)
        added(site, server.address)
        assert fresh(site.client.get(QUOTA)) == (3, 30)
        assert other.calls == []
        site.client.fine("PUT", f"{SERVERS}/{second}", {"Default": True})
        assert fresh(site.client.get(QUOTA)) == (1, 2)


def test_a_capability_nobody_has_and_one_that_needs_no_authorisation(
    site: Site, server: AuthServerProcess
) -> None:
    added(site, server.address)
    refused(site.client.get("/ACSMP/AuthServer/Quota/NOBODY.1"), 404, 40401, "no capability NOBODY.1")
    assert fresh(site.client.get("/ACSMP/AuthServer/Quota/FREE-1")) == (0, -1)
    assert server.calls == []


def test_readers_at_once_share_one_question(site: Site, server: AuthServerProcess) -> None:
    server.set(delay=0.5)
    added(site, server.address)
    found: list[Answer] = []
    threads = [threading.Thread(target=lambda: found.append(site.client.get(QUOTA))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [fresh(one) for one in found] == [(3, 30)] * 4
    assert server.calls == [PATH]


def test_more_readers_than_may_wait_are_told_at_once(tmp_path: Path) -> None:
    with auth_server() as server, running(tmp_path / "data", server_max_waiters="1", **SHORT) as site:
        assert site.client.upload(make_package(tmp_path, env=NEEDS)).code == 0
        server.quota(CAPABILITY, 3, 30)
        server.set(mode="silent")
        number = added(site, server.address)
        found: list[Answer] = []
        reader = threading.Thread(target=lambda: found.append(site.client.get(QUOTA)))
        reader.start()
        server.called(1)
        words = f"authorisation server {number} of provider 'ACSMPD' ({server.address}) has not answered yet"
        refused(site.client.get(QUOTA), 504, 50401, words, "at most 3 s", f"see {SERVERS}/{number}")
        reader.join()
        refused(found[0], 504, 50401, "cannot ask")


# --- bad days ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("refusing", 'it answered Code 50000 "the database is closed"'),
        ("html", "its answer is no JSON"),
        ("types", "its QuotaUsed is missing or no whole number from 0 on"),
        ("endless", "its answer is longer than 65536 bytes"),
        ("redirect", "it answered HTTP 302, redirects are not followed"),
        ("status", "it answered HTTP 500"),
    ],
)
def test_what_is_no_quota_is_a_fault_that_names_the_server_and_the_cause(
    site: Site, server: AuthServerProcess, mode: str, words: str
) -> None:
    server.set(mode=mode)
    number = added(site, server.address)
    named = f"authorisation server {number} of provider 'ACSMPD': {server.address}: {words}"
    refused(site.client.get(QUOTA), 502, 50201, named)
    assert "/elsewhere" not in server.calls
    assert health(site, number) == ("failing", f"{server.address}: {words}")
    wait_until(lambda: alarms(site, number) == [named], what="the alarm")
    server.set(mode="good")
    assert fresh(site.client.get(QUOTA)) == (3, 30)
    wait_until(lambda: alarms(site, number) == [], what="the end of the alarm")
    assert alarms(site, number, active=False) == [named]
    assert health(site, number) == ("healthy", "")


def test_a_slow_one_is_given_up_in_words_that_name_it_and_the_seconds(
    site: Site, server: AuthServerProcess
) -> None:
    server.set(mode="silent")
    number = added(site, server.address)
    begun = time.monotonic()
    refused(
        site.client.get(QUOTA), 504, 50401, f"authorisation server {number} of provider 'ACSMPD': cannot ask "
        f"{server.address} within 1 s: no whole answer in time",
    )  # fmt: skip
    assert time.monotonic() - begun < 4
    assert health(site, number)[0] == "failing"


def test_one_that_is_not_there_has_its_last_word_with_its_age(tmp_path: Path) -> None:
    with auth_server() as server, running(tmp_path / "data", **SHORT) as site:
        assert site.client.upload(make_package(tmp_path, env=NEEDS)).code == 0
        server.quota(CAPABILITY, 3, 30)
        number = added(site, server.address)
        assert fresh(site.client.get(QUOTA)) == (3, 30)
        server.kill()
        aged(site, number, 7_000)
        answer = site.client.get(QUOTA)
        data = {name: answer.data[name] for name in ("AlgoDefCode", "QuotaUsed", "QuotaTotal")}
        assert data == {"AlgoDefCode": CAPABILITY, "QuotaUsed": 3, "QuotaTotal": 30}
        assert 7 <= answer.data["Age"] < 60
        assert answer.message == (
            f"success; as it was {answer.data['Age']} s ago: authorisation server {number} of provider 'ACSMPD': "
            f"cannot ask {server.address} within 1 s: connection refused"
        )
        assert health(site, number)[0] == "failing"
        site.restart()
        assert site.client.get(QUOTA).data["QuotaTotal"] == 30
        wait_until(lambda: len(alarms(site, number)) == 1, what="the alarm")
        server.start()
        wait_until(lambda: health(site, number)[0] == "healthy", what="it to be asked again by itself")
        assert fresh(site.client.get(QUOTA)) == (3, 30)
        wait_until(lambda: alarms(site, number) == [], what="the end of the alarm")


def aged(site: Site, number: int, ms: int) -> None:
    """The last word of the server was spoken so much earlier."""
    assert site.app is not None
    with site.app.store.write() as tx:
        earlier = tables.AuthQuota.answered_ms - ms
        tx.run(tables.AuthQuota.update(answered_ms=earlier).where(tables.AuthQuota.server_id == number))


def test_a_database_that_cannot_be_written_keeps_nobody_from_the_last_word(
    site: Site, server: AuthServerProcess
) -> None:
    number = added(site, server.address)
    assert fresh(site.client.get(QUOTA)) == (3, 30)
    with contextlib.closing(sqlite3.connect(site.data / "acsmpd.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        answer = site.client.get(QUOTA)
        assert (answer.data["QuotaTotal"], answer.data["Age"] >= 0) == (30, True)
        assert "s ago: " in answer.message
        assert health(site, number) == ("healthy", "")
        other.execute("ROLLBACK")
    assert fresh(site.client.get(QUOTA)) == (3, 30)


def test_one_never_there_is_a_fault(site: Site) -> None:
    nobody = f"127.0.0.1:{unused_port()}"
    number = added(site, nobody)
    refused(site.client.get(QUOTA), 504, 50401, f"cannot ask {nobody} within 1 s: connection refused")
    assert health(site, number) == ("failing", f"cannot ask {nobody} within 1 s: connection refused")


def test_an_address_that_may_not_be_called_is_shown_so(tmp_path: Path) -> None:
    with auth_server() as server, running(tmp_path / "data", egress_allow="127.0.0.1:1") as site:
        assert site.client.upload(make_package(tmp_path, env=NEEDS)).code == 0
        number = added(site, server.address)
        refused(
            site.client.get(QUOTA), 502, 50201, server.address, "loopback", "egress.allow does not name it"
        )
        state, error = health(site, number)
        assert state == "failing"
        assert server.address in error
        assert server.calls == []


@pytest.mark.parametrize("change", [{"Server": "%s"}, {"Provider": "megvii"}])
def test_one_that_has_become_another_is_forgotten(
    site: Site, server: AuthServerProcess, change: dict[str, str]
) -> None:
    number = added(site, server.address)
    assert fresh(site.client.get(QUOTA)) == (3, 30)
    same = {"Server": server.address, "Provider": "ACSMPD"}
    site.client.fine("PUT", f"{SERVERS}/{number}", same)
    assert health(site, number) == ("healthy", "")
    changed = {name: value.replace("%s", f"127.0.0.1:{unused_port()}") for name, value in change.items()}
    site.client.fine("PUT", f"{SERVERS}/{number}", changed)
    assert health(site, number) == ("unknown", "")
    if "Server" in change:
        refused(site.client.get(QUOTA), 504, 50401, "connection refused")
        site.client.fine("PUT", f"{SERVERS}/{number}", same)
        wait_until(lambda: alarms(site, number) == [], what="the end of the alarm")
        assert fresh(site.client.get(QUOTA)) == (3, 30)
    site.client.fine("DELETE", f"{SERVERS}/{number}")
    with running_known(site) as known:
        assert known == {}


def test_one_that_is_deleted_while_it_is_asked(site: Site, server: AuthServerProcess) -> None:
    server.set(delay=0.7)
    number = added(site, server.address)
    found: list[Answer] = []
    reader = threading.Thread(target=lambda: found.append(site.client.get(QUOTA)))
    reader.start()
    server.called(1)
    site.client.fine("DELETE", f"{SERVERS}/{number}")
    reader.join()
    refused(found[0], 404, 40401, f"authorisation server {number} is gone")
    with running_known(site) as known:
        assert known == {}


def test_an_alarm_ends_with_its_server(site: Site, server: AuthServerProcess) -> None:
    server.set(mode="html")
    number = added(site, server.address)
    refused(site.client.get(QUOTA), 502, 50201)
    wait_until(lambda: alarms(site, number), what="the alarm")
    site.client.fine("DELETE", f"{SERVERS}/{number}")
    wait_until(lambda: not alarms(site, number), what="the end of the alarm")


# --- by itself -------------------------------------------------------------------------------------------------


def test_what_is_loaded_is_asked_about_by_itself(tmp_path: Path) -> None:
    with auth_server() as server, running(tmp_path / "data", **SHORT) as site, FakeCad() as cad:
        assert cad.register(site.url).accepted
        assert site.client.upload(make_package(tmp_path, env=NEEDS, codes=(CAPABILITY, "SECOND-1"))).code == 0
        server.quota(CAPABILITY, 3, 30)
        server.quota("SECOND-1", 1, 2)
        number = added(site, server.address)
        wish = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": cad.code}
        site.client.fine("POST", "/ACSMP/AlgoServices/Devices?Wait=20", wish)
        server.called(6)
        wait_until(lambda: health(site, number) == ("healthy", ""), what="its health")
        plan = {"Name": "a", "Type": "VIDEO_REALTIME", "Mode": "PERIODIC", "AutoStart": True}
        infos = [task_info(url=f"rtsp://10.0.0.9/{n}") for n in range(2)]
        site.client.fine("POST", "/ACSMP/Tasks?Wait=20", {**plan, "AlgoTaskInfos": infos})

        def counted() -> int:
            with running_known(site) as known:
                return known[number, CAPABILITY].counted + known[number, "SECOND-1"].counted

        wait_until(lambda: counted() == 2, what="our own streams to be counted")
        assert set(server.calls) == {PATH, "/AuthServer/Quota/SECOND-1"}
        site.client.fine("DELETE", f"/ACSMP/AlgoFilePackages/{PACKAGE_ID}?Force=true&Wait=20")


@pytest.mark.parametrize("own", [{"Env": [{"Name": "AUTH_SERVER_ADDR", "Value": "10.0.0.8:1"}]}, {}])
def test_what_asks_no_server_of_ours_is_not_asked_about(tmp_path: Path, own: dict[str, Any]) -> None:
    with auth_server() as server, running(tmp_path / "data", **SHORT) as site, FakeCad() as cad:
        assert cad.register(site.url).accepted
        assert site.client.upload(make_package(tmp_path, env=NEEDS if own else None)).code == 0
        server.quota(CAPABILITY, 3, 30)
        added(site, server.address)
        wish = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": cad.code, **own}
        site.client.fine("POST", "/ACSMP/AlgoServices/Devices?Wait=20", wish)
        assert site.app is not None
        passes = site.app.engine.passes
        wait_until(lambda: site.app is not None and site.app.engine.passes > passes + 3, what="some passes")
        assert server.calls == []


# --- refused ---------------------------------------------------------------------------------------------------


def test_who_may_not_read_may_not_ask(site: Site, server: AuthServerProcess) -> None:
    added(site, server.address)
    refused(site.as_role("security_admin").get(QUOTA), 403, 40301)
    assert site.as_role("viewer").get(QUOTA).code == 0


@pytest.mark.parametrize("code", ["%00", "x" * 257, "a%0Ab"])
def test_what_is_no_capability(site: Site, server: AuthServerProcess, code: str) -> None:
    added(site, server.address)
    refused(site.client.get(f"/ACSMP/AuthServer/Quota/{code}"), 400, 40001, "AlgoDefCode")
    assert server.calls == []
