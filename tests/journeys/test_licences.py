"""Licence files (tables 35-38) over HTTP, and what packages that need one are given."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from acsmpd.security.sm3 import sm3_hex
from acsmpd.store import tables
from tests.support.fake_cad import FakeCad
from tests.support.packaging import CAPABILITY, PACKAGE_ID, make_package, task_info
from tests.support.site import Answer, Site, running
from tests.support.state import drop_licences, refused
from tests.support.wait import wait_until

LICENSE = "/ACSMP/License"
DEVICE, OTHER = "11010000005050000001", "11010000005050000002"
NEEDS = {"AUTH_SERVER_ADDR": ""}
TWO_MB = 2 * 1024 * 1024
Field = tuple[str, str]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site that knows one capability."""
    folder = tmp_path_factory.mktemp("site")
    with running(folder / "data") as one:
        assert one.client.upload(make_package(folder, env=NEEDS)).code == 0
        yield one


@pytest.fixture
def site(shared: Site) -> Site:
    """Without any licence."""
    drop_licences(shared)
    return shared


def sent(site: Site, content: bytes | None = b"a licence", *more: Field, **fields: Any) -> Answer:
    """An import; what is None is left out."""
    given = {"Provider": "ACSMPD", **fields}
    parts: list[tuple[str, Any]] = [
        (name, (None, value if isinstance(value, str) else json.dumps(value)))
        for name, value in [*given.items(), *more]
        if value is not None
    ]
    if content is not None:
        parts.append(("File", ("licence.lic", content)))
    return site.client.ask("POST", LICENSE, files=parts)


def added(site: Site, content: bytes = b"a licence", **fields: Any) -> int:
    answer = sent(site, content, **fields)
    assert answer.code == 0, answer
    return int(answer.data)


def shown(site: Site, number: int) -> dict[str, Any]:
    found: dict[str, Any] = site.client.fine("GET", f"{LICENSE}/{number}")
    return found


def files(site: Site) -> list[str]:
    folder = site.data / "licenses"
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


# --- kept ----------------------------------------------------------------------------------------------------


def test_a_licence_is_shown_as_it_was_given_and_found(site: Site) -> None:
    auths = [{"AlgoDefCode": CAPABILITY, "Quota": 16}]
    number = added(site, DeviceID=DEVICE, AbilityAuths=auths, ExpireTime="2099-12-31 23:59:59")
    one = shown(site, number)
    assert {name: one[name] for name in one if name != "CreatedDate"} == {
        "ID": number, "Provider": "ACSMPD", "DeviceID": DEVICE, "AbilityAuths": auths,
        "ExpireTime": "2099-12-31 23:59:59", "SM3": sm3_hex(b"a licence"),
    }  # fmt: skip
    other = added(site, b"another", Provider="megvii")
    assert {"DeviceID", "AbilityAuths", "ExpireTime", "Expired"} & shown(site, other).keys() == set()
    both = [one, shown(site, other)]
    assert site.client.fine("POST", f"{LICENSE}/Search", {}) == both
    assert site.client.fine("POST", LICENSE, {}) == both
    assert site.client.fine("POST", LICENSE) == both
    assert site.client.fine("POST", LICENSE, {"Provider": "megvii"}) == both[1:]
    assert site.client.fine("POST", LICENSE, {"CreateTimeFrom": "2099-01-01 00:00:00.000"}) == []
    assert shown(site, added(site, b"old", ExpireTime="2001-01-01 00:00:00"))["Expired"] is True


def test_the_same_file_once_more_is_the_same_licence_with_what_is_given_now(site: Site) -> None:
    first = added(site, DeviceID=DEVICE, AbilityAuths=[{"AlgoDefCode": CAPABILITY, "Quota": 1}])
    assert added(site, DeviceID=DEVICE, AbilityAuths=[{"AlgoDefCode": CAPABILITY, "Quota": 2}]) == first
    assert shown(site, first)["AbilityAuths"] == [{"AlgoDefCode": CAPABILITY, "Quota": 2}]
    others = {added(site), added(site, DeviceID=OTHER), added(site, Provider="megvii")}
    assert len(others | {first}) == 4
    assert len(files(site)) == 1
    for number in others:
        site.client.fine("DELETE", f"{LICENSE}/{number}")
    assert files(site) == [sm3_hex(b"a licence")]
    site.client.fine("DELETE", f"{LICENSE}/{first}")
    assert files(site) == []


