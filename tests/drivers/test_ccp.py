"""The CCP driver against a real server: what it asks (as the contract prints it), what it reads, what it makes of odd
answers, and what it never does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acsmpd.faults import Permanent, Temporary, Unknown
from acsmpd.model import (
    DeleteCopy,
    Push,
    PushProgram,
    Scale,
)
from acsmpd.wire.caller import Wire
from tests.drivers.ccp_setup import IMAGE, LOAD, NAME, PACKAGE, Stage, deploy
from tests.support.fake_ccp import CLUSTER, FakeCcp
from tests.wire.servers import Handler, Server, serving

EXAMPLES = json.loads((Path(__file__).parents[1] / "contract/examples/part4-ccp.json").read_text())
AUTH = "192.108.1.1:8808,192.108.1.2:8808"


# --- as it is printed ---------------------------------------------------------------------------------------------


class Printed:
    """Answers every call as the contract prints it, and keeps what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Any]] = []
        self.answers: dict[str, Any] = {}

    def script(self, handler: Handler) -> None:
        name, body = handler.path.removeprefix("/CCP/"), json.loads(handler.body or b"null")
        self.asked.append((handler.command, handler.path, body))
        example = self.answers.get(f"{handler.command} {name}")
        handler.reply(200, EXAMPLES[example]["response"] if example else {"Code": "0", "Message": "success"})


@pytest.fixture
def printed() -> Iterator[tuple[Printed, Server]]:
    one = Printed()
    with serving(one.script) as server:
        yield one, server


@pytest.fixture
def said(printed: tuple[Printed, Server], wire: Wire) -> tuple[Printed, Stage]:
    one = printed[0]
    one.answers = {"POST AlgoService/Workloads": "create_workload"}
    return one, Stage(wire, printed[1].url, cluster="xxxx")


def example(name: str, **changes: Any) -> dict[str, Any]:
    """A printed request; None leaves a member out."""
    merged = {**EXAMPLES[name]["request"], **changes}
    return {key: value for key, value in merged.items() if value is not None}


