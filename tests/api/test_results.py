"""Results taken in and shown: the handlers over a real store and a real data directory."""

from __future__ import annotations

import base64
import io
import json
import os
import resource
import shutil
import threading
from collections.abc import Iterator
from dataclasses import fields
from datetime import timedelta, timezone
from pathlib import Path
from typing import Any

import flask
import msgspec
import pytest

from acsmpd import faults
from acsmpd.api import answers, results
from acsmpd.api.call import Call, Caller, FileReply, Reply
from acsmpd.api.platform import Platform
from acsmpd.clock import Clock, Moment
from acsmpd.security.links import LinkSigner
from acsmpd.settings import Results, Settings
from acsmpd.spec.messages.results import ResultSearchRequest
from acsmpd.spec.reading import read_strict
from acsmpd.spec.tables import BY_ID
from acsmpd.store import facts, plans
from acsmpd.store import results as store_results
from acsmpd.store.database import Store
from acsmpd.store.tables import Delivery, Instance, Picture, Result

EAST = timezone(timedelta(hours=8))
NOW_MS = 1697114200000  # 2023-10-12 20:36:40 in the east
HOUR_MS = 3_600_000
JPEG = b"\xff\xd8\xff\xe0" + bytes(200)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)
TEXT = base64.b64encode(JPEG).decode()
BODY: dict[str, Any] = {
    "RequestID": "r1", "TaskID": "what the device calls it", "AlgoServiceID": "s", "EventID": "ILLEGAL_ADV",
    "EventTime": "2023-10-12 20:36:30.123", "Pts": 1697114190123, "Mine": {"kept": [1, 2]},
    "Targets": [{"TargetID": "t", "Score": 0.97, "Odd": True}],
    "Images": [{"Type": "FULL", "Format": "jpeg", "Data": TEXT}, {"Type": "TARGET", "Data": TEXT, "Odd": 1}],
}  # fmt: skip


class Bench:
    """The handlers' surroundings, and what is asked of them."""

    def __init__(self, data: Path) -> None:
        self.data, self.store = data, Store(data / "acsmpd.db").open()
        self.signer, self.woken = LinkSigner(bytes(range(32))), threading.Event()
        self.now_ms = NOW_MS
        self.limits(Results())
        with self.store.write() as tx:
            plans.add_instance(
                tx, [("ILLEGAL_ADV", "the-capability")], id="inst", plan_id=7, type="VIDEO_REALTIME", info={},
                receive_urls={
                    "ILLEGAL_ADV": ["http://10.0.0.1/r?key=secret"], "": ["http://10.0.0.2:81/"], "FIRE": ["x"],
                },
                on=True, stream_device_id="camera", created_ms=1, changed_ms=NOW_MS,
            )  # fmt: skip

    def limits(self, given: Results) -> None:
        there: dict[str, Any] = {
            "settings": Settings(results=given), "store": self.store, "clock": Clock(), "zone": EAST,
            "signer": self.signer, "data": self.data, "wake": self.woken.set,
        }  # fmt: skip
        names = [field.name for field in fields(Platform) if field.name != "result_posts"]
        self.platform = Platform(**{name: there.get(name) for name in names})  # type: ignore[arg-type]

    def call(self, row: str, **more: Any) -> Call:
        plain: dict[str, Any] = {
            "operation": BY_ID[row], "message": None, "path": {}, "query": {}, "caller": Caller("nobody", "", ""),
            "now": Moment(self.now_ms, 5.0, "boot"), "request_id": "q",
        }  # fmt: skip
        return Call(**{**plain, **more})

    def post(
        self,
        body: Any = BODY,
        kind: str = "application/json",
        instance: str = "inst",
        signature: str = "",
        length: bool = True,
    ) -> Reply:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        path = {"InstanceID": instance, "Signature": signature or self.signer.sign("result", instance)}
        return results.receive(
            self.platform,
            self.call(
                "acsmp.receive_result", path=path, stream=io.BytesIO(raw), content_type=kind,
                content_length=len(raw) if length else None,
            ),
        )  # fmt: skip

    def search(self, **asked: Any) -> dict[str, Any]:
        message, _unknown = read_strict(ResultSearchRequest, json.dumps(asked).encode())
        found = results.search(self.platform, self.call("acsmp.search_results", message=message))
        return json.loads(msgspec.json.encode(found))

    def get(self, result_id: str) -> dict[str, Any]:
        return results.get(self.platform, self.call("acsmp.get_result", path={"ResultID": result_id}))

    def image(self, result_id: str, place: int) -> FileReply:
        path = {"ResultID": result_id, "Index": place}
        return results.image(self.platform, self.call("acsmp.get_result_image", path=path))

    def change(self, **values: Any) -> None:
        with self.store.write() as tx:
            plans.change_instance(tx, "inst", **values)

    def rows(self, table: Any) -> list[dict[str, Any]]:
        with self.store.read() as tx:
            return tx.rows(table.select().order_by(table.id))

    def left_out(self) -> int:
        with self.store.read() as tx:
            return int(facts.get(tx, results.LEFT_OUT) or 0)

    def files(self) -> list[str]:
        root = self.data / "results"
        return sorted(path.relative_to(self.data).as_posix() for path in root.rglob("*") if path.is_file())


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.store.close()


