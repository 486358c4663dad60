"""Engines of this box as processes: start, stop, read. Restarting is decided elsewhere."""

from __future__ import annotations

import errno
import hashlib
import logging
import signal
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

from acsmpd.clock import Clock, Moment
from acsmpd.faults import Conflict, NoAnswerInTime, NoSpace, NotAllowed, NotFound
from acsmpd.runtime import cgroup, leftovers, program, sandbox, tree
from acsmpd.runtime.child import Child, code_and_signal, spawn
from acsmpd.runtime.order import build_order
from acsmpd.runtime.output import LogFile, Pump, read_tail
from acsmpd.runtime.record import Record, RecordBook, start_ticks
from acsmpd.runtime.spawner import Spawner
from acsmpd.runtime.values import EngineSpec, Exit, Running, RuntimeSettings, Swept, Usage, check_load_id

_log = logging.getLogger(__name__)

_EXITS_MAX = 256
_OUTPUT_END_SECONDS = 2.0


class _Engine:
    """What the runtime holds about one live (or just ended) engine."""

    def __init__(
        self, spec: EngineSpec, child: Child, scratch: Path, output: threading.Event, now: Moment
    ) -> None:
        self.spec, self.child, self.scratch, self.output = spec, child, scratch, output
        self.started = now
        self.reason = ""  # why we ended it, if we did
        self.ending = threading.Lock()  # one thread at a time ends it
        self.sampled = (0.0, now.mono)


