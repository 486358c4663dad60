"""One audit row per operation: every change by itself, reads and heartbeats counted.

A refusal is a row at once, its repeats are counted by the minute, of strangers whatever they are refused for,
of others where they may not go: nobody fills the table by knocking.
Rows gather for at most one group time and share a commit; what is lost in a power cut is at most that.
"""

from __future__ import annotations

import threading

from acsmpd import faults
from acsmpd.api.call import Caller
from acsmpd.clock import Clock
from acsmpd.spec.operation import Operation
from acsmpd.store.database import Store
from acsmpd.store.tables import Audit as Row

GROUP_SECONDS = 0.02
COUNT_SECONDS = 60.0
MAX_WAITING = 10_000
MAX_STRANGERS = 1000
"""Different refusals that are told apart in a minute; more count as one of many addresses."""
STRANGERS = ("nobody", "computility")
MANY = "many"


class Audit:
    """Takes notes from any thread; its own thread writes them."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._wake = threading.Condition()
        self._rows: list[dict[str, object]] = []
        self._counted: dict[tuple[str, str, int], dict[str, object]] = {}
        self._refused: dict[tuple[str, str, str, int], dict[str, object]] = {}
        self._dropped = 0
        self._open = True
        self._thread = threading.Thread(target=self._run, name="audit")

    def start(self) -> None:
        self._thread.start()

    def note(self, row: Operation, caller: Caller, subject: str, code: int, request_id: str) -> None:
        """Remember that the caller did this, with this result."""
        knocks = code in faults.NO_RIGHT or (code != 0 and caller.kind in STRANGERS)
        counted = row.audit == "counted" and not knocks
        if counted and self._again((caller.shown, row.id, code)):
            return
        entry: dict[str, object] = {
            "at_ms": self._clock.now().wall_ms, "who": caller.shown, "address": caller.address,
            "operation": row.id, "object": subject, "code": code, "request_id": request_id, "times": 1,
        }  # fmt: skip
        with self._wake:
            if knocks:
                self._refuse(caller, row.id, code, entry)
            elif counted:
                self._count((caller.shown, row.id, code), entry)
            else:
                self._append(entry)

    def _again(self, key: tuple[str, str, int]) -> bool:
        """Count what has been counted before in this minute; False when it is the first."""
        with self._wake:
            have = self._counted.get(key)
            if have is not None:
                have["times"] = int(have["times"]) + 1  # type: ignore[call-overload]
            return have is not None

    def _append(self, entry: dict[str, object]) -> None:
        if len(self._rows) < MAX_WAITING:
            self._rows.append(entry)
            self._wake.notify()
        else:
            self._dropped += 1

    def _refuse(self, caller: Caller, operation: str, code: int, entry: dict[str, object]) -> None:
        """The first of its kind in a minute is a row; the repeats are one more when the minute is over."""
        key = (caller.shown, caller.address, operation, code)
        if key not in self._refused and len(self._refused) >= MAX_STRANGERS:
            who = caller.kind if caller.kind in STRANGERS else caller.shown  # strangers hide nobody we know
            key, entry = (who, MANY, operation, code), {**entry, "who": who, "address": MANY}
        have = self._refused.get(key)
        if have is None:
            self._append(entry)
            self._refused[key] = {**entry, "times": 0}
        elif have["times"] == 0:
            self._refused[key] = entry
        else:
            have["times"] = int(have["times"]) + 1  # type: ignore[call-overload]
            have["object"] = entry["object"] if have["object"] == entry["object"] else MANY

    def _count(self, key: tuple[str, str, int], entry: dict[str, object]) -> None:
        """The first of its kind; another thread may have been faster by a moment."""
        if not self._again(key) and len(self._counted) < MAX_WAITING:
            self._counted[key] = entry

    def _run(self) -> None:
        counted_at = self._clock.now().mono
        while True:
            with self._wake:
                if self._open and not self._rows:
                    self._wake.wait(COUNT_SECONDS / 4)
            with self._wake:
                is_open = self._open
                if is_open and self._rows:
                    self._wake.wait(GROUP_SECONDS)
                rows, self._rows = self._rows, []
                now = self._clock.now().mono
                if not is_open or now - counted_at >= COUNT_SECONDS:
                    rows += self._counted.values()
                    rows += [entry for entry in self._refused.values() if entry["times"]]
                    self._counted, self._refused, counted_at = {}, {}, now
            self._write(rows)
            if not is_open:
                return

    def _write(self, rows: list[dict[str, object]]) -> None:
        if not rows:
            return
        try:
            with self._store.write() as tx:
                for row in rows:
                    tx.run(Row.insert(**row))
        except faults.Fault:
            with self._wake:
                self._rows = (rows + self._rows)[:MAX_WAITING]
            self._pause()

    def _pause(self) -> None:
        """The disk is full or the store is closing: do not spin."""
        with self._wake:
            if self._open:
                self._wake.wait(1.0)
            else:
                self._rows = []

    def close(self) -> None:
        with self._wake:
            self._open = False
            self._wake.notify()
        if self._thread.is_alive():
            self._thread.join()
