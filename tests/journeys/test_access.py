"""Who may call what: every role on every row, tokens, keepalives, links."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
import requests

from acsmpd.security.tokens import new_token, token_hash
from acsmpd.spec.operation import Access, Operation
from acsmpd.spec.tables import OPERATIONS
from acsmpd.store import accounts
from tests.journeys.conftest import Ahead
from tests.journeys.rights import WANTED
from tests.support.fake_cad import FakeCad
from tests.support.packaging import PACKAGE_ID, make_package
from tests.support.registering import (
    ADMIN_PASSWORD,
    DEVICE_PASSWORD,
    KEEPALIVE,
    REGISTER,
    code,
    keepalive,
    register,
    registered,
    registration,
)
from tests.support.site import Answer, Client, Site, running
from tests.support.state import ask_from, refused, unchanged
from tests.support.wait import wait_until


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running(tmp_path_factory.mktemp("site")) as one:
        yield one


# --- every role x every row ------------------------------------------------------------------------------------

ANYBODY = {Access.OPEN, Access.CREDENTIALS, Access.KEEPALIVE, Access.LINK, Access.RESULT}
MAY: dict[str, set[Access]] = {
    "nobody": set(),
    "computility": set(),
    "upstream": {Access.FACE},
    "viewer": {Access.READ},
    "operator": {Access.READ, Access.OPERATE},
    "system_admin": {
        Access.READ,
        Access.OPERATE,
        Access.ADMIN,
        Access.PACKAGES,
        Access.FACE,
        Access.SITE_FACE,
    },
    "security_admin": {Access.SECURITY},
    "audit_admin": {Access.AUDIT},
    "viewer+packages": {Access.READ, Access.PACKAGES},
    "operator+federation": {Access.READ, Access.OPERATE, Access.FACE, Access.SITE_FACE},
    "administrator": set(Access),
}
"""Conventions section 2, written down once more by hand."""
PLACE = re.compile(r"<(\w+)>")


def address_of(row: Operation) -> str:
    """The row's address with values of the right form that name nothing."""

    def value(found: re.Match[str]) -> str:
        kind = row.path[found[1]]
        is_number = (get_args(kind)[0] if get_origin(kind) is not None else kind) is int
        return "999999999" if is_number else "9" * 20

    return PLACE.sub(value, row.uri)


def minimal(row: Operation) -> dict[str, Any]:
    if row.when_content_type == "multipart/form-data":
        return {"files": {"Nothing": (None, "")}}
    if row.request is None:
        return {}
    named, present = row.when_body_has or ("", False)
    return {"json": {named: "x"} if present else {}}


def token_of(site: Site, who: str) -> str | None:
    assert site.app is not None
    if who == "nobody":
        return None
    if who == "computility":
        return registered(site, 1)
    if who == "administrator":
        session = site.client.fine("POST", "/ACSMP/Login", {"Username": "admin", "Password": ADMIN_PASSWORD})
        return str(session["Token"])
    if who == "upstream":
        token = new_token()
        with site.app.store.write() as tx:
            accounts.add_upstream_token(tx, "11000000005020000009", token_hash(token), "", 0, 0)
        return token
    return site.as_role(*who.split("+")).token


def verdict(code: Any) -> str:
    return {40101: "no token", 40301: "not allowed"}.get(int(code), "taken")


SERVED = sorted((row for row in OPERATIONS if row.served), key=lambda row: row.id == "acsmp.logout")
"""Logout ends what it is called with: last."""


@pytest.mark.parametrize("who", MAY)
def test_every_role_on_every_row(site: Site, who: str) -> None:
    token = token_of(site, who)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    found = {}
    with unchanged(site), requests.Session() as line:
        line.trust_env = False
        for row in SERVED:
            url = site.url + address_of(row)
            answer = Answer(line.request(row.method, url, headers=headers, timeout=30, **minimal(row)))
            found[row.id] = (
                verdict(answer.body.get("Code", 0)),
                row.planned and answer.code in (50100, "50100"),
            )
    refusal = "no token" if who == "nobody" else "not allowed"
    wanted = {
        row.id: ("taken", row.planned) if WANTED[row.id] in MAY[who] | ANYBODY else (refusal, False)
        for row in SERVED
    }
    assert found == wanted


