"""The walls: what an engine can see and touch, tried from inside; and the choice of the way."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

from acsmpd import faults
from acsmpd.clock import Clock
from acsmpd.runtime import sandbox
from acsmpd.runtime.process import Runtime
from acsmpd.runtime.sandbox import Places, Way, card_devices, choose, command
from acsmpd.runtime.values import RuntimeSettings
from tests.runtime.engines import engine, home, need, runtime, settings_for
from tests.support.wait import wait_until

WALLED = ["bwrap", "user"]


def printed(made: Runtime, data: Path, script: str, **more: object) -> str:
    """What a script prints, run as an engine to its end."""
    made.start(engine(data, f"exec 2>&1\n{script}\necho THE-END\n", **more))
    wait_until(lambda: made.alive("L1") is None)
    text = made.log_tail("L1", 100_000).decode()
    assert "THE-END" in text
    return text


@pytest.mark.parametrize("way", WALLED)
def test_the_data_directory_cannot_be_read(data: Path, way: str) -> None:
    neighbour = data / "services" / "other"
    neighbour.mkdir(parents=True)
    (neighbour / "model").write_text("theirs", encoding="utf-8")
    with runtime(data, way) as made:
        text = printed(made, data, f"cat {data}/secret\ncat {neighbour}/model\nfind {data} -type f")
    assert "top" not in text
    assert "theirs" not in text
    assert text.count("No such file") == 2
    assert re.findall(r"^/.*", text, re.M) == [str(data / "services/program-L1/run.sh")]


@pytest.mark.parametrize("way", WALLED)
def test_only_scratch_and_tmp_can_be_written(data: Path, way: str) -> None:
    tries = (
        "for f in ./x /usr/x /etc/x /x /dev/x $HOME/x ${TMPDIR:-/tmp}/y; do touch $f && echo WROTE $f; done"
    )
    with runtime(data, way) as made:
        text = printed(made, data, tries)
    wrote = re.findall(r"WROTE (\S+)", text)
    scratch = str(home(data))
    assert wrote == [f"{scratch}/x", "/tmp/y" if way == "bwrap" else f"{scratch}/y"]
    assert (home(data) / "x").exists()


@pytest.mark.parametrize("way", WALLED)
def test_other_processes_cannot_be_traced_signalled_or_read(data: Path, way: str) -> None:
    need(way)
    bystander = subprocess.Popen(["sleep", "1000"])
    python = "/usr/bin/python3"
    trace = (
        f"{python} -I -c 'import ctypes; l = ctypes.CDLL(None, use_errno=True);"
        f' print("PTRACE", l.ptrace(16, {bystander.pid}, 0, 0))\''
    )
    if not Path(python).exists():
        trace = "echo PTRACE -1"
    try:
        with runtime(data, way) as made:
            pid = bystander.pid
            script = f"{trace}\nkill -9 {pid} && echo SIGNALLED\ncat /proc/{pid}/environ && echo READ"
            text = printed(made, data, script)
        assert "PTRACE -1" in text
        assert "SIGNALLED" not in text
        assert "READ" not in text
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_behind_bubblewrap_there_are_no_other_processes_and_no_rights(data: Path) -> None:
    with runtime(data, "bwrap") as made:
        text = printed(
            made,
            data,
            "ls -d /proc/[0-9]* | wc -l\ngrep -E 'Cap(Eff|Prm|Amb)|NoNewPrivs' /proc/self/status\nid -u",
        )
    assert re.findall(r"Cap\w+:\t(\w+)", text) == ["0" * 16] * 3
    assert "NoNewPrivs:\t1" in text
    lines = text.splitlines()
    assert int(lines[0]) <= 5
    assert lines[-2] != "0"


@pytest.mark.parametrize("way", WALLED)
def test_a_helper_with_rights_of_its_own_gives_none(data: Path, way: str) -> None:
    with runtime(data, way) as made:
        text = printed(
            made,
            data,
            "grep NoNewPrivs /proc/self/status\nmount -t tmpfs x /tmp && echo MOUNTED",
        )
    assert "NoNewPrivs:\t1" in text
    assert "MOUNTED" not in text


@pytest.mark.parametrize("way", ["bwrap", "user", "bare"])
def test_the_environment_is_what_was_given_and_stands_on_no_command_line(data: Path, way: str) -> None:
    os.environ["ACSMP_TEST_OF_DAEMON"] = "no"
    env = {
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "NAME": "值 'quoted' $x",
        "LD_LIBRARY_PATH": "/lib/of/it",
    }
    try:
        with runtime(data, way) as made:
            made.start(engine(data, "env\nprintf 'READY\\n'\nsleep 1000\n", env=env))
            wait_until(lambda: b"READY" in made.log_tail("L1", 10_000))
            text = made.log_tail("L1", 10_000).decode()
            shown = made.alive("L1")
            assert shown is not None
            lines = [psutil.Process(shown.pid), *psutil.Process(shown.pid).children(recursive=True)]
            assert not any("quoted" in part for process in lines for part in process.cmdline())
    finally:
        del os.environ["ACSMP_TEST_OF_DAEMON"]
    got = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    own = {"HOME": str(home(data)), **({} if way == "bwrap" else {"TMPDIR": str(home(data))})}
    assert {name: value for name, value in got.items() if name not in ("PWD", "_")} == {**env, **own}


@pytest.mark.parametrize("way", ["bwrap", "user", "bare"])
def test_a_licence_file_is_handed_over_read_only(data: Path, way: str) -> None:
    original = data / "licence.bin"
    original.write_text("licensed", encoding="utf-8")
    original.chmod(0o600)
    with runtime(data, way) as made:
        text = printed(
            made, data, "cat $AUTH_SERVER_ADDR; echo x >> $AUTH_SERVER_ADDR", license_path=original
        )
    assert "licensed" in text
    assert original.read_text(encoding="utf-8") == "licensed"
    copy = home(data).parent / "license"
    assert copy.read_text(encoding="utf-8") == "licensed" or way == "bare"


def test_the_loopback_address_is_shared(data: Path) -> None:
    if not Path("/usr/bin/bash").exists():
        pytest.skip("no bash to open a socket with")
    with socket.create_server(("127.0.0.1", 0)) as server, runtime(data, "bwrap") as made:
        port = server.getsockname()[1]
        printed(made, data, f"bash -c 'echo hi > /dev/tcp/127.0.0.1/{port}'")
        server.settimeout(5)
        caller, _ = server.accept()
        with caller:
            assert caller.recv(10) == b"hi\n"


def test_further_folders_can_be_read_not_written(data: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="acsmpd-tool-") as name:
        tool = Path(name)
        tool.chmod(0o755)
        (tool / "lib.txt").write_text("lent", encoding="utf-8")
        with runtime(data, "bwrap", read_only_paths=(tool,)) as made:
            text = printed(made, data, f"cat {tool}/lib.txt; touch {tool}/x && echo WROTE")
        assert "lent" in text
        assert "WROTE" not in text


def test_a_virtual_environment_outside_usr_runs_with_its_folders_lent(data: Path) -> None:
    lent = tuple({Path(sys.prefix), Path(sys.base_prefix)})
    if any(str(path).startswith("/usr") for path in lent):
        pytest.skip("this python lives in /usr")
    with runtime(data, "bwrap", read_only_paths=lent) as made:
        made.start(
            engine(data, "", argv=(sys.executable, "-c", "import psutil; print('got', psutil.__name__)"))
        )
        wait_until(lambda: made.alive("L1") is None)
        assert b"got psutil" in made.log_tail("L1", 1000)


def test_folders_that_hold_the_data_are_refused(data: Path) -> None:
    for path in (data, data.parent, data / "services" / "x"):
        path.mkdir(parents=True, exist_ok=True)
        with pytest.raises(faults.NotAllowed, match="it holds, or lies in, the data directory"):
            choose(RuntimeSettings(data_dir=data, read_only_paths=(path,)))
    for wrong in (Path("relative"), Path("/not/there")):
        with pytest.raises(faults.NotAllowed, match="takes existing absolute paths"):
            choose(RuntimeSettings(data_dir=data, read_only_paths=(wrong,)))


def test_without_any_allowed_way_every_start_is_refused_with_all_reasons(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    settings = RuntimeSettings(data_dir=data, user="no-such-account")
    made = Runtime(settings, data / "services", Clock())
    try:
        with pytest.raises(faults.NotAllowed) as told:
            made.start(engine(data, ""))
        assert told.value.message.startswith(
            "cannot run algorithm programs on this box: bubblewrap (bwrap) is not installed"
        )
        assert "runtime.allow_unsandboxed is false" in told.value.message
        assert "no-such-account" in told.value.message
        assert made.alive("L1") is None
    finally:
        made.close()


def test_a_bubblewrap_that_fails_is_not_chosen(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = data / "bin"
    fake.mkdir()
    (fake / "bwrap").write_text("#!/bin/sh\necho 'bwrap: No permissions' >&2\nexit 1\n", encoding="utf-8")
    (fake / "bwrap").chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake}:/usr/bin:/bin")
    way = choose(RuntimeSettings(data_dir=data))
    assert way.kind == sandbox.NONE
    assert "bubblewrap does not work here (bwrap: No permissions)" in way.reason
    assert choose(RuntimeSettings(data_dir=data, allow_unsandboxed=True)).kind == sandbox.BARE


def test_an_older_bubblewrap_gets_a_folder_of_scratch_as_tmp(data: Path) -> None:
    program = shutil.which("bwrap") or "/usr/bin/bwrap"
    way = Way(kind="bwrap", reason="", program=program)
    _, options = command(way, settings_for(data, "bwrap"), Places(work=data, scratch=data), ["true"], {})
    assert "--size" not in options
    assert "--perms" not in options
    at = options.index("/tmp")
    assert options[at - 2 : at] == ["--bind", str(data)]


def test_root_is_no_account_for_engines(data: Path) -> None:
    way = choose(RuntimeSettings(data_dir=data, way="user", user="root"))
    assert way.kind == sandbox.NONE
    assert "must not be root" in way.reason or "needs the daemon to be root" in way.reason


def test_card_nodes_are_character_devices_only(tmp_path: Path) -> None:
    (tmp_path / "nvidia0").write_text("a plain file")
    assert card_devices("NVIDIA ", tmp_path) == ()
    assert card_devices("unheard-of", Path("/dev")) == ()


def test_a_device_node_is_there_for_who_was_given_it(data: Path) -> None:
    node = Path("/dev/fuse")
    if not node.is_char_device():
        pytest.skip("no spare device node here")
    with runtime(data, "bwrap") as made:
        assert "NODE" not in printed(made, data, f"[ -c {node} ] && echo NODE")
        made.forget("L1")
        assert "NODE" in printed(made, data, f"[ -c {node} ] && echo NODE", devices=(node,))