class Runtime:
    """Every engine process of one data directory. Any thread may call any method."""

    def __init__(
        self, settings: RuntimeSettings, folder: Path, clock: Clock, mounts: cgroup.Mounts | None = None
    ) -> None:
        """`mounts` names where control groups are made; found out when not given."""
        self._settings, self._folder, self._clock = settings, folder.absolute(), clock
        self._homes = self._folder / ".homes"
        self._homes.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.way = sandbox.choose(settings)
        self._mounts = cgroup.find() if mounts is None else mounts
        self._tell_walls()
        self._group_prefix = f"acsmpd-{hashlib.sha256(str(self._folder).encode()).hexdigest()[:8]}-"
        self._book = RecordBook(self._folder / ".running")
        self._lock = threading.Lock()
        self._engines: dict[str, _Engine] = {}
        self._exits: OrderedDict[str, Exit] = OrderedDict()
        self._logs: OrderedDict[str, Path] = OrderedDict()
        self._pump = Pump()
        self._spawner = Spawner(self._look_after, settings.guard_interval_seconds)

    # --- start and stop ---------------------------------------------------------------------------

    def start(self, spec: EngineSpec) -> Running:
        """Start the engine; Conflict when it runs already or its program cannot be started.

        NotAllowed when this box has no allowed way to run one. NoAnswerInTime leaves the outcome open:
        ask alive().
        """
        if self.way.kind == sandbox.NONE:
            raise NotAllowed(self.way.reason)
        seconds = self._settings.start_timeout_seconds
        return self._spawner.ask(
            f"start engine {spec.load_id}", lambda: self._start_or_tell(spec), 2 * seconds
        )

    def stop(self, load_id: str) -> None:
        """Return when nothing of the engine is left, else raise NoAnswerInTime. Nothing to stop is fine."""
        engine = self._find(load_id)
        if engine is None:
            return
        with engine.ending:
            if self._find(load_id) is not engine:
                return
            engine.reason = engine.reason or "stopped"
            seconds = self._settings.stop_timeout_seconds
            if not engine.child.terminate(seconds) and engine.reason == "stopped":
                engine.reason = f"killed: it did not end within {seconds:g} s of SIGTERM"
            self._settle(engine)

    def close(self) -> None:
        """Stop every engine and our own threads."""
        self._spawner.close()
        with self._lock:
            engines = list(self._engines)
        stoppers = [threading.Thread(target=self._stop_or_tell, args=(load_id,)) for load_id in engines]
        for stopper in stoppers:
            stopper.start()
        for stopper in stoppers:
            stopper.join()
        self._pump.close()

    # --- read -------------------------------------------------------------------------------------

    def alive(self, load_id: str) -> Running | None:
        """The engine if it runs now; one found ended is cleared away."""
        engine = self._find(load_id)
        if engine is None:
            return None
        if engine.child.returncode() is None:
            return self._shown(engine)
        self._settle_within(engine, self._settings.kill_timeout_seconds)
        return None

    def exited(self, load_id: str) -> Exit | None:
        """How the last run ended; None while no run of it has ended since our start."""
        self.alive(load_id)
        with self._lock:
            return self._exits.get(load_id)

    def held_back(self, load_id: str) -> str:
        """What a running engine was refused since its start, in words; "" for nothing."""
        engine = self._find(load_id)
        group = engine.child.group if engine is not None else None
        if engine is None or group is None or not cgroup.refused_processes(group):
            return ""
        return f"was refused more than {engine.spec.pids_max} processes and threads"

    def usage(self, load_id: str) -> Usage:
        """CPU since the previous question (first: since the start) and memory of the whole tree."""
        engine = self._find(load_id)
        if engine is None or self.alive(load_id) is None:
            raise NotFound(f"cannot read the use of engine {load_id}: it is not running")
        cpu, rss, pids = tree.cpu_seconds_rss_pids(engine.child.pid)
        mono = self._clock.now().mono
        before, then = engine.sampled
        engine.sampled = (cpu, mono)
        fraction = max(0.0, cpu - before) / max(mono - then, 0.001)  # the tree may have lost a process
        return Usage(cpu=fraction, rss_bytes=rss, pids=pids)

    def log_tail(self, load_id: str, count: int) -> bytes:
        """The last bytes the engine printed, also after its end; at most both log files."""
        with self._lock:
            path = self._logs.get(load_id)
        if path is None:
            raise NotFound(f"cannot read the log of engine {load_id}: it was not started since our own start")
        return read_tail(path, min(count, 2 * self._settings.log_max_bytes))

    # --- leftovers --------------------------------------------------------------------------------

    def sweep(self, known: set[str]) -> list[Swept]:
        """End what an earlier daemon left running; the folders of loads not `known` are removed as well.

        Call once, before the first start.
        """
        swept = [found for load_id in self._book.load_ids() if (found := self._sweep_record(load_id))]
        for folder in self._stray_groups():
            leftovers.end_groups(cgroup.Group((folder,)), self._clock, self._settings.kill_timeout_seconds)
        for home in self._homes.iterdir():
            if home.name not in known and self._find(home.name) is None:
                self._remove_home(home.name)
        return swept

    def forget(self, load_id: str) -> None:
        """Remove the scratch folder and the licence copy of a load that is over."""
        check_load_id(load_id)
        if self._find(load_id) is not None and self.alive(load_id) is not None:
            raise Conflict(f"cannot remove the folders of engine {load_id}: it is running")
        self._remove_home(load_id)
        with self._lock:
            self._logs.pop(load_id, None)
            self._exits.pop(load_id, None)

    # --- within the spawner thread ----------------------------------------------------------------

    def _start_or_tell(self, spec: EngineSpec) -> Running:
        try:
            return self._start(spec)
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            raise (NoSpace if full else Conflict)(f"cannot start engine {spec.load_id}: {error}") from error

    def _start(self, spec: EngineSpec) -> Running:
        self._make_room(spec.load_id)
        self._remove_home(spec.load_id)  # what the last run left must not be what ends this one as well
        places = program.prepare(spec, self._homes / spec.load_id, self.way.account)
        file = LogFile(spec.log, self._settings.log_max_bytes)
        try:
            group = self._make_group(spec)
            child, output_fd = self._launch(spec, places, group)
        except BaseException:
            file.close()
            raise
        done = self._pump.add(spec.load_id, output_fd, file)
        engine = _Engine(spec, child, places.scratch, done, self._clock.now())
        with self._lock:
            self._engines[spec.load_id] = engine
            _remember(self._logs, spec.load_id, spec.log)
        _log.info("engine %s started: pid %d, way %s", spec.load_id, child.pid, self.way.kind)
        return self._shown(engine)

    def _make_room(self, load_id: str) -> None:
        """Never two copies: refuse while one runs, clear away one that ended or was left behind."""
        engine = self._find(load_id)
        if engine is not None:
            if engine.child.returncode() is None:
                raise Conflict(f"cannot start engine {load_id}: it is running as pid {engine.child.pid}")
            with engine.ending:
                self._settle(engine)
        found = self._sweep_record(load_id)
        if found is not None and found.reason.startswith("still"):
            raise Conflict(
                f"cannot start engine {load_id}: an earlier copy, pid {found.pid}, is {found.reason}"
            )

    def _make_group(self, spec: EngineSpec) -> cgroup.Group | None:
        if not self._mounts.folders:
            return None
        name = self._group_prefix + spec.load_id
        return cgroup.make(self._mounts, name, spec.memory_max_bytes, spec.pids_max)

    def _launch(
        self, spec: EngineSpec, places: sandbox.Places, group: cgroup.Group | None
    ) -> tuple[Child, int]:
        order = build_order(self.way, self._settings, self._mounts, spec, places, group)

        def keep_record(pid: int) -> None:
            self._book.write(self._record(spec.load_id, pid, group))

        try:
            popen, output_fd = spawn(spec.load_id, order, keep_record, self._settings.start_timeout_seconds)
        except BaseException:
            if group is not None:
                leftovers.end_groups(group, self._clock, self._settings.kill_timeout_seconds)
            self._erase_record(spec.load_id)
            raise
        return Child(spec.load_id, popen, self.way.kind, group, self._clock), output_fd

    def _record(self, load_id: str, pid: int, group: cgroup.Group | None) -> Record:
        folders = tuple(str(folder) for folder in group.folders) if group else ()
        ticks = start_ticks(pid)
        return Record(
            load_id=load_id,
            pid=pid,
            start_ticks=ticks if ticks is not None else -1,
            boot_id=self._clock.now().boot_id,
            cgroup_folders=folders,
        )

    def _look_after(self) -> None:
        """Clear away what ended; end an engine whose scratch folder has outgrown its bound."""
        with self._lock:
            engines = list(self._engines.values())
        for engine in engines:
            if engine.child.returncode() is None:
                self._judge_scratch(engine)
            if engine.child.returncode() is not None or engine.reason:
                self._settle_within(engine, 0)

    def _judge_scratch(self, engine: _Engine) -> None:
        used = program.size_bytes(engine.scratch)
        if used is not None and used <= self._settings.scratch_max_bytes:
            return
        told = "cannot be counted" if used is None else f"is over {self._settings.scratch_max_bytes} bytes"
        engine.reason = f"ended by us: its scratch folder {told}"
        _log.warning("engine %s %s", engine.spec.load_id, engine.reason)

    # --- ends -------------------------------------------------------------------------------------

    def _settle_within(self, engine: _Engine, seconds: float) -> None:
        """Clear away an ended engine, or wait for the thread at it; a failure is tried again later."""
        if not engine.ending.acquire(timeout=seconds):
            return
        try:
            self._settle(engine)
        except NoAnswerInTime as error:
            _log.warning("%s", error)
        finally:
            engine.ending.release()

    def _settle(self, engine: _Engine) -> None:
        """Make sure nothing is left, then note how it ended. The caller holds engine.ending."""
        load_id, child = engine.spec.load_id, engine.child
        if self._find(load_id) is not engine:
            return
        seconds = self._settings.kill_timeout_seconds
        child.kill(seconds)
        for_memory = child.group is not None and cgroup.killed_for_memory(child.group)
        if child.group is not None and not leftovers.end_groups(child.group, self._clock, seconds):
            raise NoAnswerInTime(f"cannot end engine {load_id}: its control group is not empty")
        engine.output.wait(_OUTPUT_END_SECONDS)
        self._erase_record(load_id)
        ended = _told(engine, for_memory, self._clock.now())
        with self._lock:
            del self._engines[load_id]
            _remember(self._exits, load_id, ended)
        _log.info("engine %s is over: %s", load_id, ended.reason)

    def _erase_record(self, load_id: str) -> None:
        """A record that stays on a bad disk names a process that is gone: the next start finds that out."""
        try:
            self._book.erase(load_id)
        except OSError as error:
            _log.warning("cannot remove the record of engine %s: %s", load_id, error.strerror)

    def _sweep_record(self, load_id: str) -> Swept | None:
        if self._find(load_id) is not None or load_id not in self._book.load_ids():
            return None
        record = self._book.read(load_id)
        if record is None or record.load_id != load_id:
            self._book.erase(load_id)
            return Swept(load_id=load_id, pid=None, ended=False, reason="its record cannot be read")
        swept = leftovers.end(record, self._clock, self._settings.kill_timeout_seconds)
        _log.warning("leftover engine %s, pid %s: %s", load_id, swept.pid, swept.reason)
        if not swept.reason.startswith("still"):
            self._book.erase(load_id)
        return swept

    def _stray_groups(self) -> list[Path]:
        with self._lock:
            ours = {self._group_prefix + load_id for load_id in self._engines}
        found = [path for folder in self._mounts.folders for path in folder.glob(self._group_prefix + "*")]
        return [path for path in found if path.name not in ours]

    # --- small ------------------------------------------------------------------------------------

    def _find(self, load_id: str) -> _Engine | None:
        with self._lock:
            return self._engines.get(load_id)

    def _shown(self, engine: _Engine) -> Running:
        with self._lock:
            last = self._exits.get(engine.spec.load_id)
        return Running(
            load_id=engine.spec.load_id,
            pid=engine.child.pid,
            started_ms=engine.started.wall_ms,
            way=self.way.kind,
            last_exit=last,
        )

    def _stop_or_tell(self, load_id: str) -> None:
        try:
            self.stop(load_id)
        except NoAnswerInTime as error:
            _log.error("%s", error)

    def _remove_home(self, load_id: str) -> None:
        program.remove(self._homes / load_id)

    def _tell_walls(self) -> None:
        level = logging.INFO if self.way.kind in (sandbox.BWRAP, sandbox.USER) else logging.WARNING
        _log.log(level, "engines run by way %s: %s", self.way.kind, self.way.reason)
        if not self._mounts.folders:
            _log.warning(
                "no control group is writable: engines are limited process by process (rlimits) only"
            )


def _remember(history: OrderedDict[str, Any], key: str, value: object) -> None:
    history[key] = value
    history.move_to_end(key)
    while len(history) > _EXITS_MAX:
        history.popitem(last=False)


def _told(engine: _Engine, for_memory: bool, now: Moment) -> Exit:
    """How the engine ended, the most telling reason first."""
    reason = engine.reason
    if for_memory:
        reason = f"killed by the kernel: over its memory limit of {engine.spec.memory_max_bytes} bytes"
    code, number = code_and_signal(engine.child.returncode() or 0)
    if not reason:
        reason = f"ended with code {code}" if number is None else f"ended by {signal.Signals(number).name}"
    return Exit(code=code, signal=number, reason=reason, ended_ms=now.wall_ms)
