"""Task instances that stand still on a device keep nobody from changing or taking away what they stood on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_cad import FakeCad
from tests.support.packaging import PACKAGE_ID, make_package, task_info
from tests.support.site import Site
from tests.support.wait import wait_until

DEVICES = "/ACSMP/AlgoServices/Devices"
FILES = "/ACSMP/AlgoFilePackages"


@pytest.fixture
def cad(site: Site, tmp_path: Path) -> Iterator[FakeCad]:
    """One with a service, and a task that has been stopped on it."""
    assert site.client.upload(make_package(tmp_path)).code == 0
    with FakeCad() as device:
        assert device.register(site.url).accepted
        site.client.fine("POST", f"{DEVICES}?Wait=20", wish(device))
        plan = {"Name": "rests", "Type": "VIDEO_REALTIME", "Mode": "PERIODIC", "AutoStart": True}
        made = site.client.fine("POST", "/ACSMP/Tasks?Wait=20", {**plan, "AlgoTaskInfos": [task_info()]})
        wait_until(lambda: len(device.running_tasks()) == 1, what="the task to run")
        site.client.fine("POST", f"/ACSMP/Tasks/{made}/Stop?Wait=20")
        wait_until(lambda: device.tasks and not device.running_tasks(), what="the task to stand still")
        yield device


def wish(cad: FakeCad) -> dict[str, Any]:
    return {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": cad.code}


def test_a_changed_service_is_loaded_anew(site: Site, cad: FakeCad) -> None:
    [service] = site.client.fine("POST", f"{DEVICES}/Search", {"ComputilityCode": cad.code})["Records"]
    env = [{"Name": "COLOUR", "Value": "red"}]
    own = f"/ACSMP/AlgoServices/{service['AlgoServiceID']}?Wait=20"
    assert site.client.fine("PUT", own, {"Env": env})["Env"] == env
    site.until(
        f"{DEVICES}/Search", lambda page: page["Records"][0]["Status"] == "RUNNING",
        body={"ComputilityCode": cad.code},
    )  # fmt: skip
    assert not cad.tasks


@pytest.mark.parametrize("path", [f"{FILES}/{PACKAGE_ID}", ""])
def test_a_package_goes_by_force(site: Site, cad: FakeCad, path: str) -> None:
    path = path or f"{FILES}/Devices/{cad.code}/{PACKAGE_ID}"
    assert site.client.delete(f"{path}?Force=true&Wait=20").code == 0
    wait_until(lambda: not cad.packages and not cad.tasks, what="the device to be empty")
