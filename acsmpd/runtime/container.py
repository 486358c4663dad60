"""Engines of this box as containers of a Docker-compatible engine: start, stop, read. The other half of process.py.

Whether one lives is seen in /proc by the pid and start time of its first process, not asked of the container
engine: an engine that is stopped, stuck or being updated hides no end and holds up no look.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

from acsmpd.clock import Clock
from acsmpd.durable import disk_told
from acsmpd.faults import Conflict, Fault, NoAnswerInTime, NotFound
from acsmpd.runtime import cgroup, program, tree, walls
from acsmpd.runtime.on_images import HOMES, RECORDS
from acsmpd.runtime.ours import Held, Ours, told
from acsmpd.runtime.output import LogFile, read_tail
from acsmpd.runtime.record import Record, RecordBook, start_ticks
from acsmpd.runtime.sockets import Sockets
from acsmpd.runtime.values import (
    EngineSpec,
    Exit,
    Running,
    RuntimeSettings,
    Swept,
    Usage,
    check_load_id,
)

log = logging.getLogger(__name__)

WAY = "container"
_EXITS_MAX = 256
_AGAIN_SECONDS = 15.0
_NOTICED_SECONDS = 3.0


class Containers:
    """Every container of one data directory. Any thread may call any method."""

    def __init__(
        self, settings: RuntimeSettings, folder: Path, sockets: Sockets, owner: str, clock: Clock
    ) -> None:
        """`owner`: the data directory's mark on names and labels."""
        self._settings, self._folder, self._sockets, self._owner = settings, folder.absolute(), sockets, owner
        self._clock = clock
        self._homes = self._folder / HOMES
        self._homes.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._book = RecordBook(self._folder / RECORDS)
        self._lock, self._starting = threading.Lock(), threading.Lock()
        self._held: dict[str, Held] = {}
        self._exits: OrderedDict[str, Exit] = OrderedDict()
        self._logs: OrderedDict[str, Path] = OrderedDict()
        self._closing = threading.Event()
        self._guard: threading.Thread | None = None

    # --- start and stop ---------------------------------------------------------------------------

    def start(self, spec: EngineSpec) -> Running:
        """Start the container; NotFound when the engine has the image no more, NotSupported without an engine.

        NoAnswerInTime leaves the outcome open: the next start, or the next daemon, ends what may run.
        """
        with self._starting, disk_told(f"start engine {spec.load_id}"):
            if self._closing.is_set():
                raise Conflict(f"cannot start engine {spec.load_id}: the runtime is stopping")
            ours = Ours(self._sockets.api(), self._owner)
            self._make_room(ours, spec.load_id)
            held = self._launch(ours, spec, self._prepare(spec))
            self._look_after()
        log.info("engine %s started: pid %d in a container of %s", spec.load_id, held.pid, ours.api)
        return self._shown(held)

    def stop(self, load_id: str) -> None:
        """A fault other than NoAnswerInTime as well when the container engine cannot be asked to."""
        held = self._find(load_id)
        if held is None:
            if self._book.has(load_id):
                self._sweep_record(load_id)
            return
        with held.ending:
            if self._find(load_id) is not held:
                return
            held.reason = held.reason or "stopped"
            if held.lives():
                self._end(held)
            self._settle(held)

    def close(self) -> None:
        self._closing.set()
        if self._guard is not None:
            self._guard.join()
        with self._starting:
            pass  # a start in hand comes to its end
        stoppers = [threading.Thread(target=self._stop_or_tell, args=(one,)) for one in list(self._held)]
        for stopper in stoppers:
            stopper.start()
        for stopper in stoppers:
            stopper.join()

    # --- read -------------------------------------------------------------------------------------

    def alive(self, load_id: str) -> Running | None:
        """The container if its first process lives; one found ended is cleared away."""
        held = self._find(load_id)
        if held is None:
            return None
        if held.lives():
            return self._shown(held)
        self._settle_within(held, self._settings.kill_timeout_seconds)
        return None

    def exited(self, load_id: str) -> Exit | None:
        if self.alive(load_id) is None and (held := self._find(load_id)) is not None:
            text = held.reason or f"ended; {held.ours.api} has not said how"
            return Exit(code=None, signal=None, reason=text, ended_ms=self._clock.now().wall_ms)
        with self._lock:
            return self._exits.get(load_id)

    def held_back(self, load_id: str) -> str:
        held = self._find(load_id)
        if held is None or not cgroup.refused_processes(held.groups):
            return ""
        return f"was refused more than {held.spec.pids_max} processes and threads"

    def usage(self, load_id: str) -> Usage:
        held = self._find(load_id)
        if held is None or not held.lives():
            raise NotFound(f"cannot read the use of engine {load_id}: it is not running")
        cpu, rss, pids = tree.cpu_seconds_rss_pids(held.pid)
        mono = self._clock.now().mono
        before, then = held.sampled
        held.sampled = (cpu, mono)
        return Usage(cpu=max(0.0, cpu - before) / max(mono - then, 0.001), rss_bytes=rss, pids=pids)

    def log_tail(self, load_id: str, count: int) -> bytes:
        """While it runs, asked of the container engine, which keeps at most log_max_bytes a file."""
        count = min(count, 2 * self._settings.log_max_bytes)
        held = self._find(load_id)
        if held is not None:
            return held.ours.printed(held.made, count)
        with self._lock:
            path = self._logs.get(load_id)
        if path is None:
            raise NotFound(f"cannot read the log of engine {load_id}: it was not started since our own start")
        return read_tail(path, count)

    # --- leftovers --------------------------------------------------------------------------------

    def sweep(self, known: set[str]) -> list[Swept]:
        """What an earlier daemon left running is ended from a thread of our own: no container engine is waited for.

        A start of the same load meanwhile ends its leftover itself, first.
        """
        for home in self._homes.iterdir():
            if home.name not in known:
                self._remove_home(home.name)
        self._look_after()
        return []

    def forget(self, load_id: str) -> None:
        check_load_id(load_id)
        if self.alive(load_id) is not None:
            raise Conflict(f"cannot remove the folders of engine {load_id}: it is running")
        self._remove_home(load_id)
        with self._lock:
            self._logs.pop(load_id, None)
            self._exits.pop(load_id, None)

    # --- starting -----------------------------------------------------------------------------------

    def _make_room(self, ours: Ours, load_id: str) -> None:
        """Never two copies: refuse while one runs, clear away what ended or was left behind."""
        held = self._find(load_id)
        if held is not None:
            if held.lives():
                raise Conflict(f"cannot start engine {load_id}: it is running as pid {held.pid}")
            with held.ending:
                self._settle(held)
        if self._book.has(load_id):
            self._sweep_record(load_id)
        ours.remove(load_id, self._settings.kill_timeout_seconds)
        self._remove_home(load_id)

    def _prepare(self, spec: EngineSpec) -> walls.Walled:
        home = self._homes / spec.load_id
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        copy = program.copy_license(spec, home)
        own = home / "log" if os.geteuid() == 0 else None
        if own is not None:
            own.mkdir(mode=0o700)
            os.chown(own, *walls.ACCOUNT)
        return walls.Walled(settings=self._settings, home=own, license=copy)

    def _launch(self, ours: Ours, spec: EngineSpec, walled: walls.Walled) -> Held:
        body = ours.body(spec, walled)
        self._book.write(self._record(ours, spec.load_id, 0, -1))
        try:
            made = ours.run(spec.load_id, body, 2 * self._settings.start_timeout_seconds)
            held = self._hold(ours, spec, made)
        except NoAnswerInTime:
            raise
        except BaseException:
            self._undo(ours, spec.load_id)
            raise
        self._book.write(self._record(ours, spec.load_id, held.pid, held.ticks))
        return held

    def _hold(self, ours: Ours, spec: EngineSpec, made: str) -> Held:
        """One that has ended by now is held as well: how it ended is told at the next look."""
        state = ours.state(made)
        ticks = start_ticks(state.pid) if state.pid > 0 else None
        if ticks is None and state.running and _runs_on(ours, made):
            raise Conflict(
                f"cannot start engine {spec.load_id}: {ours.api} runs its containers on another box"
            )
        held = Held(spec, ours, made, state.pid, -1 if ticks is None else ticks, self._clock.now())
        with self._lock:
            self._held[spec.load_id] = held
            _remember(self._logs, spec.load_id, spec.log)
        return held

    def _undo(self, ours: Ours, load_id: str) -> None:
        """What cannot be undone keeps its record, and with it somebody who tries again."""
        try:
            ours.remove(load_id, self._settings.kill_timeout_seconds)
            self._erase_record(load_id)
        except Fault as fault:
            log.warning("cannot remove what was made of engine %s: %s", load_id, fault.message)

    def _record(self, ours: Ours, load_id: str, pid: int, ticks: int) -> Record:
        boot = self._clock.now().boot_id
        return Record(load_id=load_id, pid=pid, start_ticks=ticks, boot_id=boot, socket=str(ours.api.path))

    # --- ends -------------------------------------------------------------------------------------

    def _end(self, held: Held) -> None:
        seconds = self._settings.stop_timeout_seconds
        patience = seconds + self._settings.kill_timeout_seconds
        begin = self._clock.now().mono
        held.ours.stop(held.made, seconds, patience)
        if held.reason == "stopped" and self._clock.now().mono - begin > seconds:
            held.reason = f"killed: it did not end within {seconds:g} s of SIGTERM"

    def _settle_within(self, held: Held, seconds: float) -> None:
        """Clear away an ended one, or wait for the thread at it, unless the last try was just now."""
        if self._clock.now().mono < held.again or not held.ending.acquire(timeout=seconds):
            return
        try:
            self._settle(held)
        except Fault as fault:
            held.again = self._clock.now().mono + _AGAIN_SECONDS
            log.warning("cannot clear away engine %s, which ended: %s", held.spec.load_id, fault.message)
        finally:
            held.ending.release()

    def _settle(self, held: Held) -> None:
        """Note how it ended and what it printed, then leave nothing of it. The caller holds held.ending."""
        load_id = held.spec.load_id
        if self._find(load_id) is not held:
            return
        seconds = self._settings.kill_timeout_seconds
        ended = told(held.spec, held.ours.ended(held.made, seconds), held.reason, self._clock.now())
        self._keep_log(held)
        held.ours.remove(load_id, seconds, held.made)
        self._erase_record(load_id)
        with self._lock:
            self._held.pop(load_id, None)
            _remember(self._exits, load_id, ended)
        log.info("engine %s is over: %s", load_id, ended.reason)

    def _keep_log(self, held: Held) -> None:
        """A log that cannot be kept keeps nothing else from its end."""
        try:
            text = held.ours.printed(held.made, self._settings.log_max_bytes)
            file = LogFile(held.spec.log, self._settings.log_max_bytes)
            try:
                file.append(text)
            finally:
                file.close()
        except (Fault, OSError) as error:
            log.warning("cannot keep the output of engine %s: %s", held.spec.load_id, error)

    def _erase_record(self, load_id: str) -> None:
        try:
            self._book.erase(load_id)
        except OSError as error:
            log.warning("cannot remove the record of engine %s: %s", load_id, error.strerror)

    def _sweep_record(self, load_id: str) -> None:
        """End what the record tells of, unless we hold it."""
        if self._find(load_id) is not None:
            return
        record = self._book.read(load_id)
        known = record is not None and record.load_id == load_id and bool(record.socket)
        api = self._sockets.at(Path(record.socket)) if record and known else self._sockets.api()
        found = Ours(api, self._owner).remove(load_id, self._settings.kill_timeout_seconds)
        log.warning("leftover container of engine %s: %s", load_id, "ended" if found else "gone already")
        self._erase_record(load_id)

    # --- the guard ----------------------------------------------------------------------------------

    def _look_after(self) -> None:
        if self._guard is None:
            self._guard = threading.Thread(target=self._watch, name="containers", daemon=True)
            self._guard.start()

    def _watch(self) -> None:
        due = 0.0
        while not self._closing.is_set():
            try:
                if self._clock.now().mono >= due and not self._sweep_all():
                    due = self._clock.now().mono + _AGAIN_SECONDS
                self._look_around()
            except (OSError, Fault) as error:
                log.warning("cannot look after the containers: %s", error)
            self._closing.wait(self._settings.guard_interval_seconds)

    def _look_around(self) -> None:
        with self._lock:
            held = list(self._held.values())
        for one in held:
            if one.lives():
                self._judge_home(one)
            else:
                self._settle_within(one, 0)

    def _sweep_all(self) -> bool:
        """End every leftover; False when one is left for later. No start is under way meanwhile."""
        if not self._starting.acquire(blocking=False):
            return True
        try:
            done = [self._sweep_or_tell(load_id) for load_id in self._book.load_ids()]
        finally:
            self._starting.release()
        return all(done)

    def _sweep_or_tell(self, load_id: str) -> bool:
        try:
            self._sweep_record(load_id)
        except Fault as fault:
            log.warning("cannot end the leftover container of engine %s: %s", load_id, fault.message)
            return False
        return True

    def _judge_home(self, held: Held) -> None:
        used = program.size_bytes(self._homes / held.spec.load_id)
        if used is not None and used <= self._settings.scratch_max_bytes:
            return
        why = "cannot be counted" if used is None else f"is over {self._settings.scratch_max_bytes} bytes"
        held.reason = f"ended by us: what it wrote to {walls.HOME} {why}"
        log.warning("engine %s %s", held.spec.load_id, held.reason)
        self._stop_or_tell(held.spec.load_id)

    # --- small ------------------------------------------------------------------------------------

    def _find(self, load_id: str) -> Held | None:
        with self._lock:
            return self._held.get(load_id)

    def _shown(self, held: Held) -> Running:
        with self._lock:
            last = self._exits.get(held.spec.load_id)
        return Running(
            load_id=held.spec.load_id, pid=held.pid, started_ms=held.started.wall_ms, way=WAY, last_exit=last
        )

    def _stop_or_tell(self, load_id: str) -> None:
        try:
            self.stop(load_id)
        except Fault as fault:
            log.error("cannot end engine %s: %s", load_id, fault.message)

    def _remove_home(self, load_id: str) -> None:
        program.remove(self._homes / load_id)


def _runs_on(ours: Ours, made: str) -> bool:
    """Whether it runs though none of our processes is it: the engine may only be late to notice an end."""
    try:
        ours.ended(made, _NOTICED_SECONDS)
    except NoAnswerInTime:
        return True
    return False


def _remember(history: OrderedDict[str, Any], key: str, value: object) -> None:
    history[key] = value
    history.move_to_end(key)
    while len(history) > _EXITS_MAX:
        history.popitem(last=False)
