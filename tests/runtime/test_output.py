"""Output files: bounded, turned, read from the end; the pump outlives a full disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from acsmpd.runtime.output import LogFile, Pump, older, read_tail
from tests.support.wait import wait_until


@pytest.fixture
def pump() -> Iterator[Pump]:
    made = Pump()
    yield made
    made.close()
    made.close()


def test_a_file_turns_and_the_tail_reads_over_both(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.log"
    file = LogFile(path, 10)
    for piece in (b"12345", b"67890", b"abc", b"d"):
        file.append(piece)
    file.close()
    assert (older(path).read_bytes(), path.read_bytes()) == (b"1234567890", b"abcd")
    assert read_tail(path, 6) == b"90abcd"
    assert read_tail(path, 100) == b"1234567890abcd"
    assert read_tail(path, 0) == b""
    assert read_tail(tmp_path / "none", 5) == b""
    assert path.stat().st_mode & 0o777 == 0o600


def test_one_big_piece_is_cut_to_the_bound_and_a_reopened_file_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    file = LogFile(path, 10)
    file.append(b"x" * 95 + b"tail!")
    file.close()
    assert path.stat().st_size == 10
    assert older(path).stat().st_size == 10
    again = LogFile(path, 10)
    again.append(b"new")
    again.close()
    assert (older(path).read_bytes(), path.read_bytes()) == (b"xxxxxtail!", b"new")


def test_a_turn_that_came_half_way_is_made_up_for(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    file = LogFile(path, 10)
    file.append(b"1234567890")
    path.rename(older(path))  # and then the disk had no room for the new one
    file.append(b"abc")
    file.close()
    assert (older(path).read_bytes(), path.read_bytes()) == (b"1234567890", b"abc")


def test_a_link_in_the_way_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a.log").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match=r"a\.log"):
        LogFile(tmp_path / "a.log", 10)
    assert not (tmp_path / "elsewhere").exists()


def test_many_streams_share_one_thread_and_end_by_themselves(tmp_path: Path, pump: Pump) -> None:
    writers, ends = [], []
    for number in range(20):
        read, write = os.pipe()
        ends.append(pump.add(f"l{number}", read, LogFile(tmp_path / f"{number}.log", 1000)))
        writers.append(write)
    for number, write in enumerate(writers):
        os.write(write, f"line of {number}\n".encode())
    wait_until(
        lambda: all(read_tail(tmp_path / f"{n}.log", 100) == f"line of {n}\n".encode() for n in range(20))
    )
    assert not any(end.is_set() for end in ends)
    for write in writers:
        os.close(write)
    assert all(end.wait(5) for end in ends)


def test_a_disk_that_refuses_is_told_once_and_the_reading_goes_on(
    tmp_path: Path, pump: Pump, caplog: pytest.LogCaptureFixture
) -> None:
    full = LogFile(tmp_path / "a.log", 10_000_000)
    os.close(full._fd)
    full._fd = os.open("/dev/full", os.O_WRONLY)
    read, write = os.pipe()
    end = pump.add("l1", read, full)
    for _ in range(40):
        os.write(write, b"x" * 10_000)  # far more than the pipe holds: it would block for ever
    os.close(write)
    assert end.wait(10)
    assert caplog.text.count("cannot keep the output of engine l1") == 1


def test_close_lets_go_of_streams_still_open(tmp_path: Path) -> None:
    pump = Pump()
    read, write = os.pipe()
    end = pump.add("l1", read, LogFile(tmp_path / "a.log", 10))
    pump.close()
    assert end.is_set()
    with pytest.raises(BrokenPipeError):
        os.write(write, b"x")
    os.close(write)
