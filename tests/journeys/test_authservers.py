"""Authorisation servers (tables 29-33) over HTTP, and what packages that need one are given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from acsmpd.store import tables
from tests.support.fake_cad import FakeCad
from tests.support.packaging import PACKAGE_ID, make_package
from tests.support.site import Site, running
from tests.support.state import refused

SERVERS = "/ACSMP/AuthServer"
ADDRESS, OTHER = "192.0.2.1:8808", "192.0.2.2:8808"
NEEDS = {"AUTH_SERVER_ADDR": ""}


@pytest.fixture
def site(shared: Site) -> Site:
    """Without any server."""
    assert shared.app is not None
    with shared.app.store.write() as tx:
        tx.run(tables.AuthServer.delete())
    return shared


def added(site: Site, server: str = ADDRESS, provider: str = "ACSMPD", default: bool = True) -> int:
    body = {"Server": server, "Provider": provider, "Default": default}
    number: int = site.client.fine("POST", SERVERS, body)
    return number


def shown(site: Site, number: int) -> dict[str, Any]:
    found: dict[str, Any] = site.client.fine("GET", f"{SERVERS}/{number}")
    return found


def defaults(site: Site) -> list[tuple[str, int]]:
    """(provider, number) of those that are the default."""
    there = site.client.fine("POST", f"{SERVERS}/Search", {})
    return [(one["Provider"], one["ID"]) for one in there if one["Default"]]


# --- kept ----------------------------------------------------------------------------------------------------


def test_a_server_is_shown_as_it_was_given_and_found(site: Site) -> None:
    first = added(site, f"{ADDRESS},{OTHER}")
    second = added(site, "auth.example.com:443", "megvii")
    one = shown(site, first)
    assert {k: one[k] for k in ("ID", "Server", "Provider", "Default")} == {
        "ID": first, "Server": f"{ADDRESS},{OTHER}", "Provider": "ACSMPD", "Default": True,
    }  # fmt: skip
    assert site.client.fine("POST", f"{SERVERS}/Search", {}) == [one, shown(site, second)]
    assert site.client.fine("POST", f"{SERVERS}/Search", {"Provider": "megvii"}) == [shown(site, second)]
    between = {"CreateTimeFrom": one["CreatedDate"], "CreateTimeTo": "2099-01-01 00:00:00"}
    assert len(site.client.fine("POST", f"{SERVERS}/Search", between)) == 2
    assert site.client.fine("POST", f"{SERVERS}/Search", {"CreateTimeFrom": "2099-01-01 00:00:00"}) == []


def test_of_each_provider_exactly_one_is_the_default(site: Site) -> None:
    first = added(site, default=False)
    assert defaults(site) == [("ACSMPD", first)]
    second, third = added(site, OTHER), added(site, OTHER, default=False)
    strange = added(site, provider="megvii")
    assert defaults(site) == [("ACSMPD", second), ("megvii", strange)]
    site.client.fine("PUT", f"{SERVERS}/{third}", {"Default": True})
    assert defaults(site) == [("ACSMPD", third), ("megvii", strange)]
    here = f"{SERVERS}/{third}"
    refused(
        site.client.put(here, {"Default": False}),
        409,
        40901,
        f"server {third} is the default of provider ACSMPD",
    )
    site.client.fine("DELETE", here)
    assert defaults(site) == [("ACSMPD", first), ("megvii", strange)]


def test_an_absent_member_is_unchanged_and_a_server_may_change_its_provider(site: Site) -> None:
    first, second = added(site), added(site, OTHER, default=False)
    before = shown(site, second)
    site.client.fine("PUT", f"{SERVERS}/{second}", {})
    assert shown(site, second) == before
    site.client.fine("PUT", f"{SERVERS}/{second}", {"Server": f" {ADDRESS} , {OTHER}"})
    assert shown(site, second)["Server"] == f" {ADDRESS} , {OTHER}"
    strange = added(site, provider="megvii")
    site.client.fine("PUT", f"{SERVERS}/{first}", {"ID": first, "Provider": "megvii"})
    assert defaults(site) == [("ACSMPD", second), ("megvii", strange)]
    site.client.fine("PUT", f"{SERVERS}/{first}", {"Provider": "megvii", "Default": True})
    assert defaults(site) == [("megvii", first), ("ACSMPD", second)]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_one_that_is_not_there(site: Site, method: str) -> None:
    body = {"Default": True} if method == "PUT" else None
    refused(site.client.ask(method, f"{SERVERS}/999", body), 404, 40401, "no authorisation server 999")


# --- refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "server",
    [
        "", "1.2.3.4", "host:99999", "host:0", "host:", ":80", "http://host:80", "host:80/path", "host:80,", "a:1,,b:1",
        "user@host:80", "::1:80", "[::1]", "host:-1", "host:8o", "host:١", "a b:1", "host:80;host:81",
        ",".join(f"10.0.0.{n}:80" for n in range(9)),
    ],
)  # fmt: skip
def test_an_address_that_is_none(site: Site, server: str) -> None:
    number = added(site)
    body = {"Server": server, "Provider": "ACSMPD", "Default": True}
    words = "at most 8 are taken" if server.count(",") == 8 else "is not host:port"
    refused(site.client.post(SERVERS, body), 400, 40001, "$.Server", words)
    refused(site.client.put(f"{SERVERS}/{number}", {"Server": server}), 400, 40001, "$.Server", words)
    assert [one["Server"] for one in site.client.fine("POST", f"{SERVERS}/Search", {})] == [ADDRESS]


@pytest.mark.parametrize("server", ["[::1]:80", "auth-1.example.com:65535", "10.0.0.1:1, 10.0.0.2:2"])
def test_an_address_that_is_one(site: Site, server: str) -> None:
    assert shown(site, added(site, server))["Server"] == server


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        ({"Server": None}, 40002, "$.Server"),
        ({"Provider": None}, 40002, "$.Provider"),
        ({"Default": None}, 40002, "$.Default"),
        ({"Provider": " "}, 40001, "$.Provider"),
        ({"Provider": "p" * 257}, 40001, "$.Provider"),
        ({"Server": 80}, 40001, "$.Server"),
        ({"Default": "yes"}, 40001, "$.Default"),
    ],
)
def test_what_no_server_can_be(site: Site, body: dict[str, Any], code: int, words: str) -> None:
    whole = {"Server": ADDRESS, "Provider": "ACSMPD", "Default": True, **body}
    answer = site.client.post(SERVERS, {name: value for name, value in whole.items() if value is not None})
    refused(answer, 400, code, words)
    assert site.client.fine("POST", f"{SERVERS}/Search", {}) == []


def test_the_number_in_the_body_is_that_of_the_path(site: Site) -> None:
    number = added(site)
    refused(site.client.put(f"{SERVERS}/{number}", {"ID": number + 1}), 400, 40001, "$.ID", str(number))


# --- what packages are given --------------------------------------------------------------------------------------


def body_of(cad: FakeCad, operation: str) -> dict[str, Any]:
    """The last request the device got on a row."""
    body: dict[str, Any] = json.loads(cad.asked(operation)[-1].body)
    return body


def test_the_default_server_goes_along_with_push_and_load(tmp_path: Path) -> None:
    package = make_package(tmp_path, env=NEEDS)
    with running(tmp_path / "data") as site, FakeCad() as cad:
        assert cad.register(site.url).accepted
        assert site.client.upload(package).code == 0
        wish = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": cad.code}
        words = "needs authorisation: register a server of provider 'ACSMPD'"
        refused(site.client.post("/ACSMP/AlgoServices/Devices", wish), 409, 40901, words)
        assert cad.packages == {}
        added(site, provider="megvii")
        refused(site.client.post("/ACSMP/AlgoServices/Devices", wish), 409, 40901, words)
        added(site, f"{ADDRESS},{OTHER}")
        site.client.fine("POST", "/ACSMP/AlgoServices/Devices?Wait=20", wish)
        assert cad.packages == {PACKAGE_ID: "RUNNING"}
        assert body_of(cad, "push_algo_file_package")["AuthAddress"] == f"{ADDRESS},{OTHER}"
        assert body_of(cad, "install_algo_package")["Env"] == [
            {"Name": "AUTH_SERVER_ADDR", "Value": f"{ADDRESS},{OTHER}"}
        ]


@pytest.mark.parametrize(
    ("more", "env"),
    [
        (
            {"Env": [{"Name": "AUTH_SERVER_ADDR", "Value": OTHER}]},
            [{"Name": "AUTH_SERVER_ADDR", "Value": OTHER}],
        ),
        ({"LicenseFile": "http://10.0.0.9/licence"}, None),
    ],
)
def test_what_the_request_brings_comes_first(tmp_path: Path, more: dict[str, Any], env: Any) -> None:
    package = make_package(tmp_path, env=NEEDS)
    with running(tmp_path / "data") as site, FakeCad() as cad:
        assert cad.register(site.url).accepted
        assert site.client.upload(package).code == 0
        added(site)
        wish = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": cad.code, **more}
        site.client.fine("POST", "/ACSMP/AlgoServices/Devices?Wait=20", wish)
        loaded = body_of(cad, "install_algo_package")
        assert (loaded.get("Env"), loaded.get("LicenseFile")) == (env, more.get("LicenseFile"))


def test_a_package_that_needs_none_is_given_none(tmp_path: Path) -> None:
    with running(tmp_path / "data") as site, FakeCad() as cad:
        assert cad.register(site.url).accepted
        assert site.client.upload(make_package(tmp_path)).code == 0
        added(site)
        wish = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": cad.code}
        site.client.fine("POST", "/ACSMP/AlgoServices/Devices?Wait=20", wish)
        assert "AuthAddress" not in body_of(cad, "push_algo_file_package")
        assert "Env" not in body_of(cad, "install_algo_package")
