"""Control groups: found, limited, read back; version 1 for real where it is there, version 2 on its files."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from acsmpd import faults
from acsmpd.runtime import cgroup
from acsmpd.runtime.cgroup import Group, Mounts


def proc_files(tmp_path: Path, mountinfo: str, own: str) -> Mounts:
    (tmp_path / "mountinfo").write_text(mountinfo)
    (tmp_path / "cgroup").write_text(own)
    return cgroup.find(tmp_path / "mountinfo", tmp_path / "cgroup")


def folder_with(path: Path, **files: str) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (path / name.replace("__", ".")).write_text(text)
    return path


def test_a_machine_without_groups_has_none(tmp_path: Path) -> None:
    found = proc_files(tmp_path, "31 23 0:28 / /sys rw - sysfs sysfs rw\n", "0::/\n")
    assert found.folders == ()


def test_version_1_uses_our_own_group_or_the_root_a_container_sees(tmp_path: Path) -> None:
    memory = folder_with(tmp_path / "m", cgroup__procs="")
    pids = folder_with(tmp_path / "p", cgroup__procs="")
    own = folder_with(memory / "service" / "x", cgroup__procs="")
    mountinfo = (
        f"1 2 0:1 / {memory} rw,relatime shared:9 - cgroup cgroup rw,memory\n"
        f"1 2 0:1 / {pids} rw - cgroup cgroup rw,cpu,pids\n"
    )
    found = proc_files(tmp_path, mountinfo, "5:cpu,pids:/unseen\n4:memory:/service/x\n0::/\n")
    assert found == Mounts(1, own, pids)
    assert found.folders == (own, pids)


def test_version_2_moves_the_daemon_down_and_hands_controllers_on(tmp_path: Path) -> None:
    own = folder_with(
        tmp_path / "u" / "acsmpd.service",
        cgroup__controllers="cpu memory pids\n", cgroup__procs=f"{os.getpid()}\n", cgroup__subtree_control="",
    )  # fmt: skip
    mountinfo = f"1 2 0:1 / {tmp_path / 'u'} rw - cgroup2 cgroup2 rw\n"
    assert proc_files(tmp_path, mountinfo, "0::/acsmpd.service\n") == Mounts(2, own, own)
    assert (own / "acsmpd-daemon" / "cgroup.procs").read_text() == str(os.getpid())
    assert (own / "cgroup.subtree_control").read_text() == "+memory +pids"
    (own / "cgroup.procs").write_text("")
    assert proc_files(tmp_path, mountinfo, "0::/acsmpd.service/acsmpd-daemon\n").folders == (own,)


def test_version_2_without_the_controllers_is_not_used(tmp_path: Path) -> None:
    folder_with(tmp_path / "u", cgroup__controllers="hugetlb\n", cgroup__procs="", cgroup__subtree_control="")
    found = proc_files(tmp_path, f"1 2 0:1 / {tmp_path / 'u'} rw - cgroup2 cgroup2 rw\n", "0::/\n")
    assert found.folders == ()


def test_a_limit_that_reads_back_otherwise_is_refused_and_nothing_stays(tmp_path: Path) -> None:
    file = tmp_path / "pids.max"
    for answer in ("max", "17", "5"):
        file.unlink(missing_ok=True)
        os.mkfifo(file)
        writer = subprocess.Popen(["sh", "-c", 'cat "$0" >/dev/null; echo "$1" > "$0"', str(file), answer])
        try:
            with pytest.raises(faults.NotAllowed, match=f"wrote 16, read back {answer}"):
                cgroup._set(file, 16, slack=4)
        finally:
            writer.wait(5)


def test_a_group_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(faults.NotAllowed, match=r"cannot limit taken by a control group: .*File exists"):
        cgroup.make(Mounts(2, tmp_path, tmp_path), "taken", 1 << 20, 5)


def test_a_kill_for_memory_is_read_in_both_versions(tmp_path: Path) -> None:
    group = Group((tmp_path,))
    assert cgroup.killed_for_memory(group) is False
    (tmp_path / "memory.events").write_text("low 0\noom 2\noom_kill 0\n")
    assert cgroup.killed_for_memory(group) is False
    (tmp_path / "memory.events").write_text("oom_kill 1\n")
    assert cgroup.killed_for_memory(group) is True
    (tmp_path / "memory.events").unlink()
    (tmp_path / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n")
    assert cgroup.killed_for_memory(group) is True


def test_a_real_group_holds_its_limits_and_dies_with_its_members() -> None:
    mounts = cgroup.find()
    if not mounts.folders:
        pytest.skip("no control group is writable")
    name = f"acsmpd-test-{os.getpid()}"
    group = cgroup.make(mounts, name, 50_000_000, 20)
    popen = subprocess.Popen(["sh", "-c", "sleep 1000 & wait"])
    try:
        for procs in group.procs_files:
            procs.write_text(str(popen.pid))
        assert popen.pid in cgroup.members(group)
        assert cgroup.remove(group) is False
        cgroup.kill(group)
        assert popen.wait(5) == -9
    finally:
        popen.kill()
        popen.wait()
        while not cgroup.remove(group):
            cgroup.kill(group)
    assert cgroup.members(group) == set()
    assert cgroup.remove(group) is True
