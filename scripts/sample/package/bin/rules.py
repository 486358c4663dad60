"""What a task asks for, read from its JSON and checked; and where a point lies. Nothing runs here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

EVENTS = ("FACE_DETECT", "INTRUSION", "MOTION_DETECT")
STATUSES = ("PENDING", "RUNNING", "PAUSED", "FINISHED", "ERROR")
POLICIES = ("ALWAYS", "NEVER")
ID_FORM = r"[A-Za-z0-9._-]{1,128}"
SENSITIVITY = {"low": 0.7, "低": 0.7, "middle": 0.5, "medium": 0.5, "中": 0.5, "high": 0.3, "高": 0.3}
STREAM_SCHEMES = ("", "file", "http", "https", "rtsp", "rtsps", "rtmp")
MAX_RULES, MAX_AREAS, MAX_POINTS, MAX_RECEIVERS, MAX_URL = 16, 32, 64, 8, 2048

Point = tuple[float, float]
Json = dict[str, Any]


class Refused(Exception):
    """A request that cannot be served; the HTTP status is the Code without its last two digits."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


@dataclass(frozen=True)
class Area:
    area_id: int
    points: tuple[Point, ...]


WHOLE_FRAME = Area(0, ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)))


@dataclass(frozen=True)
class Rule:
    """One RulesParams entry: which event, where, how sure, how often, and who is told."""

    event_id: str
    areas: tuple[Area, ...]
    masks: tuple[Area, ...]
    receivers: tuple[str, ...]
    threshold: float
    interval_seconds: float
    repeat_seconds: float
    duration_seconds: float
    labels: Json

    def area_of(self, point: Point) -> int | None:
        """The ID of the first area that holds the point, None outside all of them or under a mask."""
        if any(inside(point, mask.points) for mask in self.masks):
            return None
        return next((area.area_id for area in self.areas if inside(point, area.points)), None)


@dataclass(frozen=True)
class TaskSpec:
    """A task as asked for; `info` is its TaskInfo as it came, handed back word for word."""

    info: Json
    url: str
    rules: tuple[Rule, ...]
    speed: float
    loop: bool
    always: bool


def inside(point: Point, polygon: tuple[Point, ...]) -> bool:
    """Whether the polygon, edges included, holds the point."""
    x, y = point
    odd = False
    for (ax, ay), (bx, by) in zip(polygon, polygon[1:] + polygon[:1], strict=True):
        turn = (bx - ax) * (y - ay) - (by - ay) * (x - ax)
        if abs(turn) < 1e-9 and min(ax, bx) <= x <= max(ax, bx) and min(ay, by) <= y <= max(ay, by):
            return True
        if (ay > y) != (by > y) and (turn > 0) == (by > ay):
            odd = not odd
    return odd


def read_task(body: Json, *, name: str, service_id: str) -> TaskSpec:
    """The task of a create or update body; raises Refused naming the member that is wrong."""
    policy = choice(body, "RestartPolicy", POLICIES)
    if policy is None:
        raise Refused(40002, "RestartPolicy is required")
    wanted_service = member(body, "AlgoServiceID", str)
    if service_id and wanted_service and wanted_service != service_id:
        raise Refused(40901, f"this engine is service {service_id}, the task names {wanted_service}")
    info = needed(body, "TaskInfo", dict)
    task_id = member(info, "ID", str, "TaskInfo.")
    if task_id and not re.fullmatch(ID_FORM, task_id):
        raise Refused(40001, "TaskInfo.ID: 1 to 128 of A-Z a-z 0-9 . _ -")
    _check_label(member(info, "Labels", dict, "TaskInfo.") or {}, name)
    entries = info.get("RulesParams", info.get("RuleParams"))
    if entries is None:
        raise Refused(40002, "TaskInfo.RulesParams is required")
    if not isinstance(entries, list) or not 1 <= len(entries) <= MAX_RULES:
        raise Refused(40001, f"TaskInfo.RulesParams: a list of 1 to {MAX_RULES} rules")
    options = needed(info, "StreamOptions", dict, "TaskInfo.")
    video = needed(options, "VideoStreamOptions", dict, "TaskInfo.StreamOptions.")
    rules = tuple(_rule(entry, f"TaskInfo.RulesParams[{n}]") for n, entry in enumerate(entries))
    extras = [_extras(entry) for entry in entries]
    return TaskSpec(
        info=info,
        url=_stream_url(video),
        rules=rules,
        speed=max((number(e, "Speed", 0.1, 16.0, 1.0, "ExtendParams.") for e in extras), default=1.0),
        loop=video.get("PlayType") == "LOOP" or any(member(e, "Loop", bool) for e in extras),
        always=policy == "ALWAYS",
    )


def _check_label(labels: Json, name: str) -> None:
    label = labels.get("AlgoCaBinName", labels.get("JAlgoCaBinName"))
    if label not in (None, "", name):
        raise Refused(40001, f"TaskInfo.Labels.AlgoCaBinName: this engine is {name}")


def _stream_url(video: Json) -> str:
    where = "TaskInfo.StreamOptions.VideoStreamOptions."
    url = str(needed(video, "Url", str, where))
    if not 1 <= len(url) <= MAX_URL or "\0" in url:
        raise Refused(40001, f"{where}Url: 1 to {MAX_URL} characters")
    if _split(url, where + "Url").scheme not in STREAM_SCHEMES:
        raise Refused(40001, f"{where}Url: a file path or file, http, https, rtsp, rtsps, rtmp")
    return url


