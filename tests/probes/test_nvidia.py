"""The real pynvml, in the real child, on a library that plays a driver."""

from __future__ import annotations

import pytest

from acsmpd.clock import Clock
from acsmpd.probes.nvidia import card_type
from acsmpd.probes.probe import Card, CardProcess, Reading
from acsmpd.probes.reader import CardReader
from tests.probes.conftest import A2, T4, FakeDriver

SECONDS = 20.0


def read(reader: CardReader) -> Reading:
    if not reader.running:
        assert reader.start(SECONDS)
    return reader.ask(SECONDS)


def test_two_cards_are_read_in_full(driver: FakeDriver, reader: CardReader) -> None:
    driver.play(A2 | {"processes": "100:1073741824:25,200:2147483648:-1"}, T4)
    reading = read(reader)
    assert reading.faults == ()
    assert reading.cards[0] == Card(
        index=0,
        uuid="GPU-a2",
        vendor="NVIDIA",
        type="NVIDIA-A2",
        name_raw="NVIDIA A2",
        memory_bytes=16 << 30,
        memory_used_bytes=5 << 30,
        utilization=0.37,
        temperature_celsius=61.0,
        power_watts=42.5,
        processes=(
            CardProcess(pid=100, memory_used_bytes=1 << 30, utilization=0.25),
            CardProcess(pid=200, memory_used_bytes=2 << 30),
        ),
    )
    assert (reading.cards[1].index, reading.cards[1].type) == (1, "NVIDIA-T4")


def test_what_a_card_cannot_tell_is_none_and_zero_is_zero(driver: FakeDriver, reader: CardReader) -> None:
    driver.play(T4 | {"total": "!3", "celsius": "!3"}, A2 | {"use": "!4"})
    first, second = read(reader).cards
    assert first.utilization == 0.0  # told as 0
    assert (first.memory_bytes, first.memory_used_bytes) == (None, None)
    assert (first.temperature_celsius, first.power_watts, first.state) == (None, None, "ok")
    assert (second.utilization, second.memory_bytes, second.state) == (None, 16 << 30, "ok")


def test_a_memory_of_unknown_share_is_none(driver: FakeDriver, reader: CardReader) -> None:
    driver.play(A2 | {"processes": f"100:{2**64 - 1}:-1"})
    assert read(reader).cards[0].processes == (CardProcess(pid=100),)


def test_functions_that_an_old_driver_lacks_take_nothing_else_away(old_driver: FakeDriver) -> None:
    old_driver.play(A2 | {"processes": "100:1024:25"})
    reader = CardReader(Clock(), old_driver.environment)
    try:
        card = read(reader).cards[0]
    finally:
        reader.close()
    assert (card.power_watts, card.temperature_celsius, card.state) == (None, 61.0, "ok")
    assert card.processes == (CardProcess(pid=100, memory_used_bytes=1024),)


@pytest.mark.parametrize("where", ["handle", "use", "uuid"])
def test_a_lost_card_takes_nothing_from_the_others(
    driver: FakeDriver, reader: CardReader, where: str
) -> None:
    driver.play(A2, T4)
    read(reader)
    driver.play(A2 | {where: "!15"}, T4)
    lost, other = read(reader).cards
    assert (lost.state, lost.error, lost.utilization) == ("lost", "GPU is lost", None)
    assert (other.state, other.memory_used_bytes) == ("ok", 1 << 30)
    driver.play(A2, T4)
    assert [card.state for card in read(reader).cards] == ["ok", "ok"]


def test_another_error_of_a_card_is_a_fault_with_its_words(driver: FakeDriver, reader: CardReader) -> None:
    driver.play(A2 | {"celsius": "!16"}, T4 | {"handle": "!4242"})
    first, second = read(reader).cards
    assert (first.state, first.error, first.type) == ("fault", "GPU requires restart", "NVIDIA-A2")
    assert (second.state, second.error, second.type) == ("fault", "Made Up", "NVIDIA")


def test_a_driver_that_is_not_loaded_is_a_fault_until_it_is(driver: FakeDriver, reader: CardReader) -> None:
    driver.play(A2, init=9)
    reading = read(reader)
    assert (reading.cards, reading.spent) == ((), False)
    assert reading.faults == ("cannot read NVIDIA cards: Driver Not Loaded",)
    driver.play(A2)
    assert read(reader).cards[0].state == "ok"


def test_a_replaced_driver_needs_a_new_child(driver: FakeDriver, reader: CardReader) -> None:
    driver.play(A2, init=18)
    reading = read(reader)
    assert reading.spent
    assert "RM version mismatch" in reading.faults[0]
    with pytest.raises(ConnectionError, match=r"ended \(exit status 0\)|Broken pipe"):
        reader.ask(SECONDS)


def test_what_the_library_prints_is_not_taken_for_an_answer(driver: FakeDriver, reader: CardReader) -> None:
    driver.play(A2, say="NVRM: hello")
    assert read(reader).cards[0].uuid == "GPU-a2"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("NVIDIA A2", "NVIDIA-A2"),
        ("Tesla T4", "NVIDIA-T4"),
        ("Tesla V100-SXM2-16GB", "NVIDIA-V100"),
        ("Tesla V100-PCIE-32GB", "NVIDIA-V100"),
        ("NVIDIA A100-SXM4-40GB", "NVIDIA-A100"),
        ("NVIDIA A100 80GB PCIe", "NVIDIA-A100"),
        ("NVIDIA H100 80GB HBM3", "NVIDIA-H100"),
        ("NVIDIA H200 NVL", "NVIDIA-H200"),
        ("NVIDIA GeForce RTX 3090", "NVIDIA-3090"),
        ("GeForce RTX 4090", "NVIDIA-4090"),
    ],
)
def test_cards_are_named_by_table_h1(name: str, expected: str) -> None:
    assert card_type(name) == expected


@pytest.mark.parametrize(
    "name",
    [
        "NVIDIA GeForce RTX 2070",
        "NVIDIA GeForce RTX 3080 Ti",
        "NVIDIA GeForce RTX 3080 Laptop GPU",
        "NVIDIA GeForce RTX 4090 D",
        "NVIDIA GeForce RTX 4080 SUPER",
        "NVIDIA RTX A2000",
        "NVIDIA A10G",
        "NVIDIA H20",
        "Quadro P4000",
        "GRID T4-8Q",
        "Orin (nvgpu)",
    ],
)
def test_a_card_that_is_not_in_the_table_keeps_its_name(name: str) -> None:
    assert card_type(name) == name


def test_a_card_without_a_name_is_still_a_card() -> None:
    assert card_type("") == "NVIDIA"
    assert card_type("NVIDIA") == "NVIDIA"
