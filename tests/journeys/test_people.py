"""People and programs with an account: first passwords, sessions, API keys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from acsmpd import offline
from acsmpd.clock import Clock
from acsmpd.security.sm2 import encrypt
from tests.support.registering import ADMIN_PASSWORD, WRONG_WORDS, code, keepalive, registered, tampered
from tests.support.site import Answer, Client, Site, running
from tests.support.state import ask_from, refused, unchanged
from tests.support.wait import wait_until


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running(tmp_path_factory.mktemp("site")) as one:
        yield one


class Person(NamedTuple):
    """Somebody who logs in."""

    site: Site
    name: str

    def login(self, password: str) -> Answer:
        return ask_from(
            "127.0.0.30", self.site, "POST", "/ACSMP/Login", {"Username": self.name, "Password": password}
        )

    def client(self, password: str) -> Client:
        answer = self.login(password)
        assert answer.code == 0, answer
        return Client(self.site.url, answer.data["Token"])


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[tuple[Site, str]]:
    """A site whose administrator has never logged in, and the password that lies in its folder."""
    site = Site(tmp_path / "site", {"ACSMPD_LOCAL_ENABLED": "false"})
    path = offline.init(site.settings, Clock(), "admin", None)
    assert path is not None
    assert Path(path).stat().st_mode & 0o777 == 0o600
    try:
        yield site.start(), Path(path).read_text().strip()
    finally:
        site.stop()


def test_the_first_password_opens_nothing_but_its_own_change(fresh: tuple[Site, str]) -> None:
    site, first = fresh
    admin = Person(site, "admin")
    session = admin.login(first).data
    assert session["MustChangePassword"] is True
    person = Client(site.url, session["Token"])
    words = "change the first password before anything else: PUT /ACSMP/Password"
    with unchanged(site):
        for method, path in (
            ("POST", "/ACSMP/Tasks/Search"),
            ("GET", "/ACSMP/ApiKeys"),
            ("POST", "/CAD/AlgoTasks:search"),
        ):
            answer = person.ask(method, path)
            assert (int(answer.body["Code"]), answer.message) == (40301, words)
        second = "a quite different Sentence 7"
        for new, reason in (
            ("short", "12 to 1024 are needed"), ("x-admin-x-27-Z!", "user name"), ("aaaaaaaaaaaaaa", "repeats"),
            ("qwertyuiop123456", "keyboard"), (first, "the old one"),
        ):  # fmt: skip
            answer = person.put("/ACSMP/Password", {"OldPassword": first, "NewPassword": new})
            refused(answer, 400, 40001, "$.NewPassword", reason)
            assert new not in answer.message
        wrong = person.put("/ACSMP/Password", {"OldPassword": "guess", "NewPassword": second})
        refused(wrong, 401, 40102, WRONG_WORDS)
    written = site.data / "keys" / "first-admin-password"
    assert written.exists()
    assert person.put("/ACSMP/Password", {"OldPassword": first, "NewPassword": second}).code == 0
    assert not written.exists()
    refused(person.post("/ACSMP/Tasks/Search", {}), 401, 40101)
    refused(admin.login(first), 401, 40102)
    written.write_text("that of somebody else\n")
    again = admin.login(second).data
    third = {"OldPassword": second, "NewPassword": "one more quite different 8"}
    assert (again["MustChangePassword"], again["IdleSeconds"]) == (False, 1800)
    assert Client(site.url, again["Token"]).post("/ACSMP/Tasks/Search", {}).code == 0
    assert Client(site.url, again["Token"]).put("/ACSMP/Password", third).code == 0
    assert written.exists()


def test_a_login_may_be_encrypted_and_ends_with_logout(site: Site) -> None:
    public = site.client.fine("GET", "/ACSMP/System/PublicKey")["PublicKey"]
    admin = Person(site, "admin")
    cipher = encrypt(public, ADMIN_PASSWORD)
    refused(admin.login(tampered(cipher, 130)), 401, 40102, WRONG_WORDS)
    person = admin.client(cipher)
    assert person.post("/ACSMP/Tasks/Search", {}).code == 0
    assert person.post("/ACSMP/Logout").code == 0
    refused(person.post("/ACSMP/Tasks/Search", {}), 401, 40101)


def test_an_api_key_is_shown_once_and_ends_when_it_is_deleted(site: Site) -> None:
    keys = site.as_role("security_admin")
    made = keys.fine(
        "POST", "/ACSMP/ApiKeys", {"Name": "cam.view-1", "Roles": ["viewer"], "Rights": ["packages"]}
    )
    assert (made["Roles"], made["Rights"]) == (["viewer"], ["packages"])
    client = Client(site.url, made["Key"])
    assert client.post("/ACSMP/Tasks/Search", {}).code == 0
    listing = keys.get("/ACSMP/ApiKeys")
    assert made["Key"] not in listing.response.text
    [shown] = [one for one in listing.data if one["Name"] == "cam.view-1"]
    assert "Key" not in shown
    assert (shown["Roles"], shown["Rights"]) == (["viewer"], ["packages"])
    with unchanged(site):
        same = {"Name": "cam.view-1", "Roles": ["operator"]}
        refused(keys.post("/ACSMP/ApiKeys", same), 409, 40902, "cam.view-1")
        for bad, words in (
            ({"Name": "a b", "Roles": ["viewer"]}, "$.Name"),
            ({"Name": "x", "Roles": []}, "$.Roles"),
            ({"Name": "x", "Roles": ["king"]}, "$.Roles[0]"),
            ({"Name": "x", "Roles": ["viewer"], "Rights": ["all"]}, "$.Rights[0]"),
        ):
            refused(keys.post("/ACSMP/ApiKeys", bad), 400, 40001, words)
    assert keys.delete("/ACSMP/ApiKeys/cam.view-1").code == 0
    refused(client.post("/ACSMP/Tasks/Search", {}), 401, 40101)
    refused(keys.delete("/ACSMP/ApiKeys/cam.view-1"), 404, 40401, "no API key cam.view-1")


def test_a_key_named_like_a_device_dies_alone(site: Site) -> None:
    token = registered(site, 80)
    site.client.fine("POST", "/ACSMP/ApiKeys", {"Name": code(80), "Roles": ["viewer"]})
    site.client.fine("DELETE", f"/ACSMP/ApiKeys/{code(80)}")
    assert keepalive(site, 80, token).code == 0


def test_a_person_waits_too_and_an_unknown_name_is_told_the_same(site: Site) -> None:
    def login(name: str, password: str, address: str) -> Answer:
        body = {"Username": name, "Password": password}
        return ask_from(address, site, "POST", "/ACSMP/Login", body)

    assert login("admin", ADMIN_PASSWORD, "127.0.0.23").code == 0
    said = [login(name, "guess", "127.0.0.21") for name in ("admin", "nobody") for _ in range(4)]
    assert {(one.status, one.code, one.message) for one in said} == {(401, 40102, WRONG_WORDS)}
    for name in ("admin", "nobody"):
        answer = login(
            name, ADMIN_PASSWORD, "127.0.0.22"
        )  # from wherever it has not been in: the account waits
        refused(answer, 429, 42901, "too many wrong tries")
        assert 1 <= int(answer.response.headers["Retry-After"]) <= 2
    assert login("admin", ADMIN_PASSWORD, "127.0.0.23").code == 0, "who has been in is not kept out by others"
    wait_until(
        lambda: login("admin", ADMIN_PASSWORD, "127.0.0.22").code == 0,
        seconds=10,
        what="no account is locked",
    )


def test_a_refused_login_is_written_down_with_the_name_and_without_the_password(site: Site) -> None:
    assert site.app is not None
    body = {"Username": "somebody", "Password": "a-guess-that-fails"}
    refused(ask_from("127.0.0.32", site, "POST", "/ACSMP/Login", body), 401, 40102)

    def rows() -> list[Any]:
        with site.app.store.read() as tx:  # type: ignore[union-attr]
            return tx.sql("SELECT * FROM audit WHERE address = '127.0.0.32'")

    [row] = wait_until(rows, seconds=5, what="the audit row")
    assert "somebody" in row
    assert "a-guess-that-fails" not in str(row)
