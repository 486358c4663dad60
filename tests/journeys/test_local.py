"""This box's own compute, in the real sandbox: real video through the whole platform, and what engines get."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from acsmpd.packages.pack import pack
from tests.sample.conftest import package, videos  # noqa: F401 - fixtures
from tests.support import engines
from tests.support.engines import Misbehaving, the_hand
from tests.support.packaging import task_info, write_tar
from tests.support.rtsp import missing_packages, rtsp_server
from tests.support.site import Site, running
from tests.support.state import refused, unchanged
from tests.support.wait import wait_until

SAMPLE_ID = "1100000000502000000020251101080000000001"
FACES = {"Speed": 8, "RepeatAlarmIntervalThreshold": 0.5, "Loop": True}
WHOLE = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
SKY = ((0.0, 0.0), (0.2, 0.0), (0.2, 0.05), (0.0, 0.05))
SERVICES = "/ACSMP/AlgoServices/Devices"


def readable(*more: Path) -> str:
    """runtime.read_only_paths: the interpreter with OpenCV and these."""
    paths = dict.fromkeys([Path(sys.prefix), Path(sys.base_prefix), *more])
    return ",".join(str(path) for path in paths if not path.is_relative_to("/usr"))


@pytest.fixture(scope="module")
def open_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("open")
    folder.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def box(
    tmp_path_factory: pytest.TempPathFactory,
    videos: dict[str, Path],  # noqa: F811
    open_folder: Path,
) -> Iterator[Site]:
    assert shutil.which("bwrap"), "apt-get install bubblewrap"
    paths = readable(videos["bikes"].parent, open_folder)
    with running(
        tmp_path_factory.mktemp("box") / "data", **engines.ports(), runtime_read_only_paths=paths,
        runtime_health_interval_seconds="0.5", runtime_stop_timeout_seconds="2",
        runtime_container_socket=str(open_folder.parent / "no.sock"),
    ) as site:  # fmt: skip
        yield site


@pytest.fixture(scope="module")
def sample(box: Site, package: Path, tmp_path_factory: pytest.TempPathFactory) -> str:  # noqa: F811
    """The sample package, imported and loaded: its service's ID."""
    tar = pack(package, tmp_path_factory.mktemp("tar") / "sample.tar")
    assert box.client.upload(tar).code == 0
    service = engines.load(box, SAMPLE_ID, wait=30)
    engines.until_running(box, service)
    return service


@pytest.fixture
def tame(box: Site, open_folder: Path) -> Iterator[Misbehaving]:
    """The test engine's package, imported; everything of it is gone afterwards."""
    one = Misbehaving(open_folder, env={"LOG_LEVEL": "info"})
    assert box.client.upload(one.file).code == 0
    yield one
    box.client.fine("DELETE", f"/ACSMP/AlgoFilePackages/{one.id}?Force=true&Wait=25")
    wait_until(lambda: not one.traces(), what="its engines ended")


def watching(event: str, url: object, area: Any = WHOLE, **extras: Any) -> dict[str, Any]:
    info: dict[str, Any] = task_info(event, str(url))
    points = [{"PointX": x, "PointY": y} for x, y in area]
    rule = {"EventID": event, "Areas": [{"AreaID": 3, "AreaType": "POLYGON", "Points": points}]}
    info["RulesParams"] = [{**rule, "ExtendParams": extras}]
    return info


def drop(site: Site, plan: int) -> None:
    site.client.fine("DELETE", f"/ACSMP/Tasks/{plan}?Wait=20")


def page_of(site: Site, plan: int) -> Any:
    return site.client.fine("POST", "/ACSMP/Results/Search", {"TaskID": plan})["PageContent"]


# --- the sample algorithm --------------------------------------------------------------------------------


def test_faces_of_a_real_video_arrive_as_results_with_pictures(
    box: Site,
    sample: str,
    videos: dict[str, Path],  # noqa: F811
) -> None:
    plan = engines.add_plan(box, watching("FACE_DETECT", videos["carphone"], **FACES))
    wait_until(lambda: engines.results(box, plan) >= 3, seconds=40, what="results")
    [instance] = engines.instances(box, plan)
    assert (instance["Status"], instance["AlgoServiceID"]) == ("RUNNING", sample)
    result = page_of(box, plan)[0]
    assert (result["EventID"], result["InstanceID"]) == ("FACE_DETECT", instance["ID"])
    assert (result["AlgoCaBinName"], result["AlgoServiceID"]) == ("acsmp-sample", sample)
    assert 0.5 <= result["Targets"][0]["Score"] <= 1
    kinds = {image["Type"]: image for image in result["Images"]}
    assert set(kinds) == {"FULL", "TARGET"}
    for image in kinds.values():
        assert "Data" not in image
        picture = box.client.get(image["Url"]).response
        assert picture.headers["Content-Type"] == "image/jpeg"
        height, width, _ = cv2.imdecode(np.frombuffer(picture.content, np.uint8), cv2.IMREAD_COLOR).shape
        assert (width, height) == (image["Width"], image["Height"])
    assert kinds["TARGET"]["Width"] < kinds["FULL"]["Width"]

    [use] = [one for one in this_box(box)["AlgoServiceMonitors"] if one["AlgoServiceID"] == sample]
    assert use["AlgoFilePackageID"] == SAMPLE_ID
    assert 0 < use["CpuUtilization"] <= 1
    assert 0.02 < use["MemoryUsed"] < 2
    drop(box, plan)


