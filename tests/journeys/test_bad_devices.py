"""Devices that are not there, cannot do what is asked, or are in use: said in words, nothing lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import requests

from tests.support.fake_cad import FakeCad
from tests.support.packaging import CAPABILITY, PACKAGE_ID, make_package, task_info
from tests.support.site import Site, running
from tests.support.state import refused, unchanged
from tests.support.wait import wait_until

UNKNOWN = "99999999999999999999"
CAMERA = "11010000001310000001"
LEAN_CAD = "11010000005050000002"
OTHER_ID = "1101000000502000000120261121120000000002"
NO_UUID = "00000000-0000-4000-8000-000000000000"
PACKAGES, SERVICES = "/ACSMP/AlgoFilePackages", "/ACSMP/AlgoServices/Devices"


class Loaded(NamedTuple):
    """A site, a CAD and a service of the sample package on it."""

    site: Site
    cad: FakeCad
    service: str

    def wish(self, **more: Any) -> dict[str, Any]:
        return {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": self.cad.code, **more}

    @property
    def detail(self) -> str:
        return f"{SERVICES}/{self.cad.code}/{self.service}"

    @property
    def copy(self) -> str:
        return f"{PACKAGES}/Devices/{self.cad.code}/{PACKAGE_ID}"


def load(site: Site, cad: FakeCad, **more: Any) -> str:
    body = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": cad.code, **more}
    service = str(site.client.fine("POST", f"{SERVICES}?Wait=20", body))
    site.until(f"{SERVICES}/{cad.code}/{service}", lambda data: data["Status"] == "RUNNING")
    return service


def plan(site: Site, cad: FakeCad) -> tuple[int, str]:
    """A running plan with one instance: number and instance ID."""
    body = {
        "Name": "gate", "Type": "VIDEO_REALTIME", "Mode": "PERIODIC", "AutoStart": True,
        "AlgoTaskInfos": [task_info()],
    }  # fmt: skip
    number = site.client.fine("POST", "/ACSMP/Tasks?Wait=20", body)
    shown = site.until(f"/ACSMP/Tasks/{number}", lambda data: data["RunningCount"] == 1)
    assert len(cad.running_tasks()) == 1
    return number, shown["AlgoTaskInfos"][0]["ID"]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    """For what is refused: it stays as it is."""
    folder = tmp_path_factory.mktemp("shared")
    with running(folder / "site") as site, FakeCad() as cad:
        assert cad.register(site.url).accepted
        for code, kind, services in ((CAMERA, "AI_CAMERA", None), (LEAN_CAD, "CAD", False)):
            who = {"Code": code, "Type": kind, "IP": "127.0.0.1", "Port": 9, "Username": "u", "Password": "p"}
            assert site.client.post("/ACSMP/Register", {**who, "SupportAlgoService": services}).code == 0
        assert site.client.upload(make_package(folder)).code == 0
        yield Loaded(site, cad, load(site, cad, Env=[{"Name": "LOG_LEVEL", "Value": "info"}]))


@pytest.fixture
def loaded(tmp_path: Path) -> Iterator[Loaded]:
    """For what changes something."""
    with running(tmp_path / "site") as site, FakeCad() as cad:
        assert cad.register(site.url).accepted
        assert site.client.upload(make_package(tmp_path)).code == 0
        yield Loaded(site, cad, load(site, cad))


def calls(code: str, package: str = PACKAGE_ID, service: str = NO_UUID) -> list[tuple[str, str, Any]]:
    """Tables 7-14 for one device, and the address of table 10 by GET."""
    both = {"AlgoFilePackageID": package, "ComputilityCode": code}
    return [
        ("POST", f"{PACKAGES}/Devices", both),
        ("DELETE", f"{PACKAGES}/Devices/{code}/{package}", None),
        ("POST", f"{PACKAGES}/Devices/Search", {"ComputilityCode": code}),
        ("POST", f"{PACKAGES}/Devices/{code}/{package}", None),
        ("GET", f"{PACKAGES}/Devices/{code}/{package}", None),
        ("POST", SERVICES, both),
        ("POST", f"{SERVICES}/UnInstall", both),
        ("POST", f"{SERVICES}/Search", {"ComputilityCode": code}),
        ("GET", f"{SERVICES}/{code}/{service}", None),
    ]


def test_tables_7_to_14_name_a_device_nobody_knows(shared: Loaded) -> None:
    with unchanged(shared.site):
        for method, path, body in calls(UNKNOWN):
            refused(shared.site.client.ask(method, path, body), 404, 40401, f"no computility {UNKNOWN}")


@pytest.mark.parametrize("code", [CAMERA, LEAN_CAD])
def test_tables_7_to_14_are_not_for_a_device_that_takes_no_services(shared: Loaded, code: str) -> None:
    with unchanged(shared.site):
        for method, path, body in calls(code):
            answer = shared.site.client.ask(method, path, body)
            refused(answer, 409, 40904, f"computility {code}", "no packages and services, only tasks")


def test_a_package_or_service_nobody_knows_is_named(shared: Loaded) -> None:
    client, cad = shared.site.client, shared.cad
    words = {
        "POST" + f"{PACKAGES}/Devices": f"no package {OTHER_ID}",
        "POST" + SERVICES: f"no package {OTHER_ID}",
        "POST" + f"{SERVICES}/UnInstall": f"no service of package {OTHER_ID} on computility {cad.code}",
        "GET" + f"{SERVICES}/{cad.code}/{NO_UUID}": f"no service {NO_UUID} on computility {cad.code}",
    }
    with unchanged(shared.site):
        for method, path, body in calls(cad.code, OTHER_ID):
            if not path.endswith("Search"):
                told = words.get(method + path, f"no package {OTHER_ID} on computility {cad.code}")
                refused(client.ask(method, path, body), 404, 40401, told)
        other = shared.wish(AlgoServiceID=[shared.service, NO_UUID])
        refused(client.post(f"{SERVICES}/UnInstall", other), 404, 40401, f"no service {NO_UUID} on")
    assert shared.cad.packages == {PACKAGE_ID: "RUNNING"}


def test_a_package_comes_once_per_device(shared: Loaded) -> None:
    client = shared.site.client
    with unchanged(shared.site):
        assert client.fine("POST", SERVICES, shared.wish()) == shared.service
        same = [{"Name": "LOG_LEVEL", "Value": "info"}]
        assert client.fine("POST", SERVICES, shared.wish(Env=same, Replicas=1)) == shared.service
        more = client.post(SERVICES, shared.wish(Replicas=2))
        refused(more, 409, 40903, f"computility {shared.cad.code}", "one replica", "not 2")
        other = client.post(SERVICES, shared.wish(Env=[{"Name": "LOG_LEVEL", "Value": "debug"}]))
        refused(other, 409, 40901, shared.service, "another Env", f"PUT /ACSMP/AlgoServices/{shared.service}")
        rescaled = client.put(f"/ACSMP/AlgoServices/{shared.service}", {"Replicas": 3})
        refused(rescaled, 409, 40903, "one replica", "not 3")
        version = client.put(f"/ACSMP/AlgoServices/{shared.service}", {"Version": "9.9"})
        refused(version, 404, 40401, "test-algo", "version 9.9")
    assert len(shared.cad.asked("install_algo_package")) == 1


def test_two_replicas_are_refused_on_a_device_without_the_package_too(tmp_path: Path) -> None:
    with running(tmp_path / "site") as site, FakeCad() as cad:
        assert cad.register(site.url).accepted
        assert site.client.upload(make_package(tmp_path)).code == 0
        body = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": cad.code, "Replicas": 2}
        with unchanged(site):
            refused(site.client.post(SERVICES, body), 409, 40903, "one replica", "not 2")
        assert cad.packages == {}


def test_this_box_says_at_once_what_it_cannot_take(shared: Loaded) -> None:
    body = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": "11010000005020000001"}
    with unchanged(shared.site):
        answer = shared.site.client.post(SERVICES, {**body, "Env": [{"Name": "PATH", "Value": "/tmp"}]})
        refused(answer, 400, 40001, "$.Env", "PATH is not declared")


# --- not there now -------------------------------------------------------------------------------------------------


def test_a_load_before_the_push_pushes_and_one_before_the_device_is_back_waits(tmp_path: Path) -> None:
    with running(tmp_path / "site") as site, FakeCad() as cad:
        assert cad.register(site.url).accepted
        assert site.client.upload(make_package(tmp_path)).code == 0
        record = f"/ACSMP/Computility/{cad.code}"
        site.until(record, lambda data: data["State"] == "online")
        cad.vanish()
        gone = site.until(record, lambda data: data["State"] != "online")
        assert gone["Reason"]

        service = site.client.fine(
            "POST", SERVICES, {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": cad.code}
        )
        detail = site.client.fine("GET", f"{SERVICES}/{cad.code}/{service}")
        assert detail["Status"] == "INIT"
        assert f"computility {cad.code} is {gone['State']}" in detail["LastError"]
        body = {
            "Name": "gate", "Type": "VIDEO_REALTIME", "Mode": "PERIODIC", "AutoStart": True,
            "AlgoTaskInfos": [task_info()],
        }  # fmt: skip
        number = site.client.fine("POST", "/ACSMP/Tasks", body)
        [instance] = site.client.fine("GET", f"/ACSMP/Tasks/{number}")["AlgoTaskInfos"]
        waiting = site.until(f"/ACSMP/TaskInstances/{instance['ID']}", lambda data: data.get("Reason"))
        assert waiting["Status"] == "PENDING"
        assert cad.packages == {}

        site.restart()  # the wish outlives the platform too
        cad.come_back()
        site.until(f"/ACSMP/Tasks/{number}", lambda data: data["RunningCount"] == 1)
        assert cad.packages == {PACKAGE_ID: "RUNNING"}
        assert [len(cad.asked(name)) for name in ("push_algo_file_package", "install_algo_package")] == [1, 1]
        running_now = site.client.fine("GET", f"{SERVICES}/{cad.code}/{service}")
        assert running_now["Status"] == "RUNNING"
        assert "LastError" not in running_now


def test_a_wait_for_a_device_that_is_away_ends_with_the_present_state(tmp_path: Path) -> None:
    with running(tmp_path / "site") as site, FakeCad() as cad:
        assert cad.register(site.url).accepted
        assert site.client.upload(make_package(tmp_path)).code == 0
        site.until(f"/ACSMP/Computility/{cad.code}", lambda data: data["State"] == "online")
        cad.vanish()
        body = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": cad.code}
        answer = site.client.post(f"{SERVICES}?Wait=0.3", body)
        assert answer.code == 0, answer
        assert answer.response.elapsed.total_seconds() >= 0.3
        assert site.client.fine("GET", f"{SERVICES}/{cad.code}/{answer.data}")["Status"] == "INIT"


def test_what_a_device_refuses_is_shown_with_its_words_and_tried_no_more(tmp_path: Path) -> None:
    with running(tmp_path / "site") as site, FakeCad() as cad:
        assert cad.register(site.url).accepted
        assert site.client.upload(make_package(tmp_path)).code == 0
        cad.refuse(40001, "no card is free", operation="install_algo_package")
        body = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": cad.code}
        service = site.client.fine("POST", f"{SERVICES}?Wait=20", body)
        shown = site.until(f"{SERVICES}/{cad.code}/{service}", lambda data: data["Status"] == "ERROR")
        assert "no card is free" in shown["LastError"]
        assert site.client.fine("GET", f"/ACSMP/AlgoDef/{CAPABILITY}")["Status"] == "DEPLOY_FAILED"


# --- in use --------------------------------------------------------------------------------------------------------


def test_a_service_with_running_tasks_is_unloaded_only_by_force(loaded: Loaded) -> None:
    site, cad = loaded.site, loaded.cad
    number, instance = plan(site, cad)
    path = f"{SERVICES}/UnInstall"
    with unchanged(site):
        for wish in (loaded.wish(), loaded.wish(AlgoServiceID=loaded.service)):
            refused(
                site.client.post(path, wish),
                409,
                40901,
                "cannot unload",
                "task instances run on it",
                instance,
            )
    assert len(cad.running_tasks()) == 1

    assert site.client.post(f"{path}?Force=true&Wait=20", loaded.wish()).code == 0
    wait_until(
        lambda: cad.packages == {PACKAGE_ID: "STOPPED"} and not cad.tasks, what="unloaded, its task gone"
    )
    refused(site.client.get(loaded.detail), 404, 40401, f"no service {loaded.service}")
    waiting = site.until(f"/ACSMP/TaskInstances/{instance}", lambda data: data["Status"] == "PENDING")
    assert waiting["Reason"]
    assert site.client.fine("GET", f"/ACSMP/Tasks/{number}")["Status"] == "ON"
    load(site, cad)
    site.until(f"/ACSMP/Tasks/{number}", lambda data: data["RunningCount"] == 1)
    assert cad.max_running == 1


def test_a_package_with_services_leaves_a_device_only_by_force(loaded: Loaded) -> None:
    site, cad = loaded.site, loaded.cad
    with unchanged(site):
        answer = site.client.delete(loaded.copy)
        refused(answer, 409, 40901, f"cannot delete package {PACKAGE_ID} from {cad.code}", loaded.service)
    assert cad.packages == {PACKAGE_ID: "RUNNING"}
    assert site.client.delete(f"{loaded.copy}?Force=true&Wait=20").code == 0
    wait_until(lambda: cad.packages == {}, what="the file gone from the device")
    refused(site.client.get(loaded.detail), 404, 40401, loaded.service)
    refused(site.client.get(loaded.copy), 404, 40401, PACKAGE_ID)
    assert site.client.get(f"{PACKAGES}/{PACKAGE_ID}").code == 0, "the platform's own file stays"


def test_a_package_with_services_is_deleted_only_by_force(loaded: Loaded) -> None:
    site, cad = loaded.site, loaded.cad
    number, _ = plan(site, cad)
    path = f"{PACKAGES}/{PACKAGE_ID}"
    with unchanged(site):
        answer = site.client.delete(path)
        refused(answer, 409, 40901, f"cannot delete package {PACKAGE_ID}", f"{loaded.service} on {cad.code}")
    assert cad.packages == {PACKAGE_ID: "RUNNING"}
    assert site.client.fine("GET", f"/ACSMP/AlgoDef/{CAPABILITY}")["Status"] == "PUBLISHED"

    assert site.client.delete(f"{path}?Force=true&Wait=20").code == 0
    wait_until(lambda: cad.packages == {} and not cad.tasks, what="nothing of it on the device")
    refused(site.client.get(path), 404, 40401, f"no package {PACKAGE_ID}")
    refused(site.client.get(f"/ACSMP/AlgoDef/{CAPABILITY}"), 404, 40401, CAPABILITY)
    refused(site.client.delete(path), 404, 40401, PACKAGE_ID)
    assert not list((site.data / "packages").glob("*/*.tar"))
    waiting = site.until(f"/ACSMP/Tasks/{number}", lambda data: data["StartingCount"] == 1)
    assert waiting["Status"] == "ON"


def test_a_download_over_a_thin_line_is_shown_and_not_begun_again(site: Site, tmp_path: Path) -> None:
    """The device has read a part of the file: no load and no second push until it has it all."""
    with FakeCad() as cad:
        assert cad.register(site.url).accepted
        file = make_package(tmp_path)
        assert site.client.upload(file).code == 0
        cad.hold_downloads()
        detail = f"{PACKAGES}/Devices/{cad.code}/{PACKAGE_ID}"
        site.client.fine(
            "POST", f"{PACKAGES}/Devices", {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": cad.code}
        )
        wait_until(lambda: PACKAGE_ID in cad.packages, what="the push")
        assert site.client.fine("GET", detail)["DownloadProgress"] == 0.0
        asked = cad.package(PACKAGE_ID).asked
        assert asked is not None
        half = file.stat().st_size // 2
        with requests.Session() as session:
            session.trust_env = False
            part = session.get(asked.url, headers={"Range": f"bytes=0-{half - 1}"}, timeout=20)
        assert (part.status_code, len(part.content)) == (206, half)
        # The server notes what has left for the socket after it left: the reader may be a moment ahead of it.
        shown = site.until(detail, lambda data: data["DownloadProgress"] == half / file.stat().st_size)
        assert shown["Status"] == 1
        service = site.client.fine(
            "POST", SERVICES, {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": cad.code}
        )
        seen = len(cad.calls("POST", "/CAD/AlgoTasks:search"))
        wait_until(lambda: len(cad.calls("POST", "/CAD/AlgoTasks:search")) >= seen + 3, what="looks")
        assert len(cad.calls("POST", "/CAD/Machine/AlgoFilePackages")) == 1
        assert cad.package(PACKAGE_ID).loaded_with is None
        cad.hold_downloads(False)
        site.until(f"{SERVICES}/{cad.code}/{service}", lambda data: data["Status"] == "RUNNING")
        assert cad.package(PACKAGE_ID).downloads == 1
