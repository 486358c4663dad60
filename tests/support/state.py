"""What a refusal must leave as it was: the wishes and records of a site, and the files of its packages."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from acsmpd.store import tables
from tests.support.site import Answer, Site

_OBSERVED = {
    "heard_ms", "answered_ms", "ever_heard", "ever_answered", "state", "state_since_ms", "state_reason",
    "info", "observed_ms", "status", "reason", "sent", "md5", "generation", "progress", "error", "attempts",
    "parked", "missing", "facility_id", "xpu_index", "xpu_type", "xpu_quota", "used_ms", "changed_ms",
}  # fmt: skip
"""Columns the engine writes as it looks and acts; a plan's status is a wish all the same."""
_KEPT = (
    tables.Package, tables.Capability, tables.Computility, tables.Token, tables.Claim, tables.Copy,
    tables.Service, tables.Load, tables.Plan, tables.Instance, tables.Person, tables.ApiKey, tables.Alarm,
    tables.SchedulePolicy,
)  # fmt: skip


def records(site: Site) -> dict[str, Any]:
    """Every wish and record by table; `files` are those of the packages folder with their sizes."""
    assert site.app is not None
    found: dict[str, Any] = {}
    with site.app.store.read() as tx:
        for table in _KEPT:
            own = {"status"} if table in (tables.Plan,) else set()
            found[table.__name__] = [
                {name: value for name, value in row.items() if name in own or name not in _OBSERVED}
                for row in tx.rows(table.select())
            ]
    folder = site.data / "packages"
    found["files"] = sorted(
        (str(path.relative_to(folder)), path.stat().st_size if path.is_file() else -1)
        for path in folder.rglob("*")
    )
    return found


@contextlib.contextmanager
def unchanged(site: Site, *, but: tuple[str, ...] = ()) -> Iterator[None]:
    """Nothing recorded changes inside; `but` names tables that may."""
    before = records(site)
    yield
    after = records(site)
    for name, rows in before.items():
        assert name in but or after[name] == rows, f"{name} changed"


class From(HTTPAdapter):
    """Connects from an address of this machine's own choice."""

    def __init__(self, address: str) -> None:
        self._address = address
        super().__init__()

    def init_poolmanager(self, *args: Any, **more: Any) -> None:
        super().init_poolmanager(*args, source_address=(self._address, 0), **more)


def ask_from(
    address: str, site: Site, method: str, path: str, body: Any = None, *, token: str | None = None, **more: Any
) -> Answer:  # fmt: skip
    """One request that reaches the site from this loopback address."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    headers |= more.pop("headers", {})
    with requests.Session() as session:
        session.trust_env = False
        session.mount("http://", From(address))
        return Answer(
            session.request(method, site.url + path, json=body, headers=headers, timeout=30, **more)
        )


def refused(answer: Answer, status: int, code: int, *words: str) -> None:
    """The answer is this refusal: status, Code, no Data, a Message with these words, a RequestID."""
    assert (answer.status, answer.code) == (status, code), answer
    assert "Data" not in answer.body, answer
    assert answer.body["RequestID"], answer
    for text in words:
        assert text in answer.message, f"{text!r} is not in {answer.message!r}"


def drop_licences(site: Site) -> None:
    """No licence file is left."""
    for one in site.client.fine("POST", "/ACSMP/License/Search", {}):
        site.client.fine("DELETE", f"/ACSMP/License/{one['ID']}")
