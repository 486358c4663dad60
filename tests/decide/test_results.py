"""What makes two posts one result, when it happened, where it goes, and what an answer means."""

from __future__ import annotations

import base64
from datetime import timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acsmpd import faults
from acsmpd.decide import results

EAST = timezone(timedelta(hours=8))
NOW = 1_800_000_000_000
JPEG = b"\xff\xd8\xff\xe0rest of a picture"
BODY = {
    "RequestID": "a",
    "EventID": "FIRE",
    "Pts": 1697114190123,
    "Targets": [{"TargetID": "t1"}],
    "Extra": {"x": 1},
}


# --- identity -----------------------------------------------------------------------------------------


def mark(body: dict[str, Any] = BODY, instance: str = "i", pictures: tuple[tuple[int, str], ...] = ()) -> str:
    return results.fingerprint(instance, body, pictures)


def test_a_repeat_under_another_request_id_is_the_same_result() -> None:
    assert mark({**BODY, "RequestID": "b"}) == mark()
    assert mark(dict(reversed(BODY.items()))) == mark()
    assert len(mark()) == 64


@pytest.mark.parametrize(
    "change",
    [
        {"EventID": "SMOKE"},
        {"Pts": 1697114190124},
        {"Targets": [{"TargetID": "t2"}]},
        {"Targets": "none"},
        {"Targets": ["t1"]},
        {"Extra": {"x": 2}},
        {"EventTime": "2023-10-12 20:36:30"},
    ],
)
def test_anything_else_that_differs_is_another_result(change: dict[str, Any]) -> None:
    assert mark({**BODY, **change}) != mark()


def test_the_instance_and_the_pictures_count_too() -> None:
    assert len({mark(), mark(instance="j"), mark(pictures=((0, "d1"),)), mark(pictures=((0, "d2"),))}) == 4
    assert mark(pictures=((1, "b"), (0, "a"))) == mark(pictures=((0, "a"), (1, "b")))


# --- the moment -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event_time", "pts", "expected"),
    [
        ("2023-10-12 20:36:30.123", 5, 1697114190123),
        ("2023-10-12 20:36:30", None, 1697114190000),
        ("2023-99-12 20:36:30", 1697114190123, 1697114190123),
        ("soon", 1697114190123, 1697114190123),
        (None, "1697114190123", 1697114190123),
        (None, 40, NOW),
        (None, True, NOW),
        (None, float("inf"), NOW),
        (None, "x" * 5000, NOW),
        (17, None, NOW),
    ],
)
def test_when_it_happened(event_time: Any, pts: Any, expected: int) -> None:
    assert results.event_ms(event_time, pts, NOW, EAST) == expected


# --- pictures -------------------------------------------------------------------------------------------


def test_pictures_are_split_off_and_put_back() -> None:
    text = base64.b64encode(JPEG).decode()
    images = [{"Type": "FULL", "Data": text, "Mine": 1}, {"Url": "http://a/b"}, {"Data": ""}]
    body, found = results.split_pictures({"EventID": "FIRE", "Images": images})
    assert body == {"EventID": "FIRE", "Images": [{"Type": "FULL", "Mine": 1}, {"Url": "http://a/b"}, {}]}
    assert found == [(0, text)]
    assert results.inlined(body, {0: JPEG})["Images"][0] == {"Type": "FULL", "Mine": 1, "Data": text}
    assert results.inlined(body, {}) is body
    assert images[0]["Data"] == text, "the given body stays as it is"


def test_a_body_without_images_has_none() -> None:
    assert results.split_pictures({"EventID": "FIRE"}) == ({"EventID": "FIRE"}, [])


def test_notes_and_addresses_stand_at_their_picture() -> None:
    body = {"Images": [{"Type": "FULL"}, {"Type": "TARGET"}]}
    assert results.with_notes(body, {1: "why"})["Images"] == [
        {"Type": "FULL"},
        {"Type": "TARGET", "Note": "why"},
    ]
    assert results.with_urls(body, {0: "/x"})["Images"] == [{"Type": "FULL", "Url": "/x"}, {"Type": "TARGET"}]
    assert results.with_notes(body, {}) is body
    assert results.with_urls(body, {}) is body


@pytest.mark.parametrize("form", ["{}", "data:image/jpeg;base64,{}", " {}\r\n"])
def test_base64_in_the_forms_that_are_met(form: str) -> None:
    assert results.read_picture(form.format(base64.b64encode(JPEG).decode()), 1000) == JPEG


def test_base64_in_lines() -> None:
    assert results.read_picture(base64.encodebytes(JPEG * 20).decode(), 1000) == JPEG * 20