def test_only_what_is_inside_the_polygon_is_an_intrusion(
    box: Site,
    sample: str,
    videos: dict[str, Path],  # noqa: F811
) -> None:
    """The same street twice: people cross the whole picture, nobody its upper left corner."""
    fast = {"Speed": 16, "Interval": 0.3, "Threshold": 0.1, "RepeatAlarmIntervalThreshold": 0.5}
    infos = [watching("INTRUSION", videos["bikes"], area, **fast) for area in (WHOLE, SKY)]
    plan = engines.add_plan(box, *infos, kind="VIDEO_FILE")
    wait_until(
        lambda: [one["Status"] for one in engines.instances(box, plan)] == ["FINISHED"] * 2,
        seconds=60,
        what="both files at their end",
    )
    inside, outside = [one["ID"] for one in engines.instances(box, plan)]
    found = [result["InstanceID"] for result in page_of(box, plan)]
    assert inside in found
    assert outside not in found
    assert {area for result in page_of(box, plan) for area in result["AreaIDs"]} == {3}
    shown = box.client.fine("GET", f"/ACSMP/Tasks/{plan}")
    assert (shown["FinishedCount"], shown["RunningCount"]) == (2, 0)
    drop(box, plan)


def test_a_live_stream(box: Site, sample: str, videos: dict[str, Path]) -> None:  # noqa: F811
    assert not missing_packages(), f"apt-get install --no-install-recommends {' '.join(missing_packages())}"
    with rtsp_server(videos["carphone"]) as url:
        live = watching("FACE_DETECT", url, Interval=0.1, RepeatAlarmIntervalThreshold=0.5)
        plan = engines.add_plan(box, live)
        wait_until(lambda: engines.results(box, plan) >= 2, seconds=40, what="results of the stream")
        assert page_of(box, plan)[0]["StreamUrl"] == url
        drop(box, plan)


def test_after_a_restart_one_engine_works_on_and_a_finished_file_stays_finished(
    box: Site,
    sample: str,
    videos: dict[str, Path],  # noqa: F811
) -> None:
    lasting = engines.add_plan(box, watching("FACE_DETECT", videos["carphone"], **FACES))
    once = engines.add_plan(
        box, watching("FACE_DETECT", videos["carphone"], **{**FACES, "Loop": False}), kind="VIDEO_FILE"
    )
    engines.until_instance(box, once, "FINISHED", seconds=40)
    before = engines.results(box, once)
    assert before >= 1

    box.restart()
    here = engines.results(box, lasting)
    engines.until_running(box, sample)
    wait_until(lambda: engines.results(box, lasting) > here, seconds=40, what="results after the restart")
    assert engines.instances(box, lasting)[0]["AlgoServiceID"] == sample
    engines.until_instance(box, once, "FINISHED")
    assert engines.results(box, once) == before

    # a start by hand plays it anew
    box.client.fine("POST", "/ACSMP/TaskInstances/Start", {"IDs": [engines.instances(box, once)[0]["ID"]]})
    wait_until(lambda: engines.results(box, once) > before, seconds=40, what="a second play")
    drop(box, lasting)
    drop(box, once)


# --- what an engine gets and sees --------------------------------------------------------------------------


def test_the_environment_is_built_from_nothing(box: Site, tame: Misbehaving) -> None:
    wanted = [{"Name": "FLAVOUR", "Value": "sweet=1 $PATH"}, {"Name": "LOG_LEVEL", "Value": "debug"}]
    service = engines.load(box, tame.id, Env=wanted)
    hand = the_hand(box.data, service)
    got = hand.do("env")
    work = box.data / "services" / "programs" / tame.id
    assert Path(got.pop("PWD")).parent == work  # the sandbox's own word for where it is
    assert Path(got.pop("HOME")).is_relative_to(box.data / "services" / "engines")
    assert got == {
        "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "LOGNAME": "engine", "PORT": str(hand.port),
        "ACSMP_SERVICE_ID": service, "XPU_TYPE": "", "XPU_INDEX": "", "CUDA_VISIBLE_DEVICES": "",
        "FLAVOUR": "sweet=1 $PATH", "LOG_LEVEL": "debug", "ORDERS": got["ORDERS"],
    }  # fmt: skip
    assert hand.do("argv") == ["engine.py", tame.mark]