def test_what_is_not_said_again_of_a_licence_stays_as_it_is(site: Site) -> None:
    """A folder that is imported once more opens no licence that is over, and takes no quota away."""
    auths = [{"AlgoDefCode": CAPABILITY, "Quota": 1}]
    number = added(site, AbilityAuths=auths, ExpireTime="2001-01-01 00:00:00")
    assert added(site) == number
    one = shown(site, number)
    assert (one["AbilityAuths"], one["ExpireTime"], one["Expired"]) == (auths, "2001-01-01 00:00:00", True)
    assert added(site, ExpireTime="2099-01-01 00:00:00") == number
    assert "Expired" not in shown(site, number)
    assert shown(site, number)["AbilityAuths"] == auths


def test_a_quota_beyond_all_numbers_is_a_number(site: Site) -> None:
    for content in (b"1", b"2", b"3"):
        added(site, content, AbilityAuths=[{"AlgoDefCode": CAPABILITY, "Quota": 2**63 - 1}])
    assert quota(site) == (0, 2**63 - 1)


def test_abilities_come_as_a_list_or_one_by_one(site: Site) -> None:
    one, two = ({"AlgoDefCode": code, "Quota": quota} for code, quota in ((CAPABILITY, 4), ("LATER", 0)))
    answer = sent(site, b"x", ("AbilityAuths", json.dumps(two)), AbilityAuths=one)
    assert answer.code == 0
    assert answer.message == "success; no imported package has LATER"
    assert shown(site, answer.data)["AbilityAuths"] == [one, two]
    assert sent(site, b"y", AbilityAuths=[one, two]).code == 0
    assert "AbilityAuths" in shown(site, added(site, b"z", AbilityAuths=[]))


def test_what_is_not_known_yet_is_taken_with_a_word(site: Site) -> None:
    answer = sent(site, b"x", DeviceID=OTHER, AbilityAuths=[{"AlgoDefCode": "LATER", "Quota": 1}])
    assert answer.message == f"success; no imported package has LATER; no computility {OTHER} is known"


def test_it_is_there_after_a_restart_and_halves_are_not(tmp_path: Path) -> None:
    with running(tmp_path / "data") as site:
        number = added(site)
        (site.data / "licenses" / ".half.part").write_bytes(b"half")
        (site.data / "licenses" / "nobodys").write_bytes(b"x")
        site.restart()
        assert files(site) == [sm3_hex(b"a licence")]
        assert shown(site, number)["ID"] == number
        file = site.data / "licenses" / files(site)[0]
        assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)


# --- refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "status", "code", "words"),
    [
        ({"Provider": None}, 400, 40002, "$.Provider"),
        ({"Provider": " "}, 400, 40001, "Provider"),
        ({"Provider": "p" * 257}, 400, 40001, "$.Provider"),
        ({"DeviceID": "123"}, 400, 40001, "$.DeviceID"),
        ({"DeviceID": "1101000000505000000x"}, 400, 40001, "$.DeviceID"),
        ({"AbilityAuths": [{"AlgoDefCode": "A", "Quota": -1}]}, 400, 40001, "$.AbilityAuths[0].Quota"),
        ({"AbilityAuths": [{"AlgoDefCode": "A", "Quota": "many"}]}, 400, 40001, "$.AbilityAuths[0].Quota"),
        ({"AbilityAuths": [{"AlgoDefCode": "A", "Quota": 1.5}]}, 400, 40001, "$.AbilityAuths[0].Quota"),
        ({"AbilityAuths": [{"Quota": 1}]}, 400, 40002, "$.AbilityAuths[0].AlgoDefCode"),
        (
            {"AbilityAuths": [{"AlgoDefCode": "A", "Quota": 1}] * 2},
            400,
            40001,
            "$.AbilityAuths[1].AlgoDefCode",
        ),
        ({"AbilityAuths": "A=1"}, 400, 40001, "AbilityAuths"),
        ({"AbilityAuths": "[7]"}, 400, 40001, "$.AbilityAuths[0]"),
        ({"ExpireTime": "tomorrow"}, 400, 40001, "ExpireTime"),
    ],
)
def test_what_no_licence_can_be(
    site: Site, fields: dict[str, Any], status: int, code: int, words: str
) -> None:
    refused(sent(site, **fields), status, code, words)
    assert (site.client.fine("POST", LICENSE, {}), files(site)) == ([], [])


