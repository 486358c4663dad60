"""Judging package files: everything that must not pass, with the words it is refused with."""

from __future__ import annotations

import gzip
import io
import os
import random
import struct
import sys
import tarfile
import time
import tracemalloc
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acsmpd import faults
from acsmpd.packages import bytestream
from acsmpd.packages.archive import Judged, judge
from acsmpd.packages.bytestream import MIB, Limits
from tests.packages.samples import (
    ALGO_YAML,
    Member,
    checksummed,
    good,
    image_yaml,
    link,
    member,
    put,
    tar,
)


def refusal(folder: Path, content: bytes, limits: Limits = bytestream.DEFAULTS) -> str:
    path = put(folder, content)
    with pytest.raises(faults.InvalidPackage) as caught:
        judge(path, limits)
    assert path.read_bytes() == content
    assert os.listdir(folder) == [path.name]
    return caught.value.message


def accepted(folder: Path, content: bytes, limits: Limits = bytestream.DEFAULTS) -> Judged:
    return judge(put(folder, content), limits)


# --- what passes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("tar_format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_a_good_package(tmp_path: Path, tar_format: int) -> None:
    judged = accepted(tmp_path, tar(*good(), tar_format=tar_format))
    assert judged.manifest.name == "human-struct"
    assert [(entry.name, entry.size) for entry in judged.members[1:]] == [
        ("bin/run.sh", 20),
        ("bin/models/net.bin", 3000),
    ]
    assert judged.unpacked_bytes == len(ALGO_YAML.encode()) + 3020
    assert (judged.root, judged.compression, judged.executable) == ("", None, "folder")


@pytest.mark.parametrize("top", ["./", "human/", "./human/"])
def test_algo_yaml_may_lie_in_a_single_top_folder(tmp_path: Path, top: str) -> None:
    folder = member(top.rstrip("/"), kind=tarfile.DIRTYPE, mode=0o755)
    judged = accepted(tmp_path, tar(folder, *good(top=top)))
    assert judged.root == ("human" if "human" in top else "")
    assert judged.executable == "folder"


def test_long_and_chinese_names(tmp_path: Path) -> None:
    name = "bin/" + "模型" * 40 + "/" + "n" * 200
    for tar_format in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        judged = accepted(tmp_path, tar(*good(member(name, b"x")), tar_format=tar_format))
        assert judged.members[-1].name == name


def test_gzip_of_one_or_several_frames(tmp_path: Path) -> None:
    raw = tar(*good())
    whole = gzip.compress(raw)
    in_two = gzip.compress(raw[:700]) + gzip.compress(raw[700:]) + bytes(512)
    for content in (whole, in_two):
        judged = accepted(tmp_path, content)
        assert (judged.compression, len(judged.members)) == ("gzip", 3)