def _split(url: str, path: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # read for its check
    except ValueError:
        raise Refused(40001, f"{path}: not a URL") from None
    return parts


def _extras(entry: Json, path: str = "") -> Json:
    return member(entry, "ExtendParams", dict, path) or {}


def _rule(entry: Any, path: str) -> Rule:
    if not isinstance(entry, dict):
        raise Refused(40001, f"{path}: an object")
    event = choice(entry, "EventID", EVENTS, f"{path}.")
    if event is None:
        raise Refused(40002, f"{path}.EventID is required")
    extras, where = _extras(entry, f"{path}."), f"{path}.ExtendParams."
    sensitivity = str(extras.get("Sensitivity", "middle")).lower()
    if sensitivity not in SENSITIVITY:
        raise Refused(40001, f"{where}Sensitivity: low, middle or high")
    repeat_key = "RepeatAlarmIntervalThreshold"
    if repeat_key not in extras and "RepeatAlarmintervalThreshold" in extras:
        repeat_key = "RepeatAlarmintervalThreshold"
    return Rule(
        event_id=event,
        areas=_areas(entry, "Areas", path) or (WHOLE_FRAME,),
        masks=_areas(entry, "Masks", path),
        receivers=_receivers(entry, path),
        threshold=number(extras, "Threshold", 0.0, 1.0, SENSITIVITY[sensitivity], where),
        interval_seconds=number(extras, "Interval", 0.04, 3600.0, 0.2, where),
        repeat_seconds=number(extras, repeat_key, 0.0, 86400.0, 5.0, where),
        duration_seconds=number(extras, "DurationThreshold", 0.0, 3600.0, 0.0, where),
        labels=member(entry, "Labels", dict, f"{path}.") or {},
    )


def _areas(entry: Json, key: str, path: str) -> tuple[Area, ...]:
    areas = member(entry, key, list, f"{path}.") or []
    if len(areas) > MAX_AREAS:
        raise Refused(40001, f"{path}.{key}: at most {MAX_AREAS}")
    return tuple(_area(area, f"{path}.{key}[{n}]", n) for n, area in enumerate(areas))


def _area(area: Any, path: str, position: int) -> Area:
    if not isinstance(area, dict):
        raise Refused(40001, f"{path}: an object")
    choice(area, "AreaType", ("POLYGON",), f"{path}.")
    points = member(area, "Points", list, f"{path}.") or []
    if not 3 <= len(points) <= MAX_POINTS:
        raise Refused(40001, f"{path}.Points: 3 to {MAX_POINTS} points")
    area_id = member(area, "AreaID", int, f"{path}.")
    return Area(
        position if area_id is None else area_id,
        tuple(_point(p, f"{path}.Points[{n}]") for n, p in enumerate(points)),
    )


def _point(point: Any, path: str) -> Point:
    if not isinstance(point, dict) or not {"PointX", "PointY"} <= point.keys():
        raise Refused(40002, f"{path}: PointX and PointY are required")
    return number(point, "PointX", 0, 1, 0, f"{path}."), number(point, "PointY", 0, 1, 0, f"{path}.")


def _receivers(entry: Json, path: str) -> tuple[str, ...]:
    urls = entry.get("ResultReceiveUrl") or []
    urls = [urls] if isinstance(urls, str) else urls
    if not isinstance(urls, list) or len(urls) > MAX_RECEIVERS:
        raise Refused(40001, f"{path}.ResultReceiveUrl: a list of at most {MAX_RECEIVERS} addresses")
    for n, url in enumerate(urls):
        where = f"{path}.ResultReceiveUrl[{n}]"
        parts = _split(url, where) if isinstance(url, str) and re.fullmatch(r"[!-~]{1,2048}", url) else None
        if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
            raise Refused(40001, f"{where}: an http or https address")
    return tuple(urls)


def member(body: Json, key: str, kind: type, path: str = "") -> Any:
    """The member if it is there and of that kind, None if absent or null."""
    value = body.get(key)
    if value is not None and (not isinstance(value, kind) or (kind is int and isinstance(value, bool))):
        raise Refused(40001, f"{path}{key}: expected {kind.__name__}, got {type(value).__name__}")
    return value


def needed(body: Json, key: str, kind: type, path: str = "") -> Any:
    value = member(body, key, kind, path)
    if value is None:
        raise Refused(40002, f"{path}{key} is required")
    return value


def choice(body: Json, key: str, allowed: tuple[str, ...], path: str = "") -> str | None:
    """The member if it is one of the allowed words, None if absent."""
    value = member(body, key, str, path)
    if value is not None and value not in allowed:
        raise Refused(40001, f"{path}{key}: one of {', '.join(allowed)}")
    return value


def number(body: Json, key: str, low: float, high: float, default: float, path: str = "") -> float:
    """The member as a number within bounds; text that reads as a number will do."""
    value = body.get(key)
    if value is None:
        return float(default)
    try:
        found = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else None
    except (ValueError, OverflowError):
        found = None
    if found is None or not low <= found <= high:
        raise Refused(40001, f"{path}{key}: a number from {low:g} to {high:g}")
    return found
