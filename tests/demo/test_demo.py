"""`./scripts/demo`, as a newcomer runs it: a real daemon, engine and video."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.demo.conftest import ROOT, RUN_SECONDS, Runs, free_port
from tests.support.wait import wait_until

RESULT = re.compile(
    r"^ +(\d+)  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}  FACE_DETECT  +(0\.\d\d|1\.00)  (\S+\.jpg)$",
    re.MULTILINE,
)


def read_until(demo: subprocess.Popen[str], wanted: str) -> str:
    """What the demo says up to a line that holds `wanted`."""
    assert demo.stdout is not None
    said = ""
    for line in demo.stdout:
        said += line
        if wanted in line:
            return said
    raise AssertionError(f"{wanted!r} never came: {said}")


def children_of(demo: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(demo.pid).children(recursive=True)


def is_over(process: psutil.Process) -> bool:
    """Gone, or dead and waiting for whoever inherited it."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def expect_over(started: list[psutil.Process]) -> None:
    wait_until(lambda: all(map(is_over, started)), seconds=5, what=f"the end of {started}")


def test_five_results_with_pictures_then_the_end(runs: Runs, first_run: str) -> None:
    rows = RESULT.findall(first_run)
    assert [number for number, _score, _path in rows] == ["1", "2", "3", "4", "5"], first_run
    for _number, score, path in rows:
        assert float(score) > 0.3
        assert Path(path).read_bytes()[:2] == b"\xff\xd8"
    assert "acsmp-sample 1.0.0, imported\n" in first_run
    assert "bwrap" in first_run
    assert f"http://127.0.0.1:{runs.port}/openapi.json" in first_run
    assert (runs.data / "demo-key").stat().st_mode & 0o777 == 0o600
    assert (runs.data / "demo-key").read_text().strip() not in first_run
    assert (runs.data / "demo" / "daemon.log").is_file()


def test_a_second_run_reuses_what_is_there(runs: Runs, first_run: str) -> None:
    key = (runs.data / "demo-key").read_text()
    pictures = {path for _number, _score, path in RESULT.findall(first_run)}
    code, text = runs.run("--once")
    assert code == 0, text
    assert "imported before" in text
    rows = RESULT.findall(text)
    assert len(rows) == 5
    assert not pictures & {path for _number, _score, path in rows}, "old results were shown again"
    assert (runs.data / "demo-key").read_text() == key
    assert re.findall(r"plan (\d+):", text) == re.findall(r"plan (\d+):", first_run)


@pytest.mark.usefixtures("first_run")
def test_ctrl_c_leaves_nothing_running_and_a_changed_package_is_imported_again(runs: Runs) -> None:
    note = runs.data / "demo" / "imported.json"
    before = json.loads(note.read_text())
    note.write_text(json.dumps({**before, "MD5": "0" * 32}))
    with runs.start() as demo:
        said = read_until(demo, "FACE_DETECT on")
        said += read_until(demo, " FACE_DETECT ")
        started = children_of(demo)
        demo.send_signal(signal.SIGINT)
        rest = demo.communicate(timeout=60)[0]
    assert demo.returncode == 130, said + rest
    assert "imported\n" in said
    assert json.loads(note.read_text()) == before
    assert len(started) >= 2, "the daemon and an engine were running"
    expect_over(started)
    runs.expect_nothing_left()


@pytest.mark.usefixtures("first_run")
def test_a_killed_run_takes_its_daemon_along_and_the_next_one_works(runs: Runs) -> None:
    with runs.start() as demo:
        read_until(demo, "  服务  ")
        started = children_of(demo)
        demo.kill()
    assert started
    code, text = runs.run("--once")
    assert code == 0, text
    expect_over(started)
    assert len(RESULT.findall(text)) == 5


@pytest.mark.usefixtures("first_run")
def test_no_result_in_time_is_exit_1_with_the_reason(runs: Runs, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"this is no video")
    code, text = runs.run("--once", ACSMPD_DEMO_VIDEO=str(broken), ACSMPD_DEMO_LIMIT_SECONDS="5")
    assert code == 1
    assert "no result within 5 s" in text
    assert re.search(r"the task instance: (ERROR|PENDING|RUNNING) ", text)
    assert "the service: RUNNING" in text
    assert f"cannot open {broken}" in text, "the engine's log tells why"
    assert "daemon.log:" in text
    assert not RESULT.search(text)


