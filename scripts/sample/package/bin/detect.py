"""Faces, people and motion in one frame, and the decision when a rule raises an alarm."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np
from rules import Point, Rule

MAX_TARGETS = 8
PEOPLE_WIDTH, MOTION_WIDTH = 640, 320
PEOPLE_WINDOW = (64, 128)


@dataclass(frozen=True)
class Box:
    """A rectangle in parts of the frame (0 to 1), with how sure the detector is of it."""

    left: float
    top: float
    right: float
    bottom: float
    score: float

    @property
    def centre(self) -> Point:
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2

    @property
    def foot(self) -> Point:
        return (self.left + self.right) / 2, self.bottom


@dataclass(frozen=True)
class Target:
    kind: str
    area_id: int
    box: Box
    target_id: str = field(default_factory=lambda: str(uuid.uuid4()))


def box_of(x: float, y: float, w: float, h: float, shape: tuple[int, ...], score: float) -> Box:
    """A rectangle in pixels of a frame of that shape as parts of it, cut off at its borders."""
    height, width = shape[:2]

    def part(value: float, whole: int) -> float:
        return round(min(max(value / whole, 0.0), 1.0), 4)

    return Box(part(x, width), part(y, height), part(x + w, width), part(y + h, height), round(score, 4))


def sureness(weight: float, middle: float, width: float) -> float:
    """A detector's open-ended weight as 0 to 1: `middle` is 0.5, `width` how fast it rises."""
    return 1.0 / (1.0 + math.exp(-max(-50.0, min(50.0, (weight - middle) / width))))


class Detectors:
    """The three detectors of one task. Motion remembers the frames it has seen, so never share one."""

    def __init__(self) -> None:
        self._faces = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
        self._people = cv2.HOGDescriptor()
        self._people.setSVMDetector(cv2.HOGDescriptor_getDefaultPeopleDetector())
        self._background = cv2.createBackgroundSubtractorMOG2(history=200, detectShadows=True)
        self._seen = 0

    def faces(self, frame: np.ndarray) -> list[Box]:
        grey = cv2.equalizeHist(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY))
        boxes, _, weights = self._faces.detectMultiScale3(
            grey, scaleFactor=1.1, minNeighbors=4, minSize=(24, 24), outputRejectLevels=True
        )
        return [
            box_of(*box, frame.shape, sureness(float(weight), 2.0, 1.5))
            for box, weight in zip(boxes, np.ravel(weights), strict=True)
        ]

    def people(self, frame: np.ndarray) -> list[Box]:
        small = _sized(frame, PEOPLE_WIDTH, PEOPLE_WINDOW)
        boxes, weights = self._people.detectMultiScale(small, winStride=(8, 8), scale=1.05)
        return [
            box_of(*box, small.shape, sureness(float(weight), 0.4, 0.35))
            for box, weight in zip(boxes, np.ravel(weights), strict=True)
        ]

    def motion(self, frame: np.ndarray) -> list[Box]:
        small = _sized(frame, MOTION_WIDTH, (1, 1))
        moving = (self._background.apply(small) == 255).astype(np.uint8)
        self._seen += 1
        if self._seen < 4:
            return []  # until the background is learnt, everything moves
        moving = cv2.morphologyEx(moving, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        blobs = cv2.connectedComponentsWithStats(cv2.dilate(moving, np.ones((5, 5), np.uint8)))[2][1:]
        pixels = small.shape[0] * small.shape[1]
        return [
            box_of(x, y, w, h, small.shape, 1.0 - math.exp(-area / pixels / 0.02))
            for x, y, w, h, area in blobs.tolist()
        ]

    def look(self, frame: np.ndarray, rules: list[Rule]) -> list[tuple[Rule, list[Target]]]:
        """For each rule its targets in this frame, surest first; every detector runs at most once."""
        kinds: dict[str, tuple[str, Callable[[np.ndarray], list[Box]]]] = {
            "FACE_DETECT": ("FACE", self.faces),
            "INTRUSION": ("PERSON", self.people),
            "MOTION_DETECT": ("MOTION", self.motion),
        }
        found = {event: kinds[event][1](frame) for event in dict.fromkeys(rule.event_id for rule in rules)}
        return [(rule, targets_of(rule, kinds[rule.event_id][0], found[rule.event_id])) for rule in rules]


def targets_of(rule: Rule, kind: str, boxes: list[Box]) -> list[Target]:
    """The boxes sure enough and within the rule's areas: a person stands where the feet are."""
    hits = []
    for box in sorted(boxes, key=lambda box: -box.score):
        area = rule.area_of(box.foot if kind == "PERSON" else box.centre)
        if area is not None and box.score >= rule.threshold:
            hits.append(Target(kind, area, box))
    return hits[:MAX_TARGETS]


def _sized(frame: np.ndarray, widest: int, at_least: tuple[int, int]) -> np.ndarray:
    """The frame narrowed to `widest`, but no side under `at_least` (width, height)."""
    height, width = frame.shape[:2]
    scale = max(min(1.0, widest / width), at_least[0] / width, at_least[1] / height)
    if scale == 1.0:
        return frame
    return cv2.resize(frame, (math.ceil(width * scale), math.ceil(height * scale)))


class Gate:
    """When a rule may speak: looks every interval, alarms after the duration, not again too soon."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._next_look = 0.0
        self._since: float | None = None
        self._alarmed: float | None = None

    def due(self, seconds: float) -> bool:
        """Whether the frame at this time of the video is one to look at."""
        if seconds + 1e-6 < self._next_look:
            return False
        self._next_look = seconds + self._rule.interval_seconds
        return True

    def alarm(self, seconds: float, present: bool) -> bool:
        """Whether what was seen at this time of the video is to be reported."""
        if not present:
            self._since = None
            return False
        self._since = seconds if self._since is None else self._since
        if seconds - self._since + 1e-6 < self._rule.duration_seconds:
            return False
        if self._alarmed is not None and seconds - self._alarmed + 1e-6 < self._rule.repeat_seconds:
            return False
        self._alarmed = seconds
        return True
