"""A central computing platform below a site: how it is entered, and what is asked of both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from acsmpd import offline
from acsmpd.clock import Clock
from tests.support.fake_ccp import CLUSTER, NODES, FakeCcp, FakeWorkload
from tests.support.packaging import PACKAGE_ID, task_info, write_tar
from tests.support.site import Answer, Site
from tests.support.wait import wait_until

DEVICES = "/ACSMP/AlgoServices/Devices"
IMAGE = "registry:5000/test-algo:1.0.0"
ARTIFACT = "1101000000502000000120261121120000000002"
CREATES = ("push_engine", "create_workload")


def enter(site: Site, ccp: FakeCcp, **more: Any) -> None:
    """As `acsmpd device add` does, with the daemon running."""
    given = {"cluster": CLUSTER, "nodes": NODES, **more}
    offline.add_device(
        site.settings, Clock(), ccp.code, username="", password="", url=ccp.url, kind="", family="ccp", prefix="",
        pin=None, **given,
    )  # fmt: skip
    site.until(f"/ACSMP/Computility/{ccp.code}", lambda found: found["State"] == "online")


def image_package(folder: Path, **changes: Any) -> Path:
    """A package whose program is an image in a registry."""
    description = {
        "id": PACKAGE_ID, "name": "test-algo", "version": "1.0.0", "provider": "ACSMPD",
        "bin": {"type": "image", "remote_uri": IMAGE},
        "abilities": [{
            "code": "A-1", "name": "a", "data_type": "ALERT", "event_ids": ["INTRUSION"],
            "task_types": ["VIDEO_REALTIME"],
        }],
        "algo_runtime": {
            "cmd": ["./run.sh"], "env": [{"name": "MODE", "value": "fast"}],
            "xpu": [{"quota": 0.25, "accelerator": "NVIDIA-T4", "capacities": {"stream_video_quota": 2}}],
        },
        **changes,
    }  # fmt: skip
    path = folder / f"{description['id']}_V{description['version']}.tar"
    write_tar(path, {"algo.yaml": yaml.safe_dump(description)})
    return path


def load(site: Site, ccp: FakeCcp, wait: int = 25, **more: Any) -> str:
    body = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": ccp.code, **more}
    return str(site.client.fine("POST", f"{DEVICES}?Wait={wait}", body))


def unload(site: Site, ccp: FakeCcp, wait: int = 25) -> None:
    body = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": ccp.code}
    site.client.fine("POST", f"{DEVICES}/UnInstall?Wait={wait}", body)


def services_on(site: Site, ccp: FakeCcp) -> list[dict[str, Any]]:
    return list(site.client.fine("POST", f"{DEVICES}/Search", {"ComputilityCode": ccp.code})["Records"])


def start(site: Site, *infos: dict[str, Any]) -> int:
    body = {
        "Name": "job", "Type": "VIDEO_REALTIME", "Mode": "PERIODIC", "AutoStart": True,
        "AlgoTaskInfos": list(infos) or [task_info()],
    }  # fmt: skip
    return int(site.client.fine("POST", "/ACSMP/Tasks", body))


def all_run(site: Site, plan: int) -> Any:
    return site.until(f"/ACSMP/Tasks/{plan}", lambda found: found["RunningCount"] == found["TotalCount"] > 0)


def looks(ccp: FakeCcp, more: int = 3) -> None:
    """Wait for further complete observations."""
    seen = len(ccp.asked("get_cluster_monitor")) + more
    wait_until(lambda: len(ccp.asked("get_cluster_monitor")) >= seen, what="observations")


def only(ccp: FakeCcp) -> FakeWorkload:
    [workload] = [one for one in ccp.workloads.values() if one.asked is not None]
    return workload


def refused(answer: Answer, status: int, code: int, *words: str) -> None:
    assert (answer.status, answer.code) == (status, code), answer
    assert all(word in answer.message for word in words), answer


def asked_of(ccp: FakeCcp, *rows: str) -> list[int]:
    return [len(ccp.asked(row)) for row in rows]


def never_asked_by_name(ccp: FakeCcp) -> None:
    """POST on a name goes out only to delete, and once for each workload."""
    posted = [call.path for call in ccp.calls("POST", r"/CCP/AlgoService/Workloads/[^/]+")]
    assert len(posted) == len(set(posted)), posted
