"""What a task asks for: geometry, defaults, and every refusal by Code and words."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rules import Refused, inside, read_task

from tests.sample.parties import polygon, rule, task

SQUARE = ((0.2, 0.2), (0.8, 0.2), (0.8, 0.8), (0.2, 0.8))
ARROW = ((0.0, 0.0), (1.0, 0.0), (0.5, 0.5), (1.0, 1.0), (0.0, 1.0))


def read(body: dict[str, Any], service_id: str = "S1") -> Any:
    return read_task(body, name="acsmp-sample", service_id=service_id)


@pytest.mark.parametrize(
    ("point", "polygon", "expected"),
    [
        ((0.5, 0.5), SQUARE, True),
        ((0.1, 0.5), SQUARE, False),
        ((0.9, 0.5), SQUARE, False),
        ((0.2, 0.5), SQUARE, True),
        ((0.8, 0.8), SQUARE, True),
        ((0.8, 0.81), SQUARE, False),
        ((0.2, 0.5), ARROW, True),
        ((0.9, 0.5), ARROW, False),
        ((0.5, 0.5), ARROW, True),
        ((0.9, 0.95), ARROW, True),
    ],
)
def test_inside(point: tuple[float, float], polygon: Any, expected: bool) -> None:
    assert inside(point, polygon) is expected
    assert inside(point, tuple(reversed(polygon))) is expected


@given(st.floats(0, 1), st.floats(0, 1))
def test_the_whole_frame_holds_every_point(x: float, y: float) -> None:
    assert inside((x, y), ((0.0, 1.0), (1.0, 1.0), (1.0, 0.0), (0.0, 0.0)))


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_triangle_and_its_other_half_cover_the_square(x: float, y: float) -> None:
    upper, lower = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0)), ((0.0, 0.0), (1.0, 1.0), (0.0, 1.0))
    assert inside((x, y), upper) or inside((x, y), lower)
    if abs(x - y) > 1e-6:
        assert inside((x, y), upper) != inside((x, y), lower)


def test_defaults() -> None:
    spec = read(task("/a.mp4"))
    (only,) = spec.rules
    assert (spec.url, spec.speed, spec.loop, spec.always) == ("/a.mp4", 1.0, False, False)
    assert (only.threshold, only.interval_seconds, only.repeat_seconds, only.duration_seconds) == (
        0.5,
        0.2,
        5,
        0,
    )
    assert only.area_of((1.0, 1.0)) == 0


def test_the_printed_parameters_are_read() -> None:
    printed = rule("INTRUSION", Sensitivity="低", DurationThreshold=1, RepeatAlarmIntervalThreshold=720)
    (only,) = read(task("rtsp://1.2.3.4/?deviceID=1", printed)).rules
    assert (only.threshold, only.duration_seconds, only.repeat_seconds) == (0.7, 1, 720)


def test_the_spelling_of_part_5_and_numbers_as_text_are_read() -> None:
    (only,) = read(task("/a", rule(RepeatAlarmintervalThreshold="7", Threshold="0.25", Interval=1))).rules
    assert (only.repeat_seconds, only.threshold, only.interval_seconds) == (7, 0.25, 1)


def test_a_mask_covers_an_area() -> None:
    made = rule(areas=[polygon(*SQUARE, area_id=7)])
    made["Masks"] = [polygon((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))]
    (only,) = read(task("/a", made)).rules
    assert only.area_of((0.7, 0.7)) == 7
    assert only.area_of((0.3, 0.7)) is None
    assert only.area_of((0.9, 0.9)) is None


def test_speed_and_loop_hold_for_the_task() -> None:
    assert read(task("/a", rule(Speed=2), rule(Speed=8))).speed == 8
    assert read(task("/a", rule(Loop=True), rule())).loop
    body = task("/a")
    body["TaskInfo"]["StreamOptions"]["VideoStreamOptions"]["PlayType"] = "LOOP"
    assert read(body).loop


def changed(path: str, value: Any) -> dict[str, Any]:
    """A good task with one member set, or taken away (Ellipsis)."""
    body = copy.deepcopy(task("/a.mp4", rule(areas=[polygon(*SQUARE)])))
    *way, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    place: Any = body
    for step in way:
        place = place[step]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return body


RULE = "TaskInfo.RulesParams.0"
URL = "TaskInfo.StreamOptions.VideoStreamOptions.Url"
POINTS = f"{RULE}.Areas.0.Points"


@pytest.mark.parametrize(
    ("path", "value", "code", "words"),
    [
        ("RestartPolicy", ..., 40002, "RestartPolicy is required"),
        ("RestartPolicy", "SOMETIMES", 40001, "RestartPolicy: one of ALWAYS, NEVER"),
        ("RestartPolicy", 1, 40001, "RestartPolicy: expected str, got int"),
        ("AlgoServiceID", "S2", 40901, "this engine is service S1, the task names S2"),
        ("TaskInfo", ..., 40002, "TaskInfo is required"),
        ("TaskInfo", [], 40001, "TaskInfo: expected dict, got list"),
        ("TaskInfo.ID", "a:b", 40001, "TaskInfo.ID: 1 to 128"),
        ("TaskInfo.ID", "a" * 129, 40001, "TaskInfo.ID: 1 to 128"),
        ("TaskInfo.Labels", {"AlgoCaBinName": "megcity-a2"}, 40001, "this engine is acsmp-sample"),
        ("TaskInfo.RulesParams", ..., 40002, "TaskInfo.RulesParams is required"),
        ("TaskInfo.RulesParams", [], 40001, "a list of 1 to 16 rules"),
        ("TaskInfo.RulesParams", [rule()] * 17, 40001, "a list of 1 to 16 rules"),
        (RULE, "FACE", 40001, "TaskInfo.RulesParams[0]: an object"),
        (f"{RULE}.EventID", ..., 40002, "TaskInfo.RulesParams[0].EventID is required"),
        (f"{RULE}.EventID", "SMOKE", 40001, "one of FACE_DETECT, INTRUSION, MOTION_DETECT"),
        (f"{RULE}.ExtendParams", [], 40001, "TaskInfo.RulesParams[0].ExtendParams: expected dict"),
        (f"{RULE}.ExtendParams.Interval", 0, 40001, "ExtendParams.Interval: a number from 0.04 to 3600"),
        (f"{RULE}.ExtendParams.Threshold", 1.5, 40001, "Threshold: a number from 0 to 1"),
        (f"{RULE}.ExtendParams.Threshold", "nan", 40001, "Threshold: a number from 0 to 1"),
        (f"{RULE}.ExtendParams.Threshold", True, 40001, "Threshold: a number from 0 to 1"),
        (f"{RULE}.ExtendParams.Threshold", 10**400, 40001, "Threshold: a number from 0 to 1"),
        (f"{RULE}.ExtendParams.Speed", 17, 40001, "Speed: a number from 0.1 to 16"),
        (f"{RULE}.ExtendParams.Loop", "yes", 40001, "Loop: expected bool, got str"),
        (f"{RULE}.ExtendParams.Sensitivity", "extreme", 40001, "Sensitivity: low, middle or high"),
        (f"{RULE}.Areas", {}, 40001, "RulesParams[0].Areas: expected list"),
        (f"{RULE}.Areas", [polygon(*SQUARE)] * 33, 40001, "RulesParams[0].Areas: at most 32"),
        (f"{RULE}.Areas.0", 3, 40001, "Areas[0]: an object"),
        (f"{RULE}.Areas.0.AreaType", "LINE", 40001, "Areas[0].AreaType: one of POLYGON"),
        (f"{RULE}.Areas.0.AreaID", "x", 40001, "Areas[0].AreaID: expected int, got str"),
        (POINTS, [], 40001, "Areas[0].Points: 3 to 64 points"),
        (f"{POINTS}.1", {"PointX": 0.1}, 40002, "Points[1]: PointX and PointY are required"),
        (f"{POINTS}.1.PointY", 1.01, 40001, "Points[1].PointY: a number from 0 to 1"),
        (f"{RULE}.Masks", [polygon((0, 0), (1, 1))], 40001, "Masks[0].Points: 3 to 64 points"),
        (f"{RULE}.ResultReceiveUrl", ["file:///etc/passwd"], 40001, "ResultReceiveUrl[0]: an http or https"),
        (f"{RULE}.ResultReceiveUrl", ["http://a b/"], 40001, "ResultReceiveUrl[0]: an http or https"),
        (f"{RULE}.ResultReceiveUrl", ["http://a:99999/"], 40001, "ResultReceiveUrl[0]: not a URL"),
        (f"{RULE}.ResultReceiveUrl", [1], 40001, "ResultReceiveUrl[0]: an http or https"),
        (f"{RULE}.ResultReceiveUrl", ["http://a/"] * 9, 40001, "a list of at most 8 addresses"),
        ("TaskInfo.StreamOptions", ..., 40002, "TaskInfo.StreamOptions is required"),
        ("TaskInfo.StreamOptions", {}, 40002, "StreamOptions.VideoStreamOptions is required"),
        (URL, ..., 40002, "VideoStreamOptions.Url is required"),
        (URL, "", 40001, "Url: 1 to 2048 characters"),
        (URL, "a\0b", 40001, "Url: 1 to 2048 characters"),
        (URL, "concat:/etc/passwd|/b", 40001, "Url: a file path or file, http, https, rtsp, rtsps, rtmp"),
        (URL, "rtsp://[::1/x", 40001, "Url: not a URL"),
    ],
)
def test_refusals(path: str, value: Any, code: int, words: str) -> None:
    with pytest.raises(Refused) as refusal:
        read(changed(path, value))
    assert refusal.value.code == code
    assert words in refusal.value.message
