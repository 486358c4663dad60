"""The duty of keeping results within their bounds: pictures as a ring by size and age, rows by number too.

What somebody still waits for goes last, and is counted in an alarm when it has to go.
Rows go first and their files after: a crash in between leaves files that the next start sweeps away.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from acsmpd.clock import HOUR_SECONDS, Moment
from acsmpd.engine import losses
from acsmpd.engine.core import Core
from acsmpd.store import alarms, facts, results
from acsmpd.store.database import Tx
from acsmpd.store.rows import is_past
from acsmpd.store.tables import Delivery, Picture, Result

log = logging.getLogger(__name__)

BATCH, BATCH_BYTES = 500, 4 * 1024 * 1024
"""What goes in one transaction: everybody who writes waits for it."""
TIDY_SECONDS = 2.0
"""How long one tidying may hold up the loop; what is left over goes at the next."""
FOLDERS = ("results/pictures", "results/raw")
EVICTED = "pictures_evicted"
"""The kind of the alarm, and the fact that counts."""


class Pictures:
    """Keeps results, pictures and raw bodies within settings.results."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._born_ms = core.clock.now().wall_ms

    def tidy(self) -> None:
        """Bring everything within its bounds, in small batches, for a short while."""
        begun = self._core.clock.now()
        steps = (
            self._old_results, self._surplus_results, self._surplus_bodies, self._old_pictures,
            self._surplus_pictures,
        )  # fmt: skip
        for step in steps:
            while step(begun) and not self._is_over(begun):
                continue
        self._settle(begun)

    def _is_over(self, begun: Moment) -> bool:
        return self._core.stopping.is_set() or self._core.clock.now().mono - begun.mono > TIDY_SECONDS

    # --- rows --------------------------------------------------------------------------------------------

    def _old_results(self, now: Moment) -> bool:
        """Results as old as a picture may be. One still to be delivered waits for the outbox to give it up."""
        limits = self._core.settings.results
        seconds = max(limits.keep_hours, limits.pictures_keep_hours) * HOUR_SECONDS
        old = is_past(Result.received_ms, self._core.clock.steps.shown(now, seconds))
        return self._drop_results(now, BATCH, None, old, ~results.OUTSTANDING)

    def _surplus_results(self, now: Moment) -> bool:
        with self._core.store.read() as tx:
            surplus = results.number(tx) - self._core.settings.results.max_rows
        if surplus <= 0:
            return False
        limit = min(surplus, BATCH)
        return self._drop_results(now, limit, None, ~results.OUTSTANDING) or self._drop_results(
            now, limit, None
        )

    def _surplus_bodies(self, now: Moment) -> bool:
        with self._core.store.read() as tx:
            surplus = results.bodies_size(tx) - self._core.settings.results.bodies_max_bytes
        if surplus <= 0:
            return False
        return self._drop_results(now, BATCH, surplus, ~results.OUTSTANDING) or self._drop_results(
            now, BATCH, surplus
        )

    def _drop_results(self, now: Moment, limit: int, surplus: int | None, *conditions: Any) -> bool:
        """Drop at most `limit` of the oldest, no more than free `surplus` bytes; False if there was none."""
        most = BATCH_BYTES if surplus is None else min(surplus, BATCH_BYTES)
        with self._core.store.read() as tx:  # it may look at many before it finds one
            ids = [row["id"] for row in _enough(results.oldest(tx, limit, *conditions), most)]
        if not ids:
            return False
        with self._core.store.write(durable=False) as tx:
            for destination, number in results.drop_deliveries(tx, Delivery.result_id.in_(ids)).items():
                losses.note(tx, destination, "dropped", number, now.wall_ms)
            paths = results.drop_results(tx, ids)
        self._unlink(paths)
        return True

    # --- pictures ------------------------------------------------------------------------------------------

    def _old_pictures(self, now: Moment) -> bool:
        seconds = self._core.settings.results.pictures_keep_hours * HOUR_SECONDS
        old = is_past(Picture.created_ms, self._core.clock.steps.shown(now, seconds))
        return self._evict(now, None, old, ~results.UNDELIVERED) or self._evict(now, None, old)

    def _surplus_pictures(self, now: Moment) -> bool:
        with self._core.store.read() as tx:
            surplus = results.pictures_size(tx) - self._core.settings.results.pictures_max_bytes
        if surplus <= 0:
            return False
        return self._evict(now, surplus, ~results.UNDELIVERED) or self._evict(now, surplus)

    def _evict(self, now: Moment, surplus: int | None, *conditions: Any) -> bool:
        """Take a batch of the oldest, no more than frees `surplus` bytes; False if there was none."""
        with self._core.store.read() as tx:
            rows = results.oldest_pictures(tx, BATCH, *conditions)
        paths = list(dict.fromkeys(row["path"] for row in _enough(rows, surplus)))
        if not paths:
            return False
        with self._core.store.write(durable=False) as tx:
            undelivered = results.undelivered_among(tx, paths)
            results.drop_pictures(tx, paths)
            if undelivered:
                _note_evicted(tx, undelivered, now.wall_ms)
        self._unlink(paths)
        return True

    def _settle(self, now: Moment) -> None:
        """The alarm ends when nothing waits for delivery any more."""
        with self._core.store.read() as tx:
            over = bool(results.alarmed(tx, EVICTED)) and not results.destinations(tx, 1)
        if over:
            with self._core.store.write(durable=False) as tx:
                alarms.end_alarm(tx, EVICTED, "results", now.wall_ms)
                results.forget(tx, EVICTED)

    # --- files ---------------------------------------------------------------------------------------------

    def _unlink(self, paths: list[str]) -> None:
        for path in paths:
            try:
                (self._core.data / path).unlink(missing_ok=True)
            except OSError as error:
                log.warning("cannot remove %s: %s", path, error.strerror)

    def sweep(self) -> None:
        """Remove files of earlier runs that no row points to, and empty folders. For the start."""
        gone = 0
        for batch in self._batches():
            with self._core.store.read() as tx:
                known = results.known_paths(tx, batch)
            orphans = [path for path in batch if path not in known]
            self._unlink(orphans)
            gone += len(orphans)
        for folder in self._folders():
            with contextlib.suppress(OSError):  # not empty: it stays
                folder.rmdir()
        if gone:
            log.info("%d files of unfinished results were removed", gone)

    def _folders(self) -> list[Path]:
        roots = [self._core.data / name for name in FOLDERS]
        return [folder for root in roots if root.is_dir() for folder in root.iterdir() if folder.is_dir()]

    def _batches(self) -> Iterator[list[str]]:
        """The paths of files older than this process: what came since may be on its way to a row."""
        batch: list[str] = []
        for folder in self._folders():
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_file(follow_symlinks=False) and entry.stat().st_mtime * 1000 < self._born_ms:
                        batch.append(Path(entry.path).relative_to(self._core.data).as_posix())
                    if len(batch) >= BATCH:
                        yield batch
                        batch = []
        if batch:
            yield batch


def _enough(rows: list[dict[str, Any]], surplus: int | None) -> list[dict[str, Any]]:
    """The first rows, as many as free `surplus` bytes; all of them for None."""
    enough, freed = [], 0
    for row in rows:
        if surplus is not None and freed >= surplus:
            break
        enough.append(row)
        freed += row["size"]
    return enough


def _note_evicted(tx: Tx, number: int, now_ms: int) -> None:
    total = int(facts.get(tx, EVICTED) or 0) + number
    facts.put(tx, EVICTED, total)
    text = (
        f"pictures of results not delivered yet that had to go: {total}; the space or the time for them is up"
    )
    alarms.raise_alarm(tx, EVICTED, "results", text, now_ms)
