"""An executable goes into its package, and is judged there as if it had come with it."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from acsmpd import faults
from acsmpd.packages import archive
from acsmpd.packages.bytestream import Limits
from acsmpd.packages.executable import Executables, place_of
from acsmpd.packages.putin import put_in
from tests.packages.samples import ALGO_YAML, PACKAGE_ID, link, member, tar
from tests.support.packaging import md5_of

LIMITS = Limits(max_members=100, max_unpacked_bytes=1 << 20, max_ratio=200)
SCRIPT = b"#!/bin/sh\nexec true\n"


def part(folder: Path, top: str = "", form: str = "") -> Path:
    """The sample package without what bin.local_uri names."""
    path = folder / "part.tar"
    members = [
        member(f"{top}algo.yaml", ALGO_YAML.encode()), member(f"{top}doc/readme.txt", b"words"),
        link(f"{top}doc/link", "readme.txt"),
    ]  # fmt: skip
    path.write_bytes(tar(*members, form=form))
    return path


def program(folder: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    path = folder / "program"
    path.write_bytes(tar(*(members or (member("run.sh", SCRIPT, mode=0o755),))))
    return path


def whole(folder: Path, package: Path, inside: Path) -> Path:
    path = folder / "whole.tar"
    with path.open("wb") as file:
        put_in(package, inside, file, LIMITS)
    return path


@pytest.mark.parametrize(("top", "form"), [("", ""), ("one/", ""), ("", "gz")])
def test_what_was_there_stays_and_the_executable_is_found(tmp_path: Path, top: str, form: str) -> None:
    made = whole(tmp_path, part(tmp_path, top, form), program(tmp_path))
    judged = archive.judge(made, LIMITS)
    assert (judged.executable, judged.root, judged.manifest.id) == ("archive", top.strip("/"), PACKAGE_ID)
    with tarfile.open(made) as found:
        assert [one.name for one in found] == [
            f"{top}algo.yaml", f"{top}doc/readme.txt", f"{top}doc/link", f"{top}bin",
        ]  # fmt: skip
        inner = found.extractfile(f"{top}bin")
        assert inner is not None
        with tarfile.open(fileobj=io.BytesIO(inner.read())) as content:
            assert [(one.name, one.mode) for one in content] == [("run.sh", 0o755)]


def test_what_is_taken_out_of_a_package_goes_into_one_again(tmp_path: Path) -> None:
    complete = tmp_path / "complete.tar"
    complete.write_bytes(
        tar(member("algo.yaml", ALGO_YAML.encode()), member("bin/run.sh", SCRIPT, mode=0o755))
    )
    Executables(tmp_path / "made").make(PACKAGE_ID, complete, md5_of(complete))
    made = whole(tmp_path, part(tmp_path), place_of(tmp_path / "made", PACKAGE_ID, md5_of(complete)))
    assert archive.judge(made, LIMITS).executable == "archive"


@pytest.mark.parametrize(
    "members",
    [
        (member("../evil", b"x"),), (member("/etc/passwd", b"x"),), (link("out", "/etc"),), (link("up", "../.."),),
        (member("a", b"x"), member("a", b"y")), tuple(member(f"f{number}") for number in range(101)),
        (member("big", bytes(1 << 21)),),
    ],
)  # fmt: skip
def test_an_executable_is_judged_as_the_package_is(
    tmp_path: Path, members: tuple[tuple[tarfile.TarInfo, bytes], ...]
) -> None:
    made = whole(tmp_path, part(tmp_path), program(tmp_path, *members))
    with pytest.raises((faults.InvalidPackage, faults.TooLarge)):
        archive.judge(made, LIMITS)


@pytest.mark.parametrize("content", [b"", b"#!/bin/sh\n", b"\x7fELF" + bytes(600)])
def test_a_program_that_is_no_archive_is_not_taken(tmp_path: Path, content: bytes) -> None:
    inside = tmp_path / "program"
    inside.write_bytes(content)
    made = whole(tmp_path, part(tmp_path), inside)
    with pytest.raises(faults.InvalidPackage, match="not a folder or an archive"):
        archive.judge(made, LIMITS)


def test_a_package_that_is_whole_takes_none(tmp_path: Path) -> None:
    first = whole(tmp_path, part(tmp_path), program(tmp_path))
    with (
        pytest.raises(faults.InvalidPackage, match="has its executable already"),
        (tmp_path / "x").open("wb") as file,
    ):
        put_in(first, program(tmp_path), file, LIMITS)


def test_a_part_that_is_no_package_is_refused(tmp_path: Path) -> None:
    (tmp_path / "part.tar").write_bytes(b"no tar")
    with pytest.raises(faults.InvalidPackage), (tmp_path / "x").open("wb") as file:
        put_in(tmp_path / "part.tar", program(tmp_path), file, LIMITS)
