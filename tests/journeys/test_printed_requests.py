"""Every printed request of the served rows, sent to a running site: understood, and answered as published."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acsmpd.spec.operation import Access, Operation
from acsmpd.spec.tables import BY_ID
from tests.api.published import DOCUMENT, answer_of
from tests.spec.test_examples import BODILESS, load
from tests.support.fake_cad import FakeCad
from tests.support.packaging import make_package
from tests.support.site import Answer, Client, Site, running

PRINTED_PATHS = {
    "/ACSMP/AlgoFilePackages/<ID>": "/ACSMP/AlgoFilePackages/1101150192508600000120231012203630000101",
    "/ACSMP/TaskInstances/<ID>": "/ACSMP/TaskInstances/70553686-096f-488b-8151-9c1e47adafa5",
    "/CAD/AlgoTasks/<ID>": "/CAD/AlgoTasks/70553686-096f-488b-8151-9c1e47adafa5",
    "/CAP/AlgoTasks/<ID>": "/CAP/AlgoTasks/70553686-096f-488b-8151-9c1e47adafa5",
}
PRINTED_VALUES = {
    "ID": "1", "Code": "PROVIDER-HUMAN_ATTR_ALERT-1.0.0", "AlgoDefCode": "PROVIDER-HUMAN_ATTR_ALERT-1.0.0",
    "ComputilityCode": "11010800005020000001", "AlgoServiceID": "76079e21-1b8b-4151-b904-6c56a4635d58",
    "AlgoFilePackageID": "1101150192508600000120231012203630000102",
}  # fmt: skip
DEVICE, PACKAGE = PRINTED_VALUES["ComputilityCode"], PRINTED_VALUES["AlgoFilePackageID"]
FORMS = {"acsmp.import_algo_file_package", "acsmp.import_license"}
"""Printed with the name of a file where the form has its content."""
BUSINESS = {404: {40401}, 409: {40901, 40902, 40903, 40904}, 501: {50100}}
REFUSED_BY_THE_CONTRACT = {
    "cad.push_algo_file_package": 40002,  # the print lacks AlgoFilePackageID
    "acsmp.unregister_compute": 40102,  # an unknown code is told what a wrong password is
}


def cases() -> list[Operation]:
    """The rows of the printed examples of Part 5, of a CAD and of a CAP, in the order of their tables."""
    named = [f"acsmp.{name}" for name in load("part5-acsmp")]
    named += [f"{face}.{name}" for face in ("cad", "cap") for name in load(f"part4-{face}")]
    return [BY_ID[row_id] for row_id in named if BY_ID[row_id].served]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running(tmp_path_factory.mktemp("printed") / "site") as one:
        yield one


@pytest.fixture(scope="module")
def above(site: Site) -> Client:
    """Somebody with the right `federation` and no role more than a viewer's."""
    return site.as_role("viewer", "federation")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return printed_package(tmp_path_factory.mktemp("file"))


def printed_package(folder: Path) -> Path:
    """The package the examples speak of."""
    return make_package(
        folder, package_id=PACKAGE, name="megcity-a2", version="2.0.1", provider="PROVIDER",
        codes=(PRINTED_VALUES["Code"],), events=("ILLEGAL_ADV",), env={"AUTH_SERVER_ADDR": ""},
        file_name="AlgoPackage.tar",
    )  # fmt: skip


def path_of(row: Operation) -> str:
    path = row.uri
    for printed, value in PRINTED_PATHS.items():
        path = value + path.removeprefix(printed) if path.startswith(printed) else path
    for name, value in PRINTED_VALUES.items():
        path = path.replace(f"<{name}>", value)
    return path


def printed_body(row: Operation) -> Any:
    face, _, name = row.id.partition(".")
    body = load("part5-acsmp" if face == "acsmp" else f"part4-{face}")[name].get("request")
    return None if row.id in BODILESS else body


def send(client: Client, row: Operation, file: Path) -> Answer:
    body = printed_body(row)
    if row.id in FORMS:
        fields = {name: value for name, value in body.items() if name != "File"}
        content = {"File": (body["File"], file.read_bytes())}
        return client.ask(row.method, path_of(row), files=content, data=fields)
    return client.ask(row.method, path_of(row), body)


def caller(site: Site, above: Client, row: Operation) -> Client:
    """Devices show no token when they register; the platform above calls its own face."""
    if row.access in (Access.CREDENTIALS, Access.KEEPALIVE):
        return Client(site.url, None)
    return site.client if row.face.value == "ACSMP" else above


