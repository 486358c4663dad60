"""Engines as real processes, every way: nothing is left, nothing blocks, nothing is told wrongly."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest

from acsmpd import faults
from acsmpd.runtime.cgroup import find
from acsmpd.runtime.process import Runtime
from acsmpd.runtime.record import start_ticks
from tests.runtime.engines import NO_GROUPS, WAYS, engine, home, running_with, runtime, token
from tests.support.wait import wait_until


def ended(made: Runtime, load_id: str = "L1") -> bool:
    return made.alive(load_id) is None


def said(made: Runtime, text: str, load_id: str = "L1") -> bool:
    return text in made.log_tail(load_id, 100_000).decode("utf-8", "replace")


@pytest.mark.parametrize("way", WAYS)
def test_an_engine_starts_is_seen_and_stops_in_its_own_time(data: Path, way: str) -> None:
    script = "trap 'echo bye; exit 0' TERM\necho hello from $PWD\nwhile :; do sleep 0.05; done\n"
    with runtime(data, way) as made:
        assert made.alive("L1") is None
        shown = made.start(engine(data, script))
        assert (shown.load_id, shown.way, shown.last_exit) == ("L1", way, None)
        assert start_ticks(shown.pid) is not None
        wait_until(lambda: said(made, "hello from"), what="its first line")
        assert made.alive("L1") == shown
        assert made.exited("L1") is None
        made.stop("L1")
        made.stop("L1")
        assert start_ticks(shown.pid) is None
        over = made.exited("L1")
        assert over is not None
        assert (over.code, over.signal, over.reason) == (0, None, "stopped")
        assert said(made, "bye")


@pytest.mark.parametrize("way", WAYS)
def test_a_tree_that_ignores_sigterm_is_ended_whole(data: Path, way: str) -> None:
    mark = token()
    script = (
        f"trap '' TERM\nsetsid sleep {mark} &\nsetsid sh -c 'sleep {mark} & sleep {mark}' &\nsleep {mark}\n"
    )
    with runtime(data, way, stop_timeout_seconds=0.2) as made:
        made.start(engine(data, script))
        wait_until(lambda: len(running_with(mark)) == 4, what="the four sleeps")
        made.stop("L1")
        assert running_with(mark) == []
        over = made.exited("L1")
        assert over is not None
        assert over.signal == signal.SIGKILL


@pytest.mark.parametrize("way", ["user", "bare"])
def test_the_guard_alone_ends_a_scattered_tree(data: Path, way: str) -> None:
    mark = token()
    script = f"trap '' TERM\nsetsid sh -c 'setsid sleep {mark} &'\nsleep {mark}\n"
    with runtime(data, way, NO_GROUPS, stop_timeout_seconds=0.2) as made:
        made.start(engine(data, script))
        wait_until(lambda: len(running_with(mark)) == 2)
        made.stop("L1")
        assert running_with(mark) == []


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("script", "code", "number", "reason"),
    [
        ("exit 3\n", 3, None, "ended with code 3"),
        ("kill -SEGV $$\n", None, signal.SIGSEGV, "ended by SIGSEGV"),
    ],
)
def test_an_end_of_its_own_is_told_and_a_new_start_shows_it(
    data: Path, way: str, script: str, code: int | None, number: int | None, reason: str
) -> None:
    mark = token()
    with runtime(data, way) as made:
        made.start(engine(data, f"setsid sleep {mark} &\n" + script))
        wait_until(lambda: ended(made))
        over = made.exited("L1")
        assert over is not None
        assert (over.code, over.signal, over.reason) == (code, number, reason)
        assert running_with(mark) == []
        shown = made.start(engine(data, "sleep 1000\n"))
        assert shown.last_exit == over


@pytest.mark.parametrize("way", WAYS)
def test_never_two_copies(data: Path, way: str) -> None:
    with runtime(data, way) as made:
        shown = made.start(engine(data, "sleep 1000\n"))
        with pytest.raises(
            faults.Conflict, match=f"cannot start engine L1: it is running as pid {shown.pid}"
        ):
            made.start(engine(data, "sleep 1000\n"))
        assert made.alive("L1") == shown


@pytest.mark.parametrize("way", ["user", "bare"])
def test_a_program_that_is_not_there_is_named_and_leaves_nothing(data: Path, way: str) -> None:
    with runtime(data, way) as made:
        with pytest.raises(faults.Conflict, match=r"cannot start engine L1: \./gone: No such file"):
            made.start(engine(data, "", argv=("./gone",)))
        assert made.alive("L1") is None
        assert list((data / "services" / ".running").iterdir()) == []
        made.start(engine(data, "sleep 1000\n"))


def test_bubblewrap_tells_of_a_missing_program_in_the_log(data: Path) -> None:
    with runtime(data, "bwrap") as made:
        made.start(engine(data, "", argv=("./gone",)))
        wait_until(lambda: ended(made))
        over = made.exited("L1")
        assert over is not None
        assert over.code not in (None, 0)
        assert said(made, "./gone")


def test_bad_input_is_refused_in_words(data: Path) -> None:
    with runtime(data, "bare") as made:
        with pytest.raises(faults.NotFound, match="its program folder /nowhere is not there"):
            made.start(engine(data, "", work=Path("/nowhere")))
        with pytest.raises(faults.NotFound, match="its licence file /nowhere is not there"):
            made.start(engine(data, "", license_path=Path("/nowhere")))
        big = data / "big"
        big.write_bytes(b"x" * (2 * 1024 * 1024 + 1))
        with pytest.raises(faults.InvalidField, match="its licence file is over 2097152 bytes"):
            made.start(engine(data, "", license_path=big))
        with pytest.raises(faults.InvalidField, match="are over 60000 bytes"):
            made.start(engine(data, "", env={"A": "x" * 60_000}))
        with pytest.raises(faults.NotFound, match="cannot read the use of engine L1: it is not running"):
            made.usage("L1")
        with pytest.raises(faults.NotFound, match="cannot read the log of engine L1"):
            made.log_tail("L1", 10)
        with pytest.raises(faults.InvalidField, match=r"cannot use '\.\./x' as a load id"):
            made.forget("../x")
    with pytest.raises(faults.InvalidField, match="as a load id"):
        engine(data, "", load_id="a b")
    with pytest.raises(faults.InvalidField, match="without '='"):
        engine(data, "", argv=("a=b",))
    with pytest.raises(faults.InvalidField, match="holds a NUL"):
        engine(data, "", env={"A": "x\0y"})
    with pytest.raises(faults.Conflict, match="the runtime is stopping"):
        made.start(engine(data, ""))


def test_usage_counts_the_whole_tree(data: Path) -> None:
    with runtime(data, "bwrap") as made:
        made.start(engine(data, "sh -c 'while :; do :; done' &\nwhile :; do :; done\n"))
        wait_until(lambda: len(made.usage("L1").pids) >= 4)
        wait_until(lambda: made.usage("L1").cpu > 0.1, what="some CPU")
        assert made.usage("L1").rss_bytes > 1_000_000


def two_sizes(folder: Path) -> list[int]:
    try:
        sizes = [path.stat().st_size for path in folder.iterdir()]
    except FileNotFoundError:
        return []
    assert len(sizes) <= 2
    return sizes if len(sizes) == 2 else []


@pytest.mark.parametrize("way", ["bwrap", "bare"])
def test_a_flood_of_output_fills_no_disk_and_holds_up_nothing(data: Path, way: str) -> None:
    flood = (
        "trap 'exit 0' TERM\necho first\n"
        "while :; do head -c 500000 /dev/zero | tr '\\0' x; echo; echo x > $HOME/round; done\n"
    )
    with runtime(data, way, log_max_bytes=100_000) as made:
        made.start(engine(data, flood))
        wait_until((data / "logs" / "L1.log.1").exists, what="the log has turned")
        wait_until(lambda: not said(made, "first"), what="the first line is gone")
        (home(data) / "round").unlink(missing_ok=True)
        wait_until((home(data) / "round").exists, what="it goes on")
        sizes = wait_until(lambda: two_sizes(data / "logs"), what="two files, not one that is just turning")
        assert sum(sizes) <= 200_000
        assert 0 < len(made.log_tail("L1", 10**9)) <= 200_000
        made.stop("L1")


def test_memory_is_bounded_for_the_tree_and_the_reason_told(data: Path) -> None:
    mounts = find()
    if mounts.memory is None:
        pytest.skip("no memory control group is writable")
    limit = 48 << 20
    wait_then_eat = "while [ ! -e $HOME/go ]; do sleep 0.05; done\nexec tail /dev/zero\n"
    with runtime(data, "bwrap") as made:
        shown = made.start(engine(data, wait_then_eat, memory_max_bytes=limit))
        group = mounts.memory / f"{made._group_prefix}L1"
        file = group / ("memory.limit_in_bytes" if mounts.version == 1 else "memory.max")
        assert int(file.read_text()) == limit
        assert str(shown.pid) in (group / "cgroup.procs").read_text().split()
        (home(data) / "go").touch()
        wait_until(lambda: ended(made))
        over = made.exited("L1")
        assert over is not None
        assert over.reason == f"killed by the kernel: over its memory limit of {limit} bytes"
        assert not group.exists()


@pytest.mark.parametrize("way", WAYS)
def test_without_control_groups_rlimits_bound_each_process(data: Path, way: str) -> None:
    limit = 64 << 20
    with runtime(data, way, NO_GROUPS) as made:
        made.start(engine(data, "cat /proc/self/limits\nexec tail /dev/zero\n", memory_max_bytes=limit))
        wait_until(lambda: ended(made))
        lines = made.log_tail("L1", 10_000).decode().splitlines()
        bounds = {line[:20].strip(): line[26:46].strip() for line in lines}
        assert bounds["Max data size"] == str(limit)
        assert bounds["Max core file size"] == "0"
        assert bounds["Max file size"] == str(1 << 30)
        assert "memory exhausted" in lines[-1] or "Killed" in lines[-1]


@pytest.mark.parametrize("way", WAYS)
def test_a_fork_bomb_is_bounded_and_ended(data: Path, way: str) -> None:
    mounts = find()
    if mounts.pids is None:
        pytest.skip("no pids control group is writable")
    mark = token()
    bomb = (
        "while [ ! -e $HOME/go ]; do sleep 0.05; done\n"
        f"while :; do setsid sh -c 'sleep {mark} & sleep {mark}' & done\n"
    )
    with runtime(data, way, stop_timeout_seconds=0.2) as made:
        made.start(engine(data, bomb, pids_max=30))
        group = mounts.pids / f"{made._group_prefix}L1"
        assert (group / "pids.max").read_text().strip() == "30"
        (home(data) / "go").touch()
        wait_until(lambda: ended(made) or int((group / "pids.current").read_text()) > 25)
        assert len(running_with(mark)) <= 30
        made.stop("L1")
        assert running_with(mark) == []
        assert not group.exists()


@pytest.mark.parametrize("way", ["bwrap", "bare"])
def test_a_scratch_folder_that_grows_without_bound_ends_its_engine(data: Path, way: str) -> None:
    grow = "n=0; while :; do head -c 300000 /dev/zero > $HOME/$n; n=$((n+1)); sleep 0.02; done\n"
    with runtime(data, way, scratch_max_bytes=1_000_000, guard_interval_seconds=0.05) as made:
        made.start(engine(data, grow))
        wait_until(lambda: ended(made))
        over = made.exited("L1")
        assert over is not None
        assert over.reason == "ended by us: its scratch folder is over 1000000 bytes"


def test_one_file_cannot_pass_the_scratch_bound(data: Path) -> None:
    with runtime(data, "bwrap", scratch_max_bytes=1_000_000) as made:
        made.start(engine(data, "head -c 9000000 /dev/zero > $HOME/big\n"))
        wait_until(lambda: ended(made))
        assert (home(data) / "big").stat().st_size == 1_000_000
        made.forget("L1")
        assert not home(data).exists()


def test_forget_refuses_a_running_engine(data: Path) -> None:
    with runtime(data, "bare") as made:
        made.start(engine(data, "sleep 1000\n"))
        with pytest.raises(faults.Conflict, match="cannot remove the folders of engine L1: it is running"):
            made.forget("L1")


@pytest.mark.parametrize(("way", "cycles"), [("bwrap", 30), ("bare", 10)])
def test_start_and_stop_leave_everything_flat(data: Path, way: str, cycles: int) -> None:
    me = psutil.Process()

    def counts() -> tuple[int, int, int, int]:
        groups = sum(len(list(folder.glob(made._group_prefix + "*"))) for folder in find().folders)
        return me.num_fds(), len(me.children(recursive=True)), me.num_threads(), groups

    with runtime(data, way) as made:
        spec = engine(data, "", argv=("/bin/sleep", "1000"))
        made.start(spec)
        made.stop("L1")
        before = counts()
        for _ in range(cycles):
            made.start(spec)
            made.stop("L1")
        assert counts() == before
        assert list((data / "services" / ".running").iterdir()) == []


def test_close_stops_every_engine(data: Path) -> None:
    mark = token()
    with runtime(data, "bare") as made:
        for number in range(3):
            made.start(engine(data, f"trap '' TERM\nsleep {mark}\n", load_id=f"L{number}"))
        wait_until(lambda: len(running_with(mark)) == 3)
    assert running_with(mark) == []


def test_an_engine_killed_from_outside_is_noticed(data: Path) -> None:
    mark = token()
    with runtime(data, "bare") as made:
        shown = made.start(engine(data, f"setsid sleep {mark} &\nsleep {mark}\n"))
        wait_until(lambda: len(running_with(mark)) == 2)
        os.kill(shown.pid, signal.SIGKILL)
        wait_until(lambda: ended(made))
        over = made.exited("L1")
        assert over is not None
        assert over.signal == signal.SIGKILL
        if find().folders:
            assert running_with(mark) == []
