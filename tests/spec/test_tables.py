"""The one table of rows: unique, complete, and flagged as the house has it."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from itertools import combinations

import msgspec
import pytest

from acsmpd.spec.message import Envelope, data_type, printed
from acsmpd.spec.operation import MIB, Access, Face, Operation
from acsmpd.spec.tables import BY_ID, OPERATIONS

PLANNED_TABLES: set[int] = set()


def addresses(row: Operation) -> list[tuple[str, str]]:
    """Every (method, address) a row answers, path values made anonymous."""
    return [(method, re.sub(r"<[^>]+>", "<>", uri)) for method, uri in ((row.method, row.uri), *row.aliases)]


def told_apart(one: Operation, other: Operation) -> bool:
    if one.when_body_has and other.when_body_has:
        (name, there), (other_name, other_there) = one.when_body_has, other.when_body_has
        return name == other_name and there != other_there
    return bool(
        one.when_content_type and other.when_content_type and one.when_content_type != other.when_content_type
    )


def test_ids_are_unique() -> None:
    assert len(BY_ID) == len(OPERATIONS)


def test_no_two_rows_share_an_address_without_a_discriminator() -> None:
    rows: dict[tuple[str, str], list[Operation]] = defaultdict(list)
    for row in OPERATIONS:
        for address in addresses(row):
            rows[address].append(row)
    shared = {
        (one.id, other.id)
        for there in rows.values()
        for one, other in combinations(there, 2)
        if not told_apart(one, other)
    }
    assert shared == {("ccp.delete_workload", "ccp.get_workload")}  # X-CCP-DELETE: we call the first only


def test_the_one_pair_that_cannot_be_told_apart_is_never_served() -> None:
    assert not BY_ID["ccp.delete_workload"].served
    assert not BY_ID["ccp.get_workload"].served


def test_the_printed_collisions_are_told_apart() -> None:
    pairs = [
        (BY_ID["acsmp.import_license"], BY_ID["acsmp.search_licenses"]),
        (BY_ID["cad.install_algo_package"], BY_ID["cad.list_algo_packages"]),
        (BY_ID["ccp.create_workload"], BY_ID["ccp.list_workloads"]),
    ]
    assert all(told_apart(one, other) for one, other in pairs)
    assert all((one.method, one.uri) == (other.method, other.uri) for one, other in pairs)


def test_every_placeholder_has_its_type_and_no_other() -> None:
    for row in OPERATIONS:
        for _method, uri in ((row.method, row.uri), *row.aliases):
            assert set(re.findall(r"<([^>]+)>", uri)) <= set(row.path), row.id
        assert set(re.findall(r"<([^>]+)>", row.uri)) == set(row.path), row.id


@pytest.mark.parametrize(
    ("operation", "name", "good", "bad"),
    [
        ("acsmp.get_task", "ID", "12", "Search"),
        ("acsmp.get_task", "ID", "9223372036854775807", "9223372036854775808"),
        ("acsmp.get_task_instance", "ID", "a:b", "a/b"),
        ("acsmp.get_task_instance", "ID", "x" * 128, "x" * 129),
        ("acsmp.get_algo_def", "Code", "A-B-1.0.0", "x" * 257),
        ("acsmp.get_algo_file_package", "ID", "1" * 40, "1" * 41),
        ("acsmp.delete_algo_package_from_device", "ComputilityCode", "1" * 20, "1" * 19),
        ("acsmp.get_algo_service", "AlgoServiceID", "x" * 256, "a:b"),
        ("cad.get_algo_task", "ID", "id-1", "id-1:resume"),
        ("acsmp.show_computility", "Code", "1" * 20, "Statistics"),
        ("acsmp.get_result_image", "Index", "0", "-1"),
    ],
)
def test_path_values_are_typed(operation: str, name: str, good: str, bad: str) -> None:
    kind = BY_ID[operation].path[name]
    assert str(msgspec.convert(good, kind, strict=False)) == good
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(bad, kind, strict=False)


def test_a_static_segment_never_passes_for_a_typed_value() -> None:
    """DELETE /ACSMP/Tasks/Search must not reach delete-plan (a word is no plan id, no code)."""
    for operation in (
        "acsmp.delete_task",
        "acsmp.update_task",
        "acsmp.get_auth_server",
        "acsmp.show_computility",
    ):
        (kind,) = BY_ID[operation].path.values()
        for word in ("Search", "Start", "Statistics", "Quota"):
            with pytest.raises(msgspec.ValidationError):
                msgspec.convert(word, kind, strict=False)


def test_every_message_of_a_row_is_usable() -> None:
    for row in OPERATIONS:
        for kind in filter(None, (row.request, row.response)):
            assert msgspec.structs.fields(kind) is not None
        if row.response.__name__ not in ("Binary", "Document", "Health"):
            assert issubclass(row.response, Envelope), row.id


def test_the_only_default_is_none() -> None:
    seen: set[type] = set()

    def walk(kind: object) -> None:
        if not isinstance(kind, type) or not issubclass(kind, msgspec.Struct) or kind in seen:
            for part in getattr(kind, "__args__", ()):
                walk(part)
            return
        seen.add(kind)
        for field in msgspec.structs.fields(kind):
            assert field.required or field.default is None, (kind, field.name)
            walk(field.type)

    for row in OPERATIONS:
        walk(row.request)
        walk(row.response)
    assert len(seen) > 120


def test_served_called_and_planned() -> None:
    for row in OPERATIONS:
        assert row.served or row.called, row.id
        if row.face is Face.ACSMP and not row.extension:
            assert row.planned == (row.table in PLANNED_TABLES), row.id
            assert row.called == (row.table in (40, 41, 42)), row.id
    faces = {face: [row for row in OPERATIONS if row.face is face] for face in Face}
    assert all(row.served and row.called and not row.planned for row in faces[Face.CAD])
    assert all(row.served and row.called and not row.planned for row in faces[Face.CAP])
    assert all(row.called and not row.served for row in faces[Face.CCP])
    assert all(row.access is Access.FACE for face in (Face.CAD, Face.CCP) for row in faces[face])
    assert all(row.access is Access.SITE_FACE for row in faces[Face.CAP])
    assert [row.uri for row in faces[Face.PLAIN]] == ["/healthz", "/readyz", "/openapi.json"]
    assert all(row.access is Access.OPEN for row in faces[Face.PLAIN])


def test_what_changes_something_may_be_waited_for() -> None:
    for row in OPERATIONS:
        if row.face is Face.ACSMP and not row.extension:
            writes = row.access in (Access.OPERATE, Access.PACKAGES, Access.ADMIN)
            assert row.wait == writes, row.id


def test_reads_keepalive_and_results_are_counted() -> None:
    for row in OPERATIONS:
        if row.served and row.access is Access.READ:
            assert row.audit == "counted", row.id
        if row.access in (Access.OPERATE, Access.PACKAGES, Access.ADMIN, Access.CREDENTIALS):
            assert row.audit == "always" or row.planned, row.id
    assert BY_ID["acsmp.keepalive_compute"].audit == BY_ID["acsmp.receive_result"].audit == "counted"


def test_who_may_call() -> None:
    counts = Counter(row.access for row in OPERATIONS if row.face is Face.ACSMP and not row.extension)
    assert counts == {
        Access.READ: 20,
        Access.OPERATE: 14,
        Access.ADMIN: 5,
        Access.PACKAGES: 2,
        Access.CREDENTIALS: 2,
        Access.KEEPALIVE: 1,
    }
    assert BY_ID["acsmp.import_algo_file_package"].access is Access.PACKAGES
    assert BY_ID["acsmp.public_key"].access is Access.OPEN
    assert BY_ID["acsmp.receive_result"].access is Access.RESULT
    assert BY_ID["acsmp.download_package"].access is Access.LINK


def test_body_caps() -> None:
    small = {row.id for row in OPERATIONS if row.body_cap == 64 * 1024}
    assert small == {
        "acsmp.register_compute",
        "acsmp.unregister_compute",
        "acsmp.keepalive_compute",
        "acsmp.login",
        "acsmp.change_password",
    }
    assert BY_ID["acsmp.receive_result"].body_cap == 16 * MIB
    assert 2 * MIB < BY_ID["acsmp.import_license"].body_cap < 3 * MIB
    assert BY_ID["acsmp.import_algo_file_package"].body_cap == 16 * 1024 * MIB
    assert BY_ID["acsmp.create_task"].body_cap == MIB


def test_aliases_the_contract_asks_for() -> None:
    wanted = {
        "acsmp.get_device_algo_package": [("GET", BY_ID["acsmp.get_device_algo_package"].uri)],
        "acsmp.update_task_instance": [("PUT", "/ACSMP/TaskInstances")],
        "acsmp.search_licenses": [("POST", "/ACSMP/License/Search")],
        "cad.list_algo_packages": [
            ("GET", "/CAD/Machine/AlgoPackages"),
            ("POST", "/CAD/Machine/AlgoPackages/Search"),
            ("POST", "/CAD/Machine/AlgoPackages/search"),
            ("POST", "/CAD/Machine/AlgoPackages:search"),
        ],
        "cad.resume_algo_task": [("POST", "/CAD/AlgoTasks/<ID>/resume")],
        "cap.push_exec_file": [("POST", "/CAP/AlgoFilePackages/pushExecFile")],
        "cap.pause_algo_task": [("POST", "/CAP/AlgoTasks/<ID>/pause")],
    }
    for operation, aliases in wanted.items():
        assert list(BY_ID[operation].aliases) == aliases
    colon = [row for row in OPERATIONS if ":" in row.uri]
    assert len(colon) == 3 + 6
    assert all(any("/" + row.uri.rpartition(":")[2] in uri for _method, uri in row.aliases) for row in colon)


def test_every_row_says_what_it_does() -> None:
    assert all(row.summary for row in OPERATIONS)


@pytest.mark.parametrize(
    ("name", "wire"),
    [
        ("algo_file_package_id", "AlgoFilePackageID"),
        ("device_ids", "DeviceIDs"),
        ("ip", "IP"),
        ("md5", "MD5"),
        ("os", "OS"),
        ("url", "Url"),
        ("result_receive_url", "ResultReceiveUrl"),
    ],
)
def test_printed_names(name: str, wire: str) -> None:
    assert printed(name) == wire


def test_data_type_of_an_answer() -> None:
    assert data_type(BY_ID["acsmp.delete_task"].response) is None
    assert data_type(BY_ID["acsmp.search_tasks"].response).__name__ == "TaskPageResponse"
