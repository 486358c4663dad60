"""Results on their way to the receivers: one short queue a task, retried, and never in the decoder's way."""

from __future__ import annotations

import http.client
import json
import logging
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass

QUEUE_LENGTH = 32
ATTEMPTS = 7
FIRST_BACKOFF_SECONDS = 0.5
TIMEOUT_SECONDS = 5.0
ANSWER_BYTES = 64 * 1024
DRAIN_SECONDS = 10.0
PERMANENT = (400, 401, 403, 404, 405, 413, 415, 422)

log = logging.getLogger("deliver")


class _StayHere(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """A receiver that points elsewhere is an error: results go where the task said."""


_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _StayHere())


def post(url: str, body: bytes) -> tuple[bool, bool, str]:
    """Deliver once: (taken, worth another try, why not). Taken = 2xx with Code 0."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method="POST")
    try:
        with _opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
            code = json.loads(answer.read(ANSWER_BYTES)).get("Code")
    except urllib.error.HTTPError as error:
        error.close()
        return False, error.code not in PERMANENT, f"HTTP {error.code}"
    except (OSError, http.client.HTTPException) as error:
        return False, True, type(error).__name__
    except (ValueError, AttributeError, RecursionError):
        return False, True, "an answer that is no envelope"
    return str(code) == "0", True, f"Code {code!r:.20}"


@dataclass(eq=False)
class _Parcel:
    url: str
    body: bytes
    attempts: int = 0
    due: float = 0.0


class Outbox:
    """The results of one task still to be delivered; when full, the oldest make room and are counted."""

    def __init__(self, task_id: str) -> None:
        self._task_id = task_id
        self._parcels: list[_Parcel] = []
        self._sending: _Parcel | None = None
        self._changed = threading.Condition()
        self._worker: threading.Thread | None = None
        self._close_at: float | None = None
        self.delivered = self.failed = self.dropped = 0

    def put(self, url: str, body: bytes) -> None:
        with self._changed:
            if self._close_at is not None:
                return
            if len(self._parcels) >= QUEUE_LENGTH:
                self._parcels.remove(next(old for old in self._parcels if old is not self._sending))
                self.dropped += 1
            self._parcels.append(_Parcel(url, body))
            if self._worker is None:
                self._worker = threading.Thread(target=self._work, name="deliver", daemon=True)
                self._worker.start()
            self._changed.notify_all()

    def close(self) -> None:
        """Take no more; what is waiting has a few seconds to leave."""
        with self._changed:
            self._close_at = time.monotonic() + DRAIN_SECONDS
            self._changed.notify_all()

    def join(self, seconds: float) -> None:
        if self._worker is not None:
            self._worker.join(seconds)

    def _work(self) -> None:
        while (parcel := self._next()) is not None:
            parcel.attempts += 1
            taken, again, reason = post(parcel.url, parcel.body)
            with self._changed:
                self._settle(parcel, taken, again, reason)

    def _next(self) -> _Parcel | None:
        """The first parcel that is due, waiting for one; None when closed and done."""
        with self._changed:
            while True:
                now = time.monotonic()
                if self._close_at is not None and (not self._parcels or now > self._close_at):
                    return None
                for parcel in self._parcels:
                    if parcel.due <= now:
                        self._sending = parcel
                        return parcel
                wake = min((parcel.due for parcel in self._parcels), default=now + 60)
                self._changed.wait(min(wake, self._close_at or wake) - now)

    def _settle(self, parcel: _Parcel, taken: bool, again: bool, reason: str) -> None:
        self._sending = None
        if not taken and again and parcel.attempts < ATTEMPTS:
            parcel.due = time.monotonic() + FIRST_BACKOFF_SECONDS * 2 ** (parcel.attempts - 1)
            log.info("task=%s result not taken (%s), try %d", self._task_id, reason, parcel.attempts)
            return
        if taken:
            self.delivered += 1
        else:
            self.failed += 1
            log.warning("task=%s result given up: %s", self._task_id, reason)
        self._parcels.remove(parcel)
