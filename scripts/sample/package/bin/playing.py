"""One run of one task: a thread that plays the video, looks at frames, and hands results on."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from deliver import Outbox
from detect import Detectors, Gate, Target
from results import Author, compose
from rules import Rule, TaskSpec
from video import Video, VideoFailed, shown

BACKOFF_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)

log = logging.getLogger("task")


@dataclass
class Counts:
    """What a task has done since it was created."""

    read: int = 0
    analysed: int = 0
    events: int = 0


class Run:
    """Plays a task until stopped or ended; `report` is told each new status with its reason."""

    def __init__(
        self,
        task_id: str,
        spec: TaskSpec,
        author: Author,
        outbox: Outbox,
        counts: Counts,
        report: Callable[[Run, str, str], None],
    ) -> None:
        self._task_id, self._spec, self._author = task_id, spec, author
        self._outbox, self._counts, self._report = outbox, counts, report
        self._stream = shown(spec.url)
        self._gates = [(rule, Gate(rule)) for rule in spec.rules]
        self._stop = threading.Event()
        self._played_seconds = 0.0  # of the passes before this one
        self._failures = 0
        self.retrying = False
        self._thread = threading.Thread(target=self._main, name=f"task {task_id}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ask it to end; a read that hangs may keep the thread for another 5 s."""
        self._stop.set()

    def alive(self) -> bool:
        return self._thread.is_alive()

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)

    def _main(self) -> None:
        try:
            self._detectors = Detectors()
            while not self._stop.is_set():
                reason = self._pass()
                if self._stop.is_set() or not self._again(reason):
                    return
        except Exception:
            log.exception("task=%s ended by a fault of the engine", self._task_id)
            self.retrying = False
            self._report(self, "ERROR", "internal fault, see the engine's log")

    def _pass(self) -> str:
        """Play the video once; the reason it failed, empty when it came to its end."""
        try:
            with Video(self._spec.url) as video:
                self._play(video)
                self._played_seconds += video.seconds
                if video.frames == 0 or (video.live and not self._stop.is_set()):
                    return f"cannot read {self._stream}: the stream ended"
        except VideoFailed as failure:
            return str(failure)
        except cv2.error as failure:
            return f"cannot analyse {self._stream}: {failure.err or 'OpenCV refused the frame'}"
        return ""

    def _again(self, reason: str) -> bool:
        """Report how the pass ended; True, after a pause if it failed, when there is to be another."""
        if not reason:
            if not self._spec.loop:
                self._report(self, "FINISHED", "")
            return self._spec.loop
        self.retrying = self._spec.always
        self._report(self, "ERROR", reason)
        log.warning("task=%s %s", self._task_id, reason)
        if self._spec.always:
            pause = BACKOFF_SECONDS[min(self._failures, len(BACKOFF_SECONDS) - 1)]
            self._failures += 1
            self._stop.wait(pause)
        return self._spec.always

    def _play(self, video: Video) -> None:
        began = time.monotonic()
        while not self._stop.is_set() and video.advance():
            if video.frames == 1:
                self._failures = 0
                self._report(self, "RUNNING", "")
            self._counts.read += 1
            passed = time.monotonic() - began
            self._look(video, self._played_seconds + (passed if video.live else video.seconds))
            ahead = 0.0 if video.live else video.seconds / self._spec.speed - (time.monotonic() - began)
            if ahead > 0:
                self._stop.wait(ahead)

    def _look(self, video: Video, seconds: float) -> None:
        due = {id(rule): gate for rule, gate in self._gates if gate.due(seconds)}
        frame = video.pixels() if due else None
        if frame is None:
            return
        self._counts.analysed += 1
        for rule, targets in self._detectors.look(frame, [r for r, _ in self._gates if id(r) in due]):
            if due[id(rule)].alarm(seconds, bool(targets)):
                self._tell(rule, targets, frame)

    def _tell(self, rule: Rule, targets: list[Target], frame: np.ndarray) -> None:
        now = time.time()
        self._counts.events += 1
        log.info("task=%s event=%s score=%.2f", self._task_id, rule.event_id, targets[0].box.score)
        if rule.receivers:
            body = compose(self._author, self._task_id, self._stream, rule, targets, frame, now)
            for url in rule.receivers:
                self._outbox.put(url, body)
