"""Unpacking a program: what it becomes on disk, and that a failure leaves nothing."""

from __future__ import annotations

import gzip
import os
import stat
import tarfile
from pathlib import Path

import pytest

from acsmpd import faults
from acsmpd.packages import unpack as subject
from acsmpd.packages.bytestream import MIB, Limits
from acsmpd.packages.unpack import sweep_unpacked, unpack
from tests.packages.samples import ALGO_YAML, RUN_SH, Member, good, link, member, put, tar


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "services"
    folder.mkdir()
    return folder / "one"


def package(tmp_path: Path, *more: Member, top: str = "") -> Path:
    return put(tmp_path, tar(*good(*more, top=top)))


@pytest.mark.parametrize("top", ["", "human/"])
@pytest.mark.parametrize("squeeze", [False, True])
def test_a_folder_of_the_package(tmp_path: Path, place: Path, top: str, squeeze: bool) -> None:
    big = os.urandom(3 * MIB + 5)
    content = tar(*good(member(top + "bin/big", big), top=top))
    path = put(tmp_path, gzip.compress(content) if squeeze else content)
    unpack(path, "bin", place)
    found = sorted(str(item.relative_to(place)) for item in place.rglob("*"))
    assert found == ["big", "models", "models/net.bin", "run.sh"]
    assert (place / "run.sh").read_bytes() == RUN_SH
    assert (place / "big").read_bytes() == big


def test_modes_are_made_plain(tmp_path: Path, place: Path) -> None:
    folder = member("bin/models", kind=tarfile.DIRTYPE, mode=0o2777)
    unpack(package(tmp_path, folder), "bin", place)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [place, *place.rglob("*")]}
    assert modes == {"one": 0o755, "run.sh": 0o755, "models": 0o755, "net.bin": 0o644}


def test_links_that_stay_inside_are_made(tmp_path: Path, place: Path) -> None:
    unpack(package(tmp_path, link("bin/lib/net.so", "../models/net.bin")), "bin", place)
    assert os.readlink(place / "lib/net.so") == "../models/net.bin"
    assert (place / "lib/net.so").read_bytes() == b"\x01" * 3000


@pytest.mark.parametrize("outer_form", ["", "gz"])
@pytest.mark.parametrize("inner_form", ["", "gz"])
def test_an_archive_in_the_package(tmp_path: Path, place: Path, outer_form: str, inner_form: str) -> None:
    inner = tar(member("./run.sh", RUN_SH, mode=0o755), member("lib/a", os.urandom(400_000)), form=inner_form)
    outer = [member("algo.yaml", ALGO_YAML.encode()), member("bin/p.tar", inner), member("bin/z", b"z")]
    unpack(put(tmp_path, tar(*outer, form=outer_form)), "bin/p.tar", place)
    assert sorted(os.listdir(place)) == ["lib", "run.sh"]
    assert os.access(place / "run.sh", os.X_OK)


def test_the_whole_package(tmp_path: Path, place: Path) -> None:
    unpack(package(tmp_path), ".", place)
    assert sorted(os.listdir(place)) == ["algo.yaml", "bin"]


def refusal(path: Path, local_uri: str, place: Path, limits: Limits | None = None) -> str:
    with pytest.raises(faults.Fault) as caught:
        unpack(path, local_uri, place, limits or Limits())
    assert os.listdir(place.parent) == []
    return caught.value.message


def test_what_is_not_there(tmp_path: Path, place: Path) -> None:
    path = package(tmp_path)
    reason = "neither a folder nor an archive in the package"
    assert refusal(path, "lib", place) == f"human.tar: lib: {reason}"
    assert refusal(path, "bin/run.sh", place) == f"human.tar: bin/run.sh: {reason}"


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (member("bin/../../x"), "bin/../../x: the path leaves the package (..)"),
        (link("bin/x", "../algo.yaml"), "bin/x: a link that leaves its folder: ../algo.yaml"),
        (
            link("bin/x", "bin/run.sh", tarfile.LNKTYPE),
            "bin/x: a hard link (pack with --hard-dereference) has no place in a package",
        ),
    ],
    ids=range(3),
)
def test_a_bad_member_leaves_nothing(tmp_path: Path, place: Path, bad: Member, reason: str) -> None:
    assert refusal(package(tmp_path, bad), "bin", place) == f"human.tar: {reason}"


def test_a_bad_member_of_the_inner_archive_leaves_nothing(tmp_path: Path, place: Path) -> None:
    inner = tar(member("run.sh", RUN_SH), link("x", "/etc"))
    path = put(tmp_path, tar(member("algo.yaml", ALGO_YAML.encode()), member("p.tar", inner)))
    assert refusal(path, "p.tar", place) == "human.tar: p.tar: x: a link that leaves its folder: /etc"


def test_over_the_cap(tmp_path: Path, place: Path) -> None:
    assert refusal(package(tmp_path), "bin", place, Limits(max_unpacked_bytes=3500)) == (
        "human.tar: unpacks to more than 3500 bytes"
    )


def test_an_existing_folder_is_never_touched(tmp_path: Path, place: Path) -> None:
    place.mkdir()
    (place / "mine").write_text("mine")
    with pytest.raises(faults.Conflict, match="it exists"):
        unpack(package(tmp_path), "bin", place)
    assert os.listdir(place) == ["mine"]


def test_a_failure_in_the_middle_leaves_nothing(
    tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file changes between judging and writing, as on a failing disk."""
    path = package(tmp_path)
    judged = subject._expect_room

    def damage(*given: object) -> None:
        judged(*given)  # type: ignore[arg-type]
        path.write_bytes(path.read_bytes()[:2600])

    monkeypatch.setattr(subject, "_expect_room", damage)
    assert "truncated" in refusal(path, "bin", place)


def test_a_full_disk_is_told_before_anything_is_written(tmp_path: Path, small_disk: Path) -> None:
    path = package(tmp_path, member("bin/big", b"\x07" * (3 * MIB)))
    with pytest.raises(faults.NoSpace, match=r"^cannot unpack: \d+ bytes needed, \d+ free$"):
        unpack(path, "bin", small_disk / "one")
    assert os.listdir(small_disk) == []


def test_a_disk_that_fills_while_unpacking(
    tmp_path: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = package(tmp_path, member("bin/big", b"\x07" * (3 * MIB)))
    monkeypatch.setattr(subject, "free_bytes", lambda _: 10 * MIB)
    with pytest.raises(faults.NoSpace, match="cannot unpack: no space left"):
        unpack(path, "bin", small_disk / "one")
    assert os.listdir(small_disk) == []


def test_leftovers_of_a_killed_unpacking_are_swept(place: Path) -> None:
    left = place.parent / ".unpack-0011223344556677"
    (left / "deep").mkdir(parents=True)
    (left / "deep" / "file").write_text("x")
    place.mkdir()
    assert sweep_unpacked(place.parent) == 1
    assert os.listdir(place.parent) == ["one"]
