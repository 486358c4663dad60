"""Secret files: modes, races, damage."""

from __future__ import annotations

import os
import secrets
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from acsmpd import faults
from acsmpd.security import keyfiles
from tests.support.disks import fill

RACER = """
import sys, secrets
from pathlib import Path
from acsmpd.security import keyfiles
sys.stdin.readline()
print(keyfiles.load_or_create(Path(sys.argv[1]), 32, lambda: secrets.token_bytes(32)).hex())
"""


def _made(path: Path) -> bytes:
    return keyfiles.load_or_create(path, 32, lambda: secrets.token_bytes(32))


def test_a_key_is_made_once_and_kept_for_the_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "data" / "keys" / "x.key"
    old_mask = os.umask(0)
    try:
        key = _made(path)
    finally:
        os.umask(old_mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert path.read_text(encoding="ascii") == key.hex() + "\n"
    assert _made(path) == key
    assert [entry.name for entry in path.parent.iterdir()] == ["x.key"]


def test_what_a_crash_left_behind_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / ".x.key.new").write_bytes(b"half")
    assert len(_made(tmp_path / "x.key")) == 32
    assert not (tmp_path / ".x.key.new").exists()


def test_processes_that_start_together_agree_on_one_key(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "x.key"
    command = [sys.executable, "-c", RACER, str(path)]
    racers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    answers = {racer.communicate(timeout=60)[0].strip() for racer in racers}
    assert answers == {_made(path).hex()}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_key_that_others_reach_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "x.key"
    key = _made(path)
    path.chmod(mode)
    with pytest.raises(faults.Internal) as caught:
        _made(path)
    assert caught.value.message == (
        f"cannot use the secret file {path}: its mode is {mode:04o}, others may reach it; make it 0600"
    )
    path.chmod(0o400)
    assert _made(path) == key


@pytest.mark.parametrize("content", [b"", b"00" * 31, b"00" * 33, b"zz" * 32, b"\xff" * 64])
def test_a_damaged_key_is_named_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.key"
    keyfiles.write_secret(path, content)
    with pytest.raises(faults.Internal) as caught:
        _made(path)
    assert caught.value.message == f"cannot use the key file {path}: it must hold 64 hexadecimal digits"
    assert path.read_bytes() == content


def test_a_secret_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "first-admin-password"
    keyfiles.write_secret(path, b"one\n")
    keyfiles.write_secret(path, b"two\n")
    assert keyfiles.read_secret(path) == b"two\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "x.key"
    keyfiles.write_secret(path, b"0" * 4097)
    with pytest.raises(faults.Internal, match="is longer than 4096 bytes"):
        keyfiles.read_secret(path)


def test_what_the_system_refuses_is_told_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(
        faults.Internal, match=r"cannot keep the key file .*x\.key: (Not a directory|File exists)"
    ):
        _made(tmp_path / "file" / "x.key")
    with pytest.raises(
        faults.Internal, match=r"cannot write the secret file .*: (Not a directory|File exists)"
    ):
        keyfiles.write_secret(tmp_path / "file" / "x", b"")
    with pytest.raises(faults.Internal, match=r"cannot read the secret file .*: No such file or directory"):
        keyfiles.read_secret(tmp_path / "none")


def test_a_full_disk_is_told_and_leaves_the_old_secret_alone(small_disk: Path) -> None:
    path = small_disk / "keys" / "a.key"
    keyfiles.write_secret(path, b"old")
    filler = fill(small_disk)
    with pytest.raises(
        faults.Internal, match=rf"cannot write the secret file {path}: No space left on device"
    ):
        keyfiles.write_secret(path, b"new")
    assert [one.name for one in path.parent.iterdir()] == ["a.key"]
    assert keyfiles.read_secret(path) == b"old"
    filler.unlink()
    keyfiles.write_secret(path, b"new")
    assert keyfiles.read_secret(path) == b"new"