# --- our form -------------------------------------------------------------------------------------------


def test_a_result_is_stored_with_its_pictures_and_deliveries(bench: Bench) -> None:
    assert bench.post().object == "inst"
    (row,) = bench.rows(Result)
    images = [{"Type": "FULL", "Format": "jpeg"}, {"Type": "TARGET", "Odd": 1}]
    assert row["body"] == {**BODY, "Images": images}
    told = {
        name: row[name]
        for name in ("instance_id", "plan_id", "event_id", "capability", "device_id", "event_ms")
    }
    assert told == {
        "instance_id": "inst", "plan_id": 7, "event_id": "ILLEGAL_ADV", "capability": "the-capability",
        "device_id": "camera", "event_ms": 1697114190123,
    }  # fmt: skip
    assert (row["late"], row["error"], row["received_ms"]) == (False, "", NOW_MS)
    pictures = bench.rows(Picture)
    assert [(one["place"], one["size"], one["result_id"]) for one in pictures] == [
        (0, 204, row["id"]),
        (1, 204, row["id"]),
    ]
    assert bench.files() == sorted(one["path"] for one in pictures)
    assert all(one["path"].startswith("results/pictures/20231012/") for one in pictures)
    assert [(bench.data / one["path"]).read_bytes() for one in pictures] == [JPEG, JPEG]
    assert [(one["url"], one["destination"], one["attempts"]) for one in bench.rows(Delivery)] == [
        ("http://10.0.0.1/r?key=secret", "http://10.0.0.1:80", 0),
        ("http://10.0.0.2:81/", "http://10.0.0.2:81", 0),
    ]
    assert bench.woken.is_set()


def test_a_repeat_is_a_success_without_a_second_row(bench: Bench) -> None:
    bench.post()
    files = bench.files()
    bench.post({**BODY, "RequestID": "another"})
    assert (len(bench.rows(Result)), len(bench.rows(Delivery)), bench.files()) == (1, 2, files)
    bench.post({**BODY, "Pts": 1697114190124})
    assert len(bench.rows(Result)) == 2