def test_the_table_covers_every_access_there_is() -> None:
    assert {row.id for row in SERVED} == set(WANTED)
    assert set(WANTED.values()) == set(Access)
    assert len(SERVED) > 100


# --- tokens ------------------------------------------------------------------------------------------------------

NO_TOKENS = {
    "unknown": ({"Authorization": "Bearer " + "x" * 43}, "the token is not known here"),
    "empty-bearer": ({"Authorization": "Bearer "}, "holds no bearer token"),
    "bare-bearer": ({"Authorization": "Bearer"}, "holds no bearer token"),
    "basic": ({"Authorization": "Basic YTpi"}, "holds no bearer token"),
    "token-header": ({"Token": "x" * 43}, "the token is not known here"),
    "empty-token-header": ({"Token": ""}, "holds no bearer token"),
    "blanks-within": ({"Authorization": "Bearer a b"}, "holds no bearer token"),
    "nothing": ({}, "this needs a token"),
}


@pytest.mark.parametrize("what", NO_TOKENS)
def test_without_a_good_token_it_is_401(site: Site, what: str) -> None:
    headers, words = NO_TOKENS[what]
    for path, body in (("/ACSMP/Tasks", None), ("/ACSMP/Tasks/Search", {}), ("/ACSMP/Tasks", {"Name": "x"})):
        with unchanged(site):
            answer = ask_from("127.0.0.11", site, "POST", path, body, headers=headers)
        refused(answer, 401, 40101, words)
        assert answer.response.headers["WWW-Authenticate"].startswith("Bearer")
        assert "x" * 43 not in answer.response.text


@pytest.mark.parametrize("what", [what for what in NO_TOKENS if what != "nothing"])
def test_a_keepalive_with_a_wrong_token_is_401_also_from_the_right_address(site: Site, what: str) -> None:
    registered(site, 2)
    headers, words = NO_TOKENS[what]
    with unchanged(site):
        answer = ask_from("127.0.0.1", site, "POST", KEEPALIVE, {"Code": code(2)}, headers=headers)
    refused(answer, 401, 40101, words)


def test_an_open_row_asks_nobody_not_even_for_a_token_that_is_shown(site: Site) -> None:
    """A device that registers again may well show its old token with it."""
    stale = {"headers": {"Authorization": "Bearer " + "x" * 43}}
    for path in ("/healthz", "/readyz", "/openapi.json", "/ACSMP/System/PublicKey"):
        assert ask_from("127.0.0.11", site, "GET", path, **stale).status == 200
    assert ask_from("127.0.0.1", site, "POST", REGISTER, registration(3), **stale).code == 0
    who = {"Code": code(3), "Username": "cad", "Password": DEVICE_PASSWORD}
    assert ask_from("127.0.0.1", site, "POST", "/ACSMP/UnRegister", who, **stale).code == 0
    login = {"Username": "admin", "Password": ADMIN_PASSWORD}
    assert ask_from("127.0.0.11", site, "POST", "/ACSMP/Login", login, **stale).code == 0


def test_both_headers_carry_a_token(site: Site) -> None:
    for headers in ({"Authorization": f"bearer {site.key}"}, {"Token": site.key}, {"token": site.key}):
        assert ask_from("127.0.0.1", site, "POST", "/ACSMP/Tasks/Search", {}, headers=headers).code == 0


def test_who_tries_many_tokens_is_slowed_down_with_429(site: Site) -> None:
    tries = (
        ask_from("127.0.0.12", site, "GET", "/ACSMP/System/Info", token=new_token()) for _ in range(1000)
    )
    answer = next(answer for answer in tries if answer.status == 429)
    refused(answer, 429, 42901, "unknown tokens a second")
    assert answer.response.headers["Retry-After"] == "1"
    assert ask_from("127.0.0.12", site, "GET", "/ACSMP/System/Info", token=site.key).code == 0
    refused(ask_from("127.0.0.13", site, "GET", "/ACSMP/System/Info", token=new_token()), 401, 40101)


