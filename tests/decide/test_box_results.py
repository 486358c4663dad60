"""The form of real boxes: a post as such boxes send it, and everything it may lack."""

from __future__ import annotations

import copy
import json
from datetime import timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acsmpd import faults
from acsmpd.decide.box_results import MAX_EVENTS, Converted, results_of
from acsmpd.spec.messages.results import ResultRequest
from acsmpd.spec.reading import read_strict

EAST = timezone(timedelta(hours=8))

INFO: dict[str, Any] = {
    "additional": {
        "alarm_major": "alert_alarm", "alarm_minor": "CALL", "channel_id": 0, "device_id": 1,
        "device_name": "gate", "alarm_time": "1697114190123",
    },
    "global_info": {"message_type": "MSDP", "version": "V2.3.3", "time_ms": "1697114190124", "data_uuid": "6504431:1"},
    "full_images": [
        {
            "original_resolution": {"width_pixels": 1920, "height_pixels": 1080},
            "image_data": {"image_data_format": 1, "value": "1"},
        }
    ],
    "warehouseV20Events": {
        "algoCabinName": "alert_alarm", "version": "V2.0.0", "pts": 1697114190125,
        "alarmEvents": [
            {
                "eventType": "INTRUSION", "ruleId": 7, "areaIds": [1], "labels": {"a": "b"}, "level": "ALARM_LEVEL",
                "subType": "",
                "targets": [
                    {
                        "areaId": 1, "targetId": "PERSON:429:0", "targetScore": 0.9775, "targetType": "PERSON",
                        "trackId": "429", "points": [{"x": 0.44, "y": 0.07}, {"x": 0.54, "y": 0.55}],
                    }
                ],
                "msdpCustom": {"imageData": {"format": "INDEX_FORMAT", "value": "0"}},
            }
        ],
    },
}  # fmt: skip


def convert(info: Any = INFO, formats: tuple[str, ...] = ("jpeg", "png")) -> list[Converted]:
    return results_of(info, formats, "the-instance", EAST)


def changed(path: str, value: Any) -> dict[str, Any]:
    info = copy.deepcopy(INFO)
    *above, last = path.split(".")
    place: Any = info
    for name in above:
        place = place[int(name) if name.isdigit() else name]
    place[last] = value
    return info


def test_a_post_as_boxes_send_it() -> None:
    (one,) = convert()
    assert one.body == {
        "RequestID": "6504431:1", "TaskID": "the-instance", "AlgoCaBinName": "alert_alarm", "Version": "V2.0.0",
        "EventID": "INTRUSION", "EventTime": "2023-10-12 20:36:30.125", "Pts": 1697114190125, "AreaIDs": [1],
        "Labels": {"a": "b"},
        "Targets": [
            {
                "TargetID": "PERSON:429:0", "TargetType": "PERSON", "TrackID": "429", "Score": 0.9775, "AreaID": 1,
                "Points": [{"PointX": 0.44, "PointY": 0.07}, {"PointX": 0.54, "PointY": 0.55}],
            }
        ],
        "Images": [
            {"Type": "FULL", "Format": "png", "Width": 1920, "Height": 1080},
            {"Type": "TARGET", "Format": "jpeg"},
        ],
        "ExtendParams": {
            "alarm_major": "alert_alarm", "alarm_minor": "CALL", "channel_id": 0, "device_id": 1,
            "device_name": "gate", "alarm_time": "1697114190123", "ruleId": 7, "level": "ALARM_LEVEL",
        },
    }  # fmt: skip
    assert one.parts == ((0, 1), (1, 0))


def test_the_body_is_one_our_own_receiver_takes() -> None:
    message, _unknown = read_strict(ResultRequest, json.dumps(convert()[0].body).encode())
    assert (message.event_id, message.pts) == ("INTRUSION", 1697114190125)


def test_one_result_an_event() -> None:
    info = changed(
        "warehouseV20Events.alarmEvents", [{"eventType": "FIRE"}, "nonsense", {"eventType": "SMOKE"}]
    )
    first, second = convert(info)
    assert [first.body["EventID"], second.body["EventID"]] == ["FIRE", "SMOKE"]
    assert first.parts == ((0, 1), (1, 0)), "the part nobody names goes with the first"
    assert first.body["Images"][1] == {"Type": "OTHER", "Format": "jpeg"}
    assert second.parts == ((0, 1),)


@pytest.mark.parametrize("events", [[], None, {}, "x"])
def test_without_events_the_kind_of_the_alarm_names_it(events: Any) -> None:
    (one,) = convert(changed("warehouseV20Events.alarmEvents", events))
    assert one.body["EventID"] == "CALL"


def test_the_time_is_the_first_that_is_one() -> None:
    info = changed("warehouseV20Events.pts", "never")
    assert convert(info)[0].body["Pts"] == 1697114190123
    info["additional"]["alarm_time"] = 12
    assert convert(info)[0].body["Pts"] == 1697114190124
    info["global_info"] = None
    assert "Pts" not in convert(info)[0].body
    assert "EventTime" not in convert(info)[0].body


def test_a_camera_code_is_taken_and_a_channel_number_is_not() -> None:
    code = "11010000001320000001"
    assert convert(changed("additional.device_id", code))[0].body["DeviceID"] == code
    assert "DeviceID" not in convert()[0].body


