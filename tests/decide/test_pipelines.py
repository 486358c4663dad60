"""Which results count for a pipeline, what they set going, when that is over, and what may not be."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from acsmpd.decide import pipelines
from acsmpd.decide.pipelines import Last, Pipeline, Run, Seen, Tally, Turn

NOW = 1_790_000_000_000
URL = "rtsp://10.0.0.9/1"


def pipeline(**more: Any) -> Pipeline:
    return Pipeline(
        **{"id": "p", "capability": "A", "target": "B", "rules": ({"EventID": "SMOKING"},), **more}
    )


def seen(**more: Any) -> Seen:
    values = {
        "id": 1, "instance_id": "i", "capability": "A", "event_id": "FIRE", "received_ms": NOW, "body": {},
        "type": "VIDEO_REALTIME", "info": {"StreamOptions": {"VideoStreamOptions": {"Url": URL}}}, **more,
    }  # fmt: skip
    return Seen(**values)


def target(score: Any = 0.9, area: Any = 3) -> dict[str, Any]:
    return {"Score": score, "AreaID": area}


# --- which results count ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "result", "counts"),
    [
        ({}, {}, True),
        ({}, {"capability": "B"}, False),
        ({"event_ids": ("FIRE", "SMOKE")}, {}, True),
        ({"event_ids": ("SMOKE",)}, {}, False),
        ({"plan_ids": (7,)}, {"plan_id": 7}, True),
        ({"plan_ids": (7,)}, {"plan_id": 8}, False),
        ({"plan_ids": (7,)}, {"plan_id": None}, False),
        ({"min_score": 0.5}, {"body": {"Targets": [target(0.4), target(0.5)]}}, True),
        ({"min_score": 0.5}, {"body": {"Targets": [target(0.4)]}}, False),
        ({"min_score": 0.5}, {"body": {}}, False),
        ({"min_score": 0.5}, {"body": {"Targets": [{"AreaID": 3}]}}, False),
        ({"min_score": 0.5}, {"body": {"Targets": [target(True)]}}, False),
        ({"min_score": 0.5}, {"body": {"Targets": [target("1")]}}, False),
        ({"min_score": 0.5}, {"body": {"Targets": "many"}}, False),
        ({"min_score": 0.5}, {"body": {"Targets": [None, 7, target(1)]}}, True),
        ({"area_ids": (3, 4)}, {"body": {"Targets": [target(0.1, 4)]}}, True),
        ({"area_ids": (3,)}, {"body": {"Targets": [target(0.1, 4)]}}, False),
        ({"area_ids": (3,)}, {"body": {"AreaIDs": [3]}}, True),
        ({"area_ids": (3,)}, {"body": {"AreaIDs": [4]}}, False),
        ({"area_ids": (3,)}, {"body": {}}, False),
        ({"area_ids": (1,)}, {"body": {"AreaIDs": [True]}}, False),
        ({"area_ids": (3,)}, {"body": {"AreaIDs": 3}}, False),
        ({"area_ids": (3,)}, {"body": {"AreaIDs": [3], "Targets": [{"Score": 1}]}}, True),
        ({"area_ids": (3,)}, {"body": {"AreaIDs": [3], "Targets": [target(1, 4)]}}, False),
        # one and the same target
        ({"area_ids": (3,), "min_score": 0.5}, {"body": {"Targets": [target(0.9, 4), target(0.1, 3)]}}, False),
        ({"area_ids": (3,), "min_score": 0.5}, {"body": {"Targets": [target(0.9, 4), target(0.6, 3)]}}, True),
    ],
)  # fmt: skip
def test_every_condition_has_to_hold(asked: dict[str, Any], result: dict[str, Any], counts: bool) -> None:
    assert pipelines.matches(pipeline(**asked), seen(**result)) is counts


def test_a_result_of_nobody_knows_what_counts_by_its_event() -> None:
    unknown = seen(capability="")
    assert not pipelines.matches(pipeline(), unknown)
    assert not pipelines.matches(pipeline(), unknown, {"SMOKE"})
    assert pipelines.matches(pipeline(), unknown, {"FIRE"})
    assert not pipelines.matches(pipeline(), seen(capability="B"), {"FIRE"})


@pytest.mark.parametrize(
    ("last", "interval", "due"),
    [
        (None, 60, True),
        (NOW - 60_000, 60, True),
        (NOW - 59_999, 60, False),
        (NOW, 60, False),
        (NOW, 0, True),
        (NOW + 1, 60, True),  # the clock was set back
        (NOW - 10**12, 60, True),
    ],
)
def test_the_rate_is_limited(last: int | None, interval: int, due: bool) -> None:
    assert pipelines.is_due(last, NOW, interval) is due


# --- what they set going -------------------------------------------------------------------------------------


def test_a_stream_is_its_address_or_its_instance() -> None:
    assert pipelines.stream_of(seen()) == URL
    assert pipelines.stream_of(seen(info={})) == "i"


def test_a_whole_picture_is_handed_on_rather_than_a_part() -> None:
    images = [{"Type": "TARGET"}, {"Type": "FULL"}, {"Type": "FULL"}]
    assert pipelines.picture_of({"Images": images}, [2, 0, 1]) == 1
    assert pipelines.picture_of({"Images": images}, [0]) == 0
    assert pipelines.picture_of({"Images": images}, []) is None
    assert pipelines.picture_of({"Images": "none"}, [4, 3]) == 3
    assert pipelines.picture_of({}, [0]) == 0


def test_what_is_set_going_has_the_stream_of_the_result_or_its_picture() -> None:
    one = pipeline(labels={"Version": "2"})
    info = pipelines.info_of(one, seen())
    assert info == {
        "Labels": {"Version": "2"}, "RulesParams": [{"EventID": "SMOKING"}],
        "StreamOptions": {"VideoStreamOptions": {"Url": URL}},
    }  # fmt: skip
    assert pipelines.info_of(pipeline(), seen(info={})) == {
        "RulesParams": [{"EventID": "SMOKING"}],
        "StreamOptions": {},
    }
    shot = pipelines.info_of(pipeline(), seen(), "/x")
    assert shot["StreamOptions"] == {"VideoStreamOptions": {"Url": "/x"}}
    assert pipelines.type_of(one, seen()) == "VIDEO_REALTIME"
    assert pipelines.type_of(pipeline(action="PICTURE"), seen()) == "IMAGE_REALTIME"


# --- what the results of one pass set going -----------------------------------------------------------------


def at(stream: int, seconds: float = 0, **more: Any) -> Seen:
    info = {"StreamOptions": {"VideoStreamOptions": {"Url": f"rtsp://{stream}"}}}
    number = 1000 * stream + int(seconds)
    return seen(id=number, info=info, received_ms=NOW + int(seconds * 1000), **more)


def test_a_task_goes_on_for_every_result_and_begins_once() -> None:
    tally = Tally({("p", "rtsp://1"): Last(7, NOW - 5000, goes_on=True)}, [("p", "rtsp://1")], 10)
    asked = pipeline(interval_seconds=2)
    for seconds in (0, 1, 2, 3):
        for stream in (1, 2):
            tally.count(asked, at(stream, seconds))
    assert [(one.run, one.matches, one.matched_ms - NOW) for one in tally.counted] == [
        (7, 2, 2000),
        (None, 2, 2000),
    ]
    assert (tally.begun, tally.skipped, tally.did_anything) == (1, {}, True)


def test_a_run_that_is_over_or_says_something_else_keeps_its_rate_and_no_more() -> None:
    tally = Tally({("p", "rtsp://1"): Last(7, NOW - 1000, goes_on=False)}, (), 10)
    tally.count(pipeline(interval_seconds=2), at(1))
    assert not tally.did_anything
    tally.count(pipeline(interval_seconds=2), at(1, 1))
    assert [(one.run, one.matches) for one in tally.counted] == [(None, 1)]


def test_a_result_without_a_picture_takes_no_place_from_others() -> None:
    asked = pipeline(action="PICTURE", interval_seconds=0)
    tally = Tally({}, (), 1)
    tally.count(asked, at(1), pictures=())
    tally.count(asked, at(1), pictures=(0,))
    tally.count(asked, at(2), pictures=(0,))
    assert [(one.picture, one.is_blank) for one in tally.counted] == [(None, True), (0, False)]
    assert tally.skipped == {"p": 1}


COUNTS = some.lists(some.tuples(some.sampled_from("pq"), some.integers(1, 4)), max_size=60)


@given(COUNTS, COUNTS, some.integers(1, 12))
def test_there_are_never_more_runs_than_allowed_and_no_stream_takes_all(
    under_way: list[tuple[str, int]], counts: list[tuple[str, int]], most: int
) -> None:
    active = [(name, f"rtsp://{stream}") for name, stream in under_way[:most]]
    tally = Tally({}, active, most)
    for name, stream in counts:
        tally.count(pipeline(id=name, action="PICTURE", interval_seconds=0), at(stream), pictures=(0,))
    total = len(active) + len(tally.counted)
    assert total <= most
    assert len(tally.counted) + tally.skipped.total() == len(counts)
    here = Counter(
        (one.pipeline.id, one.result.info["StreamOptions"]["VideoStreamOptions"]["Url"])
        for one in tally.counted
    )
    before = Counter(active)
    for key, number in here.items():
        assert number <= max(1, most // 2 - before[key])
    asked = {(name, f"rtsp://{stream}") for name, stream in counts}
    assert total == most or asked <= here.keys() | before.keys()


@pytest.mark.parametrize(
    ("capability", "info", "is_same"),
    [
        ("B", {}, True),
        ("C", {}, False),
        ("B", {"RulesParams": []}, False),
        ("B", {"Labels": {"Version": "1"}}, False),
        ("B", {"StreamOptions": {"VideoStreamOptions": {"Url": "another"}}}, True),
    ],
)
def test_what_runs_by_another_word_is_told_apart(
    capability: str, info: dict[str, Any], is_same: bool
) -> None:
    asked = pipeline()
    made = pipelines.info_of(asked, seen())
    assert pipelines.is_as_said(asked, capability, {**made, **info}) is is_same


# --- when it is over -----------------------------------------------------------------------------------------


def run(**more: Any) -> Run:
    values = {
        "status": "RUNNING", "seconds": 5.0,
        "instance_status": "RUNNING", "instance_on": True, "duration_seconds": 10, **more,
    }  # fmt: skip
    return Run(**values)


@pytest.mark.parametrize(
    ("now", "turn"),
    [
        ({}, None),
        ({"seconds": 10.0}, Turn("DONE")),
        ({"status": "PENDING", "instance_status": "PENDING"}, None),
        ({"status": "PENDING", "seconds": 100.0}, Turn("RUNNING")),
        (
            {
                "status": "PENDING",
                "instance_status": "PENDING",
                "seconds": 20.0,
                "instance_reason": "no place",
            },
            Turn("FAILED", "not running within 20 s: no place"),
        ),
        (
            {"status": "PENDING", "instance_status": "PENDING", "seconds": 20.0},
            Turn("FAILED", "not running within 20 s"),
        ),
        ({"instance_status": "PENDING"}, None),  # it moves to another device meanwhile
        ({"instance_status": "PENDING", "seconds": 10.0}, Turn("DONE")),
        ({"instance_status": "FINISHED", "status": "PENDING"}, Turn("DONE")),
        ({"instance_status": "ERROR", "instance_reason": "no decoder"}, Turn("FAILED", "no decoder")),
        ({"instance_status": "ERROR"}, Turn("FAILED", "its instance failed")),
        ({"instance_on": False}, Turn("DONE", "its instance was stopped")),
        ({"instance_on": False, "instance_status": "FINISHED"}, Turn("DONE")),
        ({"instance_status": None}, Turn("DONE", "its instance was deleted")),
        ({"is_wanted": False}, Turn("DONE", "the pipeline was switched off or deleted")),
    ],
)
def test_a_run_ends(now: dict[str, Any], turn: Turn | None) -> None:
    assert pipelines.next_for(run(**now), start_seconds=20.0) == turn


# --- what may not be ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("edges", "first", "then", "way"),
    [
        ((), "A", "B", ""),
        ((), "A", "A", "AA"),
        (("BA",), "A", "B", "ABA"),
        (("BC", "CA"), "A", "B", "ABCA"),
        (("BC", "CD", "DB"), "A", "B", ""),
        (("BC", "BD", "DA", "CE", "EA"), "A", "B", "ABDA"),
        (("AB", "AC"), "A", "D", ""),
    ],
)
def test_a_circle_is_named(edges: tuple[str, ...], first: str, then: str, way: str) -> None:
    assert pipelines.circle([(one[0], one[1]) for one in edges], first, then) == list(way)


@given(some.lists(some.tuples(some.sampled_from("ABCDE"), some.sampled_from("ABCDE")), max_size=25))
def test_what_is_accepted_one_by_one_never_feeds_itself(asked: list[tuple[str, str]]) -> None:
    """Whatever is asked for and in whatever order: from no capability does a way lead back to it, and what was refused
    would have led back."""
    kept: list[tuple[str, str]] = []
    for first, then in asked:
        way = pipelines.circle(kept, first, then)
        if not way:
            kept.append((first, then))
            continue
        assert (way[0], way[1], way[-1]) == (first, then, first)
        assert all(step in kept for step in pairwise(way[1:]))
    reached = {one: {then for first, then in kept if first == one} for one in "ABCDE"}
    for _ in "ABCDE":
        reached = {one: to.union(*(reached[then] for then in to)) for one, to in reached.items()}
    assert all(one not in to for one, to in reached.items())
