"""Tables 27-32 of Part 4 as this site serves them: its nodes, and packages in one file or two."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acsmpd.api import facade_files
from acsmpd.store import services, upstreams
from tests.api.cap_setup import (
    BELOW,
    CAMERA,
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
    runs,
    site,
    status,
)
from tests.api.face_setup import MD5, SITE_CODE, UPSTREAM_HOST, Face
from tests.support.packaging import PACKAGE_ID, make_package, md5_of, write_tar

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


# --- table 27 ------------------------------------------------------------------------------------------------


def test_every_computility_is_a_node_and_every_host_of_a_cap(face: Face) -> None:
    data = face.fine("GET", "/CAP/Status")
    names = {node["HostName"]: node["ComputilityCode"] for node in data["BasicInfo"]}
    assert names == {
        "box": SITE_CODE, "first": FIRST, "second": SECOND, "edge": EDGE, "host-1": BELOW, "host-2": BELOW,
        "camera": CAMERA,
    }  # fmt: skip
    [first] = [node for node in data["BasicInfo"] if node["HostName"] == "first"]
    assert first == {
        "Ip": "10.0.0.81", "HostName": "first", "Cpu": 16, "CpuType": "X86", "Xpu": 1, "XpuType": "NVIDIA-T4",
        "Memory": 64.0, "Disk": 1000.0, "OS": "Linux", "ComputilityCode": FIRST, "State": "online",
    }  # fmt: skip
    [used] = [node for node in data["OpsInfo"] if node["HostName"] == "first"]
    assert used == {
        "Ip": "10.0.0.81", "HostName": "first", "CpuUse": 25.0, "XpuUse": 50.0, "MemoryUse": 25.0, "DiskUsed": 10.0,
        "XpuUseDetails": [],
    }  # fmt: skip
    assert data["UsageUnit"] == "percent"


def test_the_request_id_of_two_rows_is_spelled_as_they_print_it(face: Face) -> None:
    assert "RequestId" in face.ask("GET", "/CAP/Status").body
    assert "RequestId" in face.ask("POST", f"{SERVICES}:search", {}).body
    assert "RequestID" in face.ask("POST", f"{FILES}:search", {}).body


def test_nodes_that_share_an_address_are_told_apart(face: Face) -> None:
    for code, port in ((FIRST, 8001), (SECOND, 8002)):
        changes(face, code, ip="10.0.0.9", port=port, info=[info_of("10.0.0.9", "twin")])
    shown = {node["ComputilityCode"]: node["Ip"] for node in face.fine("GET", "/CAP/Status")["BasicInfo"]}
    assert (shown[FIRST], shown[SECOND]) == ("10.0.0.9:8001", "10.0.0.9:8002")


def test_one_never_seen_is_a_node_without_numbers_and_one_away_says_so(face: Face) -> None:
    changes(face, FIRST, info=None, state="lost")
    changes(face, SECOND, state="gone")
    changes(face, EDGE, approved=False)
    [node] = [
        one for one in face.fine("GET", "/CAP/Status")["BasicInfo"] if one["ComputilityCode"] in (FIRST, SECOND, EDGE)
    ]  # fmt: skip
    assert (node["ComputilityCode"], node["Ip"], node["Cpu"], node["State"]) == (
        FIRST,
        "10.0.0.81",
        0,
        "lost",
    )


def test_a_platform_above_is_no_node_of_the_site(face: Face) -> None:
    changes(face, FIRST, ip=UPSTREAM_HOST, port=8750)
    assert FIRST not in {one["ComputilityCode"] for one in face.fine("GET", "/CAP/Status")["BasicInfo"]}
    changes(face, FIRST, ip=UPSTREAM_HOST, port=8751)
    assert FIRST in {one["ComputilityCode"] for one in face.fine("GET", "/CAP/Status")["BasicInfo"]}


def test_services_of_others_are_not_told(whole: Face) -> None:
    service = loaded(whole, HostName="first")
    mine = {one["HostName"]: one["XpuUseDetails"] for one in whole.fine("GET", "/CAP/Status")["OpsInfo"]}
    assert mine["first"] == [{"AlgoServiceID": service, "XpuQuota": 0.0}]
    theirs = whole.fine("GET", "/CAP/Status", token=OTHER)["OpsInfo"]
    assert not any(one["XpuUseDetails"] for one in theirs)


# --- who may ------------------------------------------------------------------------------------------------


def test_a_token_opens_the_face_we_registered_for_alone(face: Face) -> None:
    said = face.ask("GET", "/CAD/Status")
    assert (said.status, said.code) == (200, 40301)
    assert "/CAP" in said.message
    assert face.ask("GET", "/CAP/Status", token="key-boss").code == 0
    assert face.ask("GET", "/CAD/Status", token="key-boss").code == 0
    assert face.ask("GET", "/CAP/Status", token="key-worker").code == 40301
    assert face.ask("GET", "/CAP/Status", token="").code == 40101


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("registered", 0),
        ("failing", 0),
        ("leaving", 0),
        ("awaiting", 40303),
        ("refused", 40303),
        ("left", 40303),
    ],
)
def test_services_and_tasks_wait_until_we_are_registered(whole: Face, state: str, code: int) -> None:
    with whole.store.write() as tx:
        upstreams.put(tx, SITE_CODE, 2, state=state, reason="its operator says no")
    for method, path in (("POST", f"{SERVICES}:search"), ("POST", "/CAP/AlgoTasks:search")):
        said = whole.ask(method, path, {})
        assert said.code == code, said
        assert not code or "its operator says no" in said.message
    assert whole.ask("GET", "/CAP/Status").code == 0
    assert whole.ask("POST", f"{FILES}:search", {}).code == 0
    assert whole.ask("POST", f"{SERVICES}:search", {}, token="key-boss").code == 0


# --- tables 28-32 ---------------------------------------------------------------------------------------------


def shown(face: Face, package_id: str = PACKAGE_ID, **more: Any) -> Any:
    return face.fine("GET", f"{FILES}/{package_id}", **more)


def test_a_whole_package_is_fetched_and_no_device_gets_it_yet(face: Face, tmp_path: Path) -> None:
    file = make_package(tmp_path, env={"LOG_LEVEL": "info"}, xpu=[{"quota": 0.5, "accelerator": "NVIDIA-T4"}])
    face.fine("POST", FILES, {**PUSH, "MD5": md5_of(file)})
    assert status(face) == 0
    face.fetched(file, face.asked()[0])
    assert status(face) == 2
    with face.store.read() as tx:
        assert services.copies(tx) == []
    data = shown(face)
    assert (data["Name"], data["Version"], data["Author"]) == ("test-algo", "1.0.0", "ACSMPD")
    assert data["Bin"] == {"Type": "artifact", "localUri": "bin"}
    assert data["AlgoRuntime"]["cmd"] == "./run.sh"
    assert data["AlgoRuntime"]["Env"] == [{"Name": "LOG_LEVEL", "Value": "info"}]
    assert data["AlgoRuntime"]["Xpu"][0]["Quota"] == 0.5
    service = loaded(face, HostName="first")
    runs(face, service)
    assert status(face) == 3
    # once more: it is here
    face.fine("POST", FILES, {**PUSH, "MD5": md5_of(file)})
    assert len(face.asked()) == 1
    assert face.ask("GET", f"{FILES}/{PACKAGE_ID}", token=OTHER).code == 40401


def without_program(folder: Path) -> Path:
    """The test package but for its executable, and that beside it."""
    import tarfile

    from yaml import safe_load

    complete = make_package(folder)
    with tarfile.open(complete) as tar:
        member = tar.extractfile("algo.yaml")
        assert member is not None
        text = member.read()
    assert safe_load(text)["bin"]["local_uri"] == "bin"
    write_tar(folder / "part" / complete.name, {"algo.yaml": text, "readme.txt": "more comes"})
    return folder / "part" / complete.name


def program(folder: Path, text: str = "#!/bin/sh\nexec sleep 1000\n") -> Path:
    write_tar(folder / "program.tar", {"run.sh": text})
    return folder / "program.tar"


def send_program(face: Face, file: Path, **more: Any) -> Any:
    body = {
        "Type": "Image",
        "MD5": md5_of(file),
        "Url": f"{URL}.bin",
        "AlgoFilePackageID": PACKAGE_ID,
        **more,
    }
    return face.ask("POST", f"{FILES}:pushExecFile", body)


def test_a_package_without_its_executable_waits_for_it(face: Face, tmp_path: Path) -> None:
    part, inside = without_program(tmp_path), program(tmp_path)
    bring(face, part, MD5=md5_of(part))
    assert status(face) == 1
    assert shown(face)["Bin"]["Type"] == "artifact"
    refused = load(face)
    assert (refused.code, "pushExecFile" in refused.message) == (40901, True), refused
    # a part that was sent is not fetched again, and an executable of another type is not fetched at all
    face.fine("POST", FILES, {**PUSH, "MD5": md5_of(part)})
    assert len(face.asked()) == 1
    assert send_program(face, inside).code == 40001
    assert send_program(face, inside, Type="artifact").data == {}
    assert status(face) == 1
    face.fetched(inside, face.asked()[-1])
    assert status(face) == 2
    # both parts again: they are here
    assert send_program(face, inside, Type="artifact").code == 0
    face.fine("POST", FILES, {**PUSH, "MD5": md5_of(part)})
    assert len(face.asked()) == 2
    other = send_program(face, inside, Type="artifact", MD5=MD5)
    assert (other.code, "already" in other.message) == (40901, True), other
    runs(face, loaded(face))
    assert status(face) == 3
    assert len(list((face.platform.data / "packages").glob("*/*.tar"))) == 1, "the parts are gone"


def test_what_waits_may_be_deleted_and_pushed_whole_instead(face: Face, tmp_path: Path) -> None:
    part = without_program(tmp_path)
    bring(face, part)
    assert face.ask("DELETE", f"{FILES}/{PACKAGE_ID}", token=OTHER).code == 40401
    assert face.ask("DELETE", f"{FILES}/{PACKAGE_ID}").code == 0
    assert face.fine("POST", f"{FILES}:search", {})["TotalSize"] == 0
    assert not list((face.platform.data / "packages").glob("*/*.tar"))
    bring(face, part)
    bring(face, make_package(tmp_path))
    assert status(face) == 2
    assert len(list((face.platform.data / "packages").glob("*/*.tar"))) == 1


def test_a_part_takes_the_place_of_a_package_nobody_has_loaded(face: Face, tmp_path: Path) -> None:
    part, file = without_program(tmp_path), make_package(tmp_path)
    bring(face, file, MD5=md5_of(file))
    bring(face, part, MD5=md5_of(part))
    assert status(face) == 1
    bring(face, file, MD5=md5_of(file))
    assert status(face) == 2
    loaded(face)
    said = face.ask("POST", FILES, {**PUSH, "MD5": md5_of(part)})
    assert (said.code, "loaded" in said.message) == (40901, True), said


def test_a_file_that_failed_is_faulty_until_it_comes_well_or_is_deleted(face: Face, tmp_path: Path) -> None:
    face.fine("POST", FILES, {**PUSH, "MD5": MD5, "Name": "package.tar"})
    face.failed(face.asked()[0], 42201, "the file has another MD5")
    assert status(face) == 4
    refused = load(face)
    assert (refused.code, "another MD5" in refused.message) == (42201, True), refused
    bring(face, make_package(tmp_path))
    assert status(face) == 2
    face.fine("DELETE", f"{FILES}/{PACKAGE_ID}")
    face.fine("POST", FILES, {**PUSH, "MD5": MD5})
    face.failed(face.asked()[-1], 42201, "the file has another MD5")
    assert status(face) == 4
    face.fine("DELETE", f"{FILES}/{PACKAGE_ID}")
    assert face.fine("POST", f"{FILES}:search", {})["TotalSize"] == 0


def test_an_executable_that_fits_nothing_is_refused(face: Face, tmp_path: Path) -> None:
    inside = program(tmp_path)
    assert send_program(face, inside, Type="artifact").code == 40401
    face.fine("POST", FILES, PUSH)
    coming = send_program(face, inside, Type="artifact")
    assert (coming.code, "being fetched" in coming.message) == (40401, True), coming
    face.fetched(make_package(tmp_path), face.asked()[0])
    assert send_program(face, inside, Type="artifact").code == 40901, "it came whole"


def test_an_executable_that_is_no_archive_leaves_the_package_waiting(face: Face, tmp_path: Path) -> None:
    from acsmpd import faults

    bring(face, without_program(tmp_path))
    odd = tmp_path / "odd"
    odd.write_bytes(b"no archive at all")
    assert send_program(face, odd, Type="artifact").code == 0
    with pytest.raises(faults.InvalidPackage):
        face.fetched(odd, face.asked()[-1])
    face.failed(face.asked()[-1], 42202, "no archive")
    assert status(face) == 4
    inside = program(tmp_path)
    assert send_program(face, inside, Type="artifact").code == 0
    assert status(face) == 1
    face.fetched(inside, face.asked()[-1])
    assert status(face) == 2


def test_a_package_comes_from_the_platform_that_pushes_it(face: Face) -> None:
    for url, code in (
        ("http://10.5.5.5/x.tar", 40301),
        ("http://127.0.0.1/x", 40301),
        ("file:///etc/passwd", 40301),
    ):
        assert face.ask("POST", FILES, {**PUSH, "Url": url}).code == code, url
        body = {"Type": "artifact", "MD5": MD5, "Url": url, "AlgoFilePackageID": PACKAGE_ID}
        assert face.ask("POST", f"{FILES}:pushExecFile", body).code == code, url
    assert face.asked() == []
