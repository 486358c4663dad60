"""The one thin line: import, push, load, task, result, restart, all over real HTTP against a CAD."""

from __future__ import annotations

from pathlib import Path

from tests.support.fake_cad import FakeCad
from tests.support.packaging import CAPABILITY, PACKAGE_ID, make_package, task_info
from tests.support.site import Site
from tests.support.wait import wait_until


def test_a_job_from_import_to_result_and_over_a_restart(site: Site, tmp_path: Path) -> None:
    with FakeCad() as cad:
        assert cad.register(site.url).accepted
        client = site.client
        site.until("/ACSMP/Computility/" + cad.code, lambda d: d["State"] == "online")

        # import
        answer = client.upload(make_package(tmp_path))
        assert answer.code == 0, answer
        assert answer.data["AlgoFilePackageID"] == PACKAGE_ID
        shown = client.fine("GET", f"/ACSMP/AlgoDef/{CAPABILITY}")
        assert shown["Status"] == "DEPLOYABLE"

        # load: the package is pushed for us
        service = client.fine(
            "POST",
            "/ACSMP/AlgoServices/Devices?Wait=20",
            {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": cad.code},
        )
        detail = client.fine("GET", f"/ACSMP/AlgoServices/Devices/{cad.code}/{service}")
        assert detail["Status"] == "RUNNING"
        assert cad.packages[PACKAGE_ID] == "RUNNING"
        copies = client.fine("POST", "/ACSMP/AlgoFilePackages/Devices/Search", {"ComputilityCode": cad.code})
        assert [(copy["AlgoFilePackageID"], copy["Status"]) for copy in copies] == [(PACKAGE_ID, 3)]

        # task
        plan = client.fine(
            "POST",
            "/ACSMP/Tasks?Wait=20",
            {
                "Name": "gate",
                "Type": "VIDEO_REALTIME",
                "Mode": "PERIODIC",
                "AutoStart": True,
                "AlgoTaskInfos": [task_info()],
            },
        )
        task = site.until(f"/ACSMP/Tasks/{plan}", lambda d: d["RunningCount"] == 1)
        assert (task["TotalCount"], task["Status"]) == (1, "ON")
        instance = task["AlgoTaskInfos"][0]["ID"]
        [running] = cad.running_tasks()
        assert running.sent_id == instance

        # result
        [said] = cad.send_result(running.task_id)
        assert said.accepted, said
        page = client.fine("POST", "/ACSMP/Results/Search", {"InstanceID": instance})
        assert page["Total"] == 1
        assert page["PageContent"][0]["EventID"] == "INTRUSION"

        # restart: everything is still true, and nothing was done twice
        site.restart()
        site.until(f"/ACSMP/Tasks/{plan}", lambda d: d["RunningCount"] == 1)
        wait_until(lambda: len(cad.calls("POST", "/CAD/AlgoTasks:search")) > 3, what="further observations")
        assert len(cad.running_tasks()) == 1
        assert len(cad.calls("POST", "/CAD/AlgoTasks")) == 1
        assert site.client.fine("POST", "/ACSMP/Results/Search", {"TaskID": plan})["Total"] == 1
        assert cad.max_running == 1