def test_zstd_where_a_reader_exists(tmp_path: Path) -> None:
    zstd = pytest.importorskip("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
    raw = tar(*good())
    content = zstd.compress(raw[:700]) + b"\x50\x2a\x4d\x18\x01\x00\x00\x00x" + zstd.compress(raw[700:])
    assert accepted(tmp_path, content).compression == "zstd"
    assert refusal(tmp_path, content[:-9]) == "human.tar: truncated: the compressed data ends too early"
    assert "times its size" in refusal(tmp_path, zstd.compress(tar(*good(member("bin/z", bytes(9 * MIB))))))


def test_zstd_without_a_reader_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("compression.zstd", "backports.zstd"):
        monkeypatch.setitem(sys.modules, name, None)
    assert refusal(tmp_path, b"\x28\xb5\x2f\xfd" + bytes(600)) == (
        "human.tar: compressed with zstd, which this Python cannot read (3.14 can): "
        "pack it as .tar or .tar.gz"
    )


def test_links_that_stay_inside(tmp_path: Path) -> None:
    judged = accepted(
        tmp_path,
        tar(
            *good(
                link("bin/lib/a.so", "../models/net.bin"), link("bin/b.so", "lib/a.so"), link("bin/self", ".")
            )
        ),
    )
    assert [entry.target for entry in judged.members if entry.kind == "link"] == [
        "../models/net.bin",
        "lib/a.so",
        ".",
    ]


def test_a_folder_may_be_listed_twice(tmp_path: Path) -> None:
    folder = member("bin", kind=tarfile.DIRTYPE)
    assert len(accepted(tmp_path, tar(folder, *good(folder))).members) == 4


def test_the_program_may_be_an_archive_in_the_package(tmp_path: Path) -> None:
    yaml = ALGO_YAML.replace("local_uri: bin", "local_uri: bin/human.tgz")
    inner = tar(member("run.sh", b"x"), form="gz")
    content = tar(member("algo.yaml", yaml.encode()), member("bin/human.tgz", inner))
    for form in (content, gzip.compress(content)):
        assert accepted(tmp_path, form).executable == "archive"


def test_an_image_package(tmp_path: Path) -> None:
    here = image_yaml("  type: image\n  local_uri: human.tar\n").encode()
    both = image_yaml("  type: image\n  remote_uri: registry/a\n  local_uri: human.tar\n").encode()
    image = member("human.tar", tar(member("manifest.json", b"[]")))
    assert accepted(tmp_path, tar(member("algo.yaml", here), image)).executable == "archive"
    away = image_yaml("  type: image\n  remote_uri: registry/a\n").encode()
    assert accepted(tmp_path, tar(member("algo.yaml", both))).executable == "remote"
    assert accepted(tmp_path, tar(member("algo.yaml", away))).executable == "remote"
    in_folder = tar(member("algo.yaml", here), member("human.tar/x", b"x"))
    assert refusal(tmp_path, in_folder) == "human.tar: bin.local_uri: human.tar is not an image archive"
    assert refusal(tmp_path, tar(member("algo.yaml", here), member("human.tar", b"no tar"))) == (
        "human.tar: bin.local_uri: human.tar is not an image archive"
    )


def test_a_package_without_its_program(tmp_path: Path) -> None:
    content = tar(member("algo.yaml", ALGO_YAML.encode()))
    assert refusal(tmp_path, content) == "human.tar: bin.local_uri: bin is not in the package"
    assert judge(tmp_path / "human.tar", need_executable=False).executable == "missing"


def test_a_program_that_is_neither_folder_nor_archive(tmp_path: Path) -> None:
    assert refusal(tmp_path, tar(member("algo.yaml", ALGO_YAML.encode()), member("bin", b"\x7fELF"))) == (
        "human.tar: bin.local_uri: bin is not a folder or an archive"
    )
    content = tar(*good(link("prog", "bin"), yaml=ALGO_YAML.replace("local_uri: bin", "local_uri: prog")))
    assert refusal(tmp_path, content) == "human.tar: bin.local_uri: prog is a link"


def test_faults_name_the_file_the_caller_knows(tmp_path: Path) -> None:
    path = put(tmp_path, b"", "8c1f.part")
    with pytest.raises(faults.InvalidPackage) as caught:
        judge(path, shown="human_V1.tar")
    assert caught.value.message == "human_V1.tar: empty"


# --- not a tar, not whole --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content", [b"PK\x03\x04" + bytes(600), b"#!/bin/sh\n" * 100, b"\xff" * 2048, b"short"]
)
def test_not_a_tar(tmp_path: Path, content: bytes) -> None:
    assert refusal(tmp_path, content) == "human.tar: not a tar archive (or cut off in its first header)"


def test_gzip_of_something_else(tmp_path: Path) -> None:
    reason = "human.tar: not a tar archive (or cut off in its first header)"
    assert refusal(tmp_path, gzip.compress(b"hello" * 500)) == reason
    assert refusal(tmp_path, gzip.compress(b"")) == "human.tar: empty"


def test_no_such_file_and_no_file_at_all(tmp_path: Path) -> None:
    with pytest.raises(
        faults.InvalidPackage, match=r"^gone.tar: cannot be opened: No such file or directory$"
    ):
        judge(tmp_path / "gone.tar")
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(faults.InvalidPackage) as caught:
            judge(path)
        assert caught.value.message == f"{path.name}: not a regular file"


RAW = tar(*good())


@pytest.mark.parametrize("cut", [513, 1024, 2500, 4096])
def test_a_truncated_tar(tmp_path: Path, cut: int) -> None:
    assert cut < len(RAW.rstrip(b"\0"))
    assert refusal(tmp_path, RAW[:cut]).startswith("human.tar: truncated: it ends ")