@pytest.mark.parametrize(
    "name",
    ["OTHER", "PORT", "PATH", "LD_PRELOAD", "PYTHONPATH", "XPU_INDEX", "CUDA_VISIBLE_DEVICES", "ACSMP_X"],
)
def test_an_environment_that_is_not_declared_is_refused(box: Site, tame: Misbehaving, name: str) -> None:
    body = {"AlgoFilePackageID": tame.id, "ComputilityCode": box.app.local_code if box.app else ""}
    with unchanged(box):
        env = [{"Name": "FLAVOUR", "Value": "x"}, {"Name": name, "Value": "x"}]
        refused(box.client.post(SERVICES, {**body, "Env": env}), 400, 40001, "$.Env", name)


def test_walls(box: Site, tame: Misbehaving) -> None:
    service = engines.load(box, tame.id)
    hand = the_hand(box.data, service)
    data = box.data
    for secret in ("keys", "acsmpd.db", "packages", "results", "services/logs"):
        assert hand.do("look", str(data / secret)) == "No such file or directory"
    assert hand.do("look", str(data)) == ["services"]  # nothing but the way to its own program
    assert hand.do("look", str(data / "services" / "programs")) == [tame.id]
    for elsewhere in ("/etc/shadow", "/etc/passwd", "/var", "/home", "/proc/1/root/etc/shadow"):
        assert hand.do("look", elsewhere) in ("No such file or directory", "Permission denied")
    for closed in ("/usr/x", str(data / "x"), "/x", "x"):
        assert hand.do("write", closed) in ("Read-only file system", "Permission denied")
    for own in ("/tmp/x", hand.do("env")["HOME"] + "/x"):
        assert hand.do("write", own) == ""
    status = hand.do("status")
    assert status["CapEff"].strip("0") == status["CapPrm"].strip("0") == ""
    assert "0" not in status["Uid"].split()
    assert status["NoNewPrivs"] == "1"
    assert status["Pid"] == hand.do("status")["Tgid"]
    assert int(status["Pid"]) < 10  # a process namespace of its own


def test_the_interface_is_within_reach_but_not_open_to_an_engine(box: Site, tame: Misbehaving) -> None:
    hand = the_hand(box.data, engines.load(box, tame.id))
    assert hand.do("fetch", f"{box.url}/healthz") == 200
    assert hand.do("fetch", f"{box.url}/ACSMP/System/Info") == 401
    assert hand.do("fetch", f"{box.url}/ACSMP/AlgoFilePackages/{tame.id}") == 401


def test_every_call_makes_a_service_of_its_own(box: Site, tame: Misbehaving) -> None:
    one, two = engines.load(box, tame.id), engines.load(box, tame.id)
    assert one != two
    for service in (one, two):
        engines.until_running(box, service)
    found = box.client.fine(
        "POST",
        f"{SERVICES}/Search",
        {"ComputilityCode": box.settings.site_code, "AlgoFilePackageID": tame.id},
    )
    assert {record["AlgoServiceID"] for record in found["Records"]} == {one, two}
    assert len(tame.pids()) == 2
    assert the_hand(box.data, one).port != the_hand(box.data, two).port
    engines.unload(box, tame.id, one)
    assert len(tame.pids()) == 1
    engines.until_running(box, two)


def test_an_image_package_waits_for_a_container_engine(box: Site, tmp_path: Path) -> None:
    image = "1101000000502000000120261121120000000077"
    description = {
        "id": image, "name": "boxed", "version": "1.0.0", "provider": "ACSMPD",
        "bin": {"type": "image", "remote_uri": "registry:5000/boxed:1.0.0"},
        "abilities": [{"code": "BOXED", "task_types": ["VIDEO_REALTIME"], "event_ids": ["FIRE"]}],
    }  # fmt: skip
    write_tar(tmp_path / "boxed.tar", {"algo.yaml": yaml.safe_dump(description)})
    assert box.client.upload(tmp_path / "boxed.tar").code == 0
    service = engines.load(box, image, wait=0)
    engines.until_told(box, service, f"no container engine listens at {tmp_path.parent}")
    box.client.fine("DELETE", f"/ACSMP/AlgoFilePackages/{image}?Force=true&Wait=20")


def this_box(site: Site) -> dict[str, Any]:
    page = site.client.fine("GET", f"/ACSMP/Computility?ComputilityCode={site.settings.site_code}")
    [mine] = page["PageContent"]
    assert (mine["State"], mine["Type"]) == ("online", "AI_BOX")
    [info] = mine["DeviceInfos"]
    return dict(info)


def test_the_box_shows_itself_as_a_computility(box: Site) -> None:
    info = this_box(box)
    assert (info["DeviceID"], info["IsOnline"]) == (box.settings.site_code, True)
    assert info["Cpu"] >= 1
    assert 0 <= info["CpuUtilization"] <= 1
    assert 0 < info["MemoryUsed"] < info["Memory"]
    assert 0 < info["DiskUsed"] <= info["Disk"]
    assert any(disk["Path"] == "/" or disk["Path"].startswith("/") for disk in info["DiskDetails"])
    assert info["XpuMonitors"] == []
