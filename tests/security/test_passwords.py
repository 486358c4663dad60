"""Passwords of people: what is stored, how it is compared, which are refused."""

from __future__ import annotations

import hashlib
import secrets
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acsmpd import faults
from acsmpd.security import passwords
from acsmpd.security.common_passwords import PHRASES
from acsmpd.security.passwords import check_new_password, hash_password, verify_nothing, verify_password
from tests.support.wait import wait_until

GOOD = "plum-Kettle-92-orbit"


def test_a_password_is_verified_and_a_wrong_one_is_not() -> None:
    stored = hash_password(GOOD)
    assert stored.startswith("scrypt$16384$8$1$")
    assert GOOD not in stored
    assert verify_password(GOOD, stored)
    for wrong in ("", GOOD + " ", GOOD.lower(), "\ud800"):
        assert not verify_password(wrong, stored)


def test_the_same_password_is_stored_differently_each_time() -> None:
    assert hash_password(GOOD) != hash_password(GOOD)


def test_what_is_stored_is_scrypt_as_anyone_computes_it() -> None:
    stored = "scrypt$16384$8$1$" + "AAAAAAAAAAAAAAAAAAAAAA==" + "$"
    digest = hashlib.scrypt("口令".encode(), salt=bytes(16), n=2**14, r=8, p=1, dklen=32)
    assert verify_password("口令", stored + passwords._spelled(digest))


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "scrypt$",
        "scrypt$16384$8$1$AAAA$AAAA",
        "scrypt$16384$8$1$$$",
        "scrypt$16384$8$1$!$!",
        "scrypt$1073741824$8$1$AAAAAAAAAAAAAAAAAAAAAA==$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "scrypt$2$1$1$AAAAAAAAAAAAAAAAAAAAAA==$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    ],
)
def test_a_stored_value_of_another_making_is_named_and_costs_nothing(stored: str) -> None:
    with pytest.raises(ValueError, match="cannot read a stored password: it is not of the form scrypt"):
        verify_password(GOOD, stored)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """The arguments of every scrypt computed, which go on to the real one."""
    calls: list[dict[str, object]] = []
    real = hashlib.scrypt

    def spy(secret: bytes, **more: object) -> bytes:
        calls.append(more)
        return real(secret, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(hashlib, "scrypt", spy)
    return calls


def test_an_unknown_user_costs_what_a_known_one_does(counted: list[dict[str, object]]) -> None:
    stored = hash_password(GOOD)
    verify_password("wrong", stored)
    verify_nothing()
    known, unknown = counted[1:]
    assert {**known, "salt": b""} == {**unknown, "salt": b""}


def test_at_most_two_are_computed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    leave, inside, most = threading.Event(), [], []

    def slow(secret: bytes, **more: object) -> bytes:
        inside.append(secret)
        most.append(len(inside))
        leave.wait(30)
        inside.pop()
        return bytes(32)

    monkeypatch.setattr(hashlib, "scrypt", slow)
    threads = [threading.Thread(target=verify_nothing) for _ in range(66)]
    for thread in threads:
        thread.start()
    wait_until(lambda: passwords._GATE.here == 66 and len(inside) == 2, what="66 log-ins")
    with pytest.raises(faults.SlowDown, match="cannot check a password now: 66 wait already"):
        verify_nothing()
    leave.set()
    for thread in threads:
        thread.join(30)
    assert (max(most), passwords._GATE.here) == (2, 0)


def _reason(text: str, username: str = "li.wei") -> str:
    with pytest.raises(faults.InvalidField) as caught:
        check_new_password(text, username)
    assert caught.value.code == 40001
    head, _, reason = caught.value.message.partition(": ")
    assert head == "cannot accept $.NewPassword"
    assert text not in reason or len(text) < 3
    return reason


@pytest.mark.parametrize("size", [0, 1, 11, 1025])
def test_length(size: int) -> None:
    assert _reason((GOOD * 60)[:size]) == f"it has {size} characters, 12 to 1024 are needed"


def test_lengths_count_characters_not_bytes() -> None:
    assert _reason("昆明湖畔的石桥有十七") == "it has 10 characters, 12 to 1024 are needed"
    check_new_password("昆明湖畔的石桥有十七个孔洞", "li.wei")


@pytest.mark.parametrize("text", ["xx-Li.Wei-kettle9", "kettle9-IEW.IL-plum"])
def test_the_user_name_inside(text: str) -> None:
    assert _reason(text) == "it contains the user name"


def test_a_user_name_of_two_letters_forbids_nothing() -> None:
    check_new_password("plum-Kettle-92-li", "li")


@pytest.mark.parametrize(
    "text",
    ["aaaaaaaaaaaa", "abcabcabcabc", "x7!x7!x7!x7!x7!", "12121212121212", "aabbccddaabb", "kmt5zkmt5zkmt5z"],
)
def test_repeats(text: str) -> None:
    assert _reason(text) == "it repeats a few characters"


@pytest.mark.parametrize(
    "text",
    [
        "123456789012",
        "qwertyuiop12",
        "1qaz2wsx3edc",
        "1QAZ@wsx3EDC",
        "abcdefghijkl",
        "zyxwvutsrqpo",
        "asdfghjkl;'1",
        "qazwsxedcrfv",
        "0987654321aa",
        "poiuytrewq!1",
        "!@#$%^&*()12",
    ],
)
def test_walks(text: str) -> None:
    assert _reason(text) == "it follows the keyboard or the alphabet"


@pytest.mark.parametrize(
    "text",
    [
        "Password1234",
        "P@ssw0rd1234",
        "Admin@123456",
        "passwordpassword",
        "Administrator1!",
        "welcome2024!",
        "letmeinletmein",
        "adminadmin2025",
        "MyPassword2025",
        "changeme!!2025",
        "ACSMPD-admin-1",
        "hikvision12345",
        "woaini1314520",
        "q1w2e3r4t5y6",
        "CorrectHorseBatteryStaple",
        "ilovecamera2025",
        "1234567admin!",
    ],
)
def test_common_ones(text: str) -> None:
    assert _reason(text) == "it is one of the common passwords"


def test_every_listed_phrase_is_refused_and_long_enough_to_be_tried() -> None:
    for phrase in PHRASES:
        if len(phrase) >= 12:
            _reason(phrase)
    assert sum(len(phrase) >= 12 for phrase in PHRASES) > 60


@pytest.mark.parametrize(
    "text",
    [GOOD, "vT9#kQ2!mZx7", "three blue herons at dawn", "Xiangshan-7-yezi", "梅花香自苦寒来宝剑锋从磨砺出"],
)
def test_good_ones(text: str) -> None:
    check_new_password(text, "admin")


@settings(max_examples=50)
@given(st.integers(12, 60))
def test_random_passwords_are_accepted(size: int) -> None:
    check_new_password(secrets.token_urlsafe(size), "administrator")


@given(st.text(st.characters(), max_size=40), st.text(max_size=12))
def test_any_text_is_accepted_or_refused_with_a_reason(text: str, username: str) -> None:
    refusal = "cannot accept $.NewPassword: it "
    try:
        check_new_password(text, username)
    except faults.InvalidField as fault:
        refusal = fault.message
    assert refusal.startswith("cannot accept $.NewPassword: it ")
