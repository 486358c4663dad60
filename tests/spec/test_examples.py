"""The printed bodies, as literals: read without a fault, and no value is lost on the way through."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from acsmpd.faults import InvalidField, MissingField
from acsmpd.spec.reading import check_task_info, read_strict, read_tolerant, to_json
from acsmpd.spec.tables import BY_ID
from tests.spec.described import FACES, FOLDER

COUNTS = {"part5-acsmp": 70, "part4-cad": 20, "part4-cap": 25, "part4-ccp": 20}
# Path values printed as a body: the row reads none.
BODILESS = {"acsmp.get_task", "acsmp.get_task_instance"}
# Requests the contract does not accept as printed (their resolve lines), with the fault they get.
REFUSED = {
    "acsmp.import_algo_file_package": (InvalidField, "$.File: must be a file part of a form, not a string"),
    "acsmp.import_license": (InvalidField, "$.File: must be a file part of a form, not a string"),
    "cad.push_algo_file_package": (MissingField, "$.AlgoFilePackageID: required"),
    "ccp.delete_workload": (MissingField, "$.WorkloadName: required"),
    "ccp.scale_workload": (MissingField, "$.WorkloadName: required"),
    "ccp.get_workload": (MissingField, "$.WorkloadName: required"),
    "ccp.get_pod": (MissingField, "$.PodName: required"),
}
# Values that are read as something else: (printed key, value or None for any) -> (written key, value).
FOLDED: dict[tuple[str, Any], tuple[str, Any]] = {
    ("Code", "0"): ("Code", 0),
    ("code", 0): ("Code", 0),
    ("AlgoFilePackageCode", None): ("AlgoFilePackageID", None),
    ("Status", "RUNNING"): ("Status", 3),
    ("Status", "STOPPED"): ("Status", "PAUSED"),
    ("Status", "runing"): ("Status", "RUNNING"),
    ("Code", "machine_Code"): ("DeviceID", "machine_Code"),
    ("Type", "Image"): ("Type", "image"),
    ("ID", None): ("AlgoFilePackageID", None),
    ("Node", None): ("NodeHost", None),
    ("remote_uri", None): ("remoteUri", None),
    ("local_uri", None): ("localUri", None),
    ("algo_runtime", None): ("AlgoRuntime", None),
    ("Namespace", 1): ("Namespace", "1"),
}
# Members no table has, dropped on purpose.
DROPPED = {
    "acsmp.search_algo_file_packages": ["$.Data[0].Code"],
    "acsmp.get_algo_file_package": ["$.Data.Code"],
    "cap.delete_algo_service": ["$.Data"],
}


def load(part: str) -> dict[str, dict[str, Any]]:
    return json.loads((FOLDER / "examples" / f"{part}.json").read_text(encoding="utf-8"))


def cases(side: str) -> list[tuple[str, Any]]:
    return [
        (f"{face}.{name}", bodies[side])
        for part, face in FACES.items()
        for name, bodies in load(part).items()
        if side in bodies
    ]


def lost(printed: Any, kept: Any, path: str = "$") -> Iterator[str]:
    """The places of `printed` whose value is not in `kept`, foldings aside."""
    if isinstance(printed, dict) and isinstance(kept, dict):
        for key, value in printed.items():
            if value is not None:
                yield from _lost_member(key, value, kept, f"{path}.{key}")
    elif isinstance(printed, list) and isinstance(kept, list) and len(printed) == len(kept):
        if path.endswith("List"):
            printed = sorted(printed, key=list)
        for at, (before, after) in enumerate(zip(printed, kept, strict=True)):
            yield from lost(before, after, f"{path}[{at}]")
    elif printed != kept:
        yield path


def _lost_member(key: str, value: Any, kept: dict[str, Any], path: str) -> Iterator[str]:
    plain = value if isinstance(value, (str, int)) else None
    there = [(name, it) for name, it in [(key, value), *_foldings(key, plain, value)] if name in kept]
    tries = [list(lost(expected, kept[name], path)) for name, expected in there]
    if [] not in tries:
        yield from tries[0] if tries else [path]


def _foldings(key: str, plain: Any, value: Any) -> list[tuple[str, Any]]:
    found = [FOLDED[pair] for pair in ((key, plain), (key, None)) if pair in FOLDED]
    return [(name, value if expected is None else expected) for name, expected in found]


def test_every_printed_body_is_here() -> None:
    assert {part: sum(len(bodies) for bodies in load(part).values()) for part in FACES} == COUNTS


@pytest.mark.parametrize(
    ("operation", "body"), cases("request"), ids=lambda it: it if isinstance(it, str) else ""
)
def test_printed_requests_are_read(operation: str, body: Any) -> None:
    row = BY_ID[operation]
    if operation in BODILESS:
        assert row.request is None
        return
    assert row.request is not None
    raw = json.dumps(body).encode()
    if operation in REFUSED:
        kind, words = REFUSED[operation]
        with pytest.raises(kind) as fault:
            read_strict(row.request, raw)
        assert fault.value.message == words
        return
    message, unknown = read_strict(row.request, raw)
    assert unknown == 0
    assert list(lost(body, json.loads(to_json(message)))) == []
    assert read_strict(row.request, to_json(message)) == (message, 0)


@pytest.mark.parametrize(
    ("operation", "body"), cases("response"), ids=lambda it: it if isinstance(it, str) else ""
)
def test_printed_answers_are_read(operation: str, body: Any) -> None:
    message = read_tolerant(BY_ID[operation].response, json.dumps(body).encode())
    written = json.loads(to_json(message))
    assert message.code == 0
    assert list(lost(body, written)) == DROPPED.get(operation, [])
    assert read_tolerant(BY_ID[operation].response, written) == message


def test_the_tasks_of_the_printed_requests_pass_the_check() -> None:
    create, _ = read_strict(BY_ID["acsmp.create_task"].request, _body("part5-acsmp", "create_task"))
    device, _ = read_strict(BY_ID["cad.create_algo_task"].request, _body("part4-cad", "create_algo_task"))
    for info in (*create.algo_task_infos, device.task_info):
        check_task_info(info)


def _body(part: str, name: str) -> bytes:
    return json.dumps(load(part)[name]["request"]).encode()


def test_a_lost_value_would_be_seen() -> None:
    assert list(lost({"A": {"B": 1}}, {"A": {"B": 2}})) == ["$.A.B"]
    assert list(lost({"A": [1, 2]}, {"A": [1]})) == ["$.A"]
    assert list(lost({"Code": "0"}, {"Code": 1})) == ["$.Code"]
