"""Quotas of authorisation servers that bind (conventions section 9): with a server in a process of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from acsmpd.spec.messages.cad import AlgoTaskCreateRequest
from tests.journeys.test_licences import NEEDS, added
from tests.journeys.test_quotas import FIRST, ids, instances, loaded, planned, streams, switched, until
from tests.support.auth_server import AuthServerProcess, auth_server
from tests.support.fake_cad import FakeCad
from tests.support.packaging import CAPABILITY, make_package
from tests.support.site import Site, running
from tests.support.state import refused
from tests.support.wait import wait_until


@pytest.fixture
def server() -> Iterator[AuthServerProcess]:
    with auth_server(**{CAPABILITY: (0, 10)}) as one:
        yield one


@pytest.fixture
def cad() -> Iterator[FakeCad]:
    with FakeCad(FIRST) as one:
        yield one


@pytest.fixture
def site(tmp_path: Path, server: AuthServerProcess, cad: FakeCad) -> Iterator[Site]:
    """The service runs, by the server's leave; the server is asked by itself once, and then when it is wanted."""
    more = {"licences_quota_refresh_seconds": "3600", "licences_quota_timeout_seconds": "2"}
    with running(tmp_path / "data", **more) as one:
        assert cad.register(one.url).accepted
        assert one.client.upload(make_package(tmp_path, env=NEEDS)).code == 0
        register(one, server)
        loaded(one, cad)
        yield one


def register(site: Site, server: AuthServerProcess) -> int:
    body = {"Server": server.address, "Provider": "ACSMPD", "Default": True}
    number: int = site.client.fine("POST", "/ACSMP/AuthServer", body)
    return number


def full(used: int, total: int) -> str:
    return f"{used}/{total} streams of {CAPABILITY} are used (the authorisation server of ACSMPD)"


def test_of_32_threads_that_start_against_ten_of_a_server_exactly_ten_run(site: Site, cad: FakeCad) -> None:
    """Those for whom there is no waiting for the server any more are told to come again, and are refused then."""
    there = ids(site, planned(site, 32, start=False))
    with ThreadPoolExecutor(32) as threads:
        answers = list(threads.map(lambda one: switched(site, "Start", one), there))
    again = [one for one, answer in zip(there, answers, strict=True) if answer.code == 42901]
    answers = [answer for answer in answers if answer.code != 42901] + [
        switched(site, "Start", one) for one in again
    ]
    assert Counter(one.code for one in answers) == {0: 10, 40901: 22}
    for one in answers:
        if one.code:
            refused(one, 409, 40901, full(10, 10))
    assert len(cad.running_tasks()) == cad.max_running == 10


class Signing(FakeCad):
    """Its engine signs in at the server before a stream runs, as real ones do."""

    server: AuthServerProcess | None = None
    signed = 0

    def _create(self, asked: AlgoTaskCreateRequest) -> dict[str, Any]:
        with self._lock:  # tasks come two at a time
            self.signed += 1
            if self.server is not None:
                self.server.streams(CAPABILITY, self.signed, holder="we")
            return super()._create(asked)


def test_what_others_use_at_the_server_counts_and_what_it_counts_of_ours_counts_once(
    tmp_path: Path, server: AuthServerProcess
) -> None:
    server.quota(CAPABILITY, 4, 10)
    with (
        running(tmp_path / "data", licences_quota_refresh_seconds="1") as site,
        Signing(FIRST) as cad,
    ):
        cad.server = server
        assert cad.register(site.url).accepted
        assert site.client.upload(make_package(tmp_path, env=NEEDS)).code == 0
        register(site, server)
        loaded(site, cad)
        plan = planned(site, 8, start=True)
        until(site, plan, RUNNING=6, PENDING=2)
        server.called(len(server.calls) + 2)
        assert len(cad.running_tasks()) == cad.max_running == 6
        server.quota(CAPABILITY, 3, 10)  # somebody else has ended one
        wait_until(lambda: len(cad.running_tasks()) == 7, seconds=30, what="the seventh")
        server.called(len(server.calls) + 2)
        assert cad.max_running == 7
        site.restart()
        server.called(len(server.calls) + 2)
        assert len(cad.running_tasks()) == cad.max_running == 7


def test_before_a_start_is_refused_the_server_is_asked_afresh(
    site: Site, cad: FakeCad, server: AuthServerProcess
) -> None:
    there = ids(site, planned(site, 12, start=False))
    assert switched(site, "Start", *there[:10]).code == 0
    refused(switched(site, "Start", there[10]), 409, 40901, full(10, 10))
    server.quota(CAPABILITY, 0, 11)
    assert switched(site, "Start", there[10]).code == 0
    refused(switched(site, "Start", there[11]), 409, 40901, full(11, 11))
    assert cad.max_running == 11


def test_a_plan_starts_what_the_server_allows_and_more_when_it_allows_more(
    site: Site, server: AuthServerProcess
) -> None:
    plan = planned(site, 12, start=True)
    until(site, plan, RUNNING=10, PENDING=2)
    said = f"waiting for quota: {full(10, 10)}"
    wait_until(
        lambda: {one.get("Reason") for one in instances(site, plan) if one["Status"] == "PENDING"} == {said},
        what="the reason",
    )
    assert site.client.fine("GET", f"/ACSMP/Tasks/{plan}")["WaitingForQuotaCount"] == 2
    server.quota(CAPABILITY, 0, 12)
    wait_until(
        lambda: Counter(one["Status"] for one in instances(site, plan)) == {"RUNNING": 12},
        seconds=30, what="all twelve",
    )  # fmt: skip


def test_a_server_that_never_answered_binds_nobody_and_one_that_answered_binds_by_its_last_word(
    tmp_path: Path, cad: FakeCad, server: AuthServerProcess
) -> None:
    server.kill()
    with running(tmp_path / "data", licences_quota_refresh_seconds="1") as site:
        assert cad.register(site.url).accepted
        assert site.client.upload(make_package(tmp_path, env=NEEDS)).code == 0
        number = register(site, server)
        loaded(site, cad)
        until(site, planned(site, 12, start=True), RUNNING=12)
        server.start()
        site.until(f"/ACSMP/AuthServer/{number}", lambda found: found["Health"] == "healthy")
        further = ids(site, planned(site, 1, start=False))
        refused(switched(site, "Start", *further), 409, 40901, full(12, 10))
        assert len(cad.running_tasks()) == 12
        server.kill()
        site.until(f"/ACSMP/AuthServer/{number}", lambda found: found["Health"] == "failing")
        refused(switched(site, "Start", *further), 409, 40901, full(12, 10))
        site.restart()
        refused(switched(site, "Start", *further), 409, 40901, full(12, 10))


def test_a_good_licence_comes_before_the_server(site: Site, cad: FakeCad) -> None:
    number = added(site, AbilityAuths=streams(1))
    there = ids(site, planned(site, 3, start=False))
    assert switched(site, "Start", there[0]).code == 0
    refused(switched(site, "Start", there[1]), 409, 40901, "1/1", "licences of ACSMPD")
    site.client.fine("DELETE", f"/ACSMP/License/{number}?Force=true")
    assert switched(site, "Start", *there[1:]).code == 0
    assert cad.max_running == 3
