"""One call, many devices: six CADs over real HTTP, of which one refuses, one drops answers and one is away."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support import engines
from tests.support.daemon import daemon
from tests.support.engines import Misbehaving
from tests.support.fake_cad import FakeCad
from tests.support.packaging import CAPABILITY, PACKAGE_ID, make_package
from tests.support.registering import alarms, code
from tests.support.site import SITE_CODE, Answer, Site, running
from tests.support.state import refused
from tests.support.wait import wait_until

ROLLOUTS, SERVICES = "/ACSMP/Rollouts", "/ACSMP/AlgoServices/Devices"
LOAD = "install_algo_package"
FLAVOUR = {"Name": "FLAVOUR", "Value": "bitter"}


class Field:
    """A site, its devices, and how many of them ever held an unfinished load at once."""

    def __init__(self, site: Site, cads: list[FakeCad]) -> None:
        self.site, self.cads = site, cads

    @property
    def codes(self) -> list[str]:
        return [cad.code for cad in self.cads]

    def begin(self, path: str = ROLLOUTS, **more: Any) -> int:
        body = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCodes": self.codes, **more}
        return int(self.site.client.fine("POST", path, body))

    def shown(self, number: int) -> dict[str, Any]:
        found: dict[str, Any] = self.site.client.fine("GET", f"{ROLLOUTS}/{number}")
        waiting = [one["Status"] for one in found["Members"]]
        counts = {"WAITING": "WaitingCount", "IN_PROGRESS": "InProgressCount", "DONE": "DoneCount"}
        for status, name in {**counts, "FAILED": "FailedCount"}.items():
            assert found[name] == waiting.count(status), found
        assert found["InProgressCount"] <= found["MaxUnavailable"]
        return found

    def until(self, number: int, **wanted: Any) -> dict[str, Any]:
        """The rollout once its members of these names are so; it adds up in every look."""

        def look() -> dict[str, Any] | None:
            found = self.shown(number)
            return found if {name: found.get(name) for name in wanted} == wanted else None

        return wait_until(look, seconds=40, what=f"{wanted}")

    def stand(self, number: int) -> list[str]:
        return [one["Status"] for one in self.shown(number)["Members"]]

    def loaded(self) -> list[bool]:
        return [cad.packages.get(PACKAGE_ID) == "RUNNING" for cad in self.cads]

    def post(self, number: int, verb: str) -> Answer:
        return self.site.client.post(f"{ROLLOUTS}/{number}/{verb}")


@contextlib.contextmanager
def field(folder: Path, number: int, **settings: str) -> Iterator[Field]:
    with contextlib.ExitStack() as stack:
        site = stack.enter_context(running(folder / "site", **settings))
        cads = [stack.enter_context(FakeCad(code(at))) for at in range(1, number + 1)]
        for cad in cads:
            assert cad.register(site.url).accepted
        assert site.client.upload(make_package(folder)).code == 0
        yield Field(site, cads)


def online(site: Site, cad: FakeCad, wanted: bool) -> None:
    path = f"/ACSMP/Computility/{cad.code}"
    site.until(path, lambda data: (data["State"] == "online") is wanted)


def test_six_devices_of_which_three_are_troublesome(tmp_path: Path) -> None:
    with field(tmp_path, 6, rollouts_offline_seconds="4") as all_:
        site = all_.site
        fine, refusing, dropping, away, *rest = all_.cads
        refusing.refuse(40001, "no card is free", operation=LOAD)
        dropping.drop_answer(times=2, operation=LOAD)
        dropping.drop_answer(times=1, operation="push_algo_file_package")
        for cad in all_.cads:
            online(site, cad, True)
        away.vanish()
        online(site, away, False)

        number = all_.begin(MaxUnavailable=2, FailureThreshold=3, Name="spring")
        found = all_.until(number, State="FINISHED")

        assert [one["Status"] for one in found["Members"]] == [
            "DONE", "FAILED", "DONE", "FAILED", "DONE", "DONE",
        ]  # fmt: skip
        assert all_.loaded() == [True, False, True, False, True, True]
        assert (found["Progress"], found["TotalCount"], found["Name"]) == (100, 6, "spring")
        assert found["MinReadySeconds"] == 2  # two looks of a second
        assert [one["Wave"] for one in found["Members"]] == [1, 1, 2, 2, 3, 3]
        told = {one["ComputilityCode"]: one.get("Reason", "") for one in found["Members"]}
        assert "no card is free" in told[refusing.code]
        assert f"computility {away.code} is " in told[away.code]
        assert "for 4 s of its turn" in told[away.code]
        assert "2 of 6 computilities failed" in found["Reason"]
        assert refusing.code in found["Reason"]
        assert "no card is free" in found["Reason"]
        assert away.packages == {}
        for cad in (fine, *rest):
            assert [len(cad.asked(name)) for name in ("push_algo_file_package", LOAD)] == [1, 1]
        [member] = [one for one in found["Members"] if one["ComputilityCode"] == fine.code]
        service = site.client.fine("GET", f"{SERVICES}/{fine.code}/{member['AlgoServiceID']}")
        assert service["Status"] == "RUNNING"
        failed = site.client.fine("GET", f"{ROLLOUTS}/{number}?Status=FAILED&PageSize=1&PageNumber=2")
        assert [one["ComputilityCode"] for one in failed["Members"]] == [away.code]
        assert failed["PageRequest"] == {"PageNumber": 2, "PageSize": 1}
        [listed] = site.client.fine("GET", ROLLOUTS)
        assert "Members" not in listed
        assert {name: found[name] for name in listed} == listed

        away.come_back()
        online(site, away, True)
        refusing.refuse(0, "", times=0, operation=LOAD)
        again = all_.until(all_.begin(MaxUnavailable=6), State="FINISHED")
        assert again["DoneCount"] == 6
        assert [one.get("Wave") for one in again["Members"]] == [None, 1, None, 1, None, None]
        assert all_.loaded() == [True] * 6
        assert len(fine.asked(LOAD)) == 1, "what was there took no step"


def test_it_stops_by_itself_and_names_who_failed(tmp_path: Path) -> None:
    with field(tmp_path, 4) as all_:
        for cad in all_.cads[:2]:
            cad.refuse(40001, "no card is free", operation=LOAD)
        number = all_.begin(f"{ROLLOUTS}?Wait=20", MaxUnavailable=2)
        found = all_.until(number, State="FAILED", InProgressCount=0)
        assert [one["Status"] for one in found["Members"]] == ["FAILED", "FAILED", "WAITING", "WAITING"]
        assert found["Members"][3]["Reason"] == "the rollout stopped before its turn"
        assert found["Progress"] == 50
        [alarm] = alarms(all_.site, "rollout_failed")
        assert alarm["Subject"] == str(number)
        assert f"{all_.codes[0]}: its service was refused" in alarm["Text"]
        refused(all_.post(number, "Resume"), 409, 40901, f"cannot resume rollout {number}: it is FAILED")
        assert [cad.packages for cad in all_.cads[2:]] == [{}, {}]
        assert all_.site.client.delete(f"{ROLLOUTS}/{number}").code == 0
        assert alarms(all_.site, "rollout_failed")[0]["Until"]


def test_a_restart_in_the_middle_goes_on(tmp_path: Path) -> None:
    with field(tmp_path, 3) as all_:
        first, second, third = all_.cads
        for cad in all_.cads:
            online(all_.site, cad, True)
        second.hold_downloads()
        number = all_.begin()
        wait_until(lambda: PACKAGE_ID in second.packages, seconds=30, what="the second push")
        assert all_.stand(number) == ["DONE", "IN_PROGRESS", "WAITING"]
        all_.site.stop()
        second.hold_downloads(False)
        all_.site.start()
        found = all_.until(number, State="FINISHED")
        assert found["DoneCount"] == 3
        assert all_.loaded() == [True] * 3
        assert [len(cad.asked(LOAD)) for cad in (first, third)] == [1, 1]


def test_a_power_cut_in_the_middle_goes_on_and_spares_what_is_done(tmp_path: Path) -> None:
    with daemon(tmp_path / "box") as box, contextlib.ExitStack() as stack:
        cads = [stack.enter_context(FakeCad(code(at))) for at in range(1, 5)]
        for cad in cads:
            assert cad.register(box.url).accepted
            online(box, cad, True)
        assert box.client.upload(make_package(tmp_path)).code == 0
        all_ = Field(box, cads)
        cads[2].hold_downloads()
        number = all_.begin(MaxUnavailable=2)
        wait_until(lambda: PACKAGE_ID in cads[2].packages, seconds=30, what="the third push")
        box.kill()
        cads[2].hold_downloads(False)
        box.start()
        assert all_.until(number, State="FINISHED")["DoneCount"] == 4
        assert all_.loaded() == [True] * 4
        assert [len(cad.asked(LOAD)) for cad in cads[:2]] == [1, 1]


def test_pause_and_resume(tmp_path: Path) -> None:
    with field(tmp_path, 3) as all_:
        all_.cads[0].hold_downloads()
        number = all_.begin()
        wait_until(lambda: PACKAGE_ID in all_.cads[0].packages, seconds=30, what="the first push")
        for _ in range(2):
            assert all_.post(number, "Pause").code == 0
        all_.cads[0].hold_downloads(False)
        paused = all_.until(number, State="PAUSED", DoneCount=1, InProgressCount=0)
        assert paused["Members"][1]["Reason"] == "the rollout is paused"
        all_.site.restart()
        seen = len(all_.cads[1].calls())
        wait_until(lambda: len(all_.cads[1].calls()) > seen + 4, what="more looks at the second device")
        assert all_.shown(number)["State"] == "PAUSED"
        assert all_.cads[1].packages == {}
        assert all_.post(number, "Resume").code == 0
        assert all_.until(number, State="FINISHED")["DoneCount"] == 3


def test_a_deleted_one_leaves_what_is_there_and_begins_nothing(tmp_path: Path) -> None:
    with field(tmp_path, 3) as all_:
        for cad in all_.cads:
            online(all_.site, cad, True)
        all_.cads[1].vanish()
        online(all_.site, all_.cads[1], False)
        number = all_.begin()
        found = all_.until(number, DoneCount=1, InProgressCount=1)
        assert f"computility {all_.codes[1]} is " in found["Members"][1]["Reason"]
        assert found["Members"][2]["Reason"] == "waits for its turn"
        assert all_.site.client.delete(f"{ROLLOUTS}/{number}").code == 0
        refused(all_.site.client.get(f"{ROLLOUTS}/{number}"), 404, 40401, f"no rollout {number}")
        all_.cads[1].come_back()
        online(all_.site, all_.cads[1], True)
        seen = len(all_.cads[1].calls())
        wait_until(lambda: len(all_.cads[1].calls()) > seen + 4, what="more looks at the second device")
        assert all_.loaded() == [True, False, False]
        assert [cad.packages for cad in all_.cads[1:]] == [{}, {}]
        assert all_.site.client.fine("GET", f"/ACSMP/AlgoDef/{CAPABILITY}")["Status"] == "PUBLISHED"


def test_a_selector_finds_those_that_fit(tmp_path: Path) -> None:
    with field(tmp_path, 3, local_enabled="false") as all_:
        client = all_.site.client
        east = {"Organisation": "east", "Tags": ["gate", "new"], "Location": {"Text": "north of the river"}}
        client.fine("PUT", f"/ACSMP/Computility/{all_.codes[1]}", east)
        client.fine("PUT", f"/ACSMP/Computility/{all_.codes[2]}", {**east, "Tags": ["gate"]})
        wanted: list[tuple[dict[str, Any], list[str]]] = [
            ({"Organisation": "east", "Tags": ["new"]}, [all_.codes[1]]),
            ({"Tags": ["gate"], "Region": "river"}, all_.codes[1:]),
            ({"Region": "1101", "Type": "CAD"}, all_.codes),
            ({"Region": all_.codes[0][:8], "Organisation": "east", "Type": "CAD"}, all_.codes[1:]),
        ]
        for selector, codes in wanted:
            body = {"AlgoFilePackageID": PACKAGE_ID, "Selector": selector, "DispatchWindow": _never_now()}
            number = client.fine("POST", ROLLOUTS, body)
            found = all_.shown(number)
            assert [one["ComputilityCode"] for one in found["Members"]] == codes
            assert client.delete(f"{ROLLOUTS}/{number}").code == 0
        both = all_.begin(ComputilityCodes=[all_.codes[2], SITE_CODE], Selector={"Type": "CAD"}, Load=False)
        found = [one["ComputilityCode"] for one in all_.shown(both)["Members"]]
        assert found == [all_.codes[2], SITE_CODE, *all_.codes[:2]]


def _never_now() -> list[str]:
    """A window of a minute three days from now, whatever the zone."""
    day = (datetime.now() + timedelta(days=3)).isoweekday()
    return [f"{day},12:00,12:01"]


def test_outside_its_window_it_waits_until_it_is_told_to_go_on_at_once(tmp_path: Path) -> None:
    with field(tmp_path, 1) as all_:
        [cad] = all_.cads
        online(all_.site, cad, True)
        number = all_.begin(DispatchWindow=_never_now())
        found = all_.shown(number)
        assert (found["State"], found["DispatchWindow"]) == ("RUNNING", _never_now())
        assert "waits for its dispatch window, which opens " in found["Reason"]
        assert found["Reason"].endswith(" 12:00:00")
        assert found["Members"][0]["Reason"] == "waits for its dispatch window"
        seen = len(cad.calls())
        wait_until(lambda: len(cad.calls()) > seen + 4, what="more looks at the device")
        assert all_.post(number, "Resume").code == 0
        assert cad.packages == {}
        assert all_.post(number, "Resume?Force=true").code == 0
        found = all_.until(number, State="FINISHED")
        assert (found["DoneCount"], found.get("DispatchWindow")) == (1, None)


def test_in_its_window_it_pushes_and_then_loads(tmp_path: Path) -> None:
    with field(tmp_path, 2) as all_:
        number = all_.begin(DispatchWindow=[f"{day},0:00-24:00" for day in range(1, 8)], MaxUnavailable=2)
        found = all_.until(number, State="FINISHED")
        assert found["DoneCount"] == 2
        assert found["DispatchWindow"] == [f"{day},00:00,24:00" for day in range(1, 8)]
        for cad in all_.cads:
            assert [len(cad.asked(name)) for name in ("push_algo_file_package", LOAD)] == [1, 1]


def test_this_box_too(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert shutil.which("bwrap"), "apt-get install bubblewrap"
    folder = tmp_path_factory.mktemp("open")
    folder.chmod(0o755)
    paths = ",".join([sys.prefix, sys.base_prefix, str(folder)])
    with running(tmp_path / "site", **engines.ports(), runtime_read_only_paths=paths) as site:
        engine = Misbehaving(folder / "engine")
        assert site.client.upload(engine.file).code == 0
        body = {"AlgoFilePackageID": engine.id, "ComputilityCodes": [SITE_CODE], "Env": [FLAVOUR]}
        number = site.client.fine("POST", f"{ROLLOUTS}?Wait=30", body)
        found = site.until(f"{ROLLOUTS}/{number}", lambda data: data["State"] == "FINISHED")
        assert (found["DoneCount"], found["Env"]) == (1, [FLAVOUR])
        service = engines.until_running(site, found["Members"][0]["AlgoServiceID"])
        assert service["Env"] == [FLAVOUR]
        assert len(engine.pids()) == 1
        again = site.client.fine("POST", f"{ROLLOUTS}?Wait=30", body)
        assert site.client.fine("GET", f"{ROLLOUTS}/{again}")["DoneCount"] == 1
        assert len(engine.pids()) == 1, "what is there counts as done"