def test_two_posts_of_one_result_at_once(bench: Bench) -> None:
    threads = [threading.Thread(target=bench.post) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert (len(bench.rows(Result)), len(bench.rows(Picture)), len(bench.files())) == (1, 2, 2)


def test_with_append_the_device_delivers_itself(bench: Bench) -> None:
    bench.limits(Results(mode="append"))
    bench.post()
    assert (len(bench.rows(Result)), bench.rows(Delivery)) == (1, [])


def test_the_devices_own_code_and_another_event(bench: Bench) -> None:
    bench.post({"EventID": "SMOKE", "DeviceID": "other"})
    (row,) = bench.rows(Result)
    assert (row["device_id"], row["capability"], row["event_ms"]) == ("other", "", NOW_MS)
    assert [one["url"] for one in bench.rows(Delivery)] == ["http://10.0.0.2:81/"]


@pytest.mark.parametrize(
    "values", [{"on": False}, {"deleted": True, "on": False, "changed_ms": NOW_MS - 72 * HOUR_MS}]
)
def test_results_of_an_instance_that_ended_are_late(bench: Bench, values: dict[str, Any]) -> None:
    bench.change(**values)
    bench.post()
    (row,) = bench.rows(Result)
    assert row["late"] is True
    assert bench.get(str(row["id"]))["Late"] is True


@pytest.mark.parametrize("body", [b"", b"x", b"[]"])
def test_links_that_are_none(bench: Bench, body: bytes) -> None:
    words = r"^this link is not valid, or not any more$"
    with pytest.raises(faults.NotFound, match=words):
        bench.post(body, signature="A" * 43)
    with pytest.raises(faults.NotFound, match=words):
        bench.post(body, signature=bench.signer.sign("package", "inst"))
    with pytest.raises(faults.NotFound, match=words):
        bench.post(body, instance="nobody")
    bench.change(deleted=True, changed_ms=NOW_MS - 72 * HOUR_MS - 1)
    with pytest.raises(faults.NotFound, match=words):
        bench.post(body)
    assert bench.rows(Result) == []


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        (b"{", 40000, "the body is not JSON"),
        (b"[" * 40 + b"]" * 40, 40000, "deeper than 32"),
        (b'{"EventID": "\xff"}', 40000, "not UTF-8"),
        (b"", 40002, "EventID"),
        (b"null", 40002, "EventID"),
        (b"[]", 40001, "$"),
        (b"{}", 40002, "EventID"),
        (b'{"EventID": ""}', 40001, "$.EventID: must not be empty"),
        (b'{"EventID": 5}', 40001, "$.EventID"),
        (b'{"EventID": "' + b"A" * 129 + b'"}', 40001, "$.EventID"),
        (b'{"EventID": "A\\u0000"}', 40001, "U+0000"),
        (b'{"EventID": "A", "Pts": "soon"}', 40001, "$.Pts"),
        (b'{"EventID": "A", "EventTime": "soon"}', 40001, "$.EventTime"),
        (b'{"EventID": "A", "Images": [{"Data": 5}]}', 40001, "$.Images[0].Data"),
        (b'{"EventID": "A", "Images": [' + b"{}," * 256 + b"{}]}", 40001, "$.Images: at most 256 are taken"),
        (b'{"EventID": "A", "Images": [null]}', 40001, "$.Images[0]"),
        (b'{"EventID": "A", "Mine": "' + b"x" * 600_000 + b'"}', 41301, "without its pictures has 600"),
    ],
    ids=str,
)
def test_bodies_that_are_refused(bench: Bench, body: bytes, code: int, words: str) -> None:
    with pytest.raises(faults.Fault) as caught:
        bench.post(body)
    assert caught.value.code == code
    assert words in caught.value.message
    assert (bench.rows(Result), bench.files()) == ([], [])


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "Application/JSON; charset=utf-8", "application/vnd.x+json"]
)
def test_content_types_that_are_json(bench: Bench, kind: str) -> None:
    bench.post(kind=kind)
    assert len(bench.rows(Result)) == 1


def test_another_content_type(bench: Bench) -> None:
    with pytest.raises(faults.UnsupportedMedia) as caught:
        bench.post(kind="image/jpeg")
    assert caught.value.message == (
        "the body is image/jpeg; this row takes application/json or multipart/form-data"
    )


@pytest.mark.parametrize("length", [True, False])
@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=b"])
def test_a_body_over_the_cap(bench: Bench, length: bool, kind: str) -> None:
    bench.limits(Results(max_body_bytes=1000))
    with pytest.raises(faults.TooLarge, match=r"^the body has more than 1000 bytes$"):
        bench.post(b"x" * 1001, kind, length=length)
    assert (bench.rows(Result), bench.files()) == ([], [])


