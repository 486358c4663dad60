"""Tables 1-7 of Part 4 as this box serves them: its state, and the packages platforms above bring."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acsmpd.api import facade_files
from acsmpd.store import asks, devices, foreign, services
from acsmpd.store.tables import Copy, Load, Package
from tests.api.face_setup import MD5, OTHER_CODE, SITE_CODE, TOKENS, UPSTREAM_HOST, Face, face
from tests.support.packaging import PACKAGE_ID, make_package, md5_of

FILES, PACKAGES = "/CAD/Machine/AlgoFilePackages", "/CAD/Machine/AlgoPackages"
URL = f"http://{UPSTREAM_HOST}:8750/package.tar"
OTHER = TOKENS[OTHER_CODE]


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Face]:
    monkeypatch.setattr(facade_files, "HOLD_SECONDS", 0.0)
    with face(tmp_path / "box") as one:
        yield one


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return make_package(tmp_path)


def push(box: Face, **more: Any) -> Any:
    token = more.pop("token", TOKENS[SITE_CODE])
    return box.ask("POST", FILES, {"Url": URL, "AlgoFilePackageID": PACKAGE_ID, **more}, token=token)


def pushed(box: Face, file: Path, **more: Any) -> None:
    """Push, and let the engine fetch."""
    assert push(box, **more).code == "0"
    box.fetched(file, box.asked()[-1])


def load(box: Face, token: str = TOKENS[SITE_CODE], **more: Any) -> Any:
    return box.ask("POST", PACKAGES, {"AlgoFilePackageID": PACKAGE_ID, **more}, token=token)


def listed(box: Face, body: dict[str, Any] | None = None, token: str = TOKENS[SITE_CODE]) -> list[Any]:
    found = box.fine("POST", PACKAGES, body or {}, token=token)
    assert isinstance(found, list)
    return found


# --- table 1 ------------------------------------------------------------------------------------------------


INFO = {
    "DeviceID": "x", "IsOnline": False, "IP": "10.0.0.1", "HostName": "box", "OS": "Linux", "Cpu": 8, "CpuType": "X86",
    "CpuUtilization": 0.5, "Memory": 32, "MemoryUsed": 4.5, "Disk": 100, "DiskUsed": 50.0,
    "DiskDetails": [{"Path": "/", "Disk": 100, "DiskUsed": 50.0}],
    "CpuUtilizationList": [{"1686433662199": 0.4}],
    "XpuMonitors": [{"XpuUtilization": 0.1, "XpuType": "NVIDIA-T4", "XpuMemory": 16}],
}  # fmt: skip


def monitor(service_id: str) -> dict[str, Any]:
    return {
        "AlgoServiceID": service_id,
        "AlgoFilePackageID": PACKAGE_ID,
        "XpuUtilization": 0.2,
        "XpuType": "",
        "CpuUtilization": 0.1,
        "MemoryUsed": 0.5,
    }


def test_status_is_table_a_2_and_no_more(box: Face) -> None:
    with box.store.write() as tx:
        devices.change(tx, SITE_CODE, info=[INFO])
    shown = box.fine("GET", "/CAD/Status", {"Code": "machine_Code"})
    extras = ("IP", "HostName", "OS", "DiskDetails")
    want = {name: value for name, value in INFO.items() if name not in extras}
    assert shown == {**want, "DeviceID": SITE_CODE, "IsOnline": True, "AlgoServiceMonitors": []}


def test_status_is_normal_whatever_was_seen(box: Face) -> None:
    card = {"XpuUtilization": 55, "XpuType": "nvidia_t4", "XpuMemory": 15.9}
    seen = {**INFO, "CpuUtilization": 23.3, "Memory": 127.8, "CpuType": "x" * 33, "XpuMonitors": [card]}
    with box.store.write() as tx:
        devices.change(tx, SITE_CODE, info=[seen])
    shown = box.fine("GET", "/CAD/Status")
    assert (shown["CpuUtilization"], shown["Memory"], shown["CpuType"]) == (0.233, 128, "x" * 20)
    assert shown["XpuMonitors"] == [{"XpuUtilization": 0.55, "XpuType": "NVIDIA-T4", "XpuMemory": 16}]


def test_status_before_the_first_look_still_holds_every_required_member(box: Face) -> None:
    shown = box.fine("GET", "/CAD/Status")
    assert {
        "DeviceID",
        "IsOnline",
        "Cpu",
        "CpuType",
        "CpuUtilization",
        "Memory",
        "MemoryUsed",
        "Disk",
        "DiskUsed",
    } <= shown.keys()


def test_each_platform_is_told_the_code_it_knows_us_by(box: Face) -> None:
    assert box.fine("GET", "/CAD/Status", token=OTHER)["DeviceID"] == OTHER_CODE
    assert box.fine("GET", "/CAD/Status", token="key-boss")["DeviceID"] == SITE_CODE


def test_status_tells_only_of_the_callers_own_services(box: Face, file: Path) -> None:
    pushed(box, file)
    load(box)
    service = box.loads()[0]["id"]
    with box.store.write() as tx:
        devices.change(
            tx, SITE_CODE, info=[{**INFO, "AlgoServiceMonitors": [monitor(service), monitor("of the site")]}]
        )
    mine = box.fine("GET", "/CAD/Status")["AlgoServiceMonitors"]
    assert mine == [{"AlgoFilePackageID": PACKAGE_ID, "XpuUtilization": 0.2, "XpuType": ""}], "table A.3"
    assert box.fine("GET", "/CAD/Status", token=OTHER)["AlgoServiceMonitors"] == []


def test_code_is_an_int_on_status_and_tasks_and_a_text_on_machine(box: Face) -> None:
    assert box.ask("GET", "/CAD/Status").code == 0
    assert box.ask("POST", "/CAD/AlgoTasks:search", {}).code == 0
    assert box.ask("POST", PACKAGES, {}).code == "0"
    assert box.ask("GET", f"{PACKAGES}/{PACKAGE_ID}").code == "40401"


# --- who may ------------------------------------------------------------------------------------------------


def test_nobody_without_a_token_and_no_person_without_the_right(box: Face) -> None:
    assert (box.ask("GET", "/CAD/Status", token="").status, box.ask("GET", "/CAD/Status", token="").code) == (
        401,
        40101,
    )
    said = box.ask("GET", "/CAD/Status", token="key-worker")
    assert (said.status, said.code) == (200, 40301)
    assert "federation" in said.message


def test_the_token_of_a_platform_we_are_a_cad_of_opens_nothing_of_the_site(box: Face) -> None:
    said = box.ask("GET", "/CAP/Status")
    assert (said.status, said.code) == (200, 40301)
    assert "/CAD" in said.message
    assert box.ask("POST", "/CAP/AlgoServices:search", {}).code == 40301


def test_a_platform_above_has_no_rights_under_acsmp(box: Face) -> None:
    said = box.ask("POST", "/ACSMP/Tasks/Search", {})
    assert (said.status, said.code) == (403, 40301)


# --- table 2: push --------------------------------------------------------------------------------------------


def test_a_push_becomes_an_ask_in_the_name_of_the_platform(box: Face) -> None:
    said = push(box, MD5=MD5, AuthAddress="10.9.9.9:9000", LicenseFile="/lic.txt")
    assert (said.status, said.code) == (200, "0")
    ask = box.asked()[0]
    assert (ask["kind"], ask["subject"], ask["state"]) == ("package", PACKAGE_ID, "open")
    assert ask["arguments"] == {
        "Url": URL,
        "MD5": MD5,
        "AlgoFilePackageID": PACKAGE_ID,
        "Origin": SITE_CODE,
        "Device": SITE_CODE,
    }


def test_the_same_push_again_is_not_fetched_twice(box: Face) -> None:
    assert [push(box, MD5=MD5).code, push(box, MD5=MD5).code] == ["0", "0"]
    assert len(box.asked()) == 1
    assert push(box, MD5=MD5, token=OTHER, Url="http://10.9.9.8/a.tar").code == "0"
    assert [ask["arguments"]["Origin"] for ask in box.asked()] == [SITE_CODE, OTHER_CODE]


def test_no_more_fetches_at_once_than_the_bound(box: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facade_files, "MOST_FETCHES", 2)
    said = [push(box, AlgoFilePackageID=f"{number:040d}") for number in range(3)]
    assert [one.code for one in said] == ["0", "0", "42901"]
    assert len(box.asked()) == 2


@pytest.mark.parametrize("package_id", ["7", "1" * 39, "1" * 39 + "x", ""])
def test_an_id_that_is_not_40_digits_is_refused(box: Face, package_id: str) -> None:
    said = push(box, AlgoFilePackageID=package_id)
    assert (said.code, said.message) == ("40001", "$.AlgoFilePackageID: must be 40 digits")
    assert box.asked() == []


def test_a_push_without_id_or_url_is_refused(box: Face) -> None:
    assert box.ask("POST", FILES, {"Url": URL}).code == "40002"
    assert box.ask("POST", FILES, {"AlgoFilePackageID": PACKAGE_ID}).code == "40002"


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("http://127.0.0.1:8750/a.tar", "loopback"),
        ("http://169.254.169.254/a.tar", "metadata"),
        ("ftp://10.9.9.9/a.tar", "scheme"),
        ("http://10.1.1.1/a.tar", "10.1.1.1:80 is not the platform that pushed the package"),
        ("http://elsewhere.example/a.tar", "not the platform"),
    ],
)
def test_a_package_comes_from_the_platform_that_pushed_it(box: Face, url: str, word: str) -> None:
    said = push(box, Url=url)
    assert said.code == "40301"
    assert word in said.message
    assert box.asked() == []


def test_the_callers_own_address_and_what_egress_allows_are_sources_too(tmp_path: Path) -> None:
    with face(tmp_path / "box", egress_allow="files.example:8080,127.0.0.1:*") as box:
        for url in ("http://files.example:8080/a", "http://127.0.0.1:9/a", "http://localhost:9/a"):
            assert push(box, Url=url).code == "0", url
        assert push(box, Url="http://files.example:80/a").code == "40301"
        assert push(box, Url="http://10.4.4.4/a").code == "40301"
        body = {"Url": "http://10.4.4.4/a", "AlgoFilePackageID": PACKAGE_ID}
        assert box.ask("POST", FILES, body, address="10.4.4.4").code == "0"
        assert box.ask("POST", FILES, {**body, "Url": "http://10.5.5.5/a"}, token="key-boss").code == "0"


def test_what_is_here_is_not_fetched_again(box: Face, file: Path) -> None:
    pushed(box, file, MD5=md5_of(file))
    assert push(box, MD5=md5_of(file).upper()).code == "0"
    assert push(box, MD5=md5_of(file), Url=URL + "?again").code == "0"
    assert len(box.asked()) == 1


def test_without_md5_the_address_tells_what_is_the_same(box: Face, file: Path) -> None:
    pushed(box, file)
    assert push(box).code == "0"
    assert len(box.asked()) == 1
    assert push(box, Url=URL + "?new").code == "0"
    assert len(box.asked()) == 2


def test_another_content_is_refused_while_it_is_loaded_and_taken_else(box: Face, file: Path) -> None:
    pushed(box, file)
    load(box)
    said = push(box, MD5=MD5)
    assert said.code == "40901"
    assert said.message == f"cannot replace package {PACKAGE_ID} while it is loaded: unload it first"
    assert len(box.asked()) == 1
    box.drops(box.loads()[0]["load_id"])
    assert push(box, MD5=MD5).code == "0"
    assert len(box.asked()) == 2


def test_a_package_of_the_site_is_not_overwritten_from_above(box: Face, file: Path) -> None:
    box.imported_here(file)
    said = push(box, MD5=MD5)
    assert said.code == "40901"
    assert "this site holds one of this ID with another content" in said.message
    assert listed(box) == []


def test_the_file_the_site_holds_already_is_shared_and_stays_when_the_platform_lets_go(
    box: Face, file: Path
) -> None:
    box.imported_here(file)
    assert push(box, MD5=md5_of(file)).code == "0"
    assert box.asked() == []
    assert [item["AlgoFilePackageID"] for item in listed(box)] == [PACKAGE_ID]
    assert box.ask("DELETE", f"{FILES}/{PACKAGE_ID}").code == "0"
    assert listed(box) == []
    with box.store.read() as tx:
        assert tx.row(Package.select().where(Package.id == PACKAGE_ID, Package.origin == "")) is not None


# --- table 3: delete --------------------------------------------------------------------------------------------


def test_delete_takes_the_file_the_row_and_the_copy(box: Face, file: Path) -> None:
    pushed(box, file)
    path = next((box.platform.data / "packages").glob(f"{PACKAGE_ID}/*.tar"))
    assert box.ask("DELETE", f"{FILES}/{PACKAGE_ID}").code == "0"
    assert not path.exists()
    with box.store.read() as tx:
        assert tx.row(Package.select()) is None
        assert [copy.wanted for copy in services.copies(tx, Copy.package_id == PACKAGE_ID)] == [False]
    assert box.ask("DELETE", f"{FILES}/{PACKAGE_ID}").code == "40401"


def test_what_somebody_else_runs_of_it_elsewhere_keeps_no_package_here(box: Face, file: Path) -> None:
    pushed(box, file)
    with box.store.write() as tx:
        foreign.add_service_there(tx, PACKAGE_ID, "11010000005050000007", 1, status="RUNNING")
    assert box.ask("DELETE", f"{FILES}/{PACKAGE_ID}").code == "0"
    with box.store.read() as tx:
        assert tx.row(Package.select()) is None


def test_delete_is_refused_while_loaded_and_fine_while_the_engine_stops(box: Face, file: Path) -> None:
    pushed(box, file)
    load(box)
    said = box.ask("DELETE", f"{FILES}/{PACKAGE_ID}")
    assert (said.code, said.message) == (
        "40901",
        f"cannot delete package {PACKAGE_ID} while it is loaded: unload it first",
    )
    box.becomes(box.loads()[0]["load_id"], "RUNNING")
    assert box.ask("DELETE", f"{PACKAGES}/{PACKAGE_ID}").code == "0"
    assert box.ask("DELETE", f"{FILES}/{PACKAGE_ID}").code == "0"


def test_a_package_two_platforms_use_goes_to_the_other(box: Face, file: Path) -> None:
    pushed(box, file, MD5=md5_of(file))
    assert push(box, MD5=md5_of(file), token=OTHER, Url="http://10.9.9.8/a.tar").code == "0"
    assert box.ask("DELETE", f"{FILES}/{PACKAGE_ID}").code == "0"
    assert listed(box) == []
    assert [item["AlgoFilePackageID"] for item in listed(box, token=OTHER)] == [PACKAGE_ID]
    with box.store.read() as tx:
        assert tx.row(Package.select())["origin"] == OTHER_CODE


def test_delete_withdraws_a_fetch_that_has_not_begun_and_waits_for_one_that_has(box: Face) -> None:
    push(box)
    assert box.ask("DELETE", f"{FILES}/{PACKAGE_ID}").code == "40401"
    assert box.asked()[0]["state"] == "failed"
    push(box, Url=URL + "?2")
    ask = box.asked()[-1]
    with box.store.write() as tx:
        asks.change(tx, ask["id"], 1, state="running")
    said = box.ask("DELETE", f"{FILES}/{PACKAGE_ID}")
    assert (said.code, said.message) == (
        "40901",
        f"cannot delete package {PACKAGE_ID} while it is being fetched",
    )


# --- table 4: load ------------------------------------------------------------------------------------------------


def test_load_makes_one_service_in_the_platforms_name(box: Face, file: Path) -> None:
    pushed(box, file)
    assert load(box, Args="--fast 'two words'", LicenseFile="http://10.9.9.9/l").code == "0"
    (row,) = box.loads()
    assert (row["origin"], row["package_id"], row["device"], row["wanted"]) == (
        SITE_CODE,
        PACKAGE_ID,
        SITE_CODE,
        True,
    )
    service = box.service()
    assert (service["args"], service["license_url"]) == ("--fast 'two words'", "http://10.9.9.9/l")


def test_a_second_load_succeeds_without_effect_and_tries_a_refused_one_again(box: Face, file: Path) -> None:
    pushed(box, file)
    load(box)
    before = box.loads()
    assert load(box, Args="--other").code == "0"
    assert box.loads() == before
    with box.store.write() as tx:
        services.change_load(tx, before[0]["load_id"], parked=True, attempts=7, status="ERROR")
    assert load(box).code == "0"
    row = box.load(before[0]["load_id"])
    assert (row.parked, row.attempts) == (False, 0)


def test_what_came_with_the_push_counts_at_the_load(box: Face, file: Path) -> None:
    pushed(box, file, AuthAddress="10.9.9.9:9000,10.9.9.8:9000", LicenseFile="/auth_license.txt")
    load(box)
    service = box.service()
    assert service["env"] == [{"Name": "AUTH_SERVER_ADDR", "Value": "10.9.9.9:9000,10.9.9.8:9000"}]
    assert service["license_url"] == f"http://{UPSTREAM_HOST}:8750/auth_license.txt"


def test_the_env_of_the_load_goes_before_that_of_the_push(box: Face, file: Path) -> None:
    pushed(box, file, AuthAddress="10.9.9.9:9000")
    load(box, Env=[{"Name": "AUTH_SERVER_ADDR", "Value": "10.1.1.1:1"}])
    service = box.service()
    assert service["env"] == [{"Name": "AUTH_SERVER_ADDR", "Value": "10.1.1.1:1"}]


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"Args": "'unclosed"}, "$.Args"),
        ({"Env": [{"Name": "LD_PRELOAD", "Value": "x"}]}, "LD_PRELOAD is not declared"),
    ],
)
def test_arguments_that_cannot_be_used_are_refused(
    box: Face, file: Path, more: dict[str, Any], word: str
) -> None:
    pushed(box, file)
    said = load(box, **more)
    assert said.code == "40001"
    assert word in said.message
    assert box.loads() == []


def test_load_before_the_fetch_ended_says_so_and_after_a_failed_one_says_why(box: Face) -> None:
    assert load(box).message == f"no package {PACKAGE_ID}"
    push(box)
    said = load(box)
    assert said.code == "40401"
    assert said.message == f"package {PACKAGE_ID} is not here yet: it is being fetched; load it again later"
    box.failed(box.asked()[0], 42201, "the MD5 does not match")
    said = load(box)
    assert said.code == "42201"
    assert said.message == f"package {PACKAGE_ID} could not be fetched: the MD5 does not match"
    assert box.loads() == []


def test_load_waits_for_a_fetch_that_is_about_to_end(
    box: Face, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facade_files, "HOLD_SECONDS", 10.0)
    push(box)
    said: list[Any] = []
    caller = threading.Thread(target=lambda: said.append(load(box)))
    caller.start()
    box.fetched(file, box.asked()[0])
    caller.join(20)
    assert said[0].code == "0"


def test_arguments_without_a_package_are_a_malformed_load(box: Face) -> None:
    said = box.ask("POST", PACKAGES, {"Args": "x"})
    assert said.code == "40001"
    assert said.message.startswith("$.Args")


def test_a_box_without_compute_of_its_own_says_so(tmp_path: Path, file: Path) -> None:
    with face(tmp_path / "box") as box:
        with box.store.write() as tx:
            devices.change(tx, SITE_CODE, support_services=False)
        said = push(box)
        assert said.code == "40904"
        assert box.asked() == []


# --- table 5: unload -------------------------------------------------------------------------------------------------


def test_unload_wishes_the_load_away_and_repeats_do_no_harm(box: Face, file: Path) -> None:
    pushed(box, file)
    load(box)
    assert box.ask("DELETE", f"{PACKAGES}/{PACKAGE_ID}").code == "0"
    assert [row["wanted"] for row in box.loads()] == [False]
    assert box.ask("DELETE", f"{PACKAGES}/{PACKAGE_ID}").code == "0"
    box.drops(box.loads()[0]["load_id"])
    said = box.ask("DELETE", f"{PACKAGES}/{PACKAGE_ID}")
    assert (said.code, said.message) == ("40401", f"package {PACKAGE_ID} is not loaded")
    assert box.ask("DELETE", f"{PACKAGES}/{'9' * 40}").message == f"no package {'9' * 40}"


def test_loading_again_while_the_old_engine_stops_is_a_new_load_of_the_same_service(
    box: Face, file: Path
) -> None:
    pushed(box, file)
    load(box)
    first = box.loads()[0]
    box.becomes(first["load_id"], "RUNNING")
    box.ask("DELETE", f"{PACKAGES}/{PACKAGE_ID}")
    assert load(box, Args="--new").code == "0"
    (new,) = box.loads(Load.wanted == True)  # noqa: E712
    assert new["id"] == first["id"]
    assert new["load_id"] != first["load_id"]


def test_platforms_do_not_unload_each_others_services_or_the_sites(box: Face, file: Path) -> None:
    pushed(box, file, MD5=md5_of(file))
    push(box, MD5=md5_of(file), token=OTHER, Url="http://10.9.9.8/a.tar")
    load(box)
    said = box.ask("DELETE", f"{PACKAGES}/{PACKAGE_ID}", token=OTHER)
    assert (said.code, said.message) == ("40401", f"package {PACKAGE_ID} is not loaded")
    load(box, token=OTHER)
    assert len({row["id"] for row in box.loads()}) == 2
    assert box.ask("DELETE", f"{PACKAGES}/{PACKAGE_ID}", token=OTHER).code == "0"
    assert {row["origin"]: row["wanted"] for row in box.loads()} == {SITE_CODE: True, OTHER_CODE: False}


# --- tables 6 and 7 ---------------------------------------------------------------------------------------------------


def test_the_list_shows_what_runs_and_the_filter_holds(box: Face, file: Path) -> None:
    pushed(box, file)
    (item,) = listed(box)
    assert item.pop("CreatedDate")[-4] == "."
    assert item == {
        "AlgoPackageName": "test-algo", "AlgoPackageType": "BIN", "AlgoPackageVersion": "1.0.0",
        "AlgoFilePackageID": PACKAGE_ID, "Status": "STOPPED",
    }  # fmt: skip
    load(box)
    assert listed(box, {"Status": "RUNNING"}) == []
    box.becomes(box.loads()[0]["load_id"], "RUNNING")
    assert [one["Status"] for one in listed(box, {"Status": "RUNNING"})] == ["RUNNING"]
    assert listed(box, {"Status": "STOPPED"}) == []
    assert box.fine("GET", f"{PACKAGES}?Status=STOPPED") == []
    assert box.fine("GET", f"{PACKAGES}?Status=RUNNING") == listed(box)
    assert box.ask("GET", f"{PACKAGES}?Status=BUSY").code == "40001"
    assert box.ask("POST", PACKAGES, {"Status": "BUSY"}).code == "40001"


def test_the_list_has_its_aliases_and_the_detail_agrees(box: Face, file: Path) -> None:
    pushed(box, file)
    for method, end in (("GET", ""), ("POST", "/Search"), ("POST", "/search"), ("POST", ":search")):
        assert box.fine(method, PACKAGES + end) == listed(box)
    assert box.fine("GET", f"{PACKAGES}/{PACKAGE_ID}") == listed(box)[0]


def test_others_are_strangers_until_show_local_and_read_only_then(tmp_path: Path, file: Path) -> None:
    for show in ("false", "true"):
        with face(tmp_path / show, facade_show_local=show) as box:
            box.imported_here(file)
            with box.store.write() as tx:
                services.want_copy(tx, PACKAGE_ID, SITE_CODE, 1, asked=True)
            assert len(listed(box)) == (1 if show == "true" else 0)
            want = "40301" if show == "true" else "40401"
            assert load(box).code == want
            assert box.ask("DELETE", f"{PACKAGES}/{PACKAGE_ID}").code == want
            assert box.ask("DELETE", f"{FILES}/{PACKAGE_ID}").code == want
            assert box.loads() == []
