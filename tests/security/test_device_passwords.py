"""What a device sends as its password, by `passwords.mode`, and the gate before the decryption."""

from __future__ import annotations

import threading
import time

import pytest

from acsmpd import faults
from acsmpd.security.gate import waiting_within
from acsmpd.security.sm2 import DecryptGate, open_device_password
from tests.security.sm2_peers import KEY, NEW, PLAIN
from tests.support.wait import wait_until

WORDING = "the username or the password is wrong"


@pytest.mark.parametrize("text", ["", "admin", "00" * 96, "口令", "A" * 128, "pass word " * 30, "f" * 193])
def test_in_auto_what_cannot_be_a_ciphertext_is_the_password(text: str) -> None:
    assert open_device_password(text, "auto", KEY, DecryptGate()) == text


@pytest.mark.parametrize("text", ["00" * 97, "G" * 132, NEW[:-2] + "00", "correcthorse" * 20])
def test_in_auto_what_may_be_a_ciphertext_must_open(text: str) -> None:
    with pytest.raises(faults.BadCredentials, match=WORDING):
        open_device_password(text, "auto", KEY, DecryptGate())


def test_modes() -> None:
    gate = DecryptGate()
    assert open_device_password(NEW, "auto", KEY, gate) == PLAIN
    assert open_device_password(NEW, "sm2", KEY, gate) == PLAIN
    assert open_device_password(NEW, "plain", KEY, gate) == NEW
    with pytest.raises(faults.BadCredentials, match=WORDING):
        open_device_password("admin", "sm2", KEY, gate)
    with pytest.raises(ValueError, match=r"passwords\.mode is 'sm4', not auto, sm2 or plain"):
        open_device_password("admin", "sm4", KEY, gate)
    assert gate.here == 0


@pytest.mark.parametrize(("threads", "waiting"), [(2, 2), (8, 2), (16, 4), (64, 16), (256, 64)])
def test_who_waits_at_a_gate_leaves_threads_for_others(threads: int, waiting: int) -> None:
    assert waiting_within(threads) == waiting


def test_a_full_gate_says_slow_down_but_plain_text_and_garbage_need_no_place() -> None:
    gate = DecryptGate(inside=1, waiting=0)
    with gate:
        with pytest.raises(faults.SlowDown) as caught:
            open_device_password(NEW, "auto", KEY, gate)
        assert open_device_password("admin", "auto", KEY, gate) == "admin"
        with pytest.raises(faults.BadCredentials):
            open_device_password("00" * 97, "auto", KEY, gate)
    assert (caught.value.code, caught.value.retry_after_seconds) == (42901, 2)
    assert caught.value.message == "cannot decrypt a password now: 1 wait already"
    assert open_device_password(NEW, "auto", KEY, gate) == PLAIN


def test_two_decrypt_64_wait_and_the_next_is_refused() -> None:
    gate, leave, answers = DecryptGate(), threading.Event(), []
    inside: list[int] = []
    most: list[int] = []

    def visit() -> None:
        with gate:
            inside.append(1)
            most.append(len(inside))
            leave.wait(30)
            inside.pop()
        answers.append(1)

    visitors = [threading.Thread(target=visit) for _ in range(66)]
    for visitor in visitors:
        visitor.start()
    wait_until(lambda: gate.here == 66 and len(inside) == 2, what="66 visitors at the gate")
    with pytest.raises(faults.SlowDown, match="cannot decrypt a password now: 66 wait already"):
        gate.__enter__()
    leave.set()
    for visitor in visitors:
        visitor.join(30)
    assert (len(answers), max(most), gate.here) == (66, 2, 0)


def test_a_failed_decryption_gives_its_place_back() -> None:
    gate = DecryptGate(inside=1, waiting=0)
    for _ in range(3):
        with pytest.raises(faults.BadCredentials):
            open_device_password(NEW[:-2] + "00", "sm2", KEY, gate)
    assert gate.here == 0


def test_a_decryption_costs_milliseconds() -> None:
    started = time.process_time()
    for _ in range(5):
        KEY.decrypt_password(NEW)
    assert (time.process_time() - started) / 5 < 0.2