def test_truncated_exactly_between_two_members(tmp_path: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(RAW)) as archive:
        border = archive.getmembers()[2].offset
    assert refusal(tmp_path, RAW[:border]) == "human.tar: truncated: it ends without the end mark of a tar"


def test_every_truncation_of_a_gzip(tmp_path: Path) -> None:
    whole = gzip.compress(RAW)
    for cut in range(20, len(whole), 37):
        assert "truncated: the compressed data ends too early" in refusal(tmp_path, whole[:cut])


def test_a_damaged_gzip(tmp_path: Path) -> None:
    whole = bytearray(gzip.compress(RAW))
    whole[-6] ^= 1
    assert "human.tar: damaged: cannot decompress (gzip): " in refusal(tmp_path, bytes(whole))


def test_data_after_the_end(tmp_path: Path) -> None:
    assert refusal(tmp_path, RAW + RAW) == "human.tar: there is data after the end mark of the tar"
    assert refusal(tmp_path, gzip.compress(RAW) + b"signature") == (
        "human.tar: there is data after the end of the compressed stream"
    )


# --- the description -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "members",
    [
        [],
        [member("bin/run.sh", b"x")],
        [member("a/b/algo.yaml", ALGO_YAML.encode())],
        [member("a/algo.yaml", ALGO_YAML.encode()), member("b/run.sh", b"x")],
        [member("a/algo.yaml", ALGO_YAML.encode()), member("run.sh", b"x")],
        [member("algo.yaml", kind=tarfile.DIRTYPE)],
        [member("x.yaml", ALGO_YAML.encode()), link("algo.yaml", "x.yaml")],
    ],
    ids=range(7),
)
def test_no_algo_yaml(tmp_path: Path, members: list[Member]) -> None:
    assert (
        refusal(tmp_path, tar(*members)) == "human.tar: no algo.yaml at its top or in its single top folder"
    )


def test_two_algo_yaml(tmp_path: Path) -> None:
    assert refusal(tmp_path, tar(*good(member("bin/algo.yaml", b"x: 1")))) == (
        "human.tar: two descriptions: algo.yaml and bin/algo.yaml"
    )


def test_a_program_may_have_an_algo_yaml_of_its_own(tmp_path: Path) -> None:
    content = tar(*good(member("bin/conf/algo.yaml", b"x: 1"), member("doc/readme", b"")))
    assert accepted(tmp_path, content).root == ""


def test_an_algo_yaml_over_its_cap(tmp_path: Path) -> None:
    content = tar(*good(yaml=ALGO_YAML + "#" * MIB))
    assert refusal(tmp_path, content) == "human.tar: algo.yaml: larger than 1048576 bytes"


def test_a_fault_in_algo_yaml_names_file_member_and_place(tmp_path: Path) -> None:
    content = tar(*good(yaml=ALGO_YAML.replace("data_type: ALERT", "data_type: X")))
    assert refusal(tmp_path, content) == (
        "human.tar: algo.yaml: abilities[0].data_type: 'X' is none of STRUCTURING, ALERT, STATISTICS, OTHER"
    )


def test_a_yaml_bomb(tmp_path: Path) -> None:
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{name}: &{name} [{','.join(['*' + last] * 9)}]\n"
        for last, name in zip("abcdefgh", "bcdefghi", strict=True)
    )
    assert refusal(tmp_path, tar(*good(yaml=bomb))) == (
        "human.tar: algo.yaml: line 1: YAML anchors and aliases are not accepted"
    )


