"""The engine interface over HTTP: every row, every refusal, and its end."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.sample.parties import SERVICE_ID, Engine, rule, task
from tests.support.signals import signal_another_thread
from tests.support.wait import wait_until


@pytest.fixture
def stopped(videos: dict[str, Path]) -> dict[str, Any]:
    """A body that creates a task without starting it."""
    return task(videos["carphone"], CreateAndStartTask=False, info={"ID": "T-1"})


def test_status(engine: Engine, stopped: dict[str, Any]) -> None:
    engine.create(stopped)
    status, envelope = engine.call("GET", "/Status", headers={"X-Request-ID": "abc-1"})
    assert status == 200
    assert envelope == {
        "Code": 0,
        "Message": "success",
        "Data": {"Status": "RUNNING", "Tasks": 1, "Streams": 0, "StreamLimit": 2},
        "RequestID": "abc-1",
    }


def test_create_answers_the_whole_task(engine: Engine, stopped: dict[str, Any]) -> None:
    data = engine.ask("POST", "/AlgoTasks", stopped)["Data"]
    assert data["TaskInfo"] == stopped["TaskInfo"]
    assert data["AlgoServiceID"] == SERVICE_ID
    assert (data["Status"], data["RestartPolicy"], data["CreateAndStartTask"]) == ("PAUSED", "NEVER", False)
    assert engine.detail("T-1") == data


def test_an_id_is_minted_when_none_is_given(engine: Engine, stopped: dict[str, Any]) -> None:
    del stopped["TaskInfo"]["ID"]
    first, second = engine.create(stopped), engine.create(stopped)
    assert first != second
    assert len(first) == len(second) == 36


def test_the_same_create_again_gives_the_same_task(engine: Engine, stopped: dict[str, Any]) -> None:
    assert engine.create(stopped) == engine.create(stopped) == "T-1"
    assert engine.ask("GET", "/Status")["Data"]["Tasks"] == 1
    status, envelope = engine.call("POST", "/AlgoTasks", {**stopped, "RestartPolicy": "ALWAYS"})
    assert (status, envelope["Code"]) == (409, 40902)
    assert envelope["Message"] == "task T-1 exists with other content"
    assert engine.detail("T-1")["RestartPolicy"] == "NEVER"


def test_put_replaces_a_paused_task(engine: Engine, stopped: dict[str, Any]) -> None:
    engine.create(stopped)
    changed = task("/other.mp4", rule("INTRUSION"), RestartPolicy="ALWAYS")
    data = engine.ask("PUT", "/AlgoTasks/T-1", changed)["Data"]
    assert data["TaskInfo"] == {**changed["TaskInfo"], "ID": "T-1"}
    assert (data["Status"], data["RestartPolicy"], data["CreateAndStartTask"]) == ("PAUSED", "ALWAYS", False)


def test_put_on_a_playing_task(engine: Engine, videos: dict[str, Path]) -> None:
    """NEVER must be paused first; ALWAYS plays on with the new content."""
    body = task(videos["carphone"], rule(Loop=True), info={"ID": "T-2"})
    engine.create(body)
    engine.wait_status("T-2", "RUNNING")
    status, envelope = engine.call("PUT", "/AlgoTasks/T-2", body)
    assert (status, envelope["Code"]) == (409, 40901)
    assert "pause it first" in envelope["Message"]
    engine.ask("POST", "/AlgoTasks/T-2:pause")
    engine.ask("PUT", "/AlgoTasks/T-2", {**body, "RestartPolicy": "ALWAYS"})
    engine.ask("POST", "/AlgoTasks/T-2:resume")
    engine.wait_status("T-2", "RUNNING")
    engine.ask("PUT", "/AlgoTasks/T-2", task("/none.mp4", RestartPolicy="ALWAYS"))
    assert "cannot open /none.mp4" in engine.wait_status("T-2", "ERROR")["Message"]


def test_put_with_another_id_is_refused(engine: Engine, stopped: dict[str, Any]) -> None:
    engine.create(stopped)
    status, envelope = engine.call("PUT", "/AlgoTasks/T-1", task("/x", info={"ID": "T-9"}))
    assert (status, envelope["Code"], envelope["Message"]) == (400, 40001, "TaskInfo.ID: the path names T-1")
    assert engine.detail("T-1")["TaskInfo"] == stopped["TaskInfo"]


def test_delete(engine: Engine, stopped: dict[str, Any]) -> None:
    engine.create(stopped)
    assert "Data" not in engine.ask("DELETE", "/AlgoTasks/T-1")
    assert engine.call("GET", "/AlgoTasks/T-1")[1]["Code"] == 40401


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/AlgoTasks/none"),
        ("PUT", "/AlgoTasks/none"),
        ("DELETE", "/AlgoTasks/none"),
        ("POST", "/AlgoTasks/none:resume"),
        ("POST", "/AlgoTasks/none%3Apause"),
        ("POST", "/AlgoTasks/none/pause"),
    ],
)
def test_an_unknown_task(engine: Engine, method: str, path: str) -> None:
    status, envelope = engine.call(method, path, task("/x") if method == "PUT" else None)
    assert (status, envelope["Code"], envelope["Message"]) == (404, 40401, "no task none")
    assert "Data" not in envelope


def test_search_pages_and_filters(engine: Engine) -> None:
    for n, event in enumerate(("FACE_DETECT", "INTRUSION", "INTRUSION")):
        policy = "ALWAYS" if n == 2 else "NEVER"
        made = task("/x", rule(event), CreateAndStartTask=False, RestartPolicy=policy, info={"ID": f"S-{n}"})
        engine.create(made)

    def found(**body: Any) -> list[str]:
        page = engine.ask("POST", "/AlgoTasks:search", body)["Data"]
        return [record["TaskInfo"]["ID"] for record in page["Records"]]

    assert found() == ["S-0", "S-1", "S-2"]
    assert found(EventID="INTRUSION") == ["S-1", "S-2"]
    assert found(RestartPolicy="ALWAYS") == ["S-2"]
    assert found(Status="STOPPED") == ["S-0", "S-1", "S-2"]
    assert found(Status="RUNNING") == []
    assert found(CreateAndStartTask=True) == []
    page = engine.ask("POST", "/AlgoTasks%3Asearch", {"PageNumber": 2, "PageSize": 2})["Data"]
    assert [record["TaskInfo"]["ID"] for record in page.pop("Records")] == ["S-2"]
    assert page == {"PageNumber": 2, "PageSize": 2, "TotalSize": 3}
    assert (
        engine.ask("POST", "/AlgoTasks/search", {"PageRequest": {"PageSize": 9999}})["Data"]["PageSize"]
        == 1000
    )
    assert engine.ask("POST", "/AlgoTasks:search")["Data"]["TotalSize"] == 3


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"PageNumber": 0}, "PageNumber and PageSize: 1 or more"),
        ({"PageSize": 0}, "PageNumber and PageSize: 1 or more"),
        ({"PageSize": "x"}, "PageSize: expected int, got str"),
        ({"Status": "GONE"}, "Status: one of PENDING, RUNNING, PAUSED, FINISHED, ERROR"),
        ({"CreateAndStartTask": 1}, "CreateAndStartTask: expected bool, got int"),
    ],
)
def test_a_bad_search(engine: Engine, body: Any, words: str) -> None:
    status, envelope = engine.call("POST", "/AlgoTasks:search", body)
    assert (status, envelope["Code"], envelope["Message"]) == (400, 40001, words)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code", "words"),
    [
        ("POST", "/AlgoTasks", b"{", 400, 40000, "the body is not JSON"),
        ("POST", "/AlgoTasks", b"\xff", 400, 40000, "the body is not JSON"),
        ("POST", "/AlgoTasks", b'{"a": NaN}', 400, 40000, "the body is not JSON"),
        ("POST", "/AlgoTasks", b"[" * 100000, 400, 40000, "the body is not JSON"),
        ("POST", "/AlgoTasks", b"[]", 400, 40000, "the body is not a JSON object"),
        ("POST", "/AlgoTasks", b'{"a":' + b"[" * 40 + b"]" * 40 + b"}", 400, 40000, "nested deeper than 32"),
        ("POST", "/AlgoTasks", b'{"a": "\\ud800"}', 400, 40001, "half a surrogate pair"),
        ("POST", "/AlgoTasks", b"", 400, 40002, "RestartPolicy is required"),
        ("POST", "/AlgoTasks", b" " * 2_000_000, 413, 41301, "the body is over 1048576 bytes"),
        ("PUT", "/AlgoTasks", b"{}", 405, 40500, "/AlgoTasks does not take PUT"),
        ("GET", "/AlgoTasks/a:pause", None, 405, 40500, "/AlgoTasks/a:pause does not take GET"),
        ("PATCH", "/AlgoTasks", None, 405, 40500, "Unsupported method ('PATCH')"),
        ("GET", "/Nothing", None, 404, 40401, "no interface /Nothing"),
        ("GET", "/AlgoTasks/a:b", None, 404, 40401, "no interface /AlgoTasks/a:b"),
    ],
)
def test_bad_requests(
    engine: Engine, method: str, path: str, body: bytes | None, status: int, code: int, words: str
) -> None:
    answered, envelope = engine.call(method, path, body)
    assert (answered, envelope["Code"]) == (status, code)
    assert words in envelope["Message"]
    assert engine.ask("GET", "/Status")["Data"]["Tasks"] == 0


@pytest.mark.parametrize(
    ("head", "status", "code"),
    [
        (b"POST /AlgoTasks HTTP/1.1\r\nTransfer-Encoding: chunked", b"411", 41101),
        (b"POST /AlgoTasks HTTP/1.1\r\nContent-Length: -5", b"400", 40000),
        (b"NONSENSE", b"400", 40000),
    ],
)
def test_bad_heads(engine: Engine, head: bytes, status: bytes, code: int) -> None:
    with socket.create_connection(("127.0.0.1", engine.port), timeout=10) as raw:
        raw.sendall(head + b"\r\n\r\n")
        with raw.makefile("rb") as answer:
            words = answer.read()
    lines, _, body = words.rpartition(b"\r\n\r\n")
    assert not lines or status in lines
    assert json.loads(body)["Code"] == code


def test_connections_are_bounded_and_come_back(engine: Engine) -> None:
    """Forty callers that say nothing: the last are hung up on, and once they leave all is well."""
    idle = [socket.create_connection(("127.0.0.1", engine.port), timeout=10) for _ in range(40)]
    try:
        assert idle[-1].recv(1) == b""
    finally:
        for each in idle:
            each.close()
    wait_until(lambda: _answers(engine), what="the engine to answer again")


def _answers(engine: Engine) -> bool:
    try:
        return engine.call("GET", "/Status")[0] == 200
    except OSError:
        return False


def test_a_caller_that_leaves_does_no_harm(engine: Engine) -> None:
    with socket.create_connection(("127.0.0.1", engine.port), timeout=10) as raw:
        raw.sendall(b"POST /AlgoTasks HTTP/1.1\r\nContent-Length: 500\r\n\r\n{")
    assert engine.ask("GET", "/Status")["Data"]["Tasks"] == 0


def test_the_number_of_tasks_is_bounded(engine: Engine, stopped: dict[str, Any]) -> None:
    del stopped["TaskInfo"]["ID"]
    for _ in range(64):
        engine.create(stopped)
    status, envelope = engine.call("POST", "/AlgoTasks", stopped)
    assert (status, envelope["Code"]) == (409, 40901)
    assert "64 tasks already" in envelope["Message"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_before_a_box_would_kill_it(
    package: Path, videos: dict[str, Path], tmp_path: Path, number: int
) -> None:
    with Engine(package, tmp_path / "log") as engine:
        playing = engine.create(task(videos["bikes"], rule("INTRUSION", "http://127.0.0.1:9/", Loop=True)))
        engine.wait_status(playing, "RUNNING")
        engine.process.send_signal(number)
        assert engine.process.wait(timeout=10) == 0
    assert "Traceback" not in engine.said()


def test_it_ends_also_when_another_thread_catches_the_signal(package: Path, tmp_path: Path) -> None:
    with Engine(package, tmp_path / "log") as engine:
        signal_another_thread(engine.process.pid, signal.SIGTERM)
        assert engine.process.wait(timeout=10) == 0


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({}, "cannot start: PORT must be a number from 0 to 65535, got ''"),
        ({"PORT": "x"}, "cannot start: PORT must be a number from 0 to 65535, got 'x'"),
        (
            {"PORT": "0", "STREAM_LIMIT": "0"},
            "cannot start: STREAM_LIMIT must be a number from 1 to 64, got '0'",
        ),
    ],
)
def test_bad_settings_stop_the_start(package: Path, env: dict[str, str], words: str) -> None:
    command = Engine(package, package / "none")._command
    ended = subprocess.run(command, cwd=package / "bin", env=env, capture_output=True, text=True, timeout=30)
    assert ended.returncode == 1
    assert ended.stderr.strip() == words
