"""What runs the engines of this box, whatever an engine is: one surface, and the choice between two."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from acsmpd.runtime.values import EngineSpec, Exit, Running, Swept, Usage


class Runner(Protocol):
    """Starts, stops and reads engines, told apart by the ids of their loads. Any thread may call any method."""

    def start(self, spec: EngineSpec) -> Running:
        """Start the engine; Conflict when it runs already or cannot be started. NoAnswerInTime: ask alive()."""
        ...

    def stop(self, load_id: str) -> None:
        """Return when nothing of the engine runs, else raise NoAnswerInTime. Nothing to stop is fine."""
        ...

    def close(self) -> None:
        """Stop every engine and our own threads."""
        ...

    def alive(self, load_id: str) -> Running | None:
        """The engine if it runs now."""
        ...

    def exited(self, load_id: str) -> Exit | None:
        """How the last run ended; None while no run of it has ended since our start."""
        ...

    def held_back(self, load_id: str) -> str:
        """What a running engine was refused since its start, in words; "" for nothing."""
        ...

    def usage(self, load_id: str) -> Usage:
        """What the whole tree uses; NotFound when it does not run."""
        ...

    def log_tail(self, load_id: str, count: int) -> bytes:
        """The last bytes the engine printed, also after its end; NotFound when it was not started since our start."""
        ...

    def sweep(self, known: set[str]) -> list[Swept]:
        """See to it that nothing an earlier daemon left runs on. Call once, before the first start."""
        ...

    def forget(self, load_id: str) -> None:
        """Remove what is kept of a load that is over."""
        ...


class Runners:
    """Programs with the one runner, images with the other, which is made when it is first needed."""

    def __init__(
        self, programs: Runner, make_images: Callable[[], Runner], *, left: Callable[[], bool]
    ) -> None:
        """`left` tells whether an earlier daemon may have left containers."""
        self._programs, self._make, self._left = programs, make_images, left
        self._lock = threading.Lock()
        self._images: Runner | None = None
        self._of_images: set[str] = set()

    def start(self, spec: EngineSpec) -> Running:
        """By the spec: an image or a program. A load that has turned from one into the other leaves nothing behind."""
        before, now = self._of(spec.load_id), self._runner(image=bool(spec.image))
        if before is not now:
            before.stop(spec.load_id)
        with self._lock:
            (self._of_images.add if spec.image else self._of_images.discard)(spec.load_id)
        return now.start(spec)

    def stop(self, load_id: str) -> None:
        for runner in self._all():
            runner.stop(load_id)

    def close(self) -> None:
        for runner in self._all():
            runner.close()

    def alive(self, load_id: str) -> Running | None:
        return self._of(load_id).alive(load_id)

    def exited(self, load_id: str) -> Exit | None:
        return self._of(load_id).exited(load_id)

    def held_back(self, load_id: str) -> str:
        return self._of(load_id).held_back(load_id)

    def usage(self, load_id: str) -> Usage:
        return self._of(load_id).usage(load_id)

    def log_tail(self, load_id: str, count: int) -> bytes:
        return self._of(load_id).log_tail(load_id, count)

    def sweep(self, known: set[str]) -> list[Swept]:
        swept = self._programs.sweep(known)
        if self._left():
            swept += self._runner(image=True).sweep(known)
        return swept

    def forget(self, load_id: str) -> None:
        for runner in self._all():
            runner.forget(load_id)
        with self._lock:
            self._of_images.discard(load_id)

    def _of(self, load_id: str) -> Runner:
        with self._lock:
            held = load_id in self._of_images
        return self._runner(image=held)

    def _runner(self, *, image: bool) -> Runner:
        if not image:
            return self._programs
        with self._lock:
            if self._images is None:
                self._images = self._make()
            return self._images

    def _all(self) -> list[Runner]:
        with self._lock:
            return [self._programs, *([self._images] if self._images is not None else [])]
