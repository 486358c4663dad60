"""The containers of one data directory at one container engine, by the load each runs.

What is ours is told by name and labels together: an image may carry any label into anybody's container.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import Any

from msgspec import Struct, field

from acsmpd.clock import Moment
from acsmpd.faults import Conflict, NotFound
from acsmpd.runtime import cgroup, walls
from acsmpd.runtime.child import code_and_signal
from acsmpd.runtime.containerlog import log_end
from acsmpd.runtime.record import start_ticks
from acsmpd.runtime.socketapi import SocketApi
from acsmpd.runtime.values import EngineSpec, Exit, ImageGone


class State(Struct):
    """How a container is, or ended."""

    running: bool = field(name="Running", default=False)
    pid: int = field(name="Pid", default=0)
    code: int = field(name="ExitCode", default=0)
    for_memory: bool = field(name="OOMKilled", default=False)
    error: str = field(name="Error", default="")


class _Config(Struct):
    labels: dict[str, str] | None = field(name="Labels", default=None)


class _Container(Struct):
    id: str = field(name="Id")
    state: State = field(name="State")
    config: _Config = field(name="Config")


class _Image(Struct):
    config: walls.ImageConfig | None = field(name="Config", default=None)


class _Created(Struct):
    id: str = field(name="Id")


class _Part(Struct):
    name: str = field(name="Name", default="")


class _Version(Struct):
    components: list[_Part] | None = field(name="Components", default=None)


class Ours:
    """Values in, values out; nothing is remembered."""

    def __init__(self, api: SocketApi, owner: str) -> None:
        self.api, self._owner = api, owner

    def name(self, load_id: str) -> str:
        return f"acsmpd-{self._owner}-{load_id}"

    def body(self, spec: EngineSpec, walled: walls.Walled) -> dict[str, Any]:
        """What to make for it. ImageGone when the engine has the image no more."""
        try:
            image = self.api.get(_Image, f"/images/{spec.image}/json").config or walls.ImageConfig()
        except NotFound as fault:
            raise ImageGone(f"cannot start engine {spec.load_id}: {fault.message}") from fault
        parts = self.api.get(_Version, "/version").components or []
        podman = any("podman" in part.name.lower() for part in parts)
        return walls.container_body(spec, walled, image, self._owner, podman=podman)

    def run(self, load_id: str, body: dict[str, Any], seconds: float) -> str:
        """Make it and start it; its id, by which it is told from a later one of the same load."""
        raw = self.api.ask("POST", "/containers/create", body, seconds=seconds, name=self.name(load_id))
        made = self.api.read(_Created, raw).id
        self.api.ask("POST", f"/containers/{made}/start", seconds=seconds)
        return made

    def state(self, made: str) -> State:
        return self._look(made).state

    def stop(self, made: str, patience: float, seconds: float) -> None:
        """Ask it to end, then kill it after `patience`; one that is gone is fine."""
        with contextlib.suppress(NotFound):
            self.api.ask("POST", f"/containers/{made}/stop", seconds=seconds, t=str(max(1, round(patience))))

    def ended(self, made: str, seconds: float) -> State:
        """How it ended, once the engine knows that it did."""
        try:
            self.api.ask("POST", f"/containers/{made}/wait", seconds=seconds)
            return self.state(made)
        except NotFound:
            return State(error="somebody else removed it")

    def printed(self, made: str, count: int) -> bytes:
        """The end of what it printed; b"" of one that is gone."""
        try:
            return log_end(self.api, made, count)
        except NotFound:
            return b""

    def remove(self, load_id: str, seconds: float, made: str = "") -> bool:
        """Whether there was one, this or whichever has the name. Conflict when that one is somebody else's."""
        try:
            found = self._look(made or self.name(load_id))
            labels = found.config.labels or {}
            if (labels.get(walls.OWNER_LABEL), labels.get(walls.LOAD_LABEL)) != (self._owner, load_id):
                raise Conflict(
                    f"cannot use the name {self.name(load_id)}: a container of somebody else has it at {self.api}"
                )
            self.api.ask("DELETE", f"/containers/{found.id}", seconds=seconds, force="true", v="true")
        except NotFound:
            return False
        return True

    def _look(self, name: str) -> _Container:
        return self.api.get(_Container, f"/containers/{name}/json")


class Held:
    """What is held about one live (or just ended) container."""

    def __init__(self, spec: EngineSpec, ours: Ours, made: str, pid: int, ticks: int, now: Moment) -> None:
        self.spec, self.ours, self.made, self.pid, self.ticks, self.started = (
            spec,
            ours,
            made,
            pid,
            ticks,
            now,
        )
        self.reason = ""  # why we ended it, if we did
        self.ending = threading.Lock()  # one thread at a time ends it
        self.again = 0.0  # when what is left of it is asked for next
        self.groups = cgroup.groups_of(pid)
        self.sampled = (0.0, now.mono)

    def lives(self) -> bool:
        return start_ticks(self.pid) == self.ticks


def told(spec: EngineSpec, state: State, reason: str, now: Moment) -> Exit:
    """How it ended, the most telling reason first; `reason` is ours, if we ended it.

    Podman never says that it was for memory: only SIGKILL is seen.
    """
    limit = f"over its memory limit of {spec.memory_max_bytes} bytes"
    code, number = code_and_signal(state.code)
    if state.for_memory:
        reason = f"killed by the kernel: {limit}"
    elif not reason and number == signal.SIGKILL:
        reason = f"ended by SIGKILL, as the kernel does to one {limit}"
    elif not reason and state.error:
        reason = f"ended: {state.error[:200]}"
    if not reason:
        reason = f"ended with code {code}" if number is None else f"ended by {signal.Signals(number).name}"
    return Exit(code=code, signal=number, reason=reason, ended_ms=now.wall_ms)
