"""The folders of an engine: what they take, and who may read them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from acsmpd.runtime import program
from acsmpd.runtime.program import prepare, remove, size_bytes
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


def test_a_file_that_goes_while_it_is_counted_hides_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever comes first in the folder, it is gone when it is looked at."""
    for name in ("one", "two"):
        (tmp_path / name).write_bytes(os.urandom(100_000))
    real = os.scandir

    @contextlib.contextmanager
    def going(path: str | int | Path) -> Iterator[list[os.DirEntry[str]]]:
        with real(path) as found:
            entries = list(found)
        Path(entries[0].path).unlink()
        yield entries

    monkeypatch.setattr(os, "scandir", going)
    taken = size_bytes(tmp_path)
    assert taken is not None
    assert 100_000 <= taken < 120_000


@pytest.mark.parametrize(("name", "depth"), [("n" * 200, 30), ("a", 5000)], ids=["long", "many"])
def test_folders_deeper_than_a_path_cannot_be_counted_and_are_removed(
    tmp_path: Path, name: str, depth: int
) -> None:
    top = tmp_path / "home"
    top.mkdir()
    here = os.open(top, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.symlink(tmp_path, "link", dir_fd=here)
    os.close(here)
    (tmp_path / "kept").touch()
    assert size_bytes(top) is None
    remove(top)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    remove(top)


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
