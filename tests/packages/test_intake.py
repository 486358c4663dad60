"""Receiving package files: hashes, caps, cut lines, full disks, leftovers."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path

import pytest

from acsmpd import faults
from acsmpd.packages.intake import Intake
from tests.packages.samples import PACKAGE_ID
from tests.support.wait import wait_until

MIB = 1024 * 1024
ABC_MD5 = "900150983cd24fb0d6963f7d28e17f72"
ABC_SM3 = "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"  # GB/T 32905, appendix A.1


@pytest.fixture
def intake(tmp_path: Path) -> Intake:
    return Intake(tmp_path / "packages", max_bytes=10 * MIB, min_free_bytes=0)


def incoming(tmp_path: Path) -> list[str]:
    return os.listdir(tmp_path / "packages" / "incoming")


class Generated(io.RawIOBase):
    """`size` bytes made as they are read; told what to do when they are out."""

    def __init__(self, size: int, at_end: BaseException | None = None) -> None:
        self._left = size
        self._at_end = at_end

    def read(self, size: int = -1) -> bytes:
        count = min(size, self._left)
        self._left -= count
        if not count and self._at_end is not None:
            raise self._at_end
        return b"\xa5" * count


def test_the_standards_own_example_of_sm3(intake: Intake) -> None:
    received = intake.receive(io.BytesIO(b"abc"))
    assert (received.size, received.md5, received.sm3) == (3, ABC_MD5, ABC_SM3)
    assert received.path.read_bytes() == b"abc"


def test_many_blocks(intake: Intake) -> None:
    content = os.urandom(5 * MIB + 17)
    md5 = hashlib.md5(content).hexdigest()
    received = intake.receive(io.BytesIO(content), len(content), f" {md5.upper()} ")
    assert (received.size, received.md5) == (len(content), md5)
    assert received.sm3 == hashlib.new("sm3", content).hexdigest()
    assert received.path.read_bytes() == content


def test_it_is_visible_only_when_published(tmp_path: Path, intake: Intake) -> None:
    received = intake.receive(io.BytesIO(b"abc"))
    assert os.listdir(tmp_path / "packages") == ["incoming"]
    path = intake.publish(received, PACKAGE_ID, received.sm3)
    assert path == tmp_path / "packages" / PACKAGE_ID / f"{ABC_SM3}.tar"
    assert path.read_bytes() == b"abc"
    assert incoming(tmp_path) == []


def test_a_new_content_stands_beside_the_old_until_that_is_removed(tmp_path: Path, intake: Intake) -> None:
    paths = []
    for content in (b"old", b"new"):
        received = intake.receive(io.BytesIO(content))
        paths.append(intake.publish(received, PACKAGE_ID, received.sm3))
    old, new = paths
    assert (old.read_bytes(), new.read_bytes()) == (b"old", b"new")
    intake.remove(old)
    assert os.listdir(old.parent) == [new.name]
    intake.remove(new)
    assert os.listdir(tmp_path / "packages") == ["incoming"]


@pytest.mark.parametrize("package_id", ["", "../evil", "1" * 39, "1" * 40 + "\n"])
def test_only_an_id_can_name_a_folder(intake: Intake, package_id: str) -> None:
    received = intake.receive(io.BytesIO(b"abc"))
    with pytest.raises(ValueError, match="not an ID and an SM3"):
        intake.publish(received, package_id, received.sm3)


def test_only_published_files_are_removed(tmp_path: Path, intake: Intake) -> None:
    with pytest.raises(ValueError, match="not a published package file"):
        intake.remove(tmp_path / "packages" / "incoming" / "x.tar")


def test_a_wrong_md5_names_both(tmp_path: Path, intake: Intake) -> None:
    with pytest.raises(faults.ChecksumMismatch) as caught:
        intake.receive(io.BytesIO(b"abc"), expected_md5="0" * 32)
    assert caught.value.code == 42201
    assert caught.value.message == f"the file has MD5 {ABC_MD5}, {'0' * 32} was given"
    assert incoming(tmp_path) == []


def test_an_md5_that_comes_after_the_file(tmp_path: Path, intake: Intake) -> None:
    received = intake.receive(io.BytesIO(b"abc"))
    intake.check_md5(received, ABC_MD5)
    with pytest.raises(faults.ChecksumMismatch):
        intake.check_md5(received, "f" * 32)
    assert incoming(tmp_path) == []


def test_an_md5_that_is_none(intake: Intake) -> None:
    with pytest.raises(faults.InvalidField, match="MD5: 32 hexadecimal digits are expected"):
        intake.receive(io.BytesIO(b"abc"), expected_md5="x")


def test_over_the_cap_as_announced(intake: Intake) -> None:
    with pytest.raises(faults.TooLarge) as caught:
        intake.receive(Generated(0), expected_size=10 * MIB + 1)
    assert caught.value.message == "a package file may have at most 10485760 bytes (packages.max_bytes)"


def test_over_the_cap_as_it_arrives(tmp_path: Path, intake: Intake) -> None:
    with pytest.raises(faults.TooLarge, match="at most 10485760 bytes"):
        intake.receive(Generated(2**40))
    assert incoming(tmp_path) == []


@pytest.mark.parametrize("percent", [10, 50, 99])
def test_an_upload_that_stops_early(tmp_path: Path, intake: Intake, percent: int) -> None:
    size = 4 * MIB
    with pytest.raises(faults.InvalidPackage) as caught:
        intake.receive(Generated(size * percent // 100), expected_size=size)
    assert caught.value.message == f"truncated upload: {size * percent // 100} of {size} bytes arrived"
    assert incoming(tmp_path) == []


def test_more_than_announced(tmp_path: Path, intake: Intake) -> None:
    with pytest.raises(faults.InvalidPackage, match="more than the announced 100 bytes arrived"):
        intake.receive(Generated(101), expected_size=100)
    assert incoming(tmp_path) == []


def test_a_line_that_is_cut(tmp_path: Path, intake: Intake) -> None:
    with pytest.raises(ConnectionResetError):
        intake.receive(Generated(3 * MIB, ConnectionResetError()))
    assert incoming(tmp_path) == []


def test_a_discarded_file_is_gone(tmp_path: Path, intake: Intake) -> None:
    intake.discard(intake.receive(io.BytesIO(b"abc")))
    assert incoming(tmp_path) == []


def test_memory_stays_small(tmp_path: Path) -> None:
    intake = Intake(tmp_path / "packages", max_bytes=2**40, min_free_bytes=0)
    tracemalloc.start()
    try:
        assert intake.receive(Generated(80 * MIB)).size == 80 * MIB
        assert tracemalloc.get_traced_memory()[1] < 4 * MIB
    finally:
        tracemalloc.stop()


def test_each_byte_is_written_once(intake: Intake) -> None:
    before = written_bytes()
    intake.receive(Generated(8 * MIB), room_bytes=9 * MIB)
    assert 8 * MIB <= written_bytes() - before < 8 * MIB + MIB


def written_bytes() -> int:
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["wchar"])


# --- space -----------------------------------------------------------------------------------------


def test_room_for_the_whole_is_asked_first(small_disk: Path) -> None:
    intake = Intake(small_disk / "packages", max_bytes=2**40, min_free_bytes=0)
    for given in ({"expected_size": 3 * MIB}, {"room_bytes": 3 * MIB}):
        with pytest.raises(faults.NoSpace) as caught:
            intake.receive(Generated(0, AssertionError("nothing may be read")), **given)  # type: ignore[arg-type]
        assert caught.value.code == 50701
        assert caught.value.message.startswith(
            "cannot receive the package file: no space left: 3145728 bytes needed"
        )


def test_some_space_stays_reserved(small_disk: Path) -> None:
    intake = Intake(small_disk / "packages", max_bytes=2**40, min_free_bytes=MIB)
    with pytest.raises(faults.NoSpace, match="1048576 of them stay reserved"):
        intake.receive(Generated(MIB + MIB // 2), expected_size=MIB + MIB // 2)


def test_a_disk_that_fills_on_the_way(small_disk: Path) -> None:
    intake = Intake(small_disk / "packages", max_bytes=2**40, min_free_bytes=0)
    with pytest.raises(faults.NoSpace) as caught:
        intake.receive(Generated(5 * MIB))
    assert caught.value.message == "cannot receive the package file: no space left"
    assert os.listdir(small_disk / "packages" / "incoming") == []
    assert intake.receive(Generated(MIB)).size == MIB


def test_two_uploads_do_not_count_on_the_same_space(small_disk: Path) -> None:
    intake = Intake(small_disk / "packages", max_bytes=2**40, min_free_bytes=0)
    arrived, go_on = threading.Event(), threading.Event()

    class Slow(Generated):
        def read(self, size: int = -1) -> bytes:
            arrived.set()
            assert go_on.wait(20)
            return super().read(size)

    sizes: list[int] = []
    slow = threading.Thread(target=lambda: sizes.append(intake.receive(Slow(MIB), MIB).size))
    slow.start()
    try:
        assert arrived.wait(20)
        with pytest.raises(faults.NoSpace):
            intake.receive(Generated(MIB + 8192), MIB + 8192)
    finally:
        go_on.set()
        slow.join(20)
    assert sizes == [MIB]
    assert intake.receive(Generated(MIB // 2), MIB // 2).size == MIB // 2


# --- leftovers -------------------------------------------------------------------------------------

KILLED = """
import sys
from pathlib import Path
from acsmpd.packages.intake import Intake
Intake(Path(sys.argv[1]), 2**40, 0).receive(sys.stdin.buffer)
"""


def test_what_a_killed_upload_left_is_swept(tmp_path: Path) -> None:
    folder = tmp_path / "packages"
    with subprocess.Popen([sys.executable, "-c", KILLED, str(folder)], stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(bytes(3 * MIB))
        process.stdin.flush()
        wait_until(lambda: sum(path.stat().st_size for path in folder.glob("incoming/*.part")) >= 2 * MIB)
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=20)
    assert len(os.listdir(folder / "incoming")) == 1
    swept = Intake(folder, 10 * MIB, 0).sweep(())
    assert (swept.files, os.listdir(folder / "incoming")) == (1, [])
    assert swept.freed_bytes >= 2 * MIB


def test_a_published_file_no_row_names_is_swept(tmp_path: Path, intake: Intake) -> None:
    paths = []
    for content in (b"kept", b"lost"):
        received = intake.receive(io.BytesIO(content))
        paths.append(intake.publish(received, PACKAGE_ID, received.sm3))
    other = intake.receive(io.BytesIO(b"other"))
    lonely = intake.publish(other, "9" * 40, other.sm3)
    foreign = tmp_path / "packages" / "notes.txt"
    foreign.write_text("an operator's own")
    assert intake.sweep([paths[0]]).files == 2
    assert paths[0].exists()
    assert not paths[1].exists()
    assert not lonely.parent.exists()
    assert foreign.exists()