# --- names, kinds, links ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../evil", "../evil: the path leaves the package (..)"),
        ("bin/../../evil", "bin/../../evil: the path leaves the package (..)"),
        ("bin/..", "bin/..: the path leaves the package (..)"),
        ("/etc/passwd", "/etc/passwd: an absolute path"),
        ("//etc/passwd", "//etc/passwd: an absolute path"),
        ("bin/a\nb", "bin/a\\x0ab: the name holds a control character"),
        ("bin/\x1b[2J", "bin/\\x1b[2J: the name holds a control character"),
        ("bin/\udcff", "bin/\\udcff: the name is not UTF-8"),
        ("bin/run.sh", "bin/run.sh: stands twice in the archive"),
        ("./bin//run.sh", "bin/run.sh: stands twice in the archive"),
        ("bin/run.sh/x", "bin/run.sh/x: lies below bin/run.sh, a file"),
        ("d/" * 64 + "x", "d/" * 64 + "x: more than 64 folders deep"),
        ("bin/" + "n" * 256, f"bin/{'n' * 193}...: a part of the name is longer than 255 bytes"),
        ("bin/" + "n/" * 2100, f"bin/{'n/' * 96}n...: the name is longer than 4096 bytes"),
        (".", "member 4: a file named like a folder: ."),
    ],
    ids=lambda value: repr(value)[:24],
)
@pytest.mark.parametrize("tar_format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_a_bad_name(tmp_path: Path, name: str, reason: str, tar_format: int) -> None:
    assert refusal(tmp_path, tar(*good(member(name, b"x")), tar_format=tar_format)) == f"human.tar: {reason}"


def test_a_name_with_nul(tmp_path: Path) -> None:
    info, content = member("bin/x", b"x")
    info.pax_headers = {"path": "bin/a\0b"}
    assert refusal(tmp_path, tar(*good((info, content)))) == (
        "human.tar: bin/a\\x00b: the name holds a control character"
    )


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (tarfile.CHRTYPE, "a character device has no place in a package"),
        (tarfile.BLKTYPE, "a block device has no place in a package"),
        (tarfile.FIFOTYPE, "a named pipe has no place in a package"),
        (tarfile.LNKTYPE, "a hard link (pack with --hard-dereference) has no place in a package"),
        (tarfile.GNUTYPE_SPARSE, "a sparse file (pack without --sparse) has no place in a package"),
        (b"V", "of an unknown kind (b'V') has no place in a package"),
    ],
)
def test_a_member_of_another_kind(tmp_path: Path, kind: bytes, reason: str) -> None:
    assert refusal(tmp_path, tar(*good(link("bin/x", "bin/run.sh", kind)))) == f"human.tar: bin/x: {reason}"


@pytest.mark.parametrize("keys", ["GNU.sparse.map", "GNU.sparse.major", "GNU.sparse.size"])
def test_a_sparse_file_in_pax_form(tmp_path: Path, keys: str) -> None:
    info, content = member("bin/x", b"x")
    info.pax_headers = {keys: "1"}
    assert (
        refusal(tmp_path, tar(*good((info, content)))) == "human.tar: a sparse file (pack without --sparse)"
    )


@pytest.mark.parametrize(
    ("links", "at"),
    [
        ([("bin/x", "/etc/passwd")], "bin/x: a link that leaves its folder: /etc/passwd"),
        ([("bin/x", "../../etc")], "bin/x: a link that leaves its folder: ../../etc"),
        ([("x", "..")], "x: a link that leaves its folder: .."),
        # Written out, x leads to "a", but the kernel follows up first and ends above the package.
        ([("bin/a/up", "../.."), ("x", "bin/a/up/../a")], "x: a link that leaves its folder: bin/a/up/../a"),
        ([("x", "y"), ("y", "x")], "x: a link that leads in a circle"),
        ([("x", "x/a")], "x: a link that leads in a circle"),
        # Inside the package, but the program is unpacked without what lies beside it.
        ([("bin/x", "../algo.yaml")], "bin/x: a link that leaves its folder: ../algo.yaml"),
    ],
    ids=range(7),
)
def test_a_link_that_leads_out(tmp_path: Path, links: list[tuple[str, str]], at: str) -> None:
    members = [link(name, target) for name, target in links]
    assert refusal(tmp_path, tar(*good(*members))) == f"human.tar: {at}"


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("", "a link that leads nowhere"),
        ("a\0b", "its link target is not a path"),
        ("\udcff", "its link target is not UTF-8"),
        ("a" * 4097, "its link target is not a path"),
    ],
    ids=range(4),
)
def test_a_link_target_that_is_none(tmp_path: Path, target: str, reason: str) -> None:
    info, content = link("bin/x", "")
    info.pax_headers = {"linkpath": target} if target else {}
    assert refusal(tmp_path, tar(*good((info, content)))) == f"human.tar: bin/x: {reason}"