def test_a_bad_picture_never_loses_its_result(bench: Bench) -> None:
    bench.limits(Results(picture_max_bytes=204))
    large = base64.b64encode(bytes(205)).decode()
    images = [
        {"Type": "FULL", "Data": "%%%"},
        {"Data": large},
        {"Data": TEXT},
        {"Url": "http://elsewhere/p"},
        {"Data": ""},
    ]
    bench.post({**BODY, "Images": images})
    (row,) = bench.rows(Result)
    assert row["body"]["Images"] == [
        {"Type": "FULL", "Note": "the picture is not base64"},
        {"Note": "the picture has more than 204 bytes"},
        {}, {"Url": "http://elsewhere/p"}, {},
    ]  # fmt: skip
    assert [one["place"] for one in bench.rows(Picture)] == [2]
    assert bench.left_out() == 2
    assert len(bench.rows(Delivery)) == 2


def test_a_body_without_its_pictures_is_bounded(bench: Bench) -> None:
    bench.post({"EventID": "FIRE", "Pts": 1, "Junk": "x" * 65_000, "Images": [{"Data": TEXT}]})
    (row,) = bench.rows(Result)
    assert row["size"] == len(msgspec.json.encode(row["body"]))
    with pytest.raises(
        faults.TooLarge, match=r"without its pictures has 65\d+ bytes; at most 65536 are taken"
    ):
        bench.post({"EventID": "FIRE", "Pts": 2, "Junk": "x" * 65_536})
    assert len(bench.rows(Result)) == 1


def test_more_posts_than_an_instance_may_make(bench: Bench) -> None:
    with bench.store.write() as tx:
        plans.add_instance(
            tx, [], id="other", type="VIDEO_REALTIME", info={}, receive_urls={}, on=True, created_ms=1,
            changed_ms=NOW_MS,
        )  # fmt: skip
    for _ in range(50):
        bench.post(b'{"EventID": "FIRE"}')
    with pytest.raises(faults.SlowDown, match="more than 50 results a second of this instance") as slow:
        bench.post(b'{"EventID": "FIRE"}')
    assert (slow.value.code, slow.value.retry_after_seconds) == (42901, 1)
    bench.post(b'{"EventID": "FIRE"}', instance="other")


def test_more_pictures_than_are_kept(bench: Bench) -> None:
    bench.post({**BODY, "Images": [{"Data": "AA=="}] * 66})
    (row,) = bench.rows(Result)
    assert len(bench.files()) == len(bench.rows(Picture)) == 64
    assert row["body"]["Images"][65] == {"Note": "a result keeps at most 64 pictures"}


