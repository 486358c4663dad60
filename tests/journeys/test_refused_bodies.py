"""A body without a good token, sent to the real process: the sender sees the 401, and no disk hears of the body."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from tests.support.daemon import Daemon, daemon

BODY_BYTES = 20_000_000
NOISE_BYTES = 512 * 1024
"""What the process may write meanwhile: a log line, an audit row."""
PATHS = ("/ACSMP/AlgoFilePackages", "/ACSMP/Tasks")
Sender = Callable[[str, Path, dict[str, str], bool], tuple[int, str]]
WRONG = {"Authorization": "Bearer " + "x" * 43}


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with daemon(tmp_path_factory.mktemp("site") / "data") as one:
        yield one


@pytest.fixture(scope="module")
def body(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("body") / "body"
    path.write_bytes(b"x" * BODY_BYTES)
    return path


def written(box: Daemon) -> int:
    """Bytes the process has written to files so far, nameless and spooled ones too; sockets do not count."""
    assert box.process is not None
    lines = Path(f"/proc/{box.process.pid}/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["wchar"])


def by_requests(url: str, body: Path, headers: dict[str, str], chunked: bool) -> tuple[int, str]:
    with requests.Session() as session, body.open("rb") as file:
        session.trust_env = False
        data = iter(lambda: file.read(65536), b"") if chunked else file
        answer = session.post(url, data=data, headers=headers, timeout=20)
        return answer.status_code, answer.text


def by_curl(url: str, body: Path, headers: dict[str, str], chunked: bool) -> tuple[int, str]:
    more = {**headers, **({"Transfer-Encoding": "chunked"} if chunked else {}), "Expect": ""}
    named = [word for name, value in more.items() for word in ("-H", f"{name}: {value}".rstrip())]
    command = ["curl", "-sS", "-m", "20", "-w", "\n%{http_code}", "--data-binary", f"@{body}", *named, url]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    text, _, status = ran.stdout.rpartition("\n")
    return int(status), text


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("client", [by_requests, by_curl])
@pytest.mark.parametrize(("path", "headers"), [(PATHS[0], {}), (PATHS[1], WRONG)], ids=["none", "wrong"])
def test_the_sender_sees_the_401_and_nothing_is_written(
    box: Daemon, body: Path, client: Sender, path: str, headers: dict[str, str], chunked: bool
) -> None:
    before = written(box)
    status, text = client(box.url + path, body, headers, chunked)
    assert (status, '"Code":40101' in text.replace(" ", "")) == (401, True)
    assert written(box) - before < NOISE_BYTES
    assert [path for path in box.data.rglob("*") if path.is_file() and path.stat().st_size > BODY_BYTES] == []