def test_a_member_behind_a_link(tmp_path: Path) -> None:
    content = tar(*good(link("bin/lib", "models"), member("bin/lib/evil", b"x")))
    assert refusal(tmp_path, content) == "human.tar: bin/lib/evil: lies below bin/lib, a link"


def test_links_too_tangled_to_follow(tmp_path: Path) -> None:
    ring = [link(f"l{n}", "a/../" * 700 + f"l{n + 1}") for n in range(39)]
    many = [link(f"m{n}", "l0") for n in range(200)]
    began = time.monotonic()
    reason = refusal(tmp_path, tar(*good(*ring, *many)))
    assert reason.endswith("the links of this package are too tangled to follow")
    assert time.monotonic() - began < 10


# --- numbers that lie ------------------------------------------------------------------------------


def header(name: str, size_field: bytes, kind: bytes = tarfile.REGTYPE) -> bytes:
    block = bytearray(member(name)[0].tobuf(tarfile.GNU_FORMAT))
    block[124:136] = size_field
    block[156:157] = kind
    return checksummed(block)


def base256(number: int) -> bytes:
    return struct.pack(">B", 0x80 if number >= 0 else 0xFF) + number.to_bytes(11, "big", signed=True)


@pytest.mark.parametrize("number", [-512, -1024, -1, -(2**60)])
def test_a_negative_size_does_not_turn_back(tmp_path: Path, number: int) -> None:
    content = (
        RAW[: RAW.rindex(b"\x01" * 8) // 512 * 512 + 512] + header("bin/x", base256(number)) + bytes(2048)
    )
    assert refusal(tmp_path, content) == "human.tar: bin/x: a negative size in the tar header"


def test_a_size_in_a_pax_header_counts(tmp_path: Path) -> None:
    """As tools write it for files over 8 GiB; the size in the old field is then of no account."""
    content = extension(tarfile.XHDTYPE, b"13 size=1000\n") + header("bin/x", b"%011o\0" % 0) + bytes(1024)
    assert ("bin/x", 1000) in [
        (entry.name, entry.size) for entry in accepted(tmp_path, content + RAW).members
    ]


def extension(kind: bytes, content: bytes) -> bytes:
    return header("x", b"%011o\0" % len(content), kind) + content.ljust(-(-len(content) // 512) * 512, b"\0")


@pytest.mark.parametrize("record", [b"13 size=-512\n", b"11 size=-1\n", b"8 size=\n", b"12 size=1_0\n"])
def test_a_wrong_size_in_a_pax_header(tmp_path: Path, record: bytes) -> None:
    assert len(record) == int(record.split()[0])
    assert refusal(tmp_path, extension(tarfile.XHDTYPE, record) + RAW) == (
        "human.tar: an extension header gives a size that is no number"
    )


@pytest.mark.parametrize(
    "record",
    [b"0 path=x\n", b"99999999 path=x\n", b"500 path=x\n", b"8 path=x\n", b"4 path=x\n", b"path=x\n"],
)
def test_a_damaged_pax_header(tmp_path: Path, record: bytes) -> None:
    assert refusal(tmp_path, extension(tarfile.XHDTYPE, record) + RAW) == (
        "human.tar: a damaged extension header (PAX)"
    )


def test_an_extension_header_of_absurd_size(tmp_path: Path) -> None:
    for kind in (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK):
        content = header("x", base256(2**40), kind) + RAW
        assert refusal(tmp_path, content) == (
            f"human.tar: member 1: an extension header of {2**40} bytes, over 1048576"
        )


def test_extension_headers_without_end(tmp_path: Path) -> None:
    content = header("x", b"%011o\0" % 0, tarfile.XGLTYPE) * 100 + RAW
    assert refusal(tmp_path, content) == "human.tar: member 1: more than 8 extension headers"


def test_a_global_header_that_renames_everything(tmp_path: Path) -> None:
    pax = extension(tarfile.XGLTYPE, b"15 path=algo.x\n")
    assert refusal(tmp_path, pax + RAW) == "human.tar: a global extension header sets path for every member"


def test_a_size_larger_than_the_file(tmp_path: Path) -> None:
    content = header("algo.yaml", b"%011o\0" % 5000) + bytes(1024)
    assert refusal(tmp_path, content) == "human.tar: truncated: it ends in the middle of a member"


def test_a_folder_with_content(tmp_path: Path) -> None:
    content = header("bin", b"%011o\0" % 512, tarfile.DIRTYPE) + bytes(512) + RAW
    assert refusal(tmp_path, content) == "human.tar: bin: a folder with 512 bytes of content"


def test_a_header_with_a_wrong_checksum(tmp_path: Path) -> None:
    content = bytearray(RAW)
    at = RAW.index(b"bin/run.sh")
    content[at] = 0x63
    assert refusal(tmp_path, bytes(content)) == "human.tar: member 2: damaged tar header: bad checksum"


# --- too much --------------------------------------------------------------------------------------


def test_a_hundred_thousand_members(tmp_path: Path) -> None:
    block = bytearray(header("00000000", b"%011o\0" % 0))
    least = int(block[148:154], 8) - 8 * ord("0")
    blocks = []
    for number in range(100_000):
        block[:8] = b"%08d" % number
        block[148:154] = b"%06o" % (least + sum(block[:8]))
        blocks.append(bytes(block))
    began = time.monotonic()
    assert refusal(tmp_path, b"".join(blocks) + bytes(1024)) == "human.tar: more than 20000 members"
    assert time.monotonic() - began < 10


def test_many_folders_that_no_member_names(tmp_path: Path) -> None:
    members = [member(f"{n}/" + "d/" * 30 + "x") for n in range(1000)]
    assert refusal(tmp_path, tar(*good(*members))) == "human.tar: more than 20000 folders"


def test_names_larger_than_memory_allows(tmp_path: Path) -> None:
    members = [member(f"bin/{n}" + ("/" + "n" * 250) * 8) for n in range(20)]
    assert refusal(tmp_path, tar(*good(*members)), Limits(max_names_bytes=30_000)) == (
        "human.tar: more than 30000 bytes of names"
    )


def test_more_than_may_be_unpacked_is_told_by_the_header(tmp_path: Path) -> None:
    path = put(tmp_path, RAW[:-10240] + header("bin/huge", base256(17 * 1024 * MIB)) + bytes(1024))
    with pytest.raises(faults.TooLarge) as caught:
        judge(path)
    assert caught.value.message == "human.tar: unpacks to more than 17179869184 bytes"
    with pytest.raises(faults.TooLarge, match="unpacks to more than 3000 bytes"):
        judge(put(tmp_path, RAW), Limits(max_unpacked_bytes=3000))


def test_a_bomb_is_refused_while_it_is_small(tmp_path: Path) -> None:
    bomb = zeros_in_gzip(60 * MIB)
    assert len(bomb) < MIB // 4
    began = time.monotonic()
    assert refusal(tmp_path, bomb) == "human.tar: unpacks to more than 200 times its size"
    assert time.monotonic() - began < 5


def test_a_bomb_of_headers_alone_is_bounded(tmp_path: Path) -> None:
    packer = zlib.compressobj(9, wbits=31)
    one = header("x", b"%011o\0" % 0, tarfile.XGLTYPE) * 8 + header("f", b"%011o\0" % 0)
    content = b"".join(packer.compress(one) for _ in range(1000)) + packer.flush()
    reason = refusal(tmp_path, content)
    assert reason in (
        "human.tar: f: stands twice in the archive",
        "human.tar: unpacks to more than 200 times its size",
    )


def test_growth_is_bounded_even_where_the_ratio_is_fine(tmp_path: Path) -> None:
    limits = Limits(max_unpacked_bytes=MIB, max_members=10, max_ratio=10**6)
    in_headers = gzip.compress(extension(tarfile.XGLTYPE, b"10 a=bcde\n" * 90_000) * 4 + RAW)
    in_a_file = gzip.compress(tar(*good(member("bin/x", bytes(4 * MIB)))))
    for content in (in_headers, in_a_file):
        with pytest.raises(faults.TooLarge, match=r"^human\.tar: unpacks to more than 1048576 bytes$"):
            judge(put(tmp_path, content), limits)


def test_a_bomb_inside_the_program_archive(tmp_path: Path) -> None:
    yaml = ALGO_YAML.replace("local_uri: bin", "local_uri: bin/p.tar.gz")
    content = tar(member("algo.yaml", yaml.encode()), member("bin/p.tar.gz", zeros_in_gzip(30 * MIB)))
    assert refusal(tmp_path, content) == ("human.tar: bin/p.tar.gz: unpacks to more than 200 times its size")


def test_a_bad_name_inside_the_program_archive(tmp_path: Path) -> None:
    yaml = ALGO_YAML.replace("local_uri: bin", "local_uri: bin/p.tar")
    content = tar(member("algo.yaml", yaml.encode()), member("bin/p.tar", tar(member("../x"))))
    assert refusal(tmp_path, content) == "human.tar: bin/p.tar: ../x: the path leaves the package (..)"


def zeros_in_gzip(size: int) -> bytes:
    """A gzip of a tar whose one member is `size` zeros, made without ever holding them."""
    packer = zlib.compressobj(4, wbits=31)
    found = [packer.compress(header("bin/zeros", b"%011o\0" % size))]
    block = bytes(MIB)
    found += [packer.compress(block) for _ in range(size // MIB)]
    return b"".join([*found, packer.compress(bytes(1024)), packer.flush()])


def test_memory_stays_small_for_a_large_package(tmp_path: Path) -> None:
    path = tmp_path / "large.tar"
    size = 600 * MIB
    with path.open("wb") as file:
        file.write(RAW.rstrip(b"\0").ljust(-(-len(RAW.rstrip(b"\0")) // 512) * 512, b"\0"))
        file.write(header("bin/large", b"%011o\0" % size))
        file.seek(size, os.SEEK_CUR)
        file.write(bytes(1024))
    squeezed = put(tmp_path, zeros_in_gzip(40 * MIB), "zeros.tar.gz")
    tracemalloc.start()
    try:
        assert judge(path).unpacked_bytes > size
        with pytest.raises(faults.InvalidPackage, match=r"no algo\.yaml"):
            judge(squeezed, Limits(max_ratio=10**6))
        assert tracemalloc.get_traced_memory()[1] < 4 * MIB
    finally:
        tracemalloc.stop()


# --- anything at all -------------------------------------------------------------------------------

SEEDS = [
    RAW,
    tar(*good(link("bin/l", "run.sh"), member("bin/" + "n" * 150, b"x")), tar_format=tarfile.GNU_FORMAT),
    tar(*good(member("bin/" + "长" * 60, b"x"))),
    gzip.compress(RAW),
]


def survives(path: Path, content: bytes) -> None:
    """It passes or is refused with a fault that names the file; anything else fails the test."""
    path.write_bytes(content)
    message = "fuzz.tar: "
    try:
        judge(path)
    except faults.Fault as fault:
        message = fault.message
    assert message.startswith("fuzz.tar: ")


@settings(max_examples=300, deadline=5000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_random_damage_only_ever_gives_a_fault(tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from(SEEDS)))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(content) - 1))
        piece = data.draw(st.binary(min_size=1, max_size=12))
        content[at : at + len(piece)] = piece
    survives(tmp_path / "fuzz.tar", bytes(content[: data.draw(st.integers(1, len(content)))]))


def test_damaged_headers_with_right_checksums_only_ever_give_a_fault(tmp_path: Path) -> None:
    """Random damage mostly dies at the checksum; here the checksum is made right again."""
    source = random.Random(20231012)
    for _ in range(600):
        content = bytearray(source.choice(SEEDS[:3]))
        at = source.choice([n for n in range(0, len(content), 512) if content[n + 257 : n + 262] == b"ustar"])
        block = content[at : at + 512]
        for _ in range(source.randint(1, 4)):
            start = source.choice([0, 100, 124, 125, 156, 157, 257, 345, 386, 482])
            piece = source.randbytes(source.choice([1, 1, 2, 12]))
            block[start : start + len(piece)] = piece
        block[156:157] = source.choice([block[156:157], b"x", b"g", b"L", b"K", b"S", b"1", b"2", b"5", b"X"])
        content[at : at + 512] = checksummed(block)
        survives(tmp_path / "fuzz.tar", bytes(content))
