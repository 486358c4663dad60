"""`package pack` and `package check`, and the identifier of a package."""

from __future__ import annotations

import os
import socket
import tarfile
from datetime import datetime
from pathlib import Path

import pytest

from acsmpd import faults
from acsmpd.packages.ids import mint_package_id, package_id_from
from acsmpd.packages.pack import check, pack
from tests.packages.samples import ALGO_YAML, PACKAGE_ID, RUN_SH


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "human"
    (folder / "bin" / "模型").mkdir(parents=True)
    (folder / "algo.yaml").write_text(ALGO_YAML, encoding="utf-8")
    (folder / "bin" / "run.sh").write_bytes(RUN_SH)
    (folder / "bin" / "run.sh").chmod(0o750)
    (folder / "bin" / "模型" / "net.bin").write_bytes(bytes(2000))
    (folder / "bin" / "net").symlink_to("模型/net.bin")
    return folder


def test_a_folder_becomes_a_package_that_passes(tmp_path: Path, source: Path) -> None:
    path = pack(source, tmp_path)
    assert path == tmp_path / f"{PACKAGE_ID}_V1.10.tar"
    judged = check(path)
    assert judged.manifest.id == PACKAGE_ID
    assert [entry.name for entry in judged.members] == [
        "algo.yaml",
        "bin",
        "bin/net",
        "bin/run.sh",
        "bin/模型",
        "bin/模型/net.bin",
    ]
    assert [entry.name for entry in judged.members if entry.executable and entry.kind == "file"] == [
        "bin/run.sh"
    ]
    assert os.listdir(tmp_path).count(path.name) == len([n for n in os.listdir(tmp_path) if "part" in n]) + 1


def test_the_same_content_gives_the_same_bytes(tmp_path: Path, source: Path) -> None:
    first = pack(source, tmp_path / "a.tar").read_bytes()
    os.utime(source / "bin" / "run.sh", (1, 1))
    (source / "bin" / "__pycache__").mkdir()
    (source / "bin" / "__pycache__" / "x.pyc").write_bytes(b"x")
    os.link(source / "bin" / "run.sh", tmp_path / "linked")
    assert pack(source, tmp_path / "b.tar").read_bytes() == first
    with tarfile.open(tmp_path / "a.tar") as archive:
        assert {(m.mtime, m.uid, m.gid, m.uname, m.gname) for m in archive} == {(0, 0, 0, "", "")}


def test_the_name_without_an_id_and_in_the_current_folder(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = ALGO_YAML.replace(f'id: "{PACKAGE_ID}"', "").replace("version: 1.10", "version: 1/0 b")
    (source / "algo.yaml").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert pack(source) == tmp_path / "human-struct_V1-0-b.tar"


def test_packing_into_the_folder_itself_does_not_pack_the_package(source: Path) -> None:
    first = pack(source, source).read_bytes()
    assert pack(source, source).read_bytes() == first


def left_nothing(folder: Path, source: Path) -> str:
    with pytest.raises(faults.InvalidPackage) as caught:
        pack(source, folder / "out.tar")
    assert [name for name in os.listdir(folder) if "out.tar" in name] == []
    return caught.value.message


def test_the_description_is_checked_first(tmp_path: Path, source: Path) -> None:
    (source / "algo.yaml").write_text("name: x")
    assert left_nothing(tmp_path, source) == "algo.yaml: bin.type: required, but missing"
    (source / "algo.yaml").unlink()
    assert left_nothing(tmp_path, source) == f"cannot read {source}/algo.yaml: No such file or directory"


def test_a_folder_that_would_not_pass(tmp_path: Path, source: Path) -> None:
    (source / "bin" / "out").symlink_to("/etc/passwd")
    assert left_nothing(tmp_path, source) == "out.tar: bin/out: a link that leaves its folder: /etc/passwd"
    (source / "bin" / "out").unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(source / "bin" / "s"))
        assert (
            left_nothing(tmp_path, source)
            == f"cannot pack {source}/bin/s: neither a file, a folder nor a link"
        )


def test_a_name_that_is_not_utf8(tmp_path: Path, source: Path) -> None:
    (source / "bin" / os.fsdecode(b"\xb2\xe2")).write_bytes(b"x")
    assert left_nothing(tmp_path, source) == "out.tar: bin/\\udcb2\\udce2: the name is not UTF-8"


def test_an_earlier_package_stays_when_packing_fails(tmp_path: Path, source: Path) -> None:
    before = pack(source, tmp_path / "kept.tar").read_bytes()
    (source / "bin" / "out").symlink_to("/etc")
    with pytest.raises(faults.InvalidPackage):
        pack(source, tmp_path / "kept.tar")
    assert (tmp_path / "kept.tar").read_bytes() == before


def test_a_full_disk(source: Path, small_disk: Path) -> None:
    (source / "bin" / "big").write_bytes(bytes(3 * 1024 * 1024))
    with pytest.raises(faults.NoSpace) as caught:
        pack(source, small_disk / "out.tar")
    assert caught.value.message == f"cannot write {small_disk}/out.tar: no space left"
    assert os.listdir(small_disk) == []


# --- identifiers -----------------------------------------------------------------------------------

OTHER = "9" * 40


@pytest.mark.parametrize(
    ("manifest_id", "file_name", "expected"),
    [
        (PACKAGE_ID, f"{OTHER}_V1.tar", PACKAGE_ID),
        (None, f"{OTHER}_V1.0.0.tar", OTHER),
        (None, f"{OTHER}_V1.tar.gz", OTHER),
        (None, f"C:\\fakepath\\{OTHER}_V1.tar", OTHER),
        (None, f"../x/{OTHER}_V1.TAR", OTHER),
        (None, f"{OTHER}.tar", "minted"),
        (None, f"{OTHER}_V.tar", "minted"),
        (None, f"{OTHER}0_V1.tar", "minted"),
        (None, "", "minted"),
        ("", "human.tar", "minted"),
    ],
)
def test_where_an_id_comes_from(manifest_id: str | None, file_name: str, expected: str) -> None:
    assert package_id_from(manifest_id, file_name, lambda: "minted") == expected


def test_a_minted_id() -> None:
    moment = datetime(2023, 10, 12, 20, 36, 30)
    assert mint_package_id("11000000005020000000", moment, 102) == "1100000000502000000020231012203630000102"
    assert mint_package_id("11000000005020000000", moment, 1_000_003)[-6:] == "000003"
    with pytest.raises(ValueError, match="the site code has 20 digits, not '1'"):
        mint_package_id("1", moment, 0)
