"""How this box makes itself known to platforms above and stays known."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acsmpd.engine import upstream_login
from acsmpd.faults import Permanent, StepFault
from acsmpd.security import sm2
from acsmpd.store import upstreams
from tests.engine.upstream_setup import BOX_CODE, KEY, OWN_PORT, PASSWORD, Box, Centre, box, centre, hashed
from tests.support.disks import failing
from tests.support.site import SITE_CODE, running
from tests.wire.servers import unused_port

DAY_MS = 86_400_000


@pytest.fixture
def above() -> Iterator[Centre]:
    with centre() as one:
        yield one


@pytest.fixture
def one(above: Centre, tmp_path: Path) -> Iterator[Box]:
    with box(tmp_path / "box", {"url": above.url}) as made:
        yield made


# --- register -----------------------------------------------------------------------------------------------


def test_it_registers_with_what_the_table_wants(above: Centre, one: Box) -> None:
    one.meet()
    body = above.bodies["Register"]
    assert KEY.decrypt_password(body.pop("Password")) == PASSWORD
    assert body == {
        "Code": BOX_CODE, "Type": "AI_BOX", "IP": "127.0.0.1", "Port": OWN_PORT, "Username": "box",
        "SupportAlgoService": True,
    }  # fmt: skip
    assert above.headers["Register"]["Via"] == f"1.1 {BOX_CODE}"
    assert "Authorization" not in above.headers["Register"]
    assert one.state() == ("registered", "")


def test_the_token_is_kept_sealed_and_told(above: Centre, one: Box) -> None:
    one.meet()
    assert one.tokens() == {hashed("token-1"): None}
    with one.store.read() as tx:
        row = upstreams.newest_token(tx, BOX_CODE)
    assert row is not None
    assert "token-1" not in row["sealed"]
    assert one.core.sealer.open(row["sealed"]) == "token-1"
    assert one.renewed == [BOX_CODE]


def test_it_says_the_advertised_address(above: Centre, tmp_path: Path) -> None:
    advertise = '[{"network": "127.0.0.0/8", "url": "https://10.1.0.5"}]'
    with box(tmp_path / "box", {"url": above.url, "type": "CAP"}, server_advertise=advertise) as one:
        one.meet()
    body = above.bodies["Register"]
    assert (body["IP"], body["Port"], body["Type"]) == ("10.1.0.5", 443, "CAP")


def test_names_of_hosts_are_told_as_addresses(above: Centre, tmp_path: Path) -> None:
    url = above.url.replace("127.0.0.1", "localhost")
    advertise = '[{"network": "127.0.0.0/8", "url": "http://localhost:99"}, {"network": "::1/128", "url": "http://[::1]:99"}]'
    with box(tmp_path / "box", {"url": url}, server_advertise=advertise) as one:
        one.meet()
        assert one.state() == ("registered", "")
    assert above.bodies["Register"]["IP"] in ("127.0.0.1", "::1")
    assert above.bodies["Register"]["Port"] == 99


def test_two_platforms_under_one_code_are_told_apart(above: Centre, tmp_path: Path) -> None:
    with centre("second-") as second:
        entries = (
            {"url": above.url},
            {"url": second.url},
            {"url": second.url, "code": "11010000005020000055"},
        )
        with box(tmp_path / "box", *entries) as one:
            one.meet()
            one.meet()
            later = f"{BOX_CODE}@127.0.0.1:{second.server.port}"
            for name in (BOX_CODE, later, "11010000005020000055"):
                assert one.state(name) == ("registered", ""), name
                assert len(one.tokens(name)) == 1
    assert above.bodies["Register"]["Code"] == BOX_CODE
    assert second.times("Register") == 2


# --- the password -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "has_key", "sent"),
    [
        ("auto", True, "sm2"),
        ("auto", False, "plain"),
        ("plain", True, "plain"),
        ("sm2", True, "sm2"),
        ("sm2", False, ""),
    ],
)
def test_the_password_goes_as_password_mode_says(
    above: Centre, tmp_path: Path, mode: str, has_key: bool, sent: str
) -> None:
    above.key = KEY.public if has_key else None
    with box(tmp_path / "box", {"url": above.url, "password_mode": mode}) as one:
        one.meet()
        state, reason = one.state()
    if not sent:
        assert (state, above.times("Register")) == ("refused", 0)
        assert reason == "cannot register: password_mode is sm2, and the platform's public key is not known"
        return
    password = above.bodies["Register"]["Password"]
    assert (KEY.decrypt_password(password) if sent == "sm2" else password) == PASSWORD
    assert above.times("PublicKey") == (0 if mode == "plain" else 1)


def test_a_key_file_goes_before_what_the_platform_shows(above: Centre, tmp_path: Path) -> None:
    other = sm2.generate()
    file = tmp_path / "above.key"
    file.write_text(other.public + "\n", encoding="ascii")
    with box(tmp_path / "box", {"url": above.url, "public_key_file": str(file)}) as one:
        one.meet()
        assert one.pinned() == ""
    assert other.decrypt_password(above.bodies["Register"]["Password"]) == PASSWORD
    assert above.times("PublicKey") == 0


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot read the public key file"),
        (b"not a key", "cannot use the SM2 public key: it is neither"),
        (b"\xff\xfe", "it is no UTF-8 text"),
        (b"x" * 20000, "it has more than 16384 bytes"),
    ],
)
def test_a_key_file_that_cannot_be_used_is_named(
    above: Centre, tmp_path: Path, content: bytes | None, words: str
) -> None:
    file = tmp_path / "above.key"
    if content is not None:
        file.write_bytes(content)
    with box(tmp_path / "box", {"url": above.url, "public_key_file": str(file)}) as one:
        one.meet()
        state, reason = one.state()
    assert state == "refused"
    assert words in reason
    assert str(file) in reason
    assert above.asked == []


def test_a_password_file_that_is_not_there_or_empty_is_named_and_retried(
    above: Centre, one: Box, tmp_path: Path
) -> None:
    file = tmp_path / "box" / "password"
    file.unlink()
    one.meet()
    assert one.state()[1].startswith(f"cannot read the password file {file}")
    file.write_text("\n", encoding="ascii")
    one.meet(5)
    assert one.state() == ("refused", f"cannot register: the password file {file} is empty")
    file.write_text(f"{PASSWORD}\r\n", encoding="ascii")
    one.meet(10)
    assert one.state() == ("registered", "")
    assert KEY.decrypt_password(above.bodies["Register"]["Password"]) == PASSWORD


def test_the_key_is_pinned_and_a_changed_one_gets_no_password(above: Centre, one: Box) -> None:
    one.meet()
    assert one.pinned() == KEY.public
    above.key = sm2.generate().public
    one.start()
    one.meet()
    assert above.times("Register") == 1
    state, reason = one.state()
    assert state == "key_changed"
    assert "shows another SM2 key than the one pinned at first use" in reason
    assert one.alarms() == {"upstream_key_changed": True}
    above.key = KEY.public
    one.meet(10)
    assert one.state() == ("registered", "")
    assert one.alarms() == {"upstream_key_changed": False}


def test_an_operator_may_accept_the_new_key(above: Centre, one: Box) -> None:
    one.meet()
    fresh = sm2.generate()
    above.key = fresh.public
    one.start()
    one.meet()
    one.wish(join=True)
    one.meet(10)
    assert one.pinned() == fresh.public
    assert fresh.decrypt_password(above.bodies["Register"]["Password"]) == PASSWORD


def test_a_key_that_could_not_be_asked_for_is_not_taken_for_none(above: Centre, one: Box) -> None:
    above.says("PublicKey", 503, 1)
    one.meet()
    assert one.state()[0] == "failing"
    assert above.times("Register") == 0
    above.behaves("PublicKey")
    one.meet(10)
    assert one.state() == ("registered", "")
    above.says("PublicKey", 503, 1)
    one.start()
    one.meet()
    assert above.times("Register") == 2
    assert KEY.decrypt_password(above.bodies["Register"]["Password"]) == PASSWORD


def test_a_platform_that_stops_showing_its_key_still_gets_no_plain_text(above: Centre, one: Box) -> None:
    one.meet()
    above.key = None
    one.start()
    one.meet()
    assert KEY.decrypt_password(above.bodies["Register"]["Password"]) == PASSWORD


def test_a_key_that_is_none_is_said(above: Centre, one: Box) -> None:
    above.key = "04" + "1" * 128
    one.meet()
    state, reason = one.state()
    assert (state, above.times("Register")) == ("refused", 0)
    assert reason.endswith("its point is not on the curve")


# --- keepalive ----------------------------------------------------------------------------------------------


def test_it_is_heard_of_within_the_period_with_the_newest_token(above: Centre, one: Box) -> None:
    one.meet()
    one.meet(29.0)
    assert above.times("Keepalive") == 0
    one.meet(1.5)
    assert above.times("Keepalive") == 1
    assert above.bodies["Keepalive"] == {"Code": BOX_CODE}
    assert above.headers["Keepalive"]["Authorization"] == "Bearer token-1"
    assert above.headers["Keepalive"]["Token"] == "token-1"
    one.chance = 0.0
    one.meet(31)
    one.meet(24.5)
    assert above.times("Keepalive") == 3
    assert above.times("Register") == 1


def test_a_new_token_counts_from_now_on_and_the_old_one_for_a_day(above: Centre, one: Box) -> None:
    one.meet()
    above.says("Keepalive", 200, 0, {"Token": "renewed"})
    one.meet(31)
    before = one.clock.now().wall_ms
    tokens = one.tokens()
    assert tokens[hashed("renewed")] is None
    dies = tokens[hashed("token-1")]
    assert dies is not None
    assert abs(dies - (before + DAY_MS)) < 10_000
    above.behaves("Keepalive")
    one.meet(31)
    assert above.headers["Keepalive"]["Token"] == "renewed"
    assert one.renewed == [BOX_CODE, BOX_CODE]
    above.says("Keepalive", 200, 0, {"Token": "again"})
    one.meet(DAY_MS / 1000 + 60)
    assert set(one.tokens()) == {hashed("renewed"), hashed("again")}


@pytest.mark.parametrize(
    ("status", "code"), [(401, 40101), (404, 40401), (200, 40401), (200, "7"), (401, 40103), (403, 40301)]
)
def test_a_platform_that_does_not_know_us_is_told_at_once(
    above: Centre, one: Box, status: int, code: Any
) -> None:
    one.meet()
    above.says("Keepalive", status, code)
    one.meet(31)
    assert above.asked[-3:] == ["Keepalive", "PublicKey", "Register"]
    assert one.state() == ("registered", "")
    assert one.tokens()[hashed("token-2")] is None


def test_a_platform_that_is_away_is_asked_again_soon_and_not_registered_at(above: Centre, one: Box) -> None:
    one.meet()
    above.says("Keepalive", 503, 1, message="starting")
    for ahead in (31, 2.1, 4.1, 8.1, 16.1, 30.1, 30.1):
        one.meet(ahead)
    assert above.times("Keepalive") == 7
    assert above.times("Register") == 1
    state, reason = one.state()
    assert state == "failing"
    assert 'it answered HTTP 503, Code 1 "starting"' in reason
    above.behaves("Keepalive")
    one.meet(30.1)
    assert one.state() == ("registered", "")


def test_what_cannot_be_written_down_is_not_asked_for_again_and_again(above: Centre, one: Box) -> None:
    with failing(os.getpid(), "pwrite64", "EIO"):
        for _ in range(5):
            one.meet(1)
        assert (above.times("PublicKey"), above.times("Register")) == (1, 0)  # the key could not be pinned
    one.meet(10.1)
    assert (one.state(), above.times("Register")) == (("registered", ""), 1)


def test_who_we_are_outlives_a_day_without_the_platform(tmp_path: Path) -> None:
    with box(tmp_path / "box", {"url": f"http://127.0.0.1:{unused_port()}"}) as one:
        for _ in range(30):
            one.meet(3600)
        assert one.state()[0] == "failing"
        assert "connection refused" in one.state()[1]
        assert one.alarms() == {}
        assert list(one.duty._entries) == [BOX_CODE]


def test_tries_are_spread_out_up_to_the_longest_pause(above: Centre, one: Box) -> None:
    above.says("Register", 500, 50000)
    one.meet()
    for pause in (2, 4, 8, 16, 32, 64, 128, 256, 300, 300):
        seen = above.times("Register")
        one.meet(pause - 1.0)
        assert above.times("Register") == seen, pause
        one.meet(1.2)
        assert above.times("Register") == seen + 1, pause
    one.chance = 0.0
    one.meet(301)
    seen = above.times("Register")
    one.meet(0.3)
    assert above.times("Register") == seen + 1


@pytest.mark.parametrize(("status", "code"), [(403, 40302), (200, 40302)])
def test_waiting_for_approval_it_asks_every_half_minute_and_says_so(
    above: Centre, one: Box, status: int, code: int
) -> None:
    above.says("Register", status, code, message="waits for an operator's approval")
    for _ in range(6):
        one.meet(30.1)
    assert above.times("Register") == 6
    state, reason = one.state()
    assert state == "awaiting"
    assert "waits for an operator's approval" in reason
    assert one.alarms() == {}
    above.behaves("Register")
    one.meet(30.1)
    assert one.state() == ("registered", "")


def test_a_refused_password_is_an_alarm_without_the_password(above: Centre, one: Box) -> None:
    above.says("Register", 401, 40102, message="the username or the password is wrong")
    one.meet()
    state, reason = one.state()
    assert state == "refused"
    assert reason == f"127.0.0.1:{above.server.port} refuses the user name or the password (HTTP 401)"
    assert one.alarms() == {"upstream_refused": True}
    assert PASSWORD not in reason
    above.behaves("Register")
    one.meet(5)
    assert one.alarms() == {"upstream_refused": False}


def test_a_registration_without_a_token_is_none(above: Centre, one: Box) -> None:
    above.says("Register", 200, 0)
    one.meet()
    assert one.state()[0] == "failing"
    assert one.state()[1].endswith("answered the registration without a token")
    assert one.tokens() == {}


def test_an_address_the_egress_policy_refuses_is_said(tmp_path: Path) -> None:
    with box(tmp_path / "box", {"url": "http://169.254.169.254"}) as one:
        one.meet()
        state, reason = one.state()
    assert state == "refused"
    assert "169.254.169.254:80: it is a metadata service" in reason


def test_a_name_nobody_knows_is_a_passing_trouble() -> None:
    with pytest.raises(StepFault) as caught:
        upstream_login.resolved("no-such-host.invalid")
    assert not isinstance(caught.value, Permanent)
    assert "no-such-host.invalid" in caught.value.message


# --- what is stored -----------------------------------------------------------------------------------------


def test_tokens_do_not_pile_up(above: Centre, one: Box) -> None:
    for _ in range(upstreams.TOKENS_KEPT + 5):
        one.start()
        one.meet()
    tokens = one.tokens()
    assert len(tokens) == upstreams.TOKENS_KEPT
    assert tokens[hashed(above.last_token)] is None


def test_a_platform_that_is_no_longer_in_the_settings_opens_nothing(above: Centre, tmp_path: Path) -> None:
    with box(tmp_path / "box", {"url": above.url}) as one:
        one.meet()
        assert one.tokens()
    with box(tmp_path / "box", {"url": above.url, "code": "11010000005020000055"}) as one:
        one.meet()
        assert one.tokens() == {}
        assert one.state() == ("", "")
        assert one.tokens("11010000005020000055")


def test_without_upstreams_there_is_nothing_to_do(tmp_path: Path) -> None:
    with box(tmp_path / "box") as one:
        one.meet()
        assert one.state() == ("", "")


# --- leaving ------------------------------------------------------------------------------------------------


def test_leave_unregisters_and_stays_away_until_join(above: Centre, one: Box) -> None:
    one.meet()
    one.wish(join=False)
    one.meet()
    body = above.bodies["UnRegister"]
    assert (body["Code"], body["Username"]) == (BOX_CODE, "box")
    assert KEY.decrypt_password(body["Password"]) == PASSWORD
    assert one.tokens() == {}
    assert one.state() == ("left", "an operator left it")
    assert one.renewed[-1] == BOX_CODE
    seen = len(above.asked)
    one.meet(3600)
    one.start()
    one.meet(3600)
    assert len(above.asked) == seen
    one.wish(join=True)
    one.meet()
    assert one.state() == ("registered", "")


def test_a_refused_leave_is_tried_again_and_says_so(above: Centre, one: Box) -> None:
    one.meet()
    above.says("UnRegister", 403, 40301, message="not you")
    one.wish(join=False)
    one.meet()
    state, reason = one.state()
    assert state == "leaving"
    assert "not you" in reason
    assert len(one.tokens()) == 1
    above.says("UnRegister", 200, 0)
    one.meet(3600)
    assert one.state()[0] == "left"


# --- at a real platform -------------------------------------------------------------------------------------


def test_at_a_real_platform_from_the_first_claim_to_the_last_word(tmp_path: Path) -> None:
    with (
        running(tmp_path / "site", enrolment_mode="approval") as site,
        box(tmp_path / "box", {"url": site.url}) as one,
    ):
        record = f"/ACSMP/Computility/{BOX_CODE}"
        one.meet()
        assert one.state()[0] == "awaiting"
        claims = site.client.fine("GET", record)["Claims"]
        assert [claim["Username"] for claim in claims] == ["box"]
        site.client.fine("PUT", record, {"Approved": True})
        one.meet(31)
        assert one.state() == ("registered", "")
        one.meet(31)
        assert one.state() == ("registered", "")
        shown = site.client.fine("GET", record)
        assert (shown["IP"], shown["Port"], shown["Type"]) == ("127.0.0.1", OWN_PORT, "AI_BOX")
        site.client.fine("PUT", record, {"Enabled": False})
        one.meet(31)
        assert one.state()[0] == "refused"
        site.client.fine("PUT", record, {"Enabled": True})
        one.meet(31)
        assert one.state() == ("registered", "")
        one.wish(join=False)
        one.meet(31)
        assert site.client.fine("GET", record)["State"] == "gone"
        assert one.pinned() == site.client.fine("GET", "/ACSMP/System/PublicKey")["PublicKey"]
        assert SITE_CODE != BOX_CODE
