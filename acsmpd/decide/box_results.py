"""The form boxes of this lineage post: `alarm_info` and picture parts, brought into our form.

Read off public receivers of such boxes: pictures are named by the number of their part, points are 0-1.
Others write our own spellings, and name a whole picture by the name of its part.
Nothing is required but a name for the event; what cannot be read is left out and stays in the raw body.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import tzinfo
from typing import Any

from msgspec import Struct

from acsmpd import faults
from acsmpd.decide.results import Json, milliseconds
from acsmpd.spec import times

MAX_EVENTS = 64
"""Events taken out of one post."""
_INLINE = 64
"""A value this long is a picture itself, not the number of one."""
_CODE = re.compile(r"[0-9]{20}")


class Converted(Struct, frozen=True):
    """One event as a body of ours; `parts` are (place in Images, number of the picture part)."""

    body: Json
    parts: tuple[tuple[int, int], ...] = ()


class _Image(Struct, frozen=True):
    """A picture of an event: in a part of its own, or inline."""

    type: str
    part: int | None
    width: int | None = None
    height: int | None = None
    data: str = ""


def results_of(
    info: Any, formats: Sequence[str], instance_id: str, zone: tzinfo, names: Sequence[str] = ()
) -> list[Converted]:
    """The results in an alarm_info; `formats` and `names` have one entry a picture part. Raises InvalidField."""
    if not isinstance(info, dict):
        raise faults.InvalidField("alarm_info: must be an object")
    events = [
        event
        for event in _list(_object(info, "warehouseV20Events").get("alarmEvents"))
        if isinstance(event, dict)
    ]
    if len(events) > MAX_EVENTS:
        raise faults.InvalidField(f"alarm_info: holds {len(events)} events; at most {MAX_EVENTS} are taken")
    events = events or [{}]
    images = [_images(info, event, len(formats), names) for event in events]
    named = {image.part for several in images for image in several}
    images[0] += [_Image("OTHER", part) for part in range(len(formats)) if part not in named]
    return [
        _converted(info, event, several, formats, instance_id, zone)
        for event, several in zip(events, images, strict=True)
    ]


def _converted(
    info: Json, event: Json, images: list[_Image], formats: Sequence[str], instance_id: str, zone: tzinfo
) -> Converted:
    warehouse, additional = _object(info, "warehouseV20Events"), _object(info, "additional")
    pts = _moment(info)
    body: Json = {
        "RequestID": _text(_object(info, "global_info").get("data_uuid")),
        "TaskID": instance_id,
        "AlgoCaBinName": _text(warehouse.get("algoCabinName")),
        "Version": _text(warehouse.get("version")),
        "EventID": _event_id(event, additional),
        "EventTime": times.written(pts, zone, with_ms=True),
        "Pts": pts,
        "DeviceID": _code(additional.get("device_id")),
        "AreaIDs": [area for area in _list(event.get("areaIds")) if _is_integer(area)] or None,
        "Labels": _object(event, "labels") or None,
        "Targets": [_target(target) for target in _list(event.get("targets")) if isinstance(target, dict)],
        "Images": [_image(image, formats) for image in images],
        "ExtendParams": {
            **additional,
            **{
                name: event[name]
                for name in ("ruleId", "level", "subType")
                if event.get(name) not in (None, "")
            },
        },
    }
    parts = tuple((place, image.part) for place, image in enumerate(images) if image.part is not None)
    return Converted({name: value for name, value in body.items() if value is not None}, parts)


def _event_id(event: Json, additional: Json) -> str:
    event_id = _text(event.get("eventType")) or _text(additional.get("alarm_minor"))
    if event_id is None or len(event_id) > 128:
        raise faults.InvalidField(
            "alarm_info: names no event (eventType or alarm_minor, 1 to 128 characters)"
        )
    return event_id


def _moment(info: Json) -> int | None:
    """The first of the times the box gives that is one."""
    warehouse, additional = _object(info, "warehouseV20Events"), _object(info, "additional")
    given = (warehouse.get("pts"), additional.get("alarm_time"), _object(info, "global_info").get("time_ms"))
    return next((stamp for stamp in map(milliseconds, given) if stamp is not None), None)


def _target(target: Json) -> Json:
    """A target of either spelling: the boxes' own, or ours."""
    score, area = _either(target, "targetScore", "Score", "score"), _either(target, "areaId", "AreaID")
    listed = _list(_either(target, "points", "Points"))
    points = [_point(point) for point in listed if isinstance(point, dict)]
    found: Json = {
        "TargetID": _text(_either(target, "targetId", "TargetID", "target_id")),
        "TargetType": _text(_either(target, "targetType", "TargetType", "type")),
        "TrackID": _text(_either(target, "trackId", "TrackID")),
        "Score": score if _is_number(score) else None,
        "AreaID": area if _is_integer(area) else None,
        "Points": [point for point in points if all(map(_is_number, point.values()))],
    }
    return {name: value for name, value in found.items() if value is not None}


def _point(point: Json) -> Json:
    return {"PointX": _either(point, "x", "PointX"), "PointY": _either(point, "y", "PointY")}


# --- pictures -----------------------------------------------------------------------------------------


def _images(info: Json, event: Json, parts: int, names: Sequence[str]) -> list[_Image]:
    """The whole pictures of the post, then the event's own."""
    found = []
    for place, image in enumerate(_list(info.get("full_images"))):
        if isinstance(image, dict):
            size, data = _object(image, "original_resolution"), _object(image, "image_data")
            if "image_data" not in image and image.get("name"):
                # Named by its part; a name that no part has leaves its place among them.
                data = {"value": names.index(image["name"]) if image["name"] in names else place}
            found.append(_picture("FULL", data, parts, size))
    found.append(_picture("TARGET", _object(_object(event, "msdpCustom"), "imageData"), parts, {}))
    return [image for image in found if image.part is not None or image.data]


def _picture(kind: str, data: Json, parts: int, size: Json) -> _Image:
    value = data.get("value")
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    is_number = text.isascii() and text.isdigit() and len(text) < 9
    part = int(text) if is_number and int(text) < parts else None
    width, height = (
        size.get(name) if _is_integer(size.get(name)) else None for name in ("width_pixels", "height_pixels")
    )
    return _Image(kind, part, width, height, text if len(text) >= _INLINE else "")


def _image(image: _Image, formats: Sequence[str]) -> Json:
    shown: Json = {
        "Type": image.type,
        "Format": formats[image.part] if image.part is not None else None,
        "Width": image.width,
        "Height": image.height,
        "Data": image.data or None,
    }
    return {name: value for name, value in shown.items() if value is not None}


# --- reading what may be anything ------------------------------------------------------------------------


def _either(value: Json, *names: str) -> Any:
    """The first of these members that is there."""
    return next((value[name] for name in names if value.get(name) is not None), None)


def _object(value: Json, name: str) -> Json:
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str | None:
    """A text or number as a text of at most 256 characters; None if it is neither, or empty."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value)[:256] or None


def _code(value: Any) -> str | None:
    """A 20-digit code; a box's own count of its channels is none."""
    text = _text(value)
    return text if text is not None and _CODE.fullmatch(text) else None


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
