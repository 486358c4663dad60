"""How devices come, stay and go: passwords, addresses, approval, and those who guess."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acsmpd import faults, offline
from acsmpd.clock import Clock
from acsmpd.security.sm2 import encrypt
from acsmpd.security.throttle import RateLimit
from acsmpd.store.tables import Claim
from tests.journeys.conftest import Ahead
from tests.support.fake_cad import FakeCad
from tests.support.registering import (
    ADMIN_PASSWORD,
    DEVICE_PASSWORD,
    WRONG_WORDS,
    alarms,
    code,
    device,
    keepalive,
    register,
    registered,
    tampered,
)
from tests.support.site import Client, Site, running
from tests.support.state import ask_from, records, refused, unchanged


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running(tmp_path_factory.mktemp("site")) as one:
        yield one


def test_unregister_wants_the_password_and_ends_the_token(site: Site) -> None:
    token = registered(site, 8)
    body = {"Code": code(8), "Username": "cad", "Password": DEVICE_PASSWORD}
    for wrong in ({"Password": "guess"}, {"Username": "dac"}, {"Code": code(997)}):
        with unchanged(site):
            answer = ask_from("127.0.0.14", site, "POST", "/ACSMP/UnRegister", {**body, **wrong}, token=token)
            refused(answer, 401, 40102)
            assert answer.message == WRONG_WORDS
    assert keepalive(site, 8, token).code == 0
    assert ask_from("127.0.0.1", site, "POST", "/ACSMP/UnRegister", body).code == 0
    refused(keepalive(site, 8, token), 401, 40101)
    refused(keepalive(site, 8), 404, 40401, code(8))
    gone = device(site, 8)
    assert (gone["State"], gone["ComputilityCode"]) == ("gone", code(8))


def test_the_family_an_operator_chose_outlives_the_restart_of_a_device(site: Site) -> None:
    assert register(site, 9, Type="AI_CLOUD").code == 0
    assert device(site, 9)["Family"] == "none"
    site.client.fine("PUT", f"/ACSMP/Computility/{code(9)}", {"Family": "cad"})
    assert register(site, 9, Type="AI_CLOUD").code == 0
    assert device(site, 9)["Family"] == "cad"
    assert register(site, 9, Type="AI_BOX").code == 0  # it is another thing now
    assert device(site, 9)["Family"] == "edge"


# --- registering -------------------------------------------------------------------------------------------------


def test_a_ciphertext_changed_anywhere_is_refused_in_the_words_of_a_wrong_password(site: Site) -> None:
    public = site.client.fine("GET", "/ACSMP/System/PublicKey")["PublicKey"]
    cipher = encrypt(public, DEVICE_PASSWORD)
    assert register(site, 10, "127.0.0.15", Password=cipher).code == 0
    parts = {"C1": 3, "C3": 130, "C2": len(cipher) - 2}
    said = set()
    with unchanged(site, but=("Claim", "Alarm")):
        for name, start in parts.items():
            for number in (10, 996):
                answer = register(site, number, "127.0.0.15", Password=tampered(cipher, start))
                refused(answer, 401, 40102)
                said.add(answer.message)
                assert cipher[:20] not in answer.response.text, name
        said.add(register(site, 10, "127.0.0.16", Password="guess").message)
        said.add(register(site, 10, "127.0.0.16", Password=encrypt(public, "guess")).message)
        said.add(register(site, 10, "127.0.0.16", Username="dac").message)
    assert said == {WRONG_WORDS}
    assert register(site, 10, "127.0.0.15", Password=cipher).code == 0


def test_plain_text_is_no_password_where_only_ciphertexts_are_taken(tmp_path: Path) -> None:
    with running(tmp_path / "site", passwords_mode="sm2") as site:
        with unchanged(site):
            refused(register(site, 11), 401, 40102, WRONG_WORDS)
        cipher = encrypt(site.client.fine("GET", "/ACSMP/System/PublicKey")["PublicKey"], DEVICE_PASSWORD)
        assert register(site, 11, Password=cipher).code == 0


def test_two_devices_with_one_code_are_told_apart_by_their_address(site: Site) -> None:
    first = registered(site, 20, "127.0.0.1")
    with unchanged(site, but=("Alarm",)):
        for _ in range(2):
            answer = register(site, 20, "127.0.0.2", IP="127.0.0.2", Port=10)
            refused(answer, 409, 40901, "cannot register", code(20), "127.0.0.2", "127.0.0.1 is alive")
    [alarm] = [one for one in alarms(site, "two_devices_one_code") if one["Subject"] == code(20)]
    assert "127.0.0.2" in alarm["Text"]
    assert "Until" not in alarm
    assert keepalive(site, 20, first).code == 0
    shown = device(site, 20)
    assert (shown["IP"], shown["Port"]) == ("127.0.0.1", 9)

    # a restart at the same address counts at once, with its new port; the earlier token is void
    again = register(site, 20, "127.0.0.1", Port=11)
    assert again.code == 0, again
    assert device(site, 20)["Port"] == 11
    refused(keepalive(site, 20, first), 401, 40101)
    assert keepalive(site, 20, again.data["Token"]).code == 0


def test_a_device_that_is_silent_may_turn_up_elsewhere(tmp_path: Path, ahead: Ahead) -> None:
    with running(tmp_path / "site", local_enabled="false") as site:
        first = registered(site, 21, "127.0.0.1")
        ahead.seconds = 99
        refused(register(site, 21, "127.0.0.2"), 409, 40901)
        assert keepalive(site, 21, first).code == 0
        ahead.seconds += 99
        refused(register(site, 21, "127.0.0.2"), 409, 40901)
        ahead.seconds += 2
        moved = registered(site, 21, "127.0.0.2")
        refused(keepalive(site, 21, first, "127.0.0.1"), 401, 40101)
        assert keepalive(site, 21, moved, "127.0.0.2").code == 0
        refused(keepalive(site, 21, address="127.0.0.1"), 401, 40101)
        [alarm] = alarms(site, "two_devices_one_code")
        assert alarm["Until"]


def test_a_wrong_password_for_a_known_code_changes_nothing_and_is_shown(site: Site) -> None:
    token = registered(site, 22)
    with unchanged(site, but=("Claim", "Alarm")):
        refused(register(site, 22, "127.0.0.3", Username="evil", Password="guess"), 401, 40102, WRONG_WORDS)
    [claim] = device(site, 22)["Claims"]
    assert (claim["Username"], claim["Address"], claim["Port"]) == ("evil", "127.0.0.3", 9)
    assert "guess" not in str(device(site, 22))
    assert keepalive(site, 22, token).code == 0


@pytest.mark.parametrize(
    "ip", ["127.0.0.1/cgi/reboot?x=1#", "u@127.0.0.1", "127.0.0.1:80", "[::1]", "fe80::1%/x", "a b", ""]
)
def test_where_it_is_called_is_a_host_and_nothing_more(site: Site, ip: str) -> None:
    with unchanged(site):
        refused(register(site, 25, IP=ip), 400, 40001, "$.IP", "an IP address or a host name")


def test_a_preset_url_names_a_host_and_nothing_more(site: Site) -> None:
    with unchanged(site):
        for url in ("http://u_x:80", "http://a%2Fb:80", "http://[fe80::1%25x]:80", "ftp://10.0.0.1"):
            with pytest.raises(faults.InvalidField, match=r"^--url: "):
                offline.add_device(
                    site.settings, Clock(), code(61), username="cad", password=DEVICE_PASSWORD, url=url,
                    kind="CAD", family="cad", prefix="", pin=None, cluster="", nodes=(),
                )  # fmt: skip


def test_our_own_code_cannot_be_registered(site: Site) -> None:
    own = {"Code": "11010000005020000001", "Password": ""}
    with unchanged(site):
        refused(register(site, 0, "127.0.0.17", **own), 401, 40102, WRONG_WORDS)


def test_a_disabled_device_is_out_until_it_is_enabled(site: Site) -> None:
    token = registered(site, 23)
    path = f"/ACSMP/Computility/{code(23)}"
    assert site.client.fine("PUT", path, {"Enabled": False})["Enabled"] is False
    refused(keepalive(site, 23, token), 401, 40101)
    refused(keepalive(site, 23), 404, 40401)
    with unchanged(site):
        refused(register(site, 23), 403, 40301, code(23), "disabled")
    site.client.fine("PUT", path, {"Enabled": True})
    assert register(site, 23).code == 0


# --- enrolment ---------------------------------------------------------------------------------------------------


def test_approval_shows_every_claimant_and_binds_the_one_approved(tmp_path: Path) -> None:
    with running(tmp_path / "site", enrolment_mode="approval") as site:
        path = f"/ACSMP/Computility/{code(30)}"
        refused(site.client.get(path), 404, 40401)
        for _ in range(2):
            refused(register(site, 30), 403, 40302, code(30), "waits for an operator's approval")
        refused(register(site, 30, "127.0.0.2", Username="evil"), 403, 40302)
        shown = site.client.fine("GET", path)
        assert shown["Approved"] is False
        claims = [(claim["Username"], claim["Address"], claim["IP"]) for claim in shown["Claims"]]
        assert claims == [("cad", "127.0.0.1", "127.0.0.1"), ("evil", "127.0.0.2", "127.0.0.1")]
        assert "Passw0rd" not in str(shown)
        listed = site.client.fine("POST", "/ACSMP/Computility", {})["PageContent"]
        assert code(30) not in [one["ComputilityCode"] for one in listed]
        refused(keepalive(site, 30), 404, 40401, code(30))

        operator = site.as_role("operator")
        with unchanged(site):
            refused(site.client.put(path, {"Approved": True}), 409, 40901, "cad@127.0.0.1", "evil@127.0.0.2")
            refused(site.client.put(path, {"Approved": True, "Username": "nobody"}), 404, 40401, "pending")
            refused(operator.put(path, {"Approved": True, "Username": "cad"}), 403, 40301)
        approved = site.client.fine("PUT", path, {"Approved": True, "Username": "cad"})
        assert approved["Approved"] is True
        assert "Claims" not in approved

        refused(register(site, 30, "127.0.0.2", Username="evil"), 401, 40102, WRONG_WORDS)
        token = registered(site, 30)
        assert keepalive(site, 30, token).code == 0


def test_approval_binds_the_address_too(tmp_path: Path) -> None:
    """Devices leave the factory with one password: who answers first must not win."""
    with running(tmp_path / "site", enrolment_mode="approval") as site:
        path = f"/ACSMP/Computility/{code(31)}"
        for address in ("127.0.0.1", "127.0.0.2"):
            refused(register(site, 31, address), 403, 40302)
        refused(site.client.put(path, {"Approved": True}), 409, 40901)
        site.client.fine("PUT", path, {"Approved": True, "Address": "127.0.0.1"})
        with unchanged(site, but=("Claim", "Alarm")):
            refused(register(site, 31, "127.0.0.2"), 403, 40302, code(31))
        assert device(site, 31)["Claims"][0]["Address"] == "127.0.0.2"
        registered(site, 31, "127.0.0.1")
        with unchanged(site, but=("Alarm", "Claim")):
            refused(register(site, 31, "127.0.0.2"), 409, 40901)


def test_an_operator_may_approve_the_other_claimant_after_all(tmp_path: Path) -> None:
    with running(tmp_path / "site", enrolment_mode="approval") as site:
        path = f"/ACSMP/Computility/{code(32)}"
        refused(register(site, 32, "127.0.0.1"), 403, 40302)
        site.client.fine("PUT", path, {"Approved": True})
        refused(register(site, 32, "127.0.0.2"), 403, 40302)
        site.client.fine("PUT", path, {"Approved": True})  # once more: without effect
        refused(register(site, 32, "127.0.0.2"), 403, 40302)
        site.client.fine("PUT", path, {"Approved": True, "Address": "127.0.0.2"})
        registered(site, 32, "127.0.0.2")
        site.client.fine("PUT", path, {"Approved": False})
        refused(register(site, 32, "127.0.0.2"), 403, 40302)


def test_pending_registrations_are_bounded_per_address(tmp_path: Path) -> None:
    with running(tmp_path / "site", enrolment_mode="approval", enrolment_pending_max="7") as site:
        for number in range(6):
            refused(register(site, 40 + number), 403, 40302)
        assert [len(_claims(site, 40 + number)) for number in range(6)] == [1, 1, 1, 1, 1, 0]
        for number in range(3):
            refused(register(site, 50 + number, "127.0.0.2"), 403, 40302)
        assert [len(_claims(site, 50 + number)) for number in range(3)] == [1, 1, 0]
        assert len(records(site)["Claim"]) == 7


def test_old_claims_keep_nobody_out(tmp_path: Path) -> None:
    """Whoever fills the list once locks nobody out for longer than a claim waits; its alarms end with it."""
    with running(tmp_path / "site", enrolment_mode="approval", enrolment_pending_max="7") as site:
        for number in range(7):
            refused(register(site, 40 + number, f"127.0.0.{2 + number // 4}"), 403, 40302)
        assert site.app is not None
        with site.app.store.write() as tx:
            tx.run(Claim.update(seen_ms=Claim.seen_ms - 8 * 86_400_000))
        refused(register(site, 50, "127.0.0.2"), 403, 40302)
        assert [row["code"] for row in records(site)["Claim"]] == [code(50)]
        assert len(_claims(site, 50)) == 1
        found = site.client.fine("POST", "/ACSMP/Alarms/Search", {"Kind": "enrolment", "Active": True})
        assert [one["Subject"] for one in found["PageContent"]] == [code(50)]


def test_a_claim_without_a_place_costs_no_decryption(tmp_path: Path) -> None:
    with running(tmp_path / "site", enrolment_mode="approval", local_enabled="false") as site:
        cipher = encrypt(site.client.fine("GET", "/ACSMP/System/PublicKey")["PublicKey"], DEVICE_PASSWORD)
        broken = tampered(cipher, len(cipher) - 2)  # who looks at it finds it wrong: 40102
        refused(register(site, 40, Password=broken), 401, 40102)
        for number in range(5):
            refused(register(site, 40 + number), 403, 40302)
        with unchanged(site):
            refused(
                register(site, 45, Password=broken), 403, 40302, code(45), "waits for an operator's approval"
            )
        refused(register(site, 45, "127.0.0.2", Password=broken), 401, 40102)
        refused(register(site, 44, Password=broken), 401, 40102)  # that one has its place
        refused(register(site, 44, Password=cipher), 403, 40302)


def _claims(site: Site, number: int) -> list[Any]:
    answer = site.client.get(f"/ACSMP/Computility/{code(number)}")
    return list(answer.data["Claims"]) if answer.code == 0 else []


def test_preset_takes_only_codes_that_an_operator_entered(tmp_path: Path) -> None:
    with running(tmp_path / "site", enrolment_mode="preset") as site:
        with unchanged(site):
            refused(register(site, 60), 401, 40102, WRONG_WORDS)
            refused(site.client.get(f"/ACSMP/Computility/{code(60)}"), 404, 40401)
        offline.add_device(
            site.settings, Clock(), code(60), username="cad", password=DEVICE_PASSWORD, url="", kind="AI_BOX",
            family="cad", prefix="", pin=None, cluster="", nodes=(),
        )  # fmt: skip
        with unchanged(site, but=("Claim", "Alarm")):
            refused(register(site, 60, Password="guess"), 401, 40102, WRONG_WORDS)
            refused(keepalive(site, 60), 404, 40401)
        token = registered(site, 60, "127.0.0.2")
        shown = device(site, 60)
        assert (shown["Family"], shown["IP"], shown["Port"]) == ("cad", "127.0.0.1", 9)
        assert keepalive(site, 60, token).code == 0
        refused(register(site, 60, "127.0.0.3"), 409, 40901)


# --- those who guess ---------------------------------------------------------------------------------------------


def test_from_the_fourth_wrong_password_on_a_device_waits(site: Site) -> None:
    registered(site, 70, "127.0.0.20")
    for _ in range(4):
        refused(register(site, 70, "127.0.0.20", Password="guess"), 401, 40102, WRONG_WORDS)
    with unchanged(site):
        answer = register(site, 70, "127.0.0.20")  # even with the right one
        refused(answer, 429, 42901, "too many wrong tries", "wait")
    assert 1 <= int(answer.response.headers["Retry-After"]) <= 2
    registered(site, 71, "127.0.0.20")  # another code at this address does not


def test_passwords_that_cost_are_taken_at_a_rate(tmp_path: Path) -> None:
    with running(tmp_path / "site", local_enabled="false") as site:
        assert site.app is not None
        cipher = encrypt(site.client.fine("GET", "/ACSMP/System/PublicKey")["PublicKey"], DEVICE_PASSWORD)
        two = RateLimit(0, burst=2, what="passwords a second from this address")
        object.__setattr__(site.app.platform, "proofs", two)
        who = {"Code": code(73), "Username": "cad", "Password": cipher}
        assert register(site, 73, Password=cipher).code == 0
        assert ask_from("127.0.0.1", site, "POST", "/ACSMP/UnRegister", who).code == 0
        login = {"Username": "admin", "Password": ADMIN_PASSWORD}
        with unchanged(site):
            for answer in (
                register(site, 73, Password=cipher),
                ask_from("127.0.0.1", site, "POST", "/ACSMP/UnRegister", who),
                ask_from("127.0.0.1", site, "POST", "/ACSMP/Login", login),
            ):
                refused(answer, 429, 42901, "passwords a second from this address")
                assert answer.response.headers["Retry-After"] == "1"
        assert register(site, 74).code == 0  # plain text is only compared
        assert ask_from("127.0.0.2", site, "POST", "/ACSMP/Login", login).code == 0


def test_after_twenty_wrong_tries_an_address_waits(site: Site) -> None:
    for number in range(20):
        body = {"Code": code(800 + number), "Username": "cad", "Password": "guess"}
        refused(ask_from("127.0.0.23", site, "POST", "/ACSMP/UnRegister", body), 401, 40102)
    answer = register(site, 72, "127.0.0.23")
    refused(answer, 429, 42901, "from this address")
    assert 890 <= int(answer.response.headers["Retry-After"]) <= 900
    registered(site, 72, "127.0.0.24")


def test_what_devices_send_is_read_tolerantly_and_held_to_its_lengths(site: Site) -> None:
    """Numbers as texts and other cases of a name are a device's way; a missing or an over-long member is not."""
    code = "11010000005050000091"
    body = {
        "code": code, "Type": "CAD", "IP": "127.0.0.1", "Port": "8123", "Username": "u", "Password": "p-1",
    }  # fmt: skip
    bare = Client(site.url, None)
    assert bare.post("/ACSMP/Register", body).code == 0
    assert bare.post("/ACSMP/Keepalive", {"code": code}).code == 0
    refused(bare.post("/ACSMP/Register", {**body, "Username": "u" * 33}), 400, 40001, "Username")
    refused(bare.post("/ACSMP/Keepalive", {}), 400, 40002, "Code")


def test_a_pending_device_is_an_alarm_until_it_is_approved(tmp_path: Path) -> None:
    with running(tmp_path / "site", enrolment_mode="approval") as site, FakeCad() as cad:
        assert not cad.register(site.url).accepted

        def alarms(active: bool) -> list[str]:
            found = site.client.fine("POST", "/ACSMP/Alarms/Search", {"Kind": "enrolment", "Active": active})
            return [one["Subject"] for one in found["PageContent"]]

        assert alarms(True) == [cad.code]
        site.client.fine("PUT", f"/ACSMP/Computility/{cad.code}", {"Approved": True})
        assert (alarms(True), alarms(False)) == ([], [cad.code])