def check_published(row: Operation, answer: Answer) -> None:
    """The answer is one the document has for this row."""
    responses = DOCUMENT["paths"][row.uri.replace("<", "{").replace(">", "}")][row.method.lower()][
        "responses"
    ]
    status = str(answer.status) if str(answer.status) in responses else "default"
    found = [error.message for error in answer_of(row.id, status).iter_errors(answer.body)]
    assert not found, (answer, found)


def test_every_printed_request_is_among_them() -> None:
    rows = cases()
    with_body = [row for row in rows if printed_body(row) is not None]
    assert (len(rows), len(with_body)) == (74, 39)
    assert not {row.id for row in rows if "<" in path_of(row)}


def test_the_document_of_the_site_is_the_one_answers_are_held_against(site: Site) -> None:
    assert site.client.get("/openapi.json").body == DOCUMENT


@pytest.mark.parametrize("row", cases(), ids=lambda row: row.id)
def test_a_printed_request_is_understood(site: Site, above: Client, file: Path, row: Operation) -> None:
    answer = send(caller(site, above, row), row, file)
    check_published(row, answer)
    code = int(answer.code or 0)
    if row.id in REFUSED_BY_THE_CONTRACT:
        assert code == REFUSED_BY_THE_CONTRACT[row.id], answer
        return
    assert code == 0 or code in BUSINESS.get(code // 100, ()), answer
    assert answer.status == (
        501 if row.planned else code // 100 if row.face.value == "ACSMP" and code else 200
    )


def fine(client: Client, row_id: str, path: str, body: Any = None) -> Any:
    """The Data of a success that is as published."""
    answer = client.ask(BY_ID[row_id].method, path, body)
    assert int(answer.code or 0) == 0, answer
    assert answer.status == 200
    check_published(BY_ID[row_id], answer)
    return answer.data


def test_real_answers_about_real_things_are_as_published(tmp_path: Path) -> None:
    """A printed task on a real device, and everything that can be read about it."""
    both = {"AlgoFilePackageID": PACKAGE, "ComputilityCode": DEVICE}
    with FakeCad(DEVICE, "Username", "Password") as device, running(tmp_path / "site") as site:
        client = site.client
        assert device.register(site.url).accepted
        assert client.upload(printed_package(tmp_path)).code == 0
        fine(client, "acsmp.push_algo_package_to_device", "/ACSMP/AlgoFilePackages/Devices", both)
        load_body = printed_body(BY_ID["acsmp.install_algo_service"])
        service = fine(client, "acsmp.install_algo_service", "/ACSMP/AlgoServices/Devices?Wait=20", load_body)
        plan = {**printed_body(BY_ID["acsmp.create_task"]), "AutoStart": True, "PlanDayTime": None}
        number = fine(client, "acsmp.create_task", "/ACSMP/Tasks?Wait=20", plan)
        info = fine(client, "acsmp.get_task", f"/ACSMP/Tasks/{number}")["AlgoTaskInfos"][0]
        assert device.running_tasks()
        reads: list[tuple[str, str, Any]] = [
            ("search_algo_file_packages", "/ACSMP/AlgoFilePackages/Search", {}),
            ("get_algo_file_package", f"/ACSMP/AlgoFilePackages/{PACKAGE}", None),
            ("search_algo_defs", "/ACSMP/AlgoDef/Search", {}),
            ("get_algo_def", f"/ACSMP/AlgoDef/{PRINTED_VALUES['Code']}", None),
            (
                "search_device_algo_packages",
                "/ACSMP/AlgoFilePackages/Devices/Search",
                {"ComputilityCode": DEVICE},
            ),
            ("get_device_algo_package", f"/ACSMP/AlgoFilePackages/Devices/{DEVICE}/{PACKAGE}", None),
            ("search_algo_services", "/ACSMP/AlgoServices/Devices/Search", {"ComputilityCode": DEVICE}),
            ("get_algo_service", f"/ACSMP/AlgoServices/Devices/{DEVICE}/{service}", None),
            ("search_tasks", "/ACSMP/Tasks/Search", {}),
            ("search_task_instances", "/ACSMP/TaskInstances/Search", {"TaskID": number}),
            ("get_task_instance", f"/ACSMP/TaskInstances/{info['ID']}", None),
            ("search_computility", "/ACSMP/Computility", {"ComputilityCode": DEVICE}),
            ("get_computility", f"/ACSMP/Computility?ComputilityCode={DEVICE}", None),
        ]
        for name, path, body in reads:
            assert fine(client, f"acsmp.{name}", path, body), name
