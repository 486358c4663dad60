"""After kill -9 of the daemon nothing goes on; what was left is ended; a stranger never is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from acsmpd import faults
from acsmpd.clock import Clock
from acsmpd.runtime import cgroup, leftovers
from acsmpd.runtime.record import Record, RecordBook, start_ticks
from tests.runtime.engines import NO_GROUPS, WAYS, engine, need, running_with, runtime, token
from tests.support.wait import wait_until

DAEMON = """
import sys, threading
from pathlib import Path
from tests.runtime.engines import engine, runtime, NO_GROUPS
data, way, mark, groups = Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4] == "groups"
script = f"trap '' TERM HUP\\nsetsid sleep {mark} &\\n"
script += f"setsid sh -c 'setsid sleep {mark} & sleep {mark}' &\\nsleep {mark}\\n"
with runtime(data, way, None if groups else NO_GROUPS) as made:
    print(made.start(engine(data, script)).pid, flush=True)
    threading.Event().wait()
"""


def record(load_id: str, pid: int, **more: object) -> Record:
    fields: dict[str, object] = {"start_ticks": start_ticks(pid), "boot_id": Clock().now().boot_id, **more}
    return Record(load_id=load_id, pid=pid, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("groups", ["groups", "none"])
@pytest.mark.parametrize("way", WAYS)
def test_kill_9_of_the_daemon_leaves_nothing_running(data: Path, way: str, groups: str) -> None:
    need(way)
    mark = token()
    daemon = subprocess.Popen(
        [sys.executable, "-c", DAEMON, str(data), way, mark, groups], stdout=subprocess.PIPE, text=True
    )
    try:
        assert daemon.stdout is not None
        pid = int(daemon.stdout.readline())
        wait_until(
            lambda: len(running_with(mark)) == 5, what="the daemon (an argument of it) and four sleeps"
        )
        below = psutil.Process(daemon.pid).children(recursive=True)
    finally:
        daemon.kill()
        daemon.communicate()
    wait_until(lambda: running_with(mark) == [], what="nothing is left")
    wait_until(lambda: not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in below))
    with runtime(data, way) as made:
        swept = made.sweep({"L1"})
        assert [(one.load_id, one.pid, one.ended) for one in swept] == [("L1", pid, False)]
        assert "gone already" in swept[0].reason
        assert made.sweep(set()) == []
        assert not any(list(folder.glob(made._group_prefix + "*")) for folder in cgroup.find().folders)
        made.start(engine(data, "sleep 1000\n"))


@pytest.fixture
def orphan() -> object:
    """A process group of its own, as one that outlived its daemon would be."""
    mark = token()
    popen = subprocess.Popen(["sh", "-c", f"trap '' HUP; sleep {mark} & wait"], start_new_session=True)
    wait_until(lambda: len(running_with(mark)) == 1)
    yield popen, mark
    for pid in running_with(mark):
        os.kill(pid, signal.SIGKILL)
    popen.kill()
    popen.wait()


def test_a_leftover_is_ended_with_its_tree_and_its_folders_go_when_unknown(
    data: Path, orphan: object
) -> None:
    popen, mark = orphan  # type: ignore[misc]
    homes = data / "services" / ".homes"
    for load_id in ("L1", "L2"):
        (homes / load_id / "scratch").mkdir(parents=True)
    book = RecordBook(data / "services" / ".running")
    book.write(record("L1", popen.pid))
    with runtime(data, "bare", kill_timeout_seconds=2.0) as made:
        swept = made.sweep({"L2"})
        assert [(one.load_id, one.pid, one.ended) for one in swept] == [("L1", popen.pid, True)]
        assert start_ticks(popen.pid) is None
        assert running_with(mark) == []
        assert [path.name for path in homes.iterdir()] == ["L2"]
        assert book.load_ids() == []


@pytest.mark.parametrize("difference", [{"start_ticks": 1}, {"boot_id": "another"}])
def test_a_stranger_with_the_same_pid_is_never_touched(
    data: Path, orphan: object, difference: dict[str, object]
) -> None:
    popen, mark = orphan  # type: ignore[misc]
    book = RecordBook(data / "services" / ".running")
    book.write(record("L1", popen.pid, **difference))
    with runtime(data, "bare", kill_timeout_seconds=1.0) as made:
        swept = made.sweep({"L1"})
        assert [(one.load_id, one.ended) for one in swept] == [("L1", False)]
        assert popen.poll() is None
        assert len(running_with(mark)) == 1
        assert book.load_ids() == []


def test_a_start_ends_the_leftover_of_its_own_load_first(data: Path, orphan: object) -> None:
    popen, mark = orphan  # type: ignore[misc]
    RecordBook(data / "services" / ".running").write(record("L1", popen.pid))
    with runtime(data, "bare", kill_timeout_seconds=2.0) as made:
        shown = made.start(engine(data, "sleep 1000\n"))
        assert shown.pid != popen.pid
        assert running_with(mark) == []


def test_a_damaged_record_is_told_and_cleared(data: Path) -> None:
    folder = data / "services" / ".running"
    book = RecordBook(folder)
    (folder / "L1.json").write_text('{"load_id": "L1", "pid"', encoding="utf-8")
    (folder / "L2.new").write_text("half", encoding="utf-8")
    with runtime(data, "bare") as made:
        swept = made.sweep(set())
    assert [(one.load_id, one.pid, one.reason) for one in swept] == [
        ("L1", None, "its record cannot be read")
    ]
    assert list(folder.iterdir()) == []
    assert book.read("L1") is None


def test_a_group_without_a_record_is_emptied_and_removed(data: Path) -> None:
    mounts = cgroup.find()
    if not mounts.folders:
        pytest.skip("no control group is writable")
    popen = subprocess.Popen(["sleep", "1000"])
    try:
        with runtime(data, "bare") as made:
            name = made._group_prefix + "lost"
            group = cgroup.make(mounts, name, 64 << 20, 50)
            for procs in group.procs_files:
                procs.write_text(str(popen.pid))
            assert made.sweep(set()) == []
            assert popen.wait(5) == -signal.SIGKILL
            assert not any(folder.exists() for folder in group.folders)
    finally:
        popen.kill()
        popen.wait()


def test_what_cannot_be_ended_keeps_its_record_and_bars_a_start(
    data: Path, orphan: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    popen, _ = orphan  # type: ignore[misc]
    book = RecordBook(data / "services" / ".running")
    book.write(record("L1", popen.pid))
    monkeypatch.setattr("acsmpd.runtime.tree.send", lambda pid, number: None)
    with runtime(data, "bare", NO_GROUPS, kill_timeout_seconds=0.2) as made:
        with pytest.raises(faults.Conflict, match=f"an earlier copy, pid {popen.pid}, is still running"):
            made.start(engine(data, "sleep 1000\n"))
        assert book.load_ids() == ["L1"]
    assert leftovers.end(record("L1", popen.pid), Clock(), 0.1).ended is False