def test_without_bubblewrap_it_says_so_and_works(tmp_path: Path) -> None:
    runs = Runs(tmp_path / "var")
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("bash", "dirname", "env", "sh"):
        (tools / name).symlink_to(shutil.which(name) or "/bin/false")
    code, text = runs.run("--once", PATH=str(tools))
    assert code == 0, text
    assert "NONE: bubblewrap (bwrap) is not installed; the engine can read what you can" in text
    assert len(RESULT.findall(text)) == 5


def test_a_taken_port_is_told(tmp_path: Path) -> None:
    runs = Runs(tmp_path / "var")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", runs.port))
        taken.listen()
        code, text = runs.run("--once")
    assert code == 1
    assert f"something listens on 127.0.0.1:{runs.port} already" in text
    assert "ACSMPD_SERVER_PORT=8751 ACSMPD_DATA_DIR=/tmp/acsmpd-demo ./scripts/demo" in text
    assert not (tmp_path / "var").exists()


def test_a_daemon_that_does_not_start_is_told_with_its_log(tmp_path: Path) -> None:
    code, text = Runs(tmp_path / "var").run("--once", ACSMPD_SERVER_THREADS="zero")
    assert code == 1
    assert "server.threads" in text


def test_a_reader_that_goes_away_ends_it(tmp_path: Path) -> None:
    runs = Runs(tmp_path / "var")
    with runs.start("--once") as demo:
        assert demo.stdout is not None
        demo.stdout.readline()
        demo.stdout.close()
        assert demo.wait(RUN_SECONDS) == 1
    runs.expect_nothing_left()


def test_an_unknown_word_is_wrong_usage(tmp_path: Path) -> None:
    code, text = Runs(tmp_path / "var").run("--twice")
    assert code == 2
    assert "scripts/demo --once" in text


def test_without_the_venv_module_the_package_is_named(tmp_path: Path) -> None:
    python = tmp_path / "python3"
    python.write_text(f'#!/bin/sh\ncase "$2" in *venv*) exit 1;; esac\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("ACSMPD_")}
    done = subprocess.run(
        [str(ROOT / "scripts" / "demo")], env={**environ, "ACSMPD_PYTHON": str(python)},
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert done.returncode == 2
    assert "apt-get install python3-venv" in done.stderr


# --- the daemon's side -----------------------------------------------------------------------------------


def test_a_held_data_directory_is_told_with_the_pid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import daemon

    from acsmpd.store.folder import DataFolder

    monkeypatch.setattr(daemon, "LOCK_SECONDS", 0.1)
    monkeypatch.setenv("ACSMPD_DATA_DIR", str(tmp_path / "var"))
    monkeypatch.setenv("ACSMPD_SERVER_PORT", str(free_port()))
    folder = DataFolder(tmp_path / "var")
    folder.take()
    try:
        with pytest.raises(daemon.Failed, match=rf"an acsmpd \(pid {os.getpid()}\) runs on .*\nEnd it: kill"):
            daemon.Daemon([]).expect_free()
    finally:
        folder.release()
    daemon.Daemon([]).expect_free()


def test_the_daemon_gets_no_name_that_is_the_demos_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import daemon

    monkeypatch.setenv("ACSMPD_DATA_DIR", str(tmp_path / "var"))
    monkeypatch.setenv("ACSMPD_DEMO_VIDEO", "x")
    monkeypatch.setenv("ACSMPD_PYTHON", "python3")
    monkeypatch.setenv("ACSMPD_EGRESS_ALLOW", "10.0.0.1:80")
    monkeypatch.setenv("ACSMPD_SERVER_HOST", "0.0.0.0")
    assert "fine" in daemon.Daemon([]).run("check-config")


def test_a_path_with_a_comma_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import daemon

    with pytest.raises(daemon.Failed, match="a comma in the path"):
        daemon.Daemon([Path("/opt/a,b")])
