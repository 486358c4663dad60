"""Tables 33-36 of Part 4 as this site serves them: services on a node or spread, each platform's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acsmpd.api import facade_files
from acsmpd.store import devices, services
from acsmpd.store.tables import Load
from tests.api.cap_setup import (
    BELOW,
    EDGE,
    FILES,
    FIRST,
    OTHER,
    SECOND,
    SERVICES,
    URL,
    bring,
    changes,
    info_of,
    load,
    loaded,
    places,
    runs,
    site,
    status,
)
from tests.api.face_setup import MD5, SITE_CODE, Face
from tests.support.packaging import PACKAGE_ID, make_package, md5_of

PUSH = {"Url": URL, "AlgoFilePackageID": PACKAGE_ID}


@pytest.fixture
def face(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Face]:
    monkeypatch.setattr(facade_files, "HOLD_SECONDS", 0.0)
    with site(tmp_path / "site") as one:
        yield one


@pytest.fixture
def whole(face: Face, tmp_path: Path) -> Face:
    """With the test package brought."""
    bring(face, make_package(tmp_path))
    return face


def detail(face: Face, service: str, **more: Any) -> Any:
    return face.fine("GET", f"{SERVICES}/{service}", **more)


@pytest.mark.parametrize("name", ["10.0.0.82", "second", "SECOND", SECOND])
def test_host_name_chooses_the_computility(whole: Face, name: str) -> None:
    service = loaded(whole, HostName=name, Env=[{"Name": "LOG_LEVEL", "Value": "debug"}])
    assert places(whole, service) == [SECOND]
    assert loaded(whole, HostName=name) == service, "a CAD has one service of a package"
    runs(whole, service)
    assert detail(whole, service) == {
        "Env": [{"Name": "LOG_LEVEL", "Value": "debug"}], "Replicas": 1, "XpuType": "",
        "AlgoFilePackageID": PACKAGE_ID, "AlgoServiceID": service, "Status": "RUNNING", "XpuQuota": 0.0,
        "ReplicasDetail": [{"NodeHost": "second", "NodeIpv4": "10.0.0.82"}],
    }  # fmt: skip


def test_a_node_of_a_cap_below_is_meant_by_its_own_address(whole: Face) -> None:
    service = loaded(whole, HostName="host-2", Replicas=3)
    assert places(whole, service) == [BELOW]
    with whole.store.read() as tx:
        row = services.service(tx, service)
    assert row is not None
    assert (row["host"], row["replicas"]) == ("10.0.1.2", 3)
    assert detail(whole, service)["ReplicasDetail"] == [{"NodeHost": "host-2", "NodeIpv4": "10.0.1.2"}]


def test_replicas_on_this_box_are_loads_of_one_service(whole: Face) -> None:
    service = loaded(whole, HostName="box", Replicas=2)
    assert places(whole, service) == [SITE_CODE, SITE_CODE]
    assert detail(whole, service)["Replicas"] == 2


@pytest.mark.parametrize(
    ("asked", "code", "words"),
    [
        ({"HostName": "nowhere"}, 40401, ["10.0.0.81", "host-1"]),
        ({"HostName": "first", "Replicas": 2}, 40903, ["one replica"]),
        ({"HostName": "camera"}, 40904, ["only tasks"]),
        ({"HostName": "box", "Replicas": 900}, 40903, ["engines"]),
        ({"Replicas": 1001}, 40903, ["1000"]),
        ({"Replicas": 0}, 40001, ["Replicas"]),
        ({"Replicas": "two"}, 40001, ["Replicas"]),
        ({"AlgoFilePackageID": "9" * 40}, 40401, ["9" * 40]),
        ({"AlgoFilePackageID": 5}, 40001, ["AlgoFilePackageID"]),
        ({"Env": [{"Name": "X"}, 7]}, 40001, ["Env"]),
        ({"HostName": ["a"]}, 40001, ["HostName"]),
        ({"XpuType": "x" * 65}, 40001, ["XpuType"]),
    ],
)
def test_what_cannot_be_loaded_is_refused_with_words(
    whole: Face, asked: Any, code: int, words: list[str]
) -> None:
    said = load(whole, **asked)
    assert said.code == code, said
    assert all(word in said.message for word in words), said
    assert whole.loads() == []


def test_a_name_of_several_nodes_is_no_name(whole: Face) -> None:
    changes(whole, SECOND, info=[info_of("10.0.0.82", "first")])
    said = load(whole, HostName="first")
    assert (said.code, "10.0.0.81, 10.0.0.82" in said.message) == (40401, True), said


def test_without_a_name_replicas_are_spread(whole: Face) -> None:
    changes(whole, BELOW, maintenance=True)
    service = loaded(whole, Replicas=4)
    assert places(whole, service) == sorted([FIRST, SECOND, EDGE, SITE_CODE])
    runs(whole, service)
    data = detail(whole, service)
    assert (data["Replicas"], len(data["ReplicasDetail"]), data["Status"]) == (4, 4, "RUNNING")
    assert whole.fine("POST", f"{SERVICES}:search", {})["TotalSize"] == 1
    another = loaded(whole)
    assert places(whole, another) == [SITE_CODE], "CADs have their one service already"


def test_a_cap_below_takes_replicas_one_by_one_or_all_of_them(whole: Face) -> None:
    for code in (SITE_CODE, FIRST, SECOND):
        changes(whole, code, maintenance=True)
    both = loaded(whole, Replicas=3)
    assert places(whole, both) == [BELOW, BELOW, EDGE]
    changes(whole, EDGE, maintenance=True)
    alone = loaded(whole, Replicas=3)
    assert places(whole, alone) == [BELOW]
    with whole.store.read() as tx:
        for service, number in ((both, 1), (alone, 3)):
            row = services.service(tx, service)
            assert row is not None
            for one in services.loads(tx, Load.service_id == service):
                assert services.replicas_by(tx, one, row) == number
        assert services.replicas(tx) == {alone: 3}


def test_where_too_few_have_room_nothing_is_loaded(whole: Face) -> None:
    for code in (SITE_CODE, BELOW, EDGE):
        changes(whole, code, enabled=False)
    changes(whole, SECOND, support_services=False)
    said = load(whole, Replicas=2)
    assert said.code == 40903, said
    assert "1 of 2" in said.message
    assert f"{SECOND}: takes no services" in said.message
    assert whole.loads() == []


def test_those_that_are_away_wait_for_their_load_when_nobody_else_can(whole: Face) -> None:
    for code in (SITE_CODE, BELOW, EDGE):
        changes(whole, code, enabled=False)
    changes(whole, FIRST, state="unreachable")
    assert places(whole, loaded(whole)) == [SECOND]
    assert places(whole, loaded(whole)) == [FIRST]
    changes(whole, FIRST, state="lost")
    assert load(whole, HostName="first").code == 40901


def test_a_package_goes_where_its_cards_are(face: Face, tmp_path: Path) -> None:
    bring(face, make_package(tmp_path, xpu=[{"quota": 0.5, "accelerator": "NVIDIA-T4"}]))
    service = loaded(face, Replicas=2, XpuType="nvidia t4")
    assert places(face, service) == [FIRST, SECOND]
    assert detail(face, service)["XpuQuota"] == 0.5
    said = load(face, XpuType="NVIDIA-A2")
    assert said.code == 0, "the edge device tells no cards"
    said = load(face, XpuType="NVIDIA-A2")
    assert said.code == 40903, said
    assert f"{SITE_CODE}: has no cards" in said.message
    assert face.fine("POST", f"{SERVICES}:search", {"XpuType": "NVIDIA_T4"})["TotalSize"] == 1
    assert face.fine("POST", f"{SERVICES}:search", {"XpuType": "NVIDIA-A9"})["TotalSize"] == 0


@pytest.mark.parametrize(
    ("states", "told"),
    [
        (["INIT", "RUNNING"], "RUNNING"), (["ERROR", "INIT"], "INIT"), (["ERROR", "ERROR"], "ERROR"),
        (["OVERLOAD", "INIT"], "OVERLOAD"), (["UNSPECIFIED", "UNSPECIFIED"], "UNSPECIFIED"),
    ],
)  # fmt: skip
def test_a_service_is_what_the_best_of_its_loads_is(whole: Face, states: list[str], told: str) -> None:
    for code in (SITE_CODE, BELOW, EDGE):
        changes(whole, code, enabled=False)
    service = loaded(whole, Replicas=2)
    for row, state in zip(whole.loads(), states, strict=True):
        whole.becomes(row["load_id"], state)
    assert "LastError" not in detail(whole, service)
    assert detail(whole, service)["Status"] == told
    for code in (FIRST, SECOND):
        changes(whole, code, state="unreachable")
    assert detail(whole, service)["Status"] == "UNSPECIFIED", "nobody knows"


def test_why_a_replica_does_not_run_is_said(whole: Face) -> None:
    for code in (SITE_CODE, BELOW, EDGE):
        changes(whole, code, enabled=False)
    service = loaded(whole, Replicas=2)
    runs(whole, service)
    [first, _] = whole.loads()
    with whole.store.write() as tx:
        services.change_load(tx, first["load_id"], status="ERROR", error="its engine ended with 1")
    said = f"{first['device']}: its engine ended with 1"
    assert (detail(whole, service)["Status"], detail(whole, service)["LastError"]) == ("RUNNING", said)
    [record] = whole.fine("POST", f"{SERVICES}:search", {})["Records"]
    assert record["LastError"] == said


def test_services_are_listed_by_pages_and_by_package(whole: Face) -> None:
    ids = [loaded(whole, HostName="box") for _ in range(3)]
    first = whole.fine("POST", f"{SERVICES}:search", {"PageNumber": 1, "PageSize": 2})
    second = whole.fine("POST", f"{SERVICES}/search", {"PageNumber": 2, "PageSize": 2})
    assert (first["TotalSize"], first["PageNumber"], first["PageSize"]) == (3, 1, 2)
    found = [one["AlgoServiceID"] for one in [*first["Records"], *second["Records"]]]
    assert sorted(found) == sorted(ids)
    assert first["Records"][0]["Env"] == []
    none = whole.fine("POST", f"{SERVICES}:search", {"AlgoFilePackageID": "9" * 40})
    assert (none["TotalSize"], none["Records"]) == (0, [])


def test_a_service_goes_by_its_id_and_only_the_callers_own(whole: Face) -> None:
    service = loaded(whole, Replicas=2)
    assert whole.ask("DELETE", f"{SERVICES}/{service}", token=OTHER).code == 40401
    assert whole.ask("DELETE", f"{SERVICES}/none").code == 40401
    said = whole.ask("DELETE", f"{FILES}/{PACKAGE_ID}")
    assert (said.code, "loaded" in said.message) == (40901, True), said
    assert whole.ask("DELETE", f"{SERVICES}/{service}").code == 0
    assert [row["wanted"] for row in whole.loads()] == [False, False]
    assert whole.ask("DELETE", f"{SERVICES}/{service}").code == 0, "a repeat while it goes"
    for row in whole.loads():
        whole.drops(row["load_id"])
    assert whole.ask("GET", f"{SERVICES}/{service}").code == 40401
    assert whole.ask("DELETE", f"{FILES}/{PACKAGE_ID}").code == 0


def test_what_is_still_going_is_waited_for(whole: Face) -> None:
    """The engine of a CAD takes its time: the caller is told to come again, not that it cannot be."""
    for code in (SITE_CODE, BELOW, EDGE, SECOND):
        changes(whole, code, maintenance=True)
    service = loaded(whole, HostName="first")
    whole.fine("DELETE", f"{SERVICES}/{service}")
    assert load(whole, HostName="first").code == 42901
    assert load(whole).code == 42901
    changes(whole, FIRST, state="unreachable")
    assert load(whole).code == 40903, "nobody knows when"
    changes(whole, FIRST, state="online")
    whole.drops(whole.loads()[0]["load_id"])
    assert loaded(whole) != service


# --- two platforms, and the site's own people -------------------------------------------------------------------


def test_two_platforms_share_a_file_and_nothing_else(whole: Face, tmp_path: Path) -> None:
    file = make_package(tmp_path)
    mine = loaded(whole, HostName="first")
    assert load(whole, token=OTHER).code == 40401, "it has not brought it"
    said = whole.ask(
        "POST", FILES, {**PUSH, "Url": "http://10.9.9.8/x.tar", "MD5": md5_of(file)}, token=OTHER
    )
    assert said.code == 0, "the same file is here"
    taken = load(whole, token=OTHER, HostName="first")
    assert (taken.code, "somebody else" in taken.message) == (40901, True), taken
    theirs = loaded(whole, token=OTHER)
    assert places(whole, theirs) != [FIRST]
    for token, own, other in ((None, mine, theirs), (OTHER, theirs, mine)):
        by = {"token": token} if token else {}
        records = whole.fine("POST", f"{SERVICES}:search", {}, **by)["Records"]
        assert [one["AlgoServiceID"] for one in records] == [own]
        assert whole.ask("GET", f"{SERVICES}/{other}", **by).code == 40401
    another = whole.ask("POST", FILES, {**PUSH, "Url": "http://10.9.9.8/x.tar", "MD5": MD5}, token=OTHER)
    assert another.code == 40901, another


def test_what_is_the_sites_own_is_shown_only_where_it_is_to_be(tmp_path: Path) -> None:
    file = make_package(tmp_path)
    with site(tmp_path / "site", facade_show_local="true") as face:
        face.imported_here(file)
        assert status(face) == 2
        assert load(face).code == 40301
        assert face.ask("DELETE", f"{FILES}/{PACKAGE_ID}").code == 40301
        body = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": FIRST}
        service = face.fine("POST", "/ACSMP/AlgoServices/Devices", body, token="key-boss")
        assert detail(face, service)["AlgoServiceID"] == service
        assert face.ask("DELETE", f"{SERVICES}/{service}").code == 40301


def test_what_a_platform_above_loaded_is_not_for_local_hands_without_force(whole: Face) -> None:
    for code in (SITE_CODE, BELOW):
        changes(whole, code, maintenance=True)
    service = loaded(whole, Replicas=2)
    body = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": places(whole, service)[0]}
    people: dict[str, Any] = {"token": "key-boss"}
    assert whole.ask("POST", "/ACSMP/AlgoServices/Devices", body, **people).code == 40901, "nor taken over"
    assert whole.ask("POST", "/ACSMP/AlgoServices/Devices/UnInstall", body, **people).code == 40901
    forced = whole.ask("PUT", f"/ACSMP/AlgoServices/{service}?Force=true", {"Env": []}, **people)
    assert (forced.code, "several" in forced.message) == (40901, True), forced
    for code in places(whole, service):
        page = whole.fine("POST", "/ACSMP/AlgoServices/Devices/Search", {"ComputilityCode": code}, **people)
        assert [one["AlgoServiceID"] for one in page["Records"]] == [service], "shown wherever it has a load"


def test_a_computing_platform_below_is_one_place(whole: Face) -> None:
    """It puts replicas on its nodes itself, and can have images only; without task control it is no place at all."""
    code = "11010000005020000086"
    nodes = [info_of("10.9.0.13", "13", "NVIDIA-T4"), info_of("10.9.0.14", "14", "NVIDIA-T4")]

    def be(**more: Any) -> None:
        with whole.store.write() as tx:
            devices.put(
                tx,
                code,
                1,
                type="CCP",
                family="ccp",
                ip="10.0.0.86",
                port=80,
                approved=True,
                state="online",
                **more,
            )

    be(info=nodes)
    said = load(whole, HostName="10.9.0.13")
    assert (said.code, "places services on its nodes itself" in said.message) == (50101, True), said
    be(info=nodes[:1])
    said = load(whole, HostName="10.9.0.13")
    assert (said.code, "bin.remote_uri" in said.message) == (50101, True), said
    assert whole.loads() == []
    loaded(whole, Replicas=500)  # among what keeps replicas and what does not, never there
    assert whole.loads()
    assert all(one["device"] != code for one in whole.loads())
