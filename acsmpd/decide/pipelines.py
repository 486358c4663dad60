"""Pipelines: which results count, what they set going, and when that is over (Part 5 6.3 j).

A pipeline looks at the results of one capability and sets another going, so that pipelines form a graph of
capabilities. It has no circle: what a pipeline sets going is served by the capability it names and no other, and
so can never feed itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from acsmpd.decide.streams import stream_url_of

TASK, PICTURE = "TASK", "PICTURE"
PENDING, RUNNING, DONE, FAILED = "PENDING", "RUNNING", "DONE", "FAILED"

Key = tuple[str, str]
"""A pipeline's id and a stream: what has its own rate and, of Action TASK, one run at a time."""

STALE_SECONDS = 60.0
"""A result that came so long ago sets nothing going: what it saw is over."""


class Pipeline(Struct, frozen=True, kw_only=True):
    """What is looked at, and what follows. Empty conditions hold for every result."""

    id: str
    capability: str
    event_ids: tuple[str, ...] = ()
    min_score: float = 0.0
    area_ids: tuple[int, ...] = ()
    plan_ids: tuple[int, ...] = ()
    interval_seconds: int = 60
    action: str = TASK
    target: str
    rules: tuple[dict[str, Any], ...] = ()
    labels: dict[str, Any] | None = None
    priority_class: str = ""
    duration_seconds: int = 60
    seen: int = 0


class Seen(Struct, frozen=True, kw_only=True):
    """A result and whose it is. `capability`: what served it, "" when nobody knows."""

    id: int
    instance_id: str
    plan_id: int | None = None
    capability: str = ""
    event_id: str
    received_ms: int
    body: dict[str, Any]
    type: str  # of the instance
    info: dict[str, Any]
    stream_device_id: str = ""


class Last(Struct, frozen=True):
    """The newest run of a pipeline for a stream. `goes_on`: its task runs, or is to, as the pipeline says now."""

    id: int
    matched_ms: int
    goes_on: bool


class Counted(Struct, kw_only=True):
    """A run that is to begin, or goes on for what counted. `run`: its id, None for one that begins.

    `picture`: the place of the one that is handed on; `is_blank`: there is none to hand on.
    """

    pipeline: Pipeline
    result: Seen
    run: int | None = None
    picture: int | None = None
    is_blank: bool = False
    matches: int = 1
    matched_ms: int


class Run(Struct, frozen=True, kw_only=True):
    """What was set going, as it is now. `instance_status` None: its instance is gone."""

    status: str
    seconds: float  # in this status
    is_wanted: bool = True  # its pipeline is there and on
    instance_status: str | None = None
    instance_on: bool = False
    instance_reason: str = ""
    duration_seconds: int = 60


class Turn(Struct, frozen=True):
    """A run enters a status; `reason` says why it failed or ended early."""

    status: str
    reason: str = ""


# --- which results count --------------------------------------------------------------------------------


def matches(pipeline: Pipeline, result: Seen, events: Iterable[str] = ()) -> bool:
    """Whether a result fulfils every condition.

    `events`: those the pipeline's capability serves. A device that runs algorithms without services does not say
    which one served: its result counts by its event.
    """
    if result.capability != pipeline.capability and (result.capability or result.event_id not in events):
        return False
    if pipeline.event_ids and result.event_id not in pipeline.event_ids:
        return False
    if pipeline.plan_ids and result.plan_id not in pipeline.plan_ids:
        return False
    return _is_seen_there(pipeline, result.body)


def _is_seen_there(pipeline: Pipeline, body: Mapping[str, Any]) -> bool:
    """Whether one and the same target is sure enough and in one of the areas. A target that names no area is in
    those of the result."""
    wanted, least = set(pipeline.area_ids), pipeline.min_score
    around = _numbers(body.get("AreaIDs"))
    if not wanted and not least:
        return True
    targets = [one for one in _list(body.get("Targets")) if isinstance(one, dict)]
    if not targets:
        return not least and bool(wanted & around)
    return any(
        (not least or _score(one) >= least)
        and (not wanted or bool(wanted & (_numbers([one.get("AreaID")]) or around)))
        for one in targets
    )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _numbers(value: Any) -> set[int]:
    return {one for one in _list(value) if isinstance(one, int) and not isinstance(one, bool)}


def _score(target: Mapping[str, Any]) -> float:
    score = target.get("Score")
    return float(score) if isinstance(score, int | float) and not isinstance(score, bool) else -1.0


def is_due(last_ms: int | None, received_ms: int, interval_seconds: int) -> bool:
    """Whether a result may count for its stream after the last that did. A clock that was set back holds up none."""
    return last_ms is None or not 0 <= received_ms - last_ms < interval_seconds * 1000


