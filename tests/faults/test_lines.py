"""A line that is late, half open, or reset in the middle of an answer: everything is done, and once (R16, R23)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.fake_cad import FakeCad
from tests.support.packaging import PACKAGE_ID, make_package, task_info
from tests.support.site import Site, running
from tests.support.thin_line import ThinLine, thin_line
from tests.support.wait import wait_until

DEVICES = "/ACSMP/AlgoServices/Devices"


class Place(NamedTuple):
    site: Site
    cad: FakeCad
    line: ThinLine

    def state(self, expected: str) -> Any:
        path = f"/ACSMP/Computility/{self.cad.code}"
        return self.site.until(path, lambda data: data["State"] == expected, seconds=40)

    def load(self) -> None:
        body = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": self.cad.code}
        service = self.site.client.fine("POST", DEVICES, body)
        path = f"{DEVICES}/{self.cad.code}/{service}"
        self.site.until(path, lambda data: data["Status"] == "RUNNING", seconds=60)

    def job(self) -> int:
        infos = [task_info(url=f"rtsp://10.0.0.9/{one}") for one in range(2)]
        body = {
            "Name": "job", "Type": "VIDEO_REALTIME", "Mode": "PERIODIC", "AutoStart": True, "AlgoTaskInfos": infos,
        }  # fmt: skip
        return int(self.site.client.fine("POST", "/ACSMP/Tasks", body))

    def runs(self, plan: int) -> None:
        self.site.until(f"/ACSMP/Tasks/{plan}", lambda data: data["RunningCount"] == 2, seconds=60)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A device that is called through the line; it calls the platform itself directly."""
    limits = {"wire_read_timeout_seconds": "2", "wire_connect_timeout_seconds": "2"}
    with (
        running(tmp_path / "site", **limits) as site,
        FakeCad() as cad,
        thin_line(lambda: ("127.0.0.1", cad.port)) as line,
    ):
        said = cad._voice.register(site.url, line.port, None, "CAD", "127.0.0.1", None)
        assert said.accepted
        assert site.client.upload(make_package(tmp_path)).code == 0
        one = Place(site, cad, line)
        one.state("online")
        yield one
        line.heal()


def test_every_block_is_late(place: Place) -> None:
    place.line.delay(0.4)
    place.load()
    place.runs(place.job())
    assert (len(place.cad.tasks), place.cad.packages) == (2, {PACKAGE_ID: "RUNNING"})
    place.state("online")


def test_a_half_open_line(place: Place) -> None:
    place.load()
    plan = place.job()
    place.runs(plan)
    tasks = list(place.cad.tasks)
    place.line.hole()
    assert "in time" in place.state("unreachable")["Reason"]
    place.line.heal()
    place.state("online")
    place.runs(plan)
    assert list(place.cad.tasks) == tasks


@pytest.mark.parametrize("after_bytes", [0, 60, 200])
def test_answers_that_are_reset_in_the_middle(place: Place, after_bytes: int) -> None:
    place.line.cut_answers(4, after_bytes)
    place.load()
    place.line.cut_answers(6, after_bytes)
    place.runs(place.job())
    wait_until(lambda: place.line.cuts_left == 0, what="all cuts were made")
    place.state("online")
    assert len(place.cad.tasks) == 2, "what was done and not heard of is found, not done again"
    assert len({task.info.get("ID", one) for one, task in place.cad.tasks.items()}) == 2
