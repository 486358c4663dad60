"""The executable of a package as a file of its own: an archive as it is, a folder as a tar."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import pytest
import yaml

from acsmpd import faults
from acsmpd.packages import takeout
from acsmpd.packages.executable import KEPT, Executables, ProgramFile, place_of
from tests.support.packaging import PACKAGE_ID, make_package, md5_of, write_tar

ABILITY = {"code": "A-1", "name": "a", "data_type": "ALERT", "task_types": ["VIDEO_REALTIME"]}
DESCRIPTION = {"name": "a", "version": "1", "provider": "p", "abilities": [ABILITY]}


def image_tar() -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        entry = tarfile.TarInfo("layer")
        entry.size = 5
        tar.addfile(entry, io.BytesIO(b"bytes"))
    return raw.getvalue()


def image(folder: Path, top: str = "", **about: str) -> Path:
    path = folder / "image.tar"
    described = yaml.safe_dump({**DESCRIPTION, "bin": {"type": "image", **about}})
    files: dict[str, str | bytes] = {f"{top}algo.yaml": described}
    if "local_uri" in about:
        files[f"{top}{about['local_uri']}"] = image_tar()
    write_tar(path, files)
    return path


def made(folder: Path, package: Path) -> tuple[ProgramFile, Path]:
    found = Executables(folder).make(PACKAGE_ID, package, md5_of(package))
    return found, place_of(folder, PACKAGE_ID, md5_of(package))


@pytest.mark.parametrize("top", ["", "one/"])
def test_an_image_inside_is_taken_as_it_is(tmp_path: Path, top: str) -> None:
    found, path = made(tmp_path / "made", image(tmp_path, top, local_uri="bin/human.tar"))
    assert path.read_bytes() == image_tar()
    assert found == ("image", "human.tar", hashlib.md5(image_tar()).hexdigest())


def test_a_folder_becomes_a_tar(tmp_path: Path) -> None:
    package = make_package(tmp_path, program={"run.sh": "#!/bin/sh\n", "lib/a.txt": "data"})
    found, path = made(tmp_path / "made", package)
    assert (found.kind, found.name, found.md5) == ("artifact", "bin.tar", md5_of(path))
    with tarfile.open(path) as tar:
        held = {one.name: (one.mode, tar.extractfile(one).read()) for one in tar if one.isfile()}  # type: ignore[union-attr]
    assert held == {"run.sh": (0o755, b"#!/bin/sh\n"), "lib/a.txt": (0o644, b"data")}
    again, _ = made(tmp_path / "again", package)
    assert again == found


def test_an_image_of_a_registry_has_none(tmp_path: Path) -> None:
    with pytest.raises(faults.InvalidPackage, match=r"fetched from bin\.remote_uri"):
        made(tmp_path / "made", image(tmp_path, remote_uri="r:5000/a:1"))
    assert list((tmp_path / "made").iterdir()) == []


def test_what_is_no_package_leaves_nothing(tmp_path: Path) -> None:
    bad = tmp_path / "bad.tar"
    bad.write_bytes(b"no tar at all")
    with pytest.raises(faults.InvalidPackage):
        made(tmp_path / "made", bad)
    assert list((tmp_path / "made").iterdir()) == []


def test_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(takeout, "free_bytes", lambda _folder: 10)
    with pytest.raises(faults.NoSpace, match="10 free"):
        made(tmp_path / "made", make_package(tmp_path))
    assert list((tmp_path / "made").iterdir()) == []


def test_only_the_last_ones_are_kept_and_none_over_a_start(tmp_path: Path) -> None:
    package, place = make_package(tmp_path), tmp_path / "made"
    some = Executables(place)
    for number in range(KEPT + 3):
        some.make(f"{number:040d}", package, "a" * 32)
    assert sorted(one.name[38:40] for one in place.iterdir()) == [f"{one:02d}" for one in range(3, KEPT + 3)]
    Executables(place)
    assert list(place.iterdir()) == []
