"""The task list of a device that does not end: too long, too slow, too little in it. Never "empty", never for ever."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from acsmpd.clock import Clock, Moment
from acsmpd.drivers.listing import MAX_DETAILS, PAGE_SIZE
from acsmpd.drivers.tasks import TaskRows
from acsmpd.faults import Temporary
from acsmpd.model import Family, Peer
from acsmpd.security.egress import EgressPolicy
from acsmpd.wire.caller import Wire


class Hands(Clock):
    """A clock that the device moves."""

    def __init__(self) -> None:
        self.mono = 100.0

    def now(self) -> Moment:
        return Moment(1_800_000_000_000, self.mono, "boot")


class Device:
    """A device whose page of a number is what `page` says; each answer takes `seconds` of the clock."""

    def __init__(self) -> None:
        self.clock, self.seconds = Hands(), 0.0
        self.page: Callable[[int], list[dict[str, Any]]] = lambda _number: []
        self.pages = self.details = 0
        device = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # an answer in one piece

            def do_POST(self) -> None:
                device.pages += 1
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self.answer({"Records": device.page(asked["PageNumber"])})

            def do_GET(self) -> None:
                device.details += 1
                task_id = self.path.rpartition("/")[2]
                self.answer(record(task_id))

            def answer(self, data: dict[str, Any]) -> None:
                device.clock.mono += device.seconds
                body = json.dumps({"Code": 0, "Message": "", "Data": data}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_args: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()
        self.wire = Wire(EgressPolicy(["127.0.0.1:*"]), "1" * 20, 5, 15, 1 << 20)

    def list(self, seconds: float = 60.0) -> int:
        url = f"http://127.0.0.1:{self.server.server_port}"
        rows = TaskRows(self.wire, "cad", self.clock, seconds)
        return len(rows.listing(Peer(code="x", family=Family.CAD, url=url, auth="none"), frozenset()))

    def close(self) -> None:
        self.wire.close()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def device() -> Iterator[Device]:
    made = Device()
    yield made
    made.close()


def record(task_id: str, *, whole: bool = False) -> dict[str, Any]:
    info: dict[str, Any] = {"ID": task_id}
    if whole:
        info["RulesParams"] = [{"EventID": "FIRE"}]
        info["StreamOptions"] = {"VideoStreamOptions": {"Url": "rtsp://10.0.0.1/a"}}
    return {"TaskInfo": info, "Status": "RUNNING"}


def whole_page(number: int, size: int = PAGE_SIZE) -> list[dict[str, Any]]:
    return [record(f"t{number}-{place}", whole=True) for place in range(size)]


def test_a_listing_within_its_bounds_is_read(device: Device) -> None:
    device.page = lambda number: whole_page(number) if number < 3 else []
    assert (device.list(), device.pages, device.details) == (200, 3, 0)


def test_a_listing_has_a_deadline_over_its_pages(device: Device) -> None:
    device.page, device.seconds = whole_page, 25.0
    with pytest.raises(Temporary, match=r"^the task list of x did not come within 60 s$"):
        device.list()
    assert device.pages == 3


def test_a_listing_has_a_deadline_over_its_details(device: Device) -> None:
    device.page, device.seconds = lambda _number: [record(f"t{place}") for place in range(50)], 3.0
    with pytest.raises(Temporary, match="did not come within 10 s"):
        device.list(10.0)
    assert (device.pages, device.details) == (1, 3)


def test_only_so_many_tasks_are_asked_for_one_by_one(device: Device) -> None:
    device.page = lambda number: [record(f"t{number}-{place}") for place in range(PAGE_SIZE)]
    with pytest.raises(Temporary, match="leaves more than 200 tasks to be asked for one by one"):
        device.list()
    assert device.details == MAX_DETAILS


def test_a_page_of_another_size_than_was_asked_for(device: Device) -> None:
    device.page = lambda number: whole_page(number, PAGE_SIZE * 10) if number == 1 else []
    assert device.list() == PAGE_SIZE * 10
    device.page = lambda number: whole_page(number, PAGE_SIZE * 10 + 1)
    with pytest.raises(Temporary, match="holds a page of 1001 tasks; 100 were asked for"):
        device.list()
    assert device.pages == 3


def test_a_listing_has_only_so_many_tasks(device: Device) -> None:
    device.page = lambda number: whole_page(number, PAGE_SIZE * 10)
    with pytest.raises(Temporary, match="holds more than 20000 tasks"):
        device.list()
    assert device.pages == 21