def may_begin(active: int, here: int, most: int) -> bool:
    """Whether one more run may begin. `here`: those of the same pipeline for the same stream; they get no more than
    half of all, so that one that never rests leaves room for the others."""
    return active < most and (here == 0 or active < most // 2)


class Tally:
    """What the results of one pass set going, counted one after the other.

    `last`: by (pipeline id, stream); `active`: the same of every run under way; `most`: runs there may be.
    """

    def __init__(self, last: Mapping[Key, Last], active: Iterable[Key], most: int) -> None:
        self._last, self._active, self._most = last, Counter(active), most
        self._total = self._active.total()
        self._streams: dict[int, str] = {}
        self._now: dict[Key, Counted] = {}
        self._matched_ms: dict[Key, int] = {}
        self.counted: list[Counted] = []
        self.begun = 0
        self.skipped: Counter[str] = Counter()
        """pipeline id -> results that would have begun one run too many"""

    @property
    def did_anything(self) -> bool:
        return bool(self.counted or self.skipped)

    def count(self, pipeline: Pipeline, result: Seen, pictures: Iterable[int] = ()) -> None:
        """One that fulfils the conditions. `pictures`: the places of those that are kept."""
        if result.id not in self._streams:
            self._streams[result.id] = stream_of(result)
        key = (pipeline.id, self._streams[result.id])
        last = self._last.get(key)
        before = self._matched_ms.get(key, last.matched_ms if last else None)
        if not is_due(before, result.received_ms, pipeline.interval_seconds):
            return
        under_way = self._now.get(key)
        if pipeline.action == TASK and under_way is None and last is not None and last.goes_on:
            under_way = Counted(
                pipeline=pipeline, result=result, run=last.id, matches=0, matched_ms=result.received_ms
            )
            self._now[key] = under_way
            self.counted.append(under_way)
        if under_way is not None:
            under_way.matches, under_way.matched_ms = under_way.matches + 1, result.received_ms
            self._matched_ms[key] = result.received_ms
        else:
            self._begin(key, pipeline, result, pictures)

    def _begin(self, key: Key, pipeline: Pipeline, result: Seen, pictures: Iterable[int]) -> None:
        picture = picture_of(result.body, pictures) if pipeline.action == PICTURE else None
        is_blank = pipeline.action == PICTURE and picture is None
        if not is_blank and not may_begin(self._total, self._active[key], self._most):
            self.skipped[pipeline.id] += 1
            return
        begins = Counted(
            pipeline=pipeline,
            result=result,
            picture=picture,
            is_blank=is_blank,
            matched_ms=result.received_ms,
        )
        self.counted.append(begins)
        self.begun += 1
        self._matched_ms[key] = result.received_ms
        if pipeline.action == TASK:
            self._now[key] = begins
        if not is_blank:
            self._active[key] += 1
            self._total += 1


# --- what they set going -----------------------------------------------------------------------------------


def stream_of(result: Seen) -> str:
    """What the rate of a pipeline is limited for: the address of the stream, or else the instance."""
    return stream_url_of(result.info) or result.instance_id


def picture_of(body: Mapping[str, Any], places: Iterable[int]) -> int | None:
    """The place of the picture to hand on, of those that are kept: a whole one if there is any, else the first."""
    images, kept = _list(body.get("Images")), sorted(places)
    whole = [
        place
        for place in kept
        if place < len(images) and isinstance(images[place], dict) and images[place].get("Type") == "FULL"
    ]
    return next(iter((*whole, *kept)), None)


def info_of(pipeline: Pipeline, result: Seen, picture: str = "") -> dict[str, Any]:
    """The AlgoTaskInfo of what is set going; `picture`: the address of the one that is handed on."""
    options = (
        {"VideoStreamOptions": {"Url": picture}} if picture else dict(result.info.get("StreamOptions") or {})
    )
    labels = {"Labels": pipeline.labels} if pipeline.labels else {}
    return {**labels, "RulesParams": list(pipeline.rules), "StreamOptions": options}


def type_of(pipeline: Pipeline, result: Seen) -> str:
    """The kind of task."""
    return "IMAGE_REALTIME" if pipeline.action == PICTURE else result.type


def is_as_said(pipeline: Pipeline, capability: str, info: Mapping[str, Any]) -> bool:
    """Whether a task that was set going is still what the pipeline would set going."""
    asked = (info.get("RulesParams"), info.get("Labels") or None)
    return capability == pipeline.target and asked == (list(pipeline.rules), pipeline.labels or None)


# --- when it is over -----------------------------------------------------------------------------------------


def next_for(run: Run, *, start_seconds: float) -> Turn | None:
    """What changes about a run now, None if nothing does. `start_seconds`: it has to be running by then."""
    ended = _ended(run)
    if ended is not None:
        return ended
    if run.status == PENDING:
        if run.instance_status == "RUNNING":
            return Turn(RUNNING)
        if run.seconds < start_seconds:
            return None
        return Turn(FAILED, f"not running within {start_seconds:g} s" + _because(run.instance_reason))
    return Turn(DONE) if run.seconds >= run.duration_seconds else None


def _ended(run: Run) -> Turn | None:
    if not run.is_wanted:
        return Turn(DONE, "the pipeline was switched off or deleted")
    if run.instance_status is None:
        return Turn(DONE, "its instance was deleted")
    if run.instance_status == "FINISHED":
        return Turn(DONE)
    if not run.instance_on:
        return Turn(DONE, "its instance was stopped")
    if run.instance_status == "ERROR":
        return Turn(FAILED, run.instance_reason or "its instance failed")
    return None


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""


# --- what may not be -------------------------------------------------------------------------------------------


def circle(edges: Iterable[tuple[str, str]], first: str, then: str) -> list[str]:
    """The way from `then` back to `first` over (capability, what it sets going), with `first` before it: what a
    pipeline from `first` to `then` would close. Empty when there is none."""
    follows: dict[str, list[str]] = {}
    for source, target in sorted(set(edges)):
        follows.setdefault(source, []).append(target)
    ways, known = [[first, then]], {then}
    while ways:
        way = ways.pop(0)
        if way[-1] == first:
            return way
        for target in follows.get(way[-1], ()):
            if target == first or target not in known:
                known.add(target)
                ways.append([*way, target])
    return []