def test_a_device_may_say_that_it_lives_and_leave_nothing_else(site: Site) -> None:
    mine, others = registered(site, 4), registered(site, 5)
    assert keepalive(site, 4, mine).body.keys() == {"Code", "Message", "RequestID"}
    with unchanged(site):
        refused(keepalive(site, 4, others), 403, 40301, "not that of computility", code(4))
        refused(keepalive(site, 4, site.key), 403, 40301, code(4))
        refused(keepalive(site, 999, mine), 403, 40301, code(999))
        words = "Keepalive and UnRegister of its own code only"
        refused(Client(site.url, mine).post("/ACSMP/Tasks", {}), 403, 40301, words)
        refused(Client(site.url, mine).get(f"/ACSMP/Computility/{code(4)}"), 403, 40301, words)
        refused(Client(site.url, mine).post("/ACSMP/Logout"), 403, 40301, "for people")


def test_a_keepalive_without_a_token_counts_from_the_registered_address_only(site: Site) -> None:
    registered(site, 6)
    with unchanged(site):
        assert keepalive(site, 6).body.keys() == {"Code", "Message", "RequestID"}
        refused(keepalive(site, 6, address="127.0.0.2"), 401, 40101, "from the registered address only")
        for address in ("127.0.0.1", "127.0.0.2"):
            refused(
                keepalive(site, 998, address=address),
                404,
                40401,
                f"computility {code(998)} is not registered",
            )
        refused(ask_from("127.0.0.1", site, "POST", KEEPALIVE, {}), 400, 40002, "$.Code: required")


def test_a_site_may_want_a_token_with_every_keepalive(tmp_path: Path) -> None:
    with running(tmp_path / "site", keepalive_require_token="true") as site:
        token = registered(site, 7)
        refused(keepalive(site, 7), 401, 40101)
        assert keepalive(site, 7, token).code == 0


def test_a_token_is_renewed_at_half_its_life_and_the_old_one_dies(tmp_path: Path, ahead: Ahead) -> None:
    with running(tmp_path / "site", local_enabled="false") as site:
        first = registered(site, 9)
        ahead.seconds = 11.9 * 3600
        assert keepalive(site, 9, first).data is None
        ahead.seconds = 12.1 * 3600
        second = keepalive(site, 9, first).data["Token"]
        assert keepalive(site, 9, first).data == {"Token": second}
        assert keepalive(site, 9).data is None  # without a token nothing is revealed
        assert keepalive(site, 9, second).data is None
        ahead.seconds += 299
        assert keepalive(site, 9, first).code == 0
        ahead.seconds += 2
        with unchanged(site):
            for _ in range(2):
                refused(keepalive(site, 9, first), 401, 40103, "replaced by a newer one")
        assert keepalive(site, 9, second).code == 0
        site.restart()
        refused(keepalive(site, 9, first), 401, 40103, "replaced by a newer one")
        ahead.seconds += 30 * 24 * 3600
        renewed = keepalive(site, 9, second)
        assert renewed.code == 0, "no token expires while the device speaks"
        third = registered(site, 9)
        for dead in (first, second, renewed.data["Token"]):
            refused(keepalive(site, 9, dead), 401, 40101)
        assert keepalive(site, 9, third).code == 0


def test_a_session_ends_when_it_is_not_used(tmp_path: Path, ahead: Ahead) -> None:
    with running(tmp_path / "site", local_enabled="false") as site:
        person = Client(site.url, token_of(site, "administrator"))
        for _ in range(3):
            ahead.seconds += 29 * 60
            assert person.post("/ACSMP/Tasks/Search", {}).code == 0
        ahead.seconds += 31 * 60
        refused(person.post("/ACSMP/Tasks/Search", {}), 401, 40103, "idle too long", "log in again")
        refused(person.post("/ACSMP/Tasks/Search", {}), 401, 40101)


