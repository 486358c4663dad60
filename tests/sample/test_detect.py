"""Scores, boxes, which targets count, and when a rule speaks; the detectors on real frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from detect import Box, Detectors, Gate, box_of, sureness, targets_of
from rules import Rule, read_task
from video import Video, VideoFailed, shown

from tests.sample.parties import polygon, rule, task

LEFT = polygon((0, 0), (0.5, 0), (0.5, 1), (0, 1), area_id=3)
LOW = polygon((0, 0.9), (1, 0.9), (1, 1), (0, 1), area_id=4)


def rule_of(made: dict[str, Any]) -> Rule:
    return read_task(task("/a", made), name="acsmp-sample", service_id="").rules[0]


def test_sureness_rises_from_0_to_1_through_a_half() -> None:
    values = [sureness(weight, 2.0, 1.5) for weight in (-1e9, -3, 0, 2, 4, 9, 1e9)]
    assert values == sorted(values)
    assert values[3] == 0.5
    assert 0 <= values[0] < 0.001
    assert 0.999 < values[-1] <= 1


def test_a_box_is_cut_off_at_the_frame() -> None:
    assert box_of(-10, 50, 60, 100, (100, 200, 3), 0.5) == Box(0.0, 0.5, 0.25, 1.0, 0.5)


def test_a_person_counts_where_the_feet_are_and_a_face_where_its_middle_is() -> None:
    tall = Box(0.1, 0.1, 0.3, 0.95, 0.9)
    low = rule_of(rule("INTRUSION", areas=[LOW]))
    assert [hit.area_id for hit in targets_of(low, "PERSON", [tall])] == [4]
    assert targets_of(low, "FACE", [tall]) == []


def test_targets_outside_the_area_or_unsure_do_not_count_and_the_surest_comes_first() -> None:
    boxes = [
        Box(0.1, 0.1, 0.2, 0.2, 0.6),
        Box(0.7, 0.1, 0.8, 0.2, 0.99),
        Box(0.2, 0.2, 0.3, 0.3, 0.8),
        Box(0.1, 0.3, 0.2, 0.4, 0.4),
    ]
    hits = targets_of(rule_of(rule(areas=[LEFT])), "FACE", boxes)
    assert [hit.box.score for hit in hits] == [0.8, 0.6]
    assert len({hit.target_id for hit in hits}) == 2


def test_at_most_eight_targets() -> None:
    boxes = [Box(0.1, 0.1, 0.2, 0.2, 0.6)] * 20
    assert len(targets_of(rule_of(rule()), "FACE", boxes)) == 8


def test_a_gate_looks_every_interval() -> None:
    gate = Gate(rule_of(rule(Interval=0.5)))
    assert [t for t in (0.0, 0.2, 0.4, 0.5, 0.8, 1.0, 1.2) if gate.due(t)] == [0.0, 0.5, 1.0]


def test_a_gate_waits_for_the_duration_and_does_not_repeat_too_soon() -> None:
    gate = Gate(rule_of(rule(DurationThreshold=1, RepeatAlarmIntervalThreshold=2)))
    seen = [(0, True), (0.5, True), (0.8, False), (1, True), (2, True), (3, True), (4, True), (5, True)]
    assert [t for t, present in seen if gate.alarm(t, present)] == [2, 4]


def test_a_gate_without_limits_passes_everything_present() -> None:
    gate = Gate(rule_of(rule(RepeatAlarmIntervalThreshold=0)))
    assert [gate.alarm(t, t != 1) for t in (0, 1, 2, 3)] == [True, False, True, True]


@pytest.mark.parametrize(
    ("video", "event", "kind", "at_least"),
    [
        ("carphone", "FACE_DETECT", "FACE", 8),
        ("bikes", "INTRUSION", "PERSON", 2),
        ("bikes", "MOTION_DETECT", "MOTION", 4),
    ],
)
def test_detectors_find_what_is_in_real_video(
    videos: dict[str, Path], video: str, event: str, kind: str, at_least: int
) -> None:
    wanted, detectors, found = rule_of(rule(event)), Detectors(), []
    with Video(str(videos[video])) as footage:
        while footage.advance() and footage.frames <= 150:
            if footage.frames % 5 == 0:
                ((same, targets),) = detectors.look(footage.pixels(), [wanted])
                assert same is wanted
                found += targets[:1]
    assert len(found) >= at_least
    assert {target.kind for target in found} == {kind}
    assert all(0.5 <= target.box.score <= 1 and target.box.left < target.box.right for target in found)


def test_an_empty_frame_holds_nothing(videos: dict[str, Path]) -> None:
    detectors = Detectors()
    with Video(str(videos["carphone"])) as footage:
        assert footage.advance()
        black = footage.pixels() * 0
    rules = [rule_of(rule(event)) for event in ("FACE_DETECT", "INTRUSION", "MOTION_DETECT")]
    for _ in range(6):
        assert [targets for _, targets in detectors.look(black, rules)] == [[], [], []]


def test_a_file_is_read_to_its_end_by_path_and_by_url(videos: dict[str, Path]) -> None:
    for address in (str(videos["carphone"]), videos["carphone"].as_uri()):
        with Video(address) as footage:
            while footage.advance():
                pass
            assert (footage.frames, footage.live) == (120, False)
            assert footage.seconds == pytest.approx(4.0, abs=0.05)


def test_what_cannot_be_opened_is_told_without_the_password(tmp_path: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    for address, words in (
        (str(tmp_path / "none.mp4"), "no such file, or not readable here"),
        (str(text), "not a video"),
        ("rtsp://user:hidden@127.0.0.1:1/x", "cannot open rtsp://127.0.0.1:1/x: not a video, refused"),
    ):
        with pytest.raises(VideoFailed, match="cannot open") as failure:
            Video(address)
        assert words in str(failure.value)
        assert "hidden" not in str(failure.value)
    assert shown("rtsp://a:b@c@h:554/p?q=1") == "rtsp://h:554/p?q=1"