def test_a_full_disk_leaves_nothing_half_there(bench: Bench) -> None:
    """A limit on the size of files stands in for the disk: writing fails in the middle of a picture."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(faults.NoSpace, match=r"^cannot keep the result: no space left$"):
            bench.post()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (bench.rows(Result), bench.rows(Delivery), bench.files()) == ([], [], [])
    bench.post()
    assert len(bench.rows(Result)) == 1


def test_a_database_that_cannot_be_written_leaves_no_files(bench: Bench) -> None:
    bench.store.close()
    with pytest.raises(faults.Internal):
        bench.post()
    assert bench.files() == []
    bench.store.open()


# --- the form of real boxes -------------------------------------------------------------------------------

INFO = {
    "additional": {"alarm_minor": "CALL", "device_id": 1, "alarm_time": "1697114190123"},
    "full_images": [{"original_resolution": {"width_pixels": 8, "height_pixels": 6}, "image_data": {"value": "1"}}],
    "warehouseV20Events": {
        "algoCabinName": "box", "version": "V2", "pts": 1697114190123,
        "alarmEvents": [
            {
                "eventType": "ILLEGAL_ADV", "ruleId": 1, "msdpCustom": {"imageData": {"value": "0"}},
                "targets": [{"targetId": "t", "points": [{"x": 0.1, "y": 0.2}]}],
            }
        ],
    },
}  # fmt: skip
FORM = "multipart/form-data; boundary=frontier"


def form(*parts: tuple[str, str | None, bytes]) -> bytes:
    pieces = []
    for name, filename, content in parts:
        named = f'; filename="{filename}"' if filename else ""
        head = f'--frontier\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'
        pieces.append(head.encode() + content + b"\r\n")
    return b"".join(pieces) + b"--frontier--\r\n"


def box_form(info: Any = INFO) -> bytes:
    text = info if isinstance(info, bytes) else json.dumps(info).encode()
    return form(
        ("alarm_info", None, text),
        ("picture", "0.jpg", JPEG),
        ("picture", "1.png", PNG),
        ("memo", None, b"?"),
    )


def test_the_form_of_a_real_box(bench: Bench) -> None:
    bench.post(box_form(), FORM)
    (row,) = bench.rows(Result)
    assert (row["event_id"], row["capability"], row["device_id"]) == (
        "ILLEGAL_ADV",
        "the-capability",
        "camera",
    )
    assert row["event_ms"] == 1697114190123
    assert row["body"]["Images"] == [
        {"Type": "FULL", "Format": "png", "Width": 8, "Height": 6}, {"Type": "TARGET", "Format": "jpeg"},
    ]  # fmt: skip
    assert row["body"]["Targets"] == [{"TargetID": "t", "Points": [{"PointX": 0.1, "PointY": 0.2}]}]
    found = {one["place"]: (bench.data / one["path"]).read_bytes() for one in bench.rows(Picture)}
    assert found == {-1: box_form(), 0: PNG, 1: JPEG}
    assert row["raw_path"].startswith("results/raw/20231012/")
    assert len(bench.rows(Delivery)) == 2
    assert len(bench.files()) == 3
    assert bench.get(str(row["id"]))["Images"][0]["Url"] == f"/ACSMP/Results/{row['id']}/Images/0"


def test_the_same_form_again(bench: Bench) -> None:
    bench.post(box_form(), FORM)
    bench.post(box_form().replace(b"frontier", b"anotherb"), FORM.replace("frontier", "anotherb"))
    assert (len(bench.rows(Result)), len(bench.files())) == (1, 3)


def test_alarm_info_may_come_as_a_file(bench: Bench) -> None:
    bench.post(form(("alarm_info", "alarm.json", json.dumps(INFO).encode())), FORM, length=False)
    assert bench.rows(Result)[0]["event_id"] == "ILLEGAL_ADV"


def test_several_events_share_the_files(bench: Bench) -> None:
    info = json.loads(json.dumps(INFO))
    info["warehouseV20Events"]["alarmEvents"].append({"eventType": "FIRE"})
    bench.post(box_form(info), FORM)
    first, second = bench.rows(Result)
    assert [first["event_id"], second["event_id"]] == ["ILLEGAL_ADV", "FIRE"]
    assert len(bench.files()) == 3
    pictures = bench.rows(Picture)
    assert sum(one["size"] for one in pictures) == len(box_form(info)) + len(JPEG) + len(PNG)
    assert bench.image(str(second["id"]), 0).path.read_bytes() == PNG


def test_a_picture_part_over_the_cap_is_noted(bench: Bench) -> None:
    bench.limits(Results(picture_max_bytes=150))
    bench.post(box_form(), FORM)
    (row,) = bench.rows(Result)
    assert row["body"]["Images"][1] == {
        "Type": "TARGET",
        "Format": "",
        "Note": "the picture has more than 150 bytes",
    }
    assert (bench.left_out(), [one["place"] for one in bench.rows(Picture)]) == (1, [-1, 0])


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (box_form(b"{nonsense"), "the body is not JSON"),
        (box_form(b"\xff\xfe"), "alarm_info: not UTF-8"),
        (box_form(b'{"additional": {"alarm_minor": "A\\u0000"}}'), "U+0000"),
        (box_form([]), "alarm_info: must be an object"),
        (box_form({}), "names no event"),
        (form(("picture", "0.jpg", JPEG)), "the form has no part alarm_info"),
        (box_form()[:-40], "it ends too early"),
        (b"no form at all", "it ends too early"),
        (form(*[("picture", "0.jpg", JPEG)] * 80), "more than 72 parts"),
    ],
    ids=range(9),
)
def test_a_form_that_cannot_be_read_is_kept_as_it_came(bench: Bench, body: bytes, reason: str) -> None:
    bench.post(body, FORM)
    (row,) = bench.rows(Result)
    assert reason in row["error"]
    assert (row["body"], row["event_id"], row["device_id"]) == ({}, "", "camera")
    assert [(bench.data / path).read_bytes() for path in bench.files()] == [body]
    assert bench.files() == [row["raw_path"]]
    assert bench.rows(Delivery) == []
    bench.post(body, FORM)
    assert len(bench.rows(Result)) == 1
    (item,) = bench.search()["PageContent"]
    assert (item["EventID"], item["Error"]) == ("", row["error"])


def test_a_form_without_a_boundary_is_kept_too(bench: Bench) -> None:
    bench.post(box_form(), "multipart/form-data")
    assert "boundary" in bench.rows(Result)[0]["error"]


# --- showing ----------------------------------------------------------------------------------------------


def test_a_result_as_it_is_shown(bench: Bench) -> None:
    bench.post()
    (row,) = bench.rows(Result)
    base = f"/ACSMP/Results/{row['id']}/Images"
    expected = {
        **BODY, "ResultID": str(row["id"]), "InstanceID": "inst", "PlanID": 7, "ReceivedTime": "2023-10-12 20:36:40",
        "Late": False,
        "Images": [
            {"Type": "FULL", "Format": "jpeg", "Url": f"{base}/0"}, {"Type": "TARGET", "Odd": 1, "Url": f"{base}/1"},
        ],
    }  # fmt: skip
    assert bench.get(str(row["id"])) == expected
    assert bench.search()["PageContent"] == [expected]


def test_a_page_that_would_be_too_long_is_refused_and_says_how_many_fit(bench: Bench) -> None:
    body = {"EventID": "FIRE", "Junk": "x" * 60_000}
    size = len(msgspec.json.encode(body))
    with bench.store.write() as tx:
        for number in range(150):
            values = {
                "instance_id": "inst", "event_id": "FIRE", "fingerprint": f"m{number}", "event_ms": NOW_MS + number,
                "body": body, "size": size, "received_ms": NOW_MS,
            }  # fmt: skip
            store_results.add(tx, values, [], [])
    fit = results.PAGE_MAX_BYTES // size
    with pytest.raises(faults.InvalidField, match=f"ask for at most {fit} at once"):
        bench.search(PageRequest={"PageNumber": 1, "PageSize": 1000})
    pages = [bench.search(PageRequest={"PageNumber": n, "PageSize": 50})["PageContent"] for n in (1, 2, 3)]
    assert [one["ResultID"] for page in pages for one in page] == [str(150 - n) for n in range(150)]


def three(bench: Bench) -> None:
    for number, event in enumerate(("ILLEGAL_ADV", "FIRE", "FIRE")):
        bench.now_ms = NOW_MS + number
        bench.post(
            {"EventID": event, "EventTime": f"2023-10-12 20:36:3{3 - number}.500", "DeviceID": f"d{number}"}
        )


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, [1, 2, 3]),
        ({"TaskID": 7}, [1, 2, 3]),
        ({"TaskID": 8}, []),
        ({"InstanceID": "inst"}, [1, 2, 3]),
        ({"InstanceID": 1}, [1, 2, 3]),
        ({"InstanceID": "1"}, [1, 2, 3]),
        ({"InstanceID": 2}, []),
        ({"EventID": "FIRE"}, [2, 3]),
        ({"AlgoDefCode": "the-capability"}, [1]),
        ({"DeviceID": "d1"}, [2]),
        ({"TimeFrom": "2023-10-12 20:36:32"}, [1, 2]),
        ({"TimeTo": "2023-10-12 20:36:31"}, [3]),
        ({"TimeTo": "2023-10-12 20:36:32.500"}, [2, 3]),
        ({"TimeTo": "2023-10-12 20:36:32.499"}, [3]),
        ({"EventID": "FIRE", "DeviceID": "d0"}, []),
        ({"PageRequest": {"PageNumber": 2, "PageSize": 2}}, [3]),
        ({"PageRequest": {"OrderList": [{"Property": "ReceivedTime", "Direction": "desc"}]}}, [3, 2, 1]),
        ({"PageRequest": {"OrderList": [{"Property": "EventTime", "Direction": "asc"}]}}, [3, 2, 1]),
        ({"PageRequest": {"OrderList": [{"Property": "ResultID"}]}}, [1, 2, 3]),
    ],
    ids=str,
)
def test_searching(bench: Bench, asked: dict[str, Any], found: list[int]) -> None:
    three(bench)
    data = bench.search(**asked)
    assert [int(one["ResultID"]) for one in data["PageContent"]] == found
    assert data["Total"] == (3 if "PageRequest" in asked else len(found))


def test_the_page_used_is_echoed(bench: Bench) -> None:
    assert bench.search(PageRequest={"PageSize": 5000}) == {
        "PageContent": [], "Total": 0,
        "PageRequest": {
            "PageNumber": 1, "PageSize": 1000,
            "OrderList": [
                {"Property": "EventTime", "Direction": "desc"}, {"Property": "ResultID", "Direction": "desc"},
            ],
        },
    }  # fmt: skip


def test_an_order_that_is_none(bench: Bench) -> None:
    with pytest.raises(faults.InvalidField, match="allowed: EventTime, ReceivedTime, ResultID"):
        bench.search(PageRequest={"OrderList": [{"Property": "Body"}]})


def test_a_time_that_is_none(bench: Bench) -> None:
    with pytest.raises(faults.InvalidField, match=r"^\$\.TimeFrom: '2023-13-12 20:36:32' is no date"):
        bench.search(TimeFrom="2023-13-12 20:36:32")


@pytest.mark.parametrize("result_id", ["2", "x", "..", "9" * 40])
def test_a_result_that_is_not_there(bench: Bench, result_id: str) -> None:
    bench.post()
    with pytest.raises(faults.NotFound) as caught:
        bench.get(result_id)
    assert caught.value.message == f"no result {result_id}"
    with pytest.raises(faults.NotFound):
        bench.image(result_id, 0)


def test_pictures_with_the_type_their_bytes_show(bench: Bench) -> None:
    page = b"<html><script>alert(1)</script>"
    images = [{"Data": base64.b64encode(data).decode(), "Format": "jpeg"} for data in (JPEG, PNG, page)]
    bench.post({**BODY, "Images": images})
    shown = [bench.image("1", place) for place in range(3)]
    assert [one.content_type for one in shown] == ["image/jpeg", "image/png", "application/octet-stream"]
    app = flask.Flask("test")
    with app.test_request_context():
        response = answers.send_file(shown[2])
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert b"".join(response.iter_encoded()) == page
        response.close()


def test_pictures_that_are_not_there(bench: Bench) -> None:
    bench.post(box_form(), FORM)
    with pytest.raises(faults.NotFound, match=r"^result 1 has no picture 2, or not any more$"):
        bench.image("1", 2)
    os.unlink(bench.image("1", 0).path)
    with pytest.raises(faults.NotFound, match=r"^picture 0 of result 1 is not there any more$"):
        bench.image("1", 0)
    with bench.store.write() as tx:
        tx.run(Picture.delete())
    assert "Url" not in bench.get("1")["Images"][0]
    shutil.rmtree(bench.data / "results")
    assert bench.get("1")["EventID"] == "ILLEGAL_ADV"


def test_the_instance_may_be_gone_from_the_store(bench: Bench) -> None:
    bench.post()
    with bench.store.write() as tx:
        tx.run(Instance.delete())
    assert bench.get("1")["InstanceID"] == "inst"