SELECTORS = {"WorkloadName": "w-1", "Namespace": "default", "ClusterCode": "xxxx"}
SENT: dict[str, tuple[Any, tuple[str, str, Any]]] = {
    "push": (
        Push(package_id=PACKAGE, url="http://p/x.tar", path="", md5="", auth_address=AUTH, image=IMAGE),
        ("POST", "/CCP/AlgoService/Engines", example("push_engine")),
    ),
    "push with a licence": (
        Push(package_id=PACKAGE, url="", path="", md5="", license_url="http://p/l", image=IMAGE),
        ("POST", "/CCP/AlgoService/Engines", example("push_engine", AuthAddress=None, LicenseFile="http://p/l")),
    ),
    "delete an engine": (DeleteCopy(package_id=PACKAGE), ("DELETE", f"/CCP/AlgoService/Engines/{PACKAGE}", None)),
    "deploy": (
        deploy(replicas=3, xpu_type="NVIDIA_T4", xpu=1.0),
        ("POST", "/CCP/AlgoService/Workloads", example(
            "create_workload", Name=NAME, Labels={"app": NAME, "acsmp-load": LOAD}, LabelSelector={"app": NAME},
            ContainerName=NAME, Image=IMAGE, Namespace="default")),
    ),
    "deploy on processors, with all that can be said": (
        deploy(command=("./run.sh", "a b"), args="-v", env=(("AUTH_SERVER_ADDR", "h:1"),)),
        ("POST", "/CCP/AlgoService/Workloads", example(
            "create_workload", Name=NAME, Labels={"app": NAME, "acsmp-load": LOAD}, LabelSelector={"app": NAME},
            ContainerName=NAME, Image=IMAGE, Namespace="default", Replicas=1, XpuType="", Xpu=0.0,
            Command="./run.sh 'a b'", Args="-v", Env=[{"Name": "AUTH_SERVER_ADDR", "Value": "h:1"}])),
    ),
    "scale": (
        Scale(load_id=LOAD, facility_id="w-1@default", replicas=3),
        ("PUT", "/CCP/AlgoService/Workloads/w-1", example("scale_workload", **SELECTORS)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SENT)
def test_what_is_sent_is_what_is_printed(said: tuple[Printed, Stage], name: str) -> None:
    printed, stage = said
    step, expected = SENT[name]
    stage.perform(step)
    assert printed.asked == [expected]


def test_a_deletion_is_posted_and_looked_for(said: tuple[Printed, Stage]) -> None:
    """The printed list holds a workload without a name: whether ours is gone it does not tell."""
    printed, stage = said
    printed.answers = {"POST AlgoService/Workloads": "list_workloads"}
    with pytest.raises(Unknown, match="without a name"):
        stage.unload("w-1@default")
    page = {"PageNumber": 1, "PageSize": 100}
    assert printed.asked == [
        ("POST", "/CCP/AlgoService/Workloads/w-1", example("delete_workload", **SELECTORS)),
        (
            "POST",
            "/CCP/AlgoService/Workloads",
            example("list_workloads", WorkloadName="w-1", PAgeRequest=page),
        ),
    ]


def test_what_is_printed_is_read(said: tuple[Printed, Stage]) -> None:
    """A workload without a name is no whole listing; the name a platform gives is kept as it is."""
    printed, stage = said
    printed.answers |= {
        "GET Cluster/Monitors/xxxx": "get_cluster_monitor", "POST Node/Monitors/13": "get_node_monitor",
        "POST Node/Monitors/14": "get_node_monitor",
    }  # fmt: skip
    assert stage.load() == "human_detect-deployment-dxxds@default"
    printed.answers["POST AlgoService/Workloads"] = "list_workloads"
    seen = stage.observe()
    assert seen.services is None
    assert seen.faults == ("the workload list of 11010000005020000041 holds a workload without a name",)
    assert printed.asked[1:] == [
        ("GET", "/CCP/Cluster/Monitors/xxxx", None),
        ("POST", "/CCP/Node/Monitors/13", example("get_node_monitor", ClusterCode="xxxx")),
        ("POST", "/CCP/Node/Monitors/14", example("get_node_monitor", ClusterCode="xxxx", NodeID="14")),
        ("POST", "/CCP/AlgoService/Workloads",
         example("list_workloads", WorkloadName=None, PAgeRequest={"PageNumber": 1, "PageSize": 100})),
    ]  # fmt: skip
    first = seen.info[0]
    assert (first["IP"], first["HostName"], first["Cpu"], first["MemoryUsed"]) == (
        "127.0.0.1",
        "13",
        64,
        45.0,
    )
    assert first["XpuMonitors"][0]["XpuType"] == "NVIDIA_T4"
    assert first["AlgoServiceMonitors"][0]["AlgoFilePackageID"] == PACKAGE
    assert first["CpuUtilizationList"] == [{"1686433662199": 0.56345}, {"1686470662199": 0.34345}]


# --- looking ------------------------------------------------------------------------------------------------------


def test_a_service_is_what_its_pods_are(stage: Stage, ccp: FakeCcp) -> None:
    ccp.hold_pods()
    key = stage.load(replicas=2)
    theirs = ccp.add_foreign(image="registry:5000/people/theirs:1")

    def shown() -> tuple[str, str, int | None, str]:
        [mine] = [one for one in stage.observe().services or () if one.facility_id == key]
        return mine.status, mine.error, mine.replicas, mine.load_id

    assert shown() == ("INIT", "", 2, LOAD)
    ccp.hold_pods(False)
    stage.observe()
    assert shown() == ("RUNNING", "", 2, LOAD)
    first, second = ccp.workloads[NAME].pods
    ccp.fail_pod(first)
    reason = f": pod {first.name} is CrashLoopBackOff: exit code 3"
    assert shown() == ("RUNNING", f"1 of 2 replicas are ready{reason}", 2, LOAD)
    ccp.fail_pod(second)
    assert shown() == ("ERROR", f"none of 2 replicas is ready{reason}", 2, LOAD)
    stage.perform(Scale(load_id=LOAD, facility_id=key, replicas=0))
    assert shown() == ("INIT", "it is scaled to no replica", 0, LOAD)
    seen = stage.observe()
    [other] = [one for one in seen.services or () if one.facility_id == f"{theirs.name}@default"]
    assert (other.package_id, other.load_id, other.status) == ("registry-5000-people-theirs-1", "", "RUNNING")
    assert (seen.packages, seen.tasks, seen.faults) == (None, None, ())


def test_a_cluster_stands_for_nodes_that_were_not_entered(wire: Wire, ccp: FakeCcp) -> None:
    seen = Stage(wire, ccp.url, nodes=()).observe()
    assert [(one["HostName"], one["Cpu"], len(one["XpuMonitors"])) for one in seen.info] == [
        (CLUSTER, 128, 4)
    ]
    seen = Stage(wire, ccp.url, nodes=("13", "99")).observe()
    assert [(one["HostName"], one["Cpu"]) for one in seen.info] == [("13", 64)]
    assert "there is no node 99" in seen.faults[0]
    seen = Stage(wire, ccp.url, nodes=tuple(f"n{number}" for number in range(12))).observe()
    assert ([one["HostName"] for one in seen.info], len(seen.faults), seen.faults[-1]) == (
        [CLUSTER],
        6,
        "and 7 more",
    )
    with pytest.raises(Temporary, match="its Cluster is not entered"):
        Stage(wire, ccp.url, cluster="").observe()
    with pytest.raises(Temporary, match="there is no cluster cluster-9"):
        Stage(wire, ccp.url, cluster="cluster-9").observe()


@pytest.mark.parametrize("way", ["name_itself", "name_by_lot"])
def test_ours_is_known_by_its_name_or_by_the_label_of_its_pods(stage: Stage, ccp: FakeCcp, way: str) -> None:
    getattr(ccp, way)()
    key = stage.load()
    assert key != f"{NAME}@default"
    [seen] = stage.observe().services or ()
    assert (seen.facility_id, seen.load_id) == (key, LOAD)


@pytest.mark.parametrize("way", ["as it is sent", "name_itself", "name_by_lot"])
def test_a_copy_of_ours_is_not_ours(stage: Stage, ccp: FakeCcp, way: str) -> None:
    """It is listed first, with every label of ours; with names by lot nobody can tell which is which."""
    if way != "as it is sent":
        getattr(ccp, way)()
    key = stage.load()
    ccp.copy_of(next(iter(ccp.workloads.values())), "a-copy")
    seen = {one.facility_id: one.load_id for one in stage.observe().services or ()}
    assert seen == {"a-copy@default": "", key: "" if way == "name_by_lot" else LOAD}


def test_services_are_looked_for_where_they_were_put(wire: Wire, ccp: FakeCcp) -> None:
    Stage(wire, ccp.url, namespaces=("elsewhere",)).load()
    assert Stage(wire, ccp.url).observe().services == ()
    [seen] = Stage(wire, ccp.url, namespaces=("default", "elsewhere")).observe().services or ()
    assert seen.facility_id == f"{NAME}@elsewhere"


@pytest.mark.parametrize(
    ("way", "words"),
    [
        ("lists_change", "changed while"),
        ("list_incompletely", "does not add up"),
        ("list_without_data", "no Data"),
    ],
)
def test_a_listing_that_is_not_whole_is_none(stage: Stage, ccp: FakeCcp, way: str, words: str) -> None:
    stage.load()
    ccp.add_foreign()
    ccp.page_limit = 1
    assert len(stage.observe().services or ()) == 2
    getattr(ccp, way)()
    seen = stage.observe()
    assert (seen.services, len(seen.info)) == (None, 2)
    assert words in seen.faults[0]


def test_a_pod_list_that_cannot_be_had_hides_no_workload_as_gone(stage: Stage, ccp: FakeCcp) -> None:
    stage.load()
    ccp.refuse(50012, "no mood", operation="list_pods")
    assert stage.observe().services is None
    ccp.refuse(40401, "there are none", operation="list_pods")
    [seen] = stage.observe().services or ()
    assert (seen.status, seen.load_id) == ("INIT", LOAD)


DEEP = '{"Code": "0", "Data": ' + '{"a":' * 40 + "1" + "}" * 41
ODD = {
    "HTML": ("<html>nginx</html>", "no envelope"),
    "deep JSON": (DEEP, "deeper than 32 levels"),
    "wrong types": ('{"Code": "0", "Data": 7}', "cannot be read"),
    "too long": ('{"Code": "0", "Message": "' + "x" * 1_100_000 + '"}', "longer than"),
    "nothing": ('{"Code": "0"}', "no Data"),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_answers_are_no_observation(stage: Stage, ccp: FakeCcp, name: str) -> None:
    body, words = ODD[name]
    ccp.answer_http(200, body, operation="list_workloads")
    seen = stage.observe()
    assert seen.services is None
    assert words in seen.faults[0]
    ccp.behave()
    ccp.answer_http(200, body, operation="get_cluster_monitor")
    with pytest.raises(Temporary, match=words):
        stage.observe()


def test_numbers_as_texts_are_read(stage: Stage, ccp: FakeCcp) -> None:
    stage.load(replicas=2)
    ccp.numbers_as_strings()
    seen = stage.observe()
    assert [(one.replicas, one.load_id) for one in seen.services or ()] == [(2, LOAD)]
    assert seen.info[0]["Cpu"] == 64


def test_an_endless_answer_is_cut_off(wire: Wire) -> None:
    def endless(handler: Handler) -> None:
        handler.close_connection = True
        handler.connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10737418240\r\n\r\n")
        try:
            while True:
                handler.connection.sendall(b" " * 65536)
        except OSError:
            return

    with serving(endless) as server, pytest.raises(Temporary, match="longer than 1048576 bytes"):
        Stage(wire, server.url).observe()


# --- workloads: done once, deleted for certain -----------------------------------------------------------------------


def asked_of(ccp: FakeCcp, *rows: str) -> list[int]:
    return [len(ccp.asked(row)) for row in rows]


def test_a_deletion_that_was_taken_for_a_question_is_told_by_the_other_verb(
    stage: Stage, ccp: FakeCcp
) -> None:
    key = stage.load()
    ccp.take_post_for_question()
    stage.unload(key)
    assert ccp.workloads == {}
    assert asked_of(ccp, "delete_workload", "delete_for_certain") == [1, 1]


def test_after_a_lost_answer_the_list_is_looked_at_and_the_post_is_not_sent_again(
    stage: Stage, ccp: FakeCcp
) -> None:
    key = stage.load()
    ccp.drop_answer(operation="delete_workload")
    with pytest.raises(Unknown):
        stage.unload(key)
    stage.unload(key, again=True)
    assert asked_of(ccp, "delete_workload", "delete_for_certain") == [1, 0]
    key = stage.load()
    ccp.cut_before(operation="delete_workload")
    with pytest.raises(Unknown):
        stage.unload(key)
    stage.unload(key, again=True)
    assert asked_of(ccp, "delete_workload", "delete_for_certain") == [2, 1]
    assert ccp.workloads == {}


def test_what_stays_listed_is_not_gone(stage: Stage, ccp: FakeCcp) -> None:
    key = stage.load()
    ccp.keep_what_is_deleted()
    with pytest.raises(Unknown, match="listed still"):
        stage.unload(key)
    ccp.refuse(40300, "not yours", operation="delete_for_certain")
    with pytest.raises(Unknown, match="not yours"):
        stage.unload(key)
    with pytest.raises(Permanent, match="not yours"):
        stage.unload(key, again=True)
    ccp.behave()
    ccp.list_without_data()
    with pytest.raises(Unknown, match="is deleted is not known"):
        stage.unload(key, again=True)


def test_what_is_gone_is_gone(stage: Stage, ccp: FakeCcp) -> None:
    key = stage.load()
    ccp.forget()
    stage.unload(key)
    stage.unload(key, again=True)
    with pytest.raises(Temporary, match="which workload"):
        stage.unload("")
    assert stage.perform(DeleteCopy(package_id=PACKAGE)).gone


def test_only_what_names_an_image_can_be_had(stage: Stage, ccp: FakeCcp) -> None:
    for step in (Push(package_id=PACKAGE, url="u", path="", md5=""), deploy(image="")):
        with pytest.raises(Permanent, match="names none"):
            stage.perform(step)
    with pytest.raises(Permanent, match="no executable"):
        stage.perform(PushProgram(package_id=PACKAGE, path="", package_md5="", url=""))
    assert ccp.calls() == []


def test_unknown_outcomes(stage: Stage, ccp: FakeCcp) -> None:
    """A push and a number do no harm twice; a deployment may have been done."""
    ccp.drop_answer(times=None)
    with pytest.raises(Temporary):
        stage.perform(Push(package_id=PACKAGE, url="u", path="", md5="", image=IMAGE))
    with pytest.raises(Unknown):
        stage.load()
    ccp.behave()
    assert (list(ccp.engines), list(ccp.workloads)) == ([PACKAGE], [NAME])
    ccp.drop_answer()
    with pytest.raises(Temporary):
        stage.perform(Scale(load_id=LOAD, facility_id=f"{NAME}@default", replicas=2))
    assert ccp.workloads[NAME].replicas == 2
