"""The one long-lived thread that starts every child: a parent-death signal follows the thread that forked."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as WaitTimeout
from typing import TypeVar

from acsmpd.faults import Conflict, Fault, NoAnswerInTime, SlowDown

_log = logging.getLogger(__name__)

T = TypeVar("T")

WAITING_MAX = 64


class Spawner:
    """Runs what other threads submit, one at a time, and `idle` every interval in between."""

    def __init__(self, idle: Callable[[], None], interval_seconds: float) -> None:
        self._idle, self._interval_seconds = idle, interval_seconds
        self._requests: queue.Queue[Callable[[], None]] = queue.Queue(WAITING_MAX)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="spawner", daemon=True)
        self._thread.start()

    def ask(self, what: str, work: Callable[[], T], timeout_seconds: float) -> T:
        """The result of `work`, done in the spawner thread; NoAnswerInTime after the deadline.

        Work that had not begun by then is never done; work that had begun goes on to its end.
        """
        if self._closed.is_set():
            raise Conflict(f"cannot {what}: the runtime is stopping")
        future: Future[T] = Future()
        try:
            self._requests.put_nowait(lambda: self._fulfil(future, work))
        except queue.Full:
            raise SlowDown(f"cannot {what}: {WAITING_MAX} starts are waiting") from None
        try:
            return future.result(timeout_seconds)
        except WaitTimeout:
            future.cancel()
            raise NoAnswerInTime(f"cannot {what}: not done within {timeout_seconds:g} s") from None
        except CancelledError:
            raise Conflict(f"cannot {what}: the runtime is stopping") from None

    def close(self) -> None:
        """End the thread after the work in hand; what waits is refused."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._requests.put(lambda: None)
        self._thread.join()

    def _run(self) -> None:
        while not (self._closed.is_set() and self._requests.empty()):
            try:
                request = self._requests.get(timeout=self._interval_seconds)
            except queue.Empty:
                self._look_around()
            else:
                request()

    def _look_around(self) -> None:
        try:
            self._idle()
        except (OSError, Fault) as error:
            _log.warning("cannot look after the engines: %s", error)

    def _fulfil(self, future: Future[T], work: Callable[[], T]) -> None:
        if self._closed.is_set():
            future.cancel()
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(work())
        except BaseException as error:  # raised again in the thread that asked
            future.set_exception(error)
