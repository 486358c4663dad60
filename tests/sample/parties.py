"""The engine as a process, the receiver of its results, and the requests tests make."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from tests.support.wait import wait_until

SAMPLE = Path(__file__).resolve().parents[2] / "scripts" / "sample"
SERVICE_ID = "11111111-2222-4333-8444-555555555555"


class Engine:
    """The built package run as its algo.yaml says, with an environment built from nothing."""

    def __init__(self, package: Path, log: Path, **env: str) -> None:
        self._folder = package / "bin"
        self._command = yaml.safe_load((package / "algo.yaml").read_text("utf-8"))["algo_runtime"]["cmd"]
        self.log = log
        self._env = {"PATH": "/usr/bin:/bin", "PORT": "0", "ACSMP_SERVICE_ID": SERVICE_ID, **env}

    def __enter__(self) -> Engine:
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                self._command, cwd=self._folder, env=self._env, stdout=out, stderr=subprocess.STDOUT
            )
        ready = wait_until(lambda: re.search(r"ready on 127\.0\.0\.1:(\d+)", self.said()), what="the engine")
        self.port = int(ready.group(1))
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(timeout=10)

    def said(self) -> str:
        return self.log.read_text("utf-8")

    def call(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Status and envelope of one request; a body that is bytes goes out as it is."""
        raw = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=15)
        try:
            connection.request(method, path, raw, headers or {})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def ask(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """The envelope of a request that must succeed."""
        status, envelope = self.call(method, path, body)
        assert (status, envelope["Code"]) == (200, 0), envelope
        return envelope

    def create(self, body: dict[str, Any]) -> str:
        """A task's ID, once runs that an earlier test stopped have given their streams back."""
        answers: list[tuple[int, dict[str, Any]]] = []

        def created() -> bool:
            answers.append(self.call("POST", "/AlgoTasks", body))
            return answers[-1][1]["Code"] != 40901

        wait_until(created, what="a free stream")
        status, envelope = answers[-1]
        assert (status, envelope["Code"]) == (200, 0), envelope
        return str(envelope["Data"]["TaskInfo"]["ID"])

    def detail(self, task_id: str) -> dict[str, Any]:
        return dict(self.ask("GET", f"/AlgoTasks/{task_id}")["Data"])

    def wait_status(self, task_id: str, *wanted: str) -> dict[str, Any]:
        """The task's detail once its status is one of those."""
        found: list[dict[str, Any]] = []

        def reached() -> bool:
            found[:] = [self.detail(task_id)]
            return found[0]["Status"] in wanted

        try:
            wait_until(reached, seconds=40, what=f"task to be {wanted}")
        except AssertionError as late:
            raise AssertionError(f"{late}, but {found}") from None
        return found[0]


class Receiver:
    """A real HTTP receiver; `answers` are given first, (status, body), then Code 0 for ever."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.attempts = 0
        self.answers: list[tuple[int, bytes]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver._take(self)

            def log_message(self, form: str, *values: Any) -> None:
                """Tests print what they need themselves."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/results/1?sign=abc"

    def _take(self, handler: BaseHTTPRequestHandler) -> None:
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        self.attempts += 1
        status, answer = self.answers.pop(0) if self.answers else (200, b'{"Code": 0, "Message": "success"}')
        if status == 200 and b"0" in answer:
            self.bodies.append(body)
        handler.send_response(status)
        if status == 302:
            handler.send_header("Location", self.url)
        handler.end_headers()
        handler.wfile.write(answer)

    def __enter__(self) -> Receiver:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def rule(event: str = "FACE_DETECT", *receivers: str, areas: Any = None, **extras: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"EventID": event, "ResultReceiveUrl": list(receivers), "ExtendParams": extras}
    return made if areas is None else {**made, "Areas": areas}


def task(url: str | Path, *rules: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A body as Part 4 table D.1."""
    info = {
        "Labels": {"AlgoCaBinName": "acsmp-sample", "Version": "1.0.0"},
        "RulesParams": list(rules or (rule(),)),
        "StreamOptions": {"VideoStreamOptions": {"Resolution": "PIXELS_200W", "Url": str(url)}},
        **more.pop("info", {}),
    }
    return {"RestartPolicy": "NEVER", "TaskInfo": info, "CreateAndStartTask": True, **more}


def polygon(*points: tuple[float, float], area_id: int = 0) -> dict[str, Any]:
    made = [{"PointX": x, "PointY": y} for x, y in points]
    return {"AreaID": area_id, "AreaType": "POLYGON", "Points": made}
