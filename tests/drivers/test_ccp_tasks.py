"""Tasks on the pods of a computing platform, by the engine interface: against real engines."""

from __future__ import annotations

from typing import Any

import pytest

from acsmpd.faults import Permanent, Temporary, Unknown
from acsmpd.model import CreateTask, DeleteTask, LookTask, Outcome, ResumeTask, Scale, UpdateTask
from acsmpd.security.egress import EgressPolicy
from acsmpd.wire.caller import Wire
from tests.drivers.ccp_setup import LOAD, NAME, Stage
from tests.support.fake_ccp import CLUSTER, FakeCcp
from tests.support.fake_stage import info


def start(stage: Stage, key: str, **more: Any) -> Outcome:
    return stage.perform(
        CreateTask(info=info(**more), restart_policy="ALWAYS", facility_service_id=key, load_id=LOAD)
    )


def test_without_an_interface_tasks_are_refused(stage: Stage, ccp: FakeCcp) -> None:
    key = stage.load()
    for step in (DeleteTask(task_id="x@y"), LookTask(task_id="x@y")):
        with pytest.raises(Permanent, match="controls no tasks"):
            stage.perform(step)
    with pytest.raises(Permanent, match="controls no tasks"):
        start(stage, key)
    assert ccp.tasks() == []


def test_tasks_live_on_the_pods(tasked: Stage, ccp: FakeCcp) -> None:
    key = tasked.load(replicas=2)
    with pytest.raises(Temporary, match="is ready"):
        start(tasked, key)
    first, second = start(tasked, key), start(tasked, key, stream="rtsp://127.0.0.1/two")
    pods = [pod.name for pod in ccp.workloads[NAME].pods]
    assert {one.facility_id.partition("@")[2] for one in (first, second)} == set(pods)
    seen = tasked.observe(first.facility_id, second.facility_id)
    assert {one.task_id for one in seen.tasks or ()} == {first.facility_id, second.facility_id}
    assert {one.service_id for one in seen.tasks or ()} == {key}
    tasked.perform(
        UpdateTask(
            task_id=first.facility_id,
            info=info("rtsp://127.0.0.1/new"),
            restart_policy="ALWAYS",
            load_id=LOAD,
        )
    )
    found = tasked.perform(LookTask(task_id=first.facility_id)).task
    assert found is not None
    assert found.stream_url == "rtsp://127.0.0.1/new"
    tasked.perform(ResumeTask(task_id=first.facility_id))
    tasked.perform(DeleteTask(task_id=second.facility_id))
    assert len(ccp.tasks()) == 1
    tasked.perform(Scale(load_id=LOAD, facility_id=key, replicas=0))
    assert tasked.observe(first.facility_id).tasks == ()
    assert tasked.perform(DeleteTask(task_id=first.facility_id)).gone


def test_an_engine_that_does_not_answer_hides_nothing_of_the_others(tasked: Stage, ccp: FakeCcp) -> None:
    key = tasked.load(replicas=2)
    tasked.observe()
    known = [start(tasked, key, stream=f"rtsp://127.0.0.1/{one}").facility_id for one in range(2)]
    stuck, other = ccp.workloads[NAME].pods
    assert stuck.engine is not None
    stuck.engine.answer_http(200, "<html>proxy</html>")
    seen = tasked.observe(*known)
    assert {one.task_id for one in seen.tasks or ()} == set(known)
    assert any(stuck.name in fault for fault in seen.faults)
    stuck.engine.behave()
    stuck.engine.drop_answer(operation="create_algo_task")
    ccp.fail_pod(other)
    with pytest.raises(Unknown):
        start(tasked, key, stream="rtsp://127.0.0.1/three")
    stuck.engine.answer_http(500, "")
    assert tasked.observe(*known).tasks is None
    stuck.engine.behave()
    assert len(tasked.observe(*known).tasks or ()) == 2  # that of the failed pod is gone


def test_before_the_first_look_nothing_is_said_of_a_task(tasked: Stage, ccp: FakeCcp) -> None:
    with pytest.raises(Temporary, match="have not been looked at yet"):
        tasked.perform(DeleteTask(task_id="x@pod"))
    tasked.observe()
    assert tasked.perform(DeleteTask(task_id="x@pod")).gone


def test_where_a_pod_is_is_judged_by_the_egress_policy(ccp: FakeCcp) -> None:
    wire = Wire(EgressPolicy((f"127.0.0.1:{ccp.port}",)), "1" * 20, 2.0, 2.0, 1024 * 1024)
    try:
        stage = Stage(wire, ccp.url, "ours")
        key = stage.load()
        stage.observe()
        with pytest.raises(Permanent, match="loopback"):
            start(stage, key)
        assert ccp.tasks() == []
    finally:
        wire.close()


def test_a_task_step_goes_where_its_pod_is_now(tasked: Stage, ccp: FakeCcp) -> None:
    """The address a pod had may be another's by now; a platform that does not tell is believed its last look."""
    key = tasked.load(replicas=2)
    tasked.observe()
    first, second = start(tasked, key), start(tasked, key, stream="rtsp://127.0.0.1/two")
    moved, kept = ccp.workloads[NAME].pods
    of = {one.facility_id.partition("@")[2]: one.facility_id for one in (first, second)}
    moved.ip = "169.254.169.254"
    with pytest.raises(Permanent, match=r"169\.254\.169\.254"):
        tasked.perform(DeleteTask(task_id=of[moved.name]))
    [call] = ccp.asked("get_pod")
    selectors = {"ClusterCode": CLUSTER, "Namespace": "default", "WorkloadName": NAME, "PodName": moved.name}
    assert (call.path, call.json) == (f"/CCP/AlgoService/Pods/{moved.name}", selectors)
    ccp.refuse(50012, "no mood", operation="get_pod")
    tasked.perform(DeleteTask(task_id=of[kept.name]))
    assert len(ccp.tasks()) == 1
    ccp.behave()
    ccp.workloads[NAME].pods.remove(moved)
    assert tasked.perform(DeleteTask(task_id=of[moved.name])).gone
    assert moved.engine is not None
    moved.engine.stop()