def test_a_file_that_is_none_empty_twice_or_too_large(site: Site) -> None:
    refused(sent(site, None), 400, 40002, "File")
    refused(sent(site, b""), 400, 40001, "File", "empty")
    refused(sent(site, b"x" * (TWO_MB + 1)), 413, 41301, "File", str(TWO_MB))
    refused(sent(site, b"x" * (3 * TWO_MB)), 413, 41301)
    twice = [("Provider", (None, "ACSMPD")), ("File", ("a", b"1")), ("File", ("b", b"2"))]
    refused(site.client.ask("POST", LICENSE, files=twice), 400, 40001, "File", "twice")
    assert files(site) == []
    added(site, b"x" * TWO_MB)


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_one_that_is_not_there(site: Site, method: str) -> None:
    refused(site.client.ask(method, f"{LICENSE}/999"), 404, 40401, "no licence 999")


def test_the_same_content_imported_and_deleted_at_once_is_never_half_there(site: Site) -> None:
    def come_and_go(provider: str) -> None:
        for _ in range(10):
            number = added(site, b"shared", Provider=provider)
            site.client.fine("DELETE", f"{LICENSE}/{number}")

    threads = [threading.Thread(target=come_and_go, args=(f"p{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    number = added(site, b"shared", Provider="stays")
    for thread in threads:
        thread.join()
    assert files(site) == [sm3_hex(b"shared")]
    assert [one["ID"] for one in site.client.fine("POST", LICENSE, {})] == [number]


# --- what packages are given --------------------------------------------------------------------------------------


def asked_of(cad: FakeCad, operation: str) -> dict[str, Any]:
    """The last request the device got on a row."""
    body: dict[str, Any] = json.loads(cad.asked(operation)[-1].body)
    return body


def fetched(url: str) -> tuple[int, bytes]:
    answer = requests.get(url, timeout=20)
    return answer.status_code, answer.content if answer.status_code == 200 else b""


def test_a_licence_goes_along_with_push_and_load_and_its_link_ends_with_the_wish(tmp_path: Path) -> None:
    with running(tmp_path / "data") as site, FakeCad(DEVICE) as cad:
        assert cad.register(site.url).accepted
        assert site.client.upload(make_package(tmp_path, env=NEEDS)).code == 0
        site.client.fine(
            "POST", "/ACSMP/AuthServer", {"Server": "10.0.0.9:1", "Provider": "ACSMPD", "Default": True}
        )
        for content, fields in (
            (b"for all", {}), (b"mine", {"DeviceID": DEVICE}), (b"another's", {"DeviceID": OTHER}),
            (b"stranger's", {"Provider": "megvii", "DeviceID": DEVICE}),
            (b"over", {"DeviceID": DEVICE, "ExpireTime": "2001-01-01 00:00:00"}),
        ):  # fmt: skip
            added(site, content, **fields)
        wish = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": cad.code}
        service = site.client.fine("POST", "/ACSMP/AlgoServices/Devices?Wait=20", wish)
        pushed, loaded = asked_of(cad, "push_algo_file_package"), asked_of(cad, "install_algo_package")
        assert "AuthAddress" not in pushed
        assert "Env" not in loaded
        url = loaded["LicenseFile"]
        assert url == pushed["LicenseFile"]
        assert fetched(url) == (200, b"mine")
        assert fetched(url) == (200, b"mine")
        number = int(url.split("/")[-3])
        assert fetched(url[:-2] + "xx")[0] == fetched(url.replace(f"/{number}/", f"/{number + 1}/"))[0] == 404
        here = f"{LICENSE}/{number}"
        refused(site.client.delete(here), 409, 40901, f"services would lose it: {service}")
        assert site.client.fine("DELETE", f"{LICENSE}/{number + 1}") is None
        site.client.fine("POST", "/ACSMP/AlgoServices/Devices/UnInstall?Wait=20", wish)
        assert fetched(url) == (200, b"mine")  # its file is wanted there still
        site.client.fine("DELETE", f"/ACSMP/AlgoFilePackages/Devices/{cad.code}/{PACKAGE_ID}?Wait=20")
        assert fetched(url)[0] == 404
        site.client.fine("DELETE", here)


def test_a_forced_deletion_takes_the_link_and_leaves_the_service(tmp_path: Path) -> None:
    with running(tmp_path / "data") as site, FakeCad(DEVICE) as cad:
        assert cad.register(site.url).accepted
        assert site.client.upload(make_package(tmp_path, env=NEEDS)).code == 0
        number = added(site)
        wish = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": cad.code}
        site.client.fine("POST", "/ACSMP/AlgoServices/Devices?Wait=20", wish)
        url = asked_of(cad, "install_algo_package")["LicenseFile"]
        assert fetched(url) == (200, b"a licence")
        site.client.fine("DELETE", f"{LICENSE}/{number}?Force=true")
        assert fetched(url)[0] == 404
        assert cad.packages == {PACKAGE_ID: "RUNNING"}


def test_a_device_that_has_left_fetches_nothing(tmp_path: Path) -> None:
    with running(tmp_path / "data") as site, FakeCad(DEVICE) as cad:
        assert cad.register(site.url).accepted
        assert site.client.upload(make_package(tmp_path, env=NEEDS)).code == 0
        added(site)
        wish = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": cad.code}
        site.client.fine("POST", "/ACSMP/AlgoServices/Devices?Wait=20", wish)
        url = asked_of(cad, "install_algo_package")["LicenseFile"]
        assert cad.unregister(site.url).accepted
        wait_until(lambda: fetched(url)[0] == 404, what="the link to end")


def test_who_has_only_an_expired_one_of_its_own_is_refused_early(tmp_path: Path) -> None:
    with running(tmp_path / "data") as site, FakeCad(DEVICE) as cad:
        assert cad.register(site.url).accepted
        assert site.client.upload(make_package(tmp_path, env=NEEDS)).code == 0
        added(site, b"for all")
        added(site, b"over", DeviceID=DEVICE, ExpireTime="2001-01-01 00:00:00")
        wish = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": cad.code}
        refused(site.client.post("/ACSMP/AlgoServices/Devices", wish), 409, 40901, "needs authorisation")


def test_a_clock_set_back_brings_no_licence_back(tmp_path: Path) -> None:
    """The highest time ever seen counts."""
    with running(tmp_path / "data") as site:
        number = added(site, ExpireTime="2030-01-01 00:00:00")
        assert "Expired" not in shown(site, number)
        assert site.app is not None
        with site.app.store.write() as tx:
            tx.run(
                tables.Fact.insert(name="licences.latest_ms", value=1_900_000_000_000).on_conflict_replace()
            )
        assert shown(site, number)["Expired"] is True
        site.restart()
        assert shown(site, number)["Expired"] is True


# --- quotas ---------------------------------------------------------------------------------------------------------


def quota(site: Site, code: str = CAPABILITY) -> tuple[int, int]:
    """(used, total)."""
    found = site.client.fine("GET", f"{LICENSE}/Quota/{code}")
    assert found["AlgoDefCode"] == code
    return found["QuotaUsed"], found["QuotaTotal"]


def test_a_quota_is_the_sum_of_all_licences_of_the_provider(site: Site) -> None:
    auths = [{"AlgoDefCode": CAPABILITY, "Quota": 16}]
    assert quota(site) == (0, -1)
    added(site, b"1", Provider="megvii", AbilityAuths=auths)
    assert quota(site) == (0, -1)
    added(site, b"2", AbilityAuths=auths)
    added(site, b"3", DeviceID=DEVICE, AbilityAuths=[*auths, {"AlgoDefCode": "LATER", "Quota": 1}])
    added(site, b"4", AbilityAuths=auths, ExpireTime="2001-01-01 00:00:00")
    assert quota(site) == (0, 32)
    added(site, b"5")
    assert quota(site) == (0, -1)
    refused(site.client.get(f"{LICENSE}/Quota/NOBODY.1"), 404, 40401, "no capability NOBODY.1")


def test_used_are_the_streams_that_run_by_the_state_they_are_in(tmp_path: Path) -> None:
    with running(tmp_path / "data") as site, FakeCad(DEVICE) as cad:
        assert cad.register(site.url).accepted
        assert site.client.upload(make_package(tmp_path, env=NEEDS)).code == 0
        added(site, AbilityAuths=[{"AlgoDefCode": CAPABILITY, "Quota": 16}])
        wish = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": cad.code}
        site.client.fine("POST", "/ACSMP/AlgoServices/Devices?Wait=20", wish)
        infos = [task_info(url=f"rtsp://10.0.0.9/{n}") for n in range(3)]
        body = {
            "Name": "a",
            "Type": "VIDEO_REALTIME",
            "Mode": "PERIODIC",
            "AutoStart": True,
            "AlgoTaskInfos": infos,
        }
        plan = site.client.fine("POST", "/ACSMP/Tasks?Wait=20", body)
        assert quota(site) == (3, 16)
        site.restart()
        assert quota(site) == (3, 16)
        site.client.fine("POST", f"/ACSMP/Tasks/{plan}/Stop?Wait=20")
        assert quota(site) == (0, 16)
