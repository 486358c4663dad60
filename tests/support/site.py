"""A whole acsmpd for a test: real HTTP on loopback, a real store, a real engine; and a client for it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests

from acsmpd import offline
from acsmpd.app import App
from acsmpd.clock import Clock
from acsmpd.settings import Settings, load
from tests.support.wait import wait_until

SITE_CODE = "11010000005020000001"
FAST = {
    "ACSMPD_SERVER_PORT": "18999",
    "ACSMPD_SITE_CODE": SITE_CODE,
    "ACSMPD_EGRESS_ALLOW": "127.0.0.1:*",
    "ACSMPD_OBSERVE_INTERVAL_SECONDS": "1",
    "ACSMPD_ENGINE_TICK_SECONDS": "0.2",
    "ACSMPD_ENGINE_BACKOFF_FIRST_SECONDS": "0.2",
    "ACSMPD_ENGINE_BACKOFF_MAX_SECONDS": "2",
    "ACSMPD_DATA_MIN_FREE_BYTES": "1000000",
    "ACSMPD_ENROLMENT_MODE": "open",
}


class Answer:
    """One answer: HTTP status, Code, Message, Data."""

    def __init__(self, response: requests.Response) -> None:
        self.response, self.status = response, response.status_code
        try:
            self.body: dict[str, Any] = response.json()
        except ValueError:
            self.body = {}
        self.code, self.message = self.body.get("Code"), str(self.body.get("Message", ""))
        self.data: Any = self.body.get("Data")

    def __repr__(self) -> str:
        return f"<{self.status} {json.dumps(self.body, ensure_ascii=False)[:500]}>"


class Client:
    """An application with an API key."""

    def __init__(self, url: str, token: str | None) -> None:
        self.url, self.token = url, token

    def ask(self, method: str, path: str, body: Any = None, **more: Any) -> Answer:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        headers |= more.pop("headers", {})
        with requests.Session() as session:
            session.trust_env = False
            if body is not None:
                more["json"] = body
            return Answer(session.request(method, self.url + path, headers=headers, timeout=60, **more))

    def get(self, path: str, **more: Any) -> Answer:
        return self.ask("GET", path, **more)

    def post(self, path: str, body: Any = None, **more: Any) -> Answer:
        return self.ask("POST", path, body, **more)

    def put(self, path: str, body: Any = None, **more: Any) -> Answer:
        return self.ask("PUT", path, body, **more)

    def delete(self, path: str, **more: Any) -> Answer:
        return self.ask("DELETE", path, **more)

    def fine(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """The Data of a call that has to succeed."""
        answer = self.ask(method, path, body, **more)
        assert answer.code == 0, answer
        return answer.data

    def upload(self, file: Path, **fields: str) -> Answer:
        with file.open("rb") as stream:
            return self.ask(
                "POST", "/ACSMP/AlgoFilePackages", files={"File": (file.name, stream)}, data=fields
            )


class Site:
    """One acsmpd process' worth of daemon, in this process; can be stopped and started on its data."""

    def __init__(self, data: Path, settings: dict[str, str]) -> None:
        self.data, self._environ = data, {**FAST, **settings, "ACSMPD_DATA_DIR": str(data)}
        self.key = ""
        self.app: App | None = None

    @property
    def settings(self) -> Settings:
        return load(None, self._environ)

    def start(self) -> Site:
        import msgspec

        settings = self.settings
        offline.init(settings, Clock(), "admin", "correct horse battery")
        if not self.key:
            roles = ["system_admin", "operator", "security_admin", "audit_admin"]
            self.key = offline.create_key(settings, Clock(), "tests", roles)
        port = self.app.port if self.app else 0
        settings = msgspec.structs.replace(
            settings, server=msgspec.structs.replace(settings.server, port=port)
        )
        self.app = App(settings).start()
        return self

    def stop(self) -> None:
        if self.app is not None:
            self.app.stop()

    def restart(self) -> None:
        self.stop()
        self.start()

    @property
    def url(self) -> str:
        assert self.app is not None
        return f"http://127.0.0.1:{self.app.port}"

    @property
    def client(self) -> Client:
        return Client(self.url, self.key)

    def as_role(self, *roles: str) -> Client:
        """A client with a fresh key of these roles."""
        name = "-".join(roles) + f"-{len(self._keys())}"
        return Client(self.url, offline.create_key(self.settings, Clock(), name, list(roles)))

    def _keys(self) -> list[Any]:
        return offline.list_keys(self.settings)

    def until(self, path: str, condition: Any, *, seconds: float = 20.0, body: Any = None) -> Any:
        """The Data of a read, once it satisfies the condition."""
        last: list[Answer] = []

        def look() -> Any:
            answer = self.client.post(path, body) if body is not None else self.client.get(path)
            last[:] = [answer]
            return answer if answer.code == 0 and condition(answer.data) else None

        try:
            return wait_until(look, seconds=seconds).data
        except AssertionError as error:
            raise AssertionError(f"{path} within {seconds} s: last seen {last}") from error


@contextlib.contextmanager
def running(data: Path, **settings: str) -> Iterator[Site]:
    """A started Site; settings as ACSMPD_* variables, lower case and without the prefix are fine too."""
    named = {
        name if name.startswith("ACSMPD_") else f"ACSMPD_{name.upper()}": v for name, v in settings.items()
    }
    site = Site(data, named)
    try:
        yield site.start()
    finally:
        site.stop()
