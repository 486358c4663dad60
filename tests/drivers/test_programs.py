"""Unpacked programs: whole or not there, one for each package, nothing left of what failed."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from acsmpd import faults
from acsmpd.drivers.programs import Programs
from acsmpd.packages.bytestream import Limits
from tests.support.packaging import PACKAGE_ID, make_package, md5_of, write_tar

LIMITS = Limits(max_members=100, max_unpacked_bytes=1_000_000, max_ratio=200)


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    return Programs(tmp_path / "programs", LIMITS)


def added(programs: Programs, folder: Path, text: str) -> str:
    """A package whose program says this; its MD5."""
    file = make_package(folder, program={"run.sh": f"#!/bin/sh\n# {text}\n"})
    md5 = md5_of(file)
    programs.add(PACKAGE_ID, file, md5)
    return md5


def test_a_program_is_unpacked_once_and_survives_the_daemon(programs: Programs, tmp_path: Path) -> None:
    assert programs.get(PACKAGE_ID) is None
    md5 = added(programs, tmp_path / "a", "one")
    found = Programs(tmp_path / "programs", LIMITS).get(PACKAGE_ID)
    assert found is not None
    folder, manifest = found
    assert (folder / "run.sh").read_text().endswith("# one\n")
    assert (folder.name, manifest.cmd, manifest.name) == (md5, ("./run.sh",), "test-algo")
    before = (folder / "run.sh").stat().st_ino
    added(programs, tmp_path / "a", "one")
    assert (folder / "run.sh").stat().st_ino == before
    assert [package_id for package_id, _ in programs.all()] == [PACKAGE_ID]


def test_another_file_of_the_package_takes_the_place(programs: Programs, tmp_path: Path) -> None:
    added(programs, tmp_path / "a", "one")
    md5 = added(programs, tmp_path / "b", "two")
    assert sorted(path.name for path in (tmp_path / "programs" / PACKAGE_ID).iterdir()) == [
        md5,
        f"{md5}.json",
    ]
    found = programs.get(PACKAGE_ID)
    assert found is not None
    assert (found[0] / "run.sh").read_text().endswith("# two\n")


def test_half_a_program_does_not_count_and_is_unpacked_anew(programs: Programs, tmp_path: Path) -> None:
    """As a crash leaves it: the folder there, the note not yet."""
    md5 = added(programs, tmp_path / "a", "one")
    home = tmp_path / "programs" / PACKAGE_ID
    (home / f"{md5}.json").unlink()
    (home / md5 / "run.sh").unlink()
    (home / md5 / "stray").write_text("x")
    again = Programs(tmp_path / "programs", LIMITS)
    assert again.get(PACKAGE_ID) is None
    assert again.all() == []
    added(again, tmp_path / "a", "one")
    found = again.get(PACKAGE_ID)
    assert found is not None
    assert [path.name for path in found[0].iterdir()] == ["run.sh"]


def test_what_cannot_be_unpacked_is_refused_and_leaves_nothing(programs: Programs, tmp_path: Path) -> None:
    description = {
        "name": "boxed", "version": "1", "provider": "P", "bin": {"type": "image", "remote_uri": "r:5000/b:1"},
        "abilities": [{"code": "B", "task_types": ["VIDEO_REALTIME"], "event_ids": ["FIRE"]}],
    }  # fmt: skip
    image, broken = tmp_path / "image.tar", tmp_path / "broken.tar"
    write_tar(image, {"algo.yaml": yaml.safe_dump(description)})
    broken.write_bytes(b"no tar at all" * 100)
    big = make_package(tmp_path / "big", program={"run.sh": "x" * 2_000_000})
    for file, fault, words in (
        (image, faults.NotSupported, "an image; this box runs artifacts only"),
        (broken, faults.InvalidPackage, "not a tar archive"),
        (big, faults.TooLarge, "1000000 bytes"),
        (tmp_path / "none.tar", faults.InvalidPackage, "none.tar: cannot be opened: No such file"),
    ):
        with pytest.raises(fault, match=words):
            programs.add(PACKAGE_ID, file, "0" * 32)
        assert list((tmp_path / "programs").iterdir()) == []


def test_a_disk_that_refuses_is_told(programs: Programs, tmp_path: Path) -> None:
    (tmp_path / "programs" / PACKAGE_ID).write_text("in the way")
    with pytest.raises(faults.Internal, match=f"cannot unpack package {PACKAGE_ID}: File exists"):
        added(programs, tmp_path / "a", "one")
    assert programs.all() == []


def test_a_failure_leaves_the_program_before_it_alone(programs: Programs, tmp_path: Path) -> None:
    md5 = added(programs, tmp_path / "a", "one")
    (tmp_path / "broken.tar").write_bytes(b"x" * 2000)
    with pytest.raises(faults.InvalidPackage):
        programs.add(PACKAGE_ID, tmp_path / "broken.tar", "1" * 32)
    found = programs.get(PACKAGE_ID)
    assert found is not None
    assert found[0].name == md5
    assert (found[0] / "run.sh").is_file()


def test_removed_is_gone(programs: Programs, tmp_path: Path) -> None:
    added(programs, tmp_path / "a", "one")
    programs.remove(PACKAGE_ID)
    programs.remove(PACKAGE_ID)
    assert programs.get(PACKAGE_ID) is None
    assert list((tmp_path / "programs").iterdir()) == []