@pytest.mark.parametrize("text", ["%%%%", "AAA", "AA==AA", "é" * 8, "data:image/jpeg;base64,#"])
def test_what_is_no_base64(text: str) -> None:
    with pytest.raises(faults.InvalidField, match=r"^the picture is not base64$"):
        results.read_picture(text, 1000)


@pytest.mark.parametrize("size", [11, 12, 13, 5000])
def test_a_picture_over_the_cap(size: int) -> None:
    text = base64.b64encode(bytes(size)).decode()
    with pytest.raises(faults.TooLarge, match=r"^the picture has more than 10 bytes$"):
        results.read_picture(text, 10)
    assert results.read_picture(text, size) == bytes(size)


@given(st.text(max_size=300), st.integers(0, 200))
def test_any_text_gives_bytes_within_the_cap_or_one_of_two_faults(text: str, cap: int) -> None:
    try:
        assert len(results.read_picture(text, cap)) <= cap
    except (faults.InvalidField, faults.TooLarge):
        pass


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (JPEG, ("image/jpeg", ".jpg")),
        (b"\x89PNG\r\n\x1a\n....", ("image/png", ".png")),
        (b"<html><script>", ("application/octet-stream", ".bin")),
        (b"<svg", ("application/octet-stream", ".bin")),
        (b"", ("application/octet-stream", ".bin")),
    ],
)
def test_the_kind_of_a_picture_is_what_its_bytes_say(head: bytes, kind: tuple[str, str]) -> None:
    assert results.picture_kind(head) == kind


# --- the next hop ---------------------------------------------------------------------------------------


def test_the_next_hop_gets_its_own_ids_and_all_else_unchanged() -> None:
    body = {"TaskID": "device's", "AlgoServiceID": "facility's", "EventID": "FIRE", "Extra": [1]}
    assert results.addressed(body, "ours", "service") == {
        **body,
        "TaskID": "ours",
        "AlgoServiceID": "service",
    }
    assert results.addressed(body, "ours", None)["AlgoServiceID"] == "facility's"
    assert results.addressed({"EventID": "FIRE"}, "ours", "service") == {"EventID": "FIRE", "TaskID": "ours"}


def test_addresses_of_an_event_are_those_of_its_rules_and_of_nameless_rules() -> None:
    urls = {"FIRE": ["http://a/1", "http://b/2"], "": ["http://a/1", "http://c/3"], "SMOKE": ["http://d/4"]}
    assert results.addresses(urls, "FIRE") == ["http://a/1", "http://b/2", "http://c/3"]
    assert results.addresses(urls, "FALL") == ["http://a/1", "http://c/3"]
    assert results.addresses({}, "FIRE") == []


@pytest.mark.parametrize(
    ("url", "queue"),
    [
        ("http://10.0.0.1/path?x=1", "http://10.0.0.1:80"),
        ("https://Receiver.Example/", "https://receiver.example:443"),
        ("http://[fd00::1]:8080/r", "http://[fd00::1]:8080"),
        ("ftp://10.0.0.1/", results.UNUSABLE),
        ("http://user:secret@10.0.0.1/", results.UNUSABLE),
        ("http://10.0.0.1:99999/", results.UNUSABLE),
        ("http://[nonsense/", results.UNUSABLE),
        ("http://", results.UNUSABLE),
        ("", results.UNUSABLE),
    ],
)
def test_the_queue_of_an_address(url: str, queue: str) -> None:
    assert results.destination(url) == queue


# --- answers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_delivered_is_2xx_with_code_0(status: int) -> None:
    assert results.judge(status, "0") == results.Verdict(True)


@pytest.mark.parametrize(
    ("status", "code", "refused", "reason"),
    [
        (400, "40001", True, "it answered HTTP 400"),
        (404, "", True, "it answered HTTP 404"),
        (413, "0", True, "it answered HTTP 413"),
        (401, "", False, "it answered HTTP 401"),
        (408, "", False, "it answered HTTP 408"),
        (409, "", False, "it answered HTTP 409"),
        (429, "", False, "it answered HTTP 429"),
        (500, "", False, "it answered HTTP 500"),
        (503, "0", False, "it answered HTTP 503"),
        (302, "0", False, "it answered HTTP 302"),
        (200, "", True, "it answered HTTP 200 without a Code"),
        (200, "40001", True, "it answered Code 40001"),
        (200, "404", True, "it answered Code 404"),
        (200, "40101", False, "it answered Code 40101"),
        (200, "50000", False, "it answered Code 50000"),
        (200, "500", False, "it answered Code 500"),
        (200, "1", True, "it answered Code 1"),
        (200, "-1", True, "it answered Code -1"),
        (200, "x" * 99, True, "it answered Code " + "x" * 20),
    ],
)
def test_what_an_answer_means(status: int, code: str, refused: bool, reason: str) -> None:
    assert results.judge(status, code) == results.Verdict(False, refused, reason)
