"""What the benches share: servers as processes of their own, load from wrk, the CPU of both sides, medians."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import requests

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
THREADS = 16
SATURATED = 0.9
"""A client that used so much of its one core was itself the limit: the figure is void."""


class Void(Exception):
    """The run says nothing, and why."""


@dataclass(frozen=True)
class Figure:
    """One line of a report. `limit` None: shown, not judged."""

    name: str
    value: float
    limit: float | None = None
    at_most: bool = True
    unit: str = ""

    @property
    def holds(self) -> bool:
        if self.limit is None:
            return True
        return self.value <= self.limit if self.at_most else self.value >= self.limit

    def __str__(self) -> str:
        if self.limit is None:
            return f"{self.name:<44} {self.value:>10.3f} {self.unit}"
        sign = "<=" if self.at_most else ">="
        verdict = "holds" if self.holds else "MISSED"
        return f"{self.name:<44} {self.value:>10.3f} {sign} {self.limit:g} {self.unit}  {verdict}"


def report(name: str, figures: list[Figure], **more: Any) -> bool:
    """Print, keep as JSON, and say whether every limit holds."""
    for figure in figures:
        print(figure)
    folder = ROOT / ".bench"
    folder.mkdir(exist_ok=True)
    kept = {
        "bench": name, "at": time.strftime("%Y-%m-%d %H:%M:%S"), "cores": os.cpu_count(),
        "figures": [asdict(figure) | {"holds": figure.holds} for figure in figures], **more,
    }  # fmt: skip
    (folder / f"{name}.json").write_text(json.dumps(kept, indent=1))
    return all(figure.holds for figure in figures)


# --- servers -------------------------------------------------------------------------------------------------


class Server:
    """A process that listens; its CPU is counted with that of its children."""

    def __init__(self, process: subprocess.Popen[bytes], url: str) -> None:
        self.process, self.url = process, url

    def tree(self) -> list[psutil.Process]:
        whole = psutil.Process(self.process.pid)
        return [whole, *whole.children(recursive=True)]

    def cpu_seconds(self) -> float:
        total = 0.0
        for one in self.tree():
            with contextlib.suppress(psutil.NoSuchProcess):
                used = one.cpu_times()
                total += used.user + used.system
        return total

    def memory(self, kind: str = "pss") -> float:
        """MB of the whole tree: pss, rss or uss."""
        total = 0
        for one in self.tree():
            with contextlib.suppress(psutil.NoSuchProcess):
                total += getattr(one.memory_full_info(), kind)
        return total / 1e6


def surroundings(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Our environment without settings of the caller's, and those given."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ACSMPD_")}
    return {**kept, **(environ or {})}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def served(
    command: list[str], port: int, path: str, environ: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """The command as a process; ended at the end, whatever happened."""
    process = subprocess.Popen(command, cwd=ROOT, env=surroundings(environ))
    server = Server(process, f"http://127.0.0.1:{port}")
    try:
        answers(server, path)
        yield server
    finally:
        last = server.process  # a bench may have started another in its place
        last.send_signal(signal.SIGTERM)
        try:
            last.wait(timeout=30)
        except subprocess.TimeoutExpired:
            last.kill()
            last.wait()


def answers(server: Server, path: str, seconds: float = 30.0) -> float:
    """Wait for 200; the moment it came."""
    deadline = time.monotonic() + seconds
    with plain_session() as session:
        while time.monotonic() < deadline:
            if server.process.poll() is not None:
                raise Void(f"the server ended with {server.process.returncode}")
            with contextlib.suppress(requests.RequestException):
                if session.get(server.url + path, timeout=5).status_code == 200:
                    return time.monotonic()
            time.sleep(0.005)
    raise Void(f"{server.url}{path} did not answer within {seconds:g} s")


def plain_session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    return session


@contextlib.contextmanager
def baseline(threads: int = THREADS) -> Iterator[Server]:
    port = free_port()
    with served([sys.executable, str(HERE / "baseline.py"), str(port), str(threads)], port, "/") as server:
        yield server


@dataclass
class Site:
    """A daemon with its data directory and a key of every role."""

    server: Server
    folder: Path
    key: str

    def ask(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        with plain_session() as session:
            headers = {"Authorization": f"Bearer {self.key}"}
            answer = session.request(
                method, self.server.url + path, json=body, headers=headers, timeout=120, **more
            ).json()
        if answer["Code"] != 0:
            raise Void(f"{method} {path}: {answer}")
        return answer.get("Data")


def settings_of(folder: Path, port: int, **more: str) -> dict[str, str]:
    return {
        "ACSMPD_DATA_DIR": str(folder), "ACSMPD_SERVER_PORT": str(port), "ACSMPD_SERVER_THREADS": str(THREADS),
        "ACSMPD_SITE_CODE": "11010000005020000001", "ACSMPD_EGRESS_ALLOW": "127.0.0.1:*",
        "ACSMPD_ENROLMENT_MODE": "open", **{f"ACSMPD_{name.upper()}": value for name, value in more.items()},
    }  # fmt: skip


ACSMPD = [sys.executable, "-m", "acsmpd"]


def prepared(environ: Mapping[str, str]) -> str:
    """Make the data directory; gives an API key."""
    whole = surroundings(environ)
    subprocess.run([*ACSMPD, "init"], env=whole, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    made = subprocess.run(
        [*ACSMPD, "key", "create", "--name", "bench", "--role", "system_admin", "--role", "operator"],
        env=whole, check=True, cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    return made.stdout.strip().splitlines()[-1]


@contextlib.contextmanager
def site(before: Callable[[Path, dict[str, str]], None] | None = None, **settings: str) -> Iterator[Site]:
    """A daemon on a fresh data directory on the disk; `before` may fill it while nothing runs."""
    with tempfile.TemporaryDirectory(prefix="acsmpd-bench-", dir=ROOT / ".bench") as name:
        folder, port = Path(name) / "data", free_port()
        environ = settings_of(folder, port, **settings)
        key = prepared(environ)
        if before is not None:
            before(folder, environ)
        with served([*ACSMPD, "serve"], port, "/readyz", environ) as server:
            yield Site(server, folder, key)


# --- load ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Load:
    """One run of wrk. Shares are of one core."""

    per_second: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    failed: int
    client_share: float
    server_share: float


SCRIPT = """
wrk.method = "%(method)s"
wrk.body = %(body)s
%(headers)s
done = function(summary, latency, requests)
  local e = summary.errors
  io.stderr:write(string.format('{"requests":%%d,"us":%%d,"p50":%%d,"p95":%%d,"p99":%%d,"failed":%%d}',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(95), latency:percentile(99),
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""


def wrk(
    server: Server, path: str, *, method: str = "GET", body: Any = None,
    headers: Mapping[str, str] | None = None, seconds: int = 4, connections: int = 16,
) -> Load:  # fmt: skip
    """Load from one thread of wrk; a request that is not answered 2xx is counted as failed."""
    lines = {"Content-Type": "application/json", **(headers or {})}
    text = SCRIPT % {
        "method": method,
        "body": "nil" if body is None else json.dumps(json.dumps(body)),
        "headers": "\n".join(f"wrk.headers[{json.dumps(n)}] = {json.dumps(v)}" for n, v in lines.items()),
    }
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(text)
        script.flush()
        before, begun = server.cpu_seconds(), time.monotonic()
        process = subprocess.Popen(
            ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", script.name,
             server.url + path],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert process.stderr is not None
        told = process.stderr.read()
        _, _, used = os.wait4(process.pid, 0)
        process.returncode = 0
        passed = time.monotonic() - begun
    said = json.loads(told)
    return Load(
        said["requests"] / (said["us"] / 1e6), said["p50"] / 1000, said["p95"] / 1000, said["p99"] / 1000,
        said["failed"], (used.ru_utime + used.ru_stime) / passed, (server.cpu_seconds() - before) / passed,
    )  # fmt: skip


def versus(
    ours: Callable[[], Load], other: Callable[[], Load], rounds: int
) -> tuple[float, list[tuple[Load, Load]]]:
    """Median ratio of requests per second, ours over the other, of interleaved rounds after one to warm up."""
    ours(), other()
    found = []
    for number in range(rounds):
        pair = (ours(), other())
        found.append(pair)
        for name, load in zip(("ours", "bare"), pair, strict=True):
            print(
                f"  round {number + 1} {name}: {load.per_second:7.0f}/s  p50 {load.p50_ms:6.1f} ms  "
                f"p99 {load.p99_ms:6.1f} ms  CPU server {load.server_share:4.0%} client {load.client_share:4.0%}"
            )
            if load.failed:
                raise Void(f"{load.failed} requests failed")
            if load.client_share > SATURATED:
                raise Void(f"the client was the limit: it used {load.client_share:.0%} of its core")
    return statistics.median(a.per_second / b.per_second for a, b in found), found


def against_bare(
    name: str, what: str, limit: float, ours: Callable[[], Load], bare: Server, body: Any, rounds: int
) -> bool:
    """Run a request against the bare view that takes the same body, and report the ratio; `limit` is its least."""
    ratio, found = versus(ours, lambda: wrk(bare, "/", method="POST", body=body), rounds)
    figures = [Figure(f"{what} / bare view", ratio, limit, at_most=False)]
    return report(name, figures, rounds=[[asdict(one) for one in pair] for pair in found])


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