def test_refusals_are_written_down_without_a_secret(site: Site) -> None:
    assert site.app is not None
    token = registered(site, 81)
    refused(Client(site.url, token).delete("/ACSMP/Tasks/5"), 403, 40301)
    refused(register(site, 81, "127.0.0.31", Password="a-guess-that-fails"), 401, 40102)

    def rows() -> list[Any]:
        with site.app.store.read() as tx:  # type: ignore[union-attr]
            return tx.sql(
                "SELECT who, operation, object, code, address FROM audit WHERE code IN (40301, 40102)"
                f" AND (who = 'computility:{code(81)}' OR address = '127.0.0.31')"
            )

    found = wait_until(lambda: rows() if len(rows()) == 2 else None, seconds=5, what="two audit rows")
    assert sorted(tuple(row) for row in found) == [
        (f"computility:{code(81)}", "acsmp.delete_task", "5", 40301, "127.0.0.1"),
        ("nobody", "acsmp.register_compute", code(81), 40102, "127.0.0.31"),
    ]


# --- links -------------------------------------------------------------------------------------------------------


@pytest.fixture
def pushed(tmp_path: Path) -> Iterator[tuple[Site, FakeCad, str]]:
    """A site that has pushed a package to a device, and the path of the link it gave."""
    with running(tmp_path / "site") as site, FakeCad() as cad:
        assert cad.register(site.url).accepted
        assert site.client.upload(make_package(tmp_path)).code == 0
        body = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": cad.code}
        assert site.client.post("/ACSMP/AlgoFilePackages/Devices?Wait=20", body).code == 0
        wait_until(lambda: cad.packages.get(PACKAGE_ID) == "STOPPED", what="the file arrived")
        url = cad.asked("push_algo_file_package")[0].json["Url"]
        yield site, cad, url.removeprefix(site.url)


def changes(path: str) -> dict[str, str]:
    head, package, device_code, generation, signature = path.rsplit("/", 4)
    flipped = ("A" if signature[0] != "A" else "B") + signature[1:]
    return {
        "signature": f"{head}/{package}/{device_code}/{generation}/{flipped}",
        "shorter": path[:-1],
        "package": f"{head}/{'2' * 40}/{device_code}/{generation}/{signature}",
        "device": f"{head}/{package}/{'2' * 20}/{generation}/{signature}",
        "generation": f"{head}/{package}/{device_code}/{int(generation) + 1}/{signature}",
    }


def test_a_link_is_its_own_right_and_a_changed_one_is_404(pushed: tuple[Site, FakeCad, str]) -> None:
    site, cad, path = pushed
    stranger = Client(site.url, None)
    taken = stranger.get(path)
    assert (taken.status, taken.response.headers["Content-Type"]) == (200, "application/x-tar")
    for changed in changes(path).values():
        refused(stranger.get(changed), 404, 40401, "not valid")
        refused(Client(site.url, cad.token).get(changed), 404, 40401, "not valid")
        refused(site.client.get(changed), 404, 40401, "not valid")


@pytest.mark.parametrize("how", ["unregistered", "unwanted", "disabled"])
def test_a_link_ends_with_its_reason(pushed: tuple[Site, FakeCad, str], how: str) -> None:
    site, cad, path = pushed
    ways: dict[str, Callable[[], object]] = {
        "unregistered": lambda: cad.unregister(site.url),
        "unwanted": lambda: site.client.fine("DELETE", f"/ACSMP/AlgoFilePackages/Devices/{cad.code}/{PACKAGE_ID}"),
        "disabled": lambda: site.client.fine("PUT", f"/ACSMP/Computility/{cad.code}", {"Enabled": False}),
    }  # fmt: skip
    ways[how]()
    refused(Client(site.url, None).get(path), 404, 40401, "not valid")


def test_a_result_for_nobody_is_404_before_it_is_read(site: Site) -> None:
    path = "/ACSMP/Results/00000000-0000-4000-8000-000000000000/" + "A" * 43
    refused(Client(site.url, None).post(path, {"EventID": "FIRE"}), 404, 40401, "not valid")
    refused(site.client.post(path, {"EventID": "FIRE"}), 404, 40401, "not valid")
