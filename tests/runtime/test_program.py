"""The folders of an engine: what they take, and who may read them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from acsmpd.runtime import program
from acsmpd.runtime.program import prepare, size_bytes
from tests.runtime.engines import engine


def test_size_counts_what_stands_on_the_disk_and_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    empty = size_bytes(tmp_path)
    assert empty is not None
    (tmp_path / "deep" / "er" / "a").write_bytes(os.urandom(100_000))
    (tmp_path / "link").symlink_to("/usr")
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(10**9)
    taken = size_bytes(tmp_path)
    assert taken is not None
    assert 100_000 <= taken - empty < 120_000


def test_what_cannot_be_counted_is_not_zero(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        (tmp_path / str(number)).touch()
    monkeypatch.setattr(program, "_ENTRIES_MAX", 4)
    assert size_bytes(tmp_path) is None
    assert size_bytes(tmp_path / "gone") == 0


def test_a_closed_folder_cannot_be_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root can look everywhere, so the refusal of the system is given in its place."""
    (tmp_path / "shut").mkdir()
    real = os.scandir

    def refusing(path: str | int | Path) -> object:
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", refusing)
    assert size_bytes(tmp_path) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_program_is_opened_to_read_for_another_account_and_links_are_left_alone(data: Path) -> None:
    spec = engine(data, "exit 0\n")
    outside = data / "secret"
    outside.chmod(0o600)
    (spec.work / "model").write_text("m")
    (spec.work / "model").chmod(0o600)
    (spec.work / "out").symlink_to(outside)
    places = prepare(spec, data / "home", (65534, 65534))
    modes = {
        path.name: path.lstat().st_mode & 0o7777 for path in spec.work.iterdir() if not path.is_symlink()
    }
    assert modes == {"run.sh": 0o755, "model": 0o644}
    assert spec.work.stat().st_mode & 0o777 == 0o755
    assert outside.stat().st_mode & 0o777 == 0o600
    assert places.scratch.stat().st_uid == 65534
    assert places.scratch.stat().st_mode & 0o777 == 0o700
