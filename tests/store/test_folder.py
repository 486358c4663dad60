"""One process on one data directory."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from acsmpd import faults
from acsmpd.store.folder import FOLDERS, DataFolder

HOLDER = """
import sys
from pathlib import Path
from acsmpd.store.folder import DataFolder
folder = DataFolder(Path(sys.argv[1]))
folder.take()
print("taken", flush=True)
sys.stdin.read()
"""


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def other(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the directory."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "data")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "taken\n"
        yield process
        process.kill()


def test_taking_makes_what_is_missing_for_us_alone(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "a" / "data")
    folder.take()
    assert sorted(path.name for path in folder.path.iterdir()) == sorted([*FOLDERS, "lock"])
    assert [mode(folder.path), *(mode(folder.path / name) for name in FOLDERS)] == [0o700] * 7
    assert (folder.path / "lock").read_text() == f"{os.getpid()}\n"
    folder.release()


def test_a_directory_that_was_open_to_others_is_closed(tmp_path: Path) -> None:
    place = tmp_path / "data"
    place.mkdir(mode=0o755)
    (place / "kept").write_text("x")
    DataFolder(place).prepare()
    assert mode(place) == 0o700
    assert (place / "kept").read_text() == "x"


def test_two_processes_on_one_directory_are_refused(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    folder = DataFolder(tmp_path / "data")
    with pytest.raises(faults.Conflict) as refused:
        folder.take()
    assert refused.value.message == f"cannot use {tmp_path / 'data'}: another acsmpd is running on it"
    assert (tmp_path / "data" / "lock").read_text() == f"{other.pid}\n"  # it still names the holder
    folder.release()


def test_a_killed_holder_leaves_no_lock_behind(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    other.kill()
    other.wait(10)
    folder = DataFolder(tmp_path / "data")
    folder.take()
    folder.release()


def test_released_it_may_be_taken_again(tmp_path: Path) -> None:
    first, second = DataFolder(tmp_path / "data"), DataFolder(tmp_path / "data")
    first.take()
    with pytest.raises(faults.Conflict):
        second.take()
    first.release()
    first.release()
    second.take()
    second.release()


def test_a_place_that_cannot_be_a_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(faults.Internal) as refused:
        DataFolder(tmp_path / "data").take()
    assert refused.value.message == f"cannot use {tmp_path / 'data'} as data directory: File exists"
    with pytest.raises(faults.Internal, match="as data directory: Not a directory"):
        DataFolder(tmp_path / "data" / "below").prepare()


def test_the_path_is_absolute_whatever_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert DataFolder(Path("var")).path == tmp_path / "var"