@pytest.mark.parametrize("value", ["2", "-1", "", None, True, 1.5, "999999999999", [0]])
def test_a_picture_number_that_leads_nowhere(value: Any) -> None:
    info = changed("full_images.0.image_data.value", value)
    (one,) = convert(info)
    assert "FULL" not in [image["Type"] for image in one.body["Images"]]
    assert {part for _place, part in one.parts} == {0, 1}, "the part itself is kept"


def test_a_picture_inline() -> None:
    text = "/9j/4AAQ" * 8
    (one,) = convert(changed("full_images.0.image_data.value", text), ("jpeg",))
    assert one.body["Images"][0] == {"Type": "FULL", "Width": 1920, "Height": 1080, "Data": text}
    assert one.parts == ((1, 0),)


OURS = {
    "TargetID": "t", "TargetType": "CAR", "TrackID": "9", "Score": 0.5, "AreaID": 2,
    "Points": [{"PointX": 0.1, "PointY": 0.2}],
}  # fmt: skip


@pytest.mark.parametrize(
    "target",
    [
        OURS,
        {"target_id": "t", "type": "CAR", "trackId": 9, "score": 0.5, "areaId": 2, "points": [{"x": 0.1, "y": 0.2}]},
        {**OURS, "TargetID": None, "targetId": "t", "Points": [{"x": 0.1, "y": 0.2}]},
    ],
)  # fmt: skip
def test_a_target_in_either_spelling(target: dict[str, Any]) -> None:
    (one,) = convert(changed("warehouseV20Events.alarmEvents.0.targets", [target]))
    assert one.body["Targets"] == [OURS]


@pytest.mark.parametrize(
    ("names", "part"), [(("gate", "f0"), 1), (("f0", "gate"), 0), (("x", "y"), 0), ((), 0)]
)
def test_a_whole_picture_is_found_by_the_name_of_its_part_else_by_its_place(
    names: tuple[str, ...], part: int
) -> None:
    info = changed("full_images", [{"name": "f0", "format": "jpeg"}])
    del info["warehouseV20Events"]["alarmEvents"][0]["msdpCustom"]
    (one,) = results_of(info, ("jpeg", "png"), "the-instance", EAST, names)
    assert one.body["Images"] == [
        {"Type": "FULL", "Format": ("jpeg", "png")[part]}, {"Type": "OTHER", "Format": ("png", "jpeg")[part]},
    ]  # fmt: skip
    assert one.parts == ((0, part), (1, 1 - part))


def test_a_name_that_is_none_finds_no_picture() -> None:
    nameless: list[dict[str, Any]] = [{"name": ["f0"]}, {"name": {}}, {"name": ""}, {"name": 3}]
    for image in nameless:
        (one,) = convert(changed("full_images", [image]), ())
        assert one.body["Images"] == []


def test_members_of_the_wrong_kind_are_left_out() -> None:
    target = {
        "targetId": 5,
        "targetScore": "high",
        "areaId": True,
        "points": [{"x": "a", "y": 1}, 3, {"x": 0, "y": 1}],
    }
    (one,) = convert(changed("warehouseV20Events.alarmEvents.0.targets", [target, "nonsense"]))
    assert one.body["Targets"] == [{"TargetID": "5", "Points": [{"PointX": 0, "PointY": 1}]}]


@pytest.mark.parametrize("info", [None, [], "x", 3])
def test_what_is_no_object(info: Any) -> None:
    with pytest.raises(faults.InvalidField, match=r"^alarm_info: must be an object$"):
        convert(info)


@pytest.mark.parametrize(
    "info", [{}, {"additional": {"alarm_minor": ""}}, {"additional": {"alarm_minor": "A" * 129}}]
)
def test_an_event_without_a_name(info: dict[str, Any]) -> None:
    with pytest.raises(faults.InvalidField, match="names no event"):
        convert(info)


def test_too_many_events() -> None:
    info = changed("warehouseV20Events.alarmEvents", [{"eventType": "FIRE"}] * (MAX_EVENTS + 1))
    with pytest.raises(faults.InvalidField, match=r"^alarm_info: holds 65 events; at most 64 are taken$"):
        convert(info)


ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**41)
    | st.floats(allow_nan=False)
    | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
PLACES = (
    "additional", "global_info", "full_images", "full_images.0.image_data", "full_images.0.original_resolution",
    "warehouseV20Events", "warehouseV20Events.alarmEvents", "warehouseV20Events.alarmEvents.0.targets.0",
    "warehouseV20Events.alarmEvents.0.msdpCustom", "warehouseV20Events.alarmEvents.0.targets.0.points",
    "warehouseV20Events.pts", "warehouseV20Events.alarmEvents.0.eventType", "full_images.0.image_data.value",
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(PLACES), ANY)
def test_anything_anywhere_gives_results_or_one_fault(path: str, value: Any) -> None:
    *above, last = path.split(".")
    info = copy.deepcopy(INFO)
    place: Any = info
    for name in above:
        place = place[int(name) if name.isdigit() else name]
    place[int(last) if last.isdigit() else last] = value
    try:
        found = convert(info)
    except faults.InvalidField:
        return
    for one in found:
        assert one.body["EventID"]
        assert all(0 <= number < 2 and place < len(one.body["Images"]) for place, number in one.parts)
