"""Containers in a real dockerd and a real Podman: started, walled in, read, ended, and found again after a crash."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acsmpd.clock import Clock
from acsmpd.faults import Conflict, Fault, NotFound, NotSupported
from acsmpd.runtime.container import Containers
from acsmpd.runtime.sockets import Sockets
from acsmpd.runtime.values import EngineSpec, Exit, ImageGone, RuntimeSettings
from tests.runtime.engines import DEEP, THREADS
from tests.support.container_engines import KINDS, ON_DOCKERD, ContainerEngine, container_engine
from tests.support.daemon import ROOT
from tests.support.engines import PYTHON, Hand
from tests.support.images import engine_tar
from tests.support.wait import wait_until

OWNER = "0123456789ab"
NAME = f"acsmpd-{OWNER}-L1"
SLEEPS = (PYTHON, "-c", "import time; print('READY', flush=True); time.sleep(1000)")
ENDS = "import signal, sys; signal.signal(15, lambda *_: sys.exit(3)); print('READY', flush=True); signal.pause()"
_ports = itertools.count(30000 + os.getpid() % 200 * 20)


@pytest.fixture(scope="module", params=KINDS)
def running(request: pytest.FixtureRequest) -> Iterator[ContainerEngine]:
    with container_engine(request.param) as one:
        one.load(engine_tar()[0])
        yield one


@pytest.fixture
def engine(running: ContainerEngine) -> Iterator[ContainerEngine]:
    yield running
    for one in running.containers():
        running.api.ask("DELETE", f"/containers/{one['Id']}", force="true")


@contextlib.contextmanager
def containers(engine: ContainerEngine, data: Path, **more: Any) -> Iterator[Containers]:
    made = make(engine, data, **more)
    try:
        yield made
    finally:
        made.close()


def make(engine: ContainerEngine, data: Path, *, seconds: float = 15.0, **more: Any) -> Containers:
    fields = {"stop_timeout_seconds": 1.0, "guard_interval_seconds": 0.2, **more}
    settings = RuntimeSettings(data_dir=data, **fields)
    return Containers(
        settings, data / "services", Sockets(str(engine.socket), Clock(), seconds), OWNER, Clock()
    )


def spec(data: Path, *argv: str, **more: Any) -> EngineSpec:
    fields: dict[str, Any] = {
        "load_id": "L1",
        "env": {"PATH": "/usr/bin"},
        "memory_max_bytes": 128 << 20,
        **more,
    }
    log = data / "logs" / f"{fields['load_id']}.log"
    return EngineSpec(argv=argv or SLEEPS, work=data, log=log, image=engine_tar()[1], **fields)


def the_engine(data: Path, **more: Any) -> tuple[EngineSpec, Hand]:
    """The test engine of the image, and a line to it."""
    port = next(_ports)
    env = {"PORT": str(port), "ACSMP_SERVICE_ID": "S1", **more.pop("env", {})}
    return spec(data, PYTHON, "engine.py", env=env, **more), Hand(port)


def ended(one: Containers, load_id: str = "L1") -> Exit:
    """How it ended, once the engine has said so: while it removes one for somebody else it says nothing."""
    wait_until(lambda: one.alive(load_id) is None and _said(one.exited(load_id)), what="its end", seconds=30)
    found = one.exited(load_id)
    assert found is not None
    return found


def _said(found: Exit | None) -> bool:
    return found is not None and "has not said how" not in found.reason


def printed(one: Containers, text: bytes) -> bool:
    return text in one.log_tail("L1", 100_000)


def test_it_runs_walled_in(engine: ContainerEngine, data: Path) -> None:
    """One life of one container, looked at from inside."""
    licence = data / "licence"
    licence.write_text("granted")
    licence.chmod(0o600)
    with containers(engine, data) as one:
        wanted, hand = the_engine(data, license_path=licence, pids_max=32)
        shown = one.start(wanted)
        assert (shown.way, one.alive("L1")) == ("container", shown)
        with pytest.raises(Conflict, match="it is running as pid"):
            one.start(wanted)
        wait_until(lambda: printed(one, b"ready S1"), what="the engine ready")

        status = hand.do("status")
        assert {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
        assert (status["Uid"].split()[0], status["NoNewPrivs"], status["Seccomp"]) == ("65534", "1", "2")
        told = {
            path: hand.do("write", path)
            for path in ("/x", "/app/x", "/run/acsmpd/license", "/tmp/x", "/var/log/acsmpd/x")
        }
        assert [path for path, said in told.items() if said == ""] == ["/tmp/x", "/var/log/acsmpd/x"], told
        assert hand.do("look", str(data)) == "No such file or directory"
        assert hand.do("look", str(engine.socket)) == "No such file or directory"
        assert hand.do("look", "/proc/1/root/app") == ["engine.py"]  # its own first process, not the box's
        assert {"nvidia0", "kmsg", "mem", "sda", "fuse"} & set(hand.do("look", "/dev")) == set()
        env = hand.do("env")
        assert (env["AUTH_SERVER_ADDR"], env["HOME"]) == ("/run/acsmpd/license", "/var/log/acsmpd")
        assert hand.do("look", env["AUTH_SERVER_ADDR"]) == len("granted")
        assert env["FLAVOUR"] == "of the image"

        assert one.usage("L1").rss_bytes > 5_000_000
        hand.do("spin", 0.5)
        assert one.usage("L1").cpu > 0.1
        assert one.held_back("L1") == ""
        [pid] = one.usage("L1").pids
        assert Path(f"/proc/{pid}/cmdline").read_bytes().startswith(PYTHON.encode())

        one.stop("L1")
        assert ended(one).reason.startswith("killed: it did not end within 1 s of SIGTERM")
        assert engine.containers() == []
        assert b"ready S1" in one.log_tail("L1", 1000)
        one.forget("L1")
        assert list((data / "services" / ".container-homes").iterdir()) == []
        assert list((data / "services" / ".containers").iterdir()) == []


def test_an_end_is_told_and_nothing_is_left(engine: ContainerEngine, data: Path) -> None:
    with containers(engine, data) as one:
        one.start(spec(data, PYTHON, "-c", "print('last words'); raise SystemExit(7)"))
        assert (ended(one).code, ended(one).reason) == (7, "ended with code 7")
        assert one.alive("L1") is None
        assert b"last words" in one.log_tail("L1", 1000)
        assert engine.containers() == []

        one.start(spec(data, PYTHON, "-c", ENDS))
        wait_until(lambda: printed(one, b"READY"), what="ready")
        one.stop("L1")
        assert (ended(one).code, ended(one).reason) == (3, "stopped")

        one.start(
            spec(data, PYTHON, "-c", "b = [b'm' * (1 << 20) for _ in range(4000)]", memory_max_bytes=64 << 20)
        )
        assert "over its memory limit of 67108864 bytes" in ended(one).reason

        running = one.start(spec(data))
        engine.api.ask("DELETE", f"/containers/{NAME}", force="true")
        seen = ended(one).reason  # by the moment of the look: it was killed, and then it was gone
        assert seen == "ended: somebody else removed it" or seen.startswith("ended by SIGKILL")
        wait_until(lambda: engine.containers() == [], what="nothing left")
        assert running.pid not in [int(name) for name in os.listdir("/proc") if name.isdigit()]


def test_what_it_prints_writes_and_forks_is_bounded(engine: ContainerEngine, data: Path) -> None:
    limits = {"log_max_bytes": 200_000, "scratch_max_bytes": 3 << 20, "tmp_max_bytes": 1 << 20}
    with containers(engine, data, **limits) as one:
        wanted, hand = the_engine(data, pids_max=16)
        one.start(wanted)
        wait_until(lambda: printed(one, b"ready"), what="ready")
        hand.do("flood", 4000)
        wait_until(lambda: printed(one, b"yyy"), what="the flood")
        kept = [
            path
            for path in engine.folder.rglob("*")
            if path.name.endswith(("-json.log", "-json.log.1", "ctr.log"))
        ]
        assert 0 < sum(path.stat().st_size for path in kept) < 600_000, kept
        assert len(one.log_tail("L1", 10**9)) <= 400_000
        [first] = one.usage("L1").pids
        assert Path(f"/proc/{first}/limits").read_text().count("3145728") == 2  # one file at most
        hand.do("disk", ["a", 2])
        hand.do("disk", ["b", 2])
        assert "what it wrote to /var/log/acsmpd is over 3145728 bytes" in ended(one).reason
        assert 0 < (data / "logs" / "L1.log").stat().st_size <= 200_000

        one.start(spec(data, PYTHON, "-c", DEEP))
        assert "what it wrote to /var/log/acsmpd cannot be counted" in ended(one).reason
        one.forget("L1")
        assert list((data / "services" / ".container-homes").iterdir()) == []

        one.start(spec(data, PYTHON, "-c", THREADS, pids_max=16))
        wait_until(lambda: printed(one, b"THREADS"), what="its threads")
        assert one.held_back("L1") == "was refused more than 16 processes and threads"


def test_devices_of_cards_are_inside_and_no_other(engine: ContainerEngine, data: Path) -> None:
    nodes = [Path(f"/dev/acsmpd-test-{os.getpid()}-{number}") for number in (0, 1)]
    for node in nodes:
        os.mknod(node, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        node.chmod(0o666)
    try:
        with containers(engine, data) as one:
            wanted, hand = the_engine(data, devices=(nodes[0],))
            one.start(wanted)
            wait_until(lambda: printed(one, b"ready"), what="ready")
            assert hand.do("look", str(nodes[0])) == 0  # it reads like /dev/null
            assert hand.do("look", str(nodes[1])) == "No such file or directory"
            if engine.kind == "dockerd":  # Podman is given the nodes
                card = spec(data, load_id="L2", devices=(nodes[0],), card_uuids=("GPU-1",))
                with pytest.raises(Fault, match="could not select device driver"):
                    one.start(card)
    finally:
        for node in nodes:
            node.unlink()


@pytest.fixture
def an_account(engine: ContainerEngine, data: Path) -> Iterator[None]:
    """We are not root, but one who may use the socket."""
    engine.folder.chmod(0o711)
    engine.socket.chmod(0o666)
    os.chown(data, 1000, 1000)
    os.seteuid(1000)
    try:
        yield
    finally:
        os.seteuid(0)


@ON_DOCKERD
@pytest.mark.usefixtures("an_account")
def test_where_we_are_not_root_home_is_in_memory_and_bounded(engine: ContainerEngine, data: Path) -> None:
    with containers(engine, data, tmp_max_bytes=1 << 20) as one:
        wanted, hand = the_engine(data)
        one.start(wanted)
        wait_until(lambda: printed(one, b"ready"), what="ready")
        assert hand.do("write", "/var/log/acsmpd/x") == ""
        assert "No space left" in hand.do("disk", ["a", 2])
        assert one.usage("L1").rss_bytes > 1_000_000
        one.stop("L1")
        assert engine.containers() == []
        assert sorted(path.name for path in (data / "services" / ".container-homes").rglob("*")) == ["L1"]


@ON_DOCKERD
@pytest.mark.parametrize(
    ("argv", "words"),
    [(("/gone", "x"), "/gone"), (("/app",), "/app|permission denied|is a directory")],
    ids=["gone", "a folder"],
)
def test_what_cannot_start_is_told_and_nothing_is_left(
    engine: ContainerEngine, data: Path, argv: tuple[str, ...], words: str
) -> None:
    with containers(engine, data) as one:
        with pytest.raises(Fault, match=words) as caught:
            one.start(spec(data, *argv))
        assert str(engine.socket) in caught.value.message
        assert engine.containers() == []
        assert one.alive("L1") is None
        assert list((data / "services" / ".containers").iterdir()) == []


@ON_DOCKERD
def test_what_is_missing_is_told(engine: ContainerEngine, data: Path) -> None:
    with containers(engine, data) as one:
        gone = EngineSpec(
            load_id="L1", argv=("x",), work=data, env={}, log=data / "l", image=f"sha256:{'0' * 64}"
        )
        with pytest.raises(ImageGone, match="cannot start engine L1"):
            one.start(gone)
        with pytest.raises(NotFound, match="licence file"):
            one.start(spec(data, license_path=data / "none"))
        for read in (one.usage, lambda load_id: one.log_tail(load_id, 10)):
            with pytest.raises(NotFound, match="L2"):
                read("L2")
        one.stop("L2")
        assert (one.alive("L2"), one.exited("L2")) == (None, None)
        assert engine.containers() == []
    away = Containers(
        RuntimeSettings(data_dir=data), data / "s", Sockets(str(data / "no"), Clock(), 1), OWNER, Clock()
    )
    with pytest.raises(NotSupported, match="no container engine listens"):
        away.start(spec(data))
    away.close()


def crash(socket: str, data: str) -> None:
    """A daemon that starts two containers, prints their pids and is killed."""
    settings = RuntimeSettings(data_dir=Path(data))
    one = Containers(settings, Path(data) / "services", Sockets(socket, Clock(), 15.0), OWNER, Clock())
    print(*(one.start(spec(Path(data), load_id=load_id)).pid for load_id in ("L1", "L2")), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


@ON_DOCKERD
def test_after_a_crash_what_was_left_is_ended_and_nothing_else(engine: ContainerEngine, data: Path) -> None:
    """A container of somebody else carries our labels, another our name without them."""
    words = f"from tests.runtime.test_container import crash; crash({str(engine.socket)!r}, {str(data)!r})"
    done = subprocess.run(
        [sys.executable, "-c", words], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    lost, other = map(int, done.stdout.split())
    image = engine_tar()[1]
    labels = {"acsmpd.owner": OWNER, "acsmpd.load": "L1"}
    stranger = engine.run("stranger", image, *SLEEPS, **labels)
    namesake = engine.run(f"acsmpd-{OWNER}-L3", image, *SLEEPS)
    with containers(engine, data) as one:
        again = one.start(spec(data))  # as the crash left it: nothing was swept yet
        assert again.pid != lost
        one.sweep(set())
        wait_until(
            lambda: (
                {c["Id"] for c in engine.containers()} == {stranger, namesake, engine.container(NAME)["Id"]}
            )
        )
        assert not Path(f"/proc/{other}").exists()
        with pytest.raises(Conflict, match="a container of somebody else has it"):
            one.start(spec(data, load_id="L3"))
    assert {one["Id"] for one in engine.containers()} == {stranger, namesake}
    assert all(engine.container(one)["State"]["Running"] for one in (stranger, namesake))


@ON_DOCKERD
def test_an_engine_that_hangs_hides_nothing_and_holds_nobody_up(engine: ContainerEngine, data: Path) -> None:
    with containers(engine, data, seconds=1.0, start_timeout_seconds=1.5, kill_timeout_seconds=2.0) as one:
        wait_until(lambda: _started(one, data), what="a start within its time", seconds=30)
        running = one.alive("L1")
        assert running is not None
        engine.hang()
        try:
            assert one.alive("L1") == running
            assert one.usage("L1").rss_bytes > 0
            with pytest.raises(Fault, match="no answer in time"):
                one.stop("L1")
            assert one.alive("L1") == running
            os.kill(running.pid, signal.SIGKILL)
            wait_until(lambda: one.alive("L1") is None, what="its end seen")
            told = one.exited("L1")
            assert told is not None
            assert told.code is None
            with pytest.raises(Fault, match="no answer in time"):
                one.start(spec(data))
            late = make(engine, data, seconds=0.5)
            late.sweep(set())  # returns at once
            late.close()
        finally:
            engine.go_on()
        wait_until(lambda: _stopped(one), what="a stop within its time", seconds=30)
        assert ended(one).signal == signal.SIGKILL


def _stopped(one: Containers) -> bool:
    with contextlib.suppress(Fault):
        one.stop("L1")
        return True
    return False


def _started(one: Containers, data: Path) -> bool:
    with contextlib.suppress(Fault):
        one.start(spec(data))
    return one.alive("L1") is not None


@ON_DOCKERD
def test_starts_and_stops_leave_nothing(engine: ContainerEngine, data: Path) -> None:
    with containers(engine, data) as one:
        _cycle(one, data)
        before = _counts(data)
        for _ in range(3):
            _cycle(one, data)
        assert _counts(data) == before
        assert engine.containers() == []


def _cycle(one: Containers, data: Path) -> None:
    one.start(spec(data, PYTHON, "-c", "pass"))
    ended(one)
    one.forget("L1")


def _counts(data: Path) -> tuple[int, list[str]]:
    return len(os.listdir("/proc/self/fd")), sorted(path.name for path in (data / "services").rglob("*"))
