"""The image in a package: exactly one, whole, and handed on under our name alone."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from acsmpd import faults
from acsmpd.packages.bytestream import DEFAULTS, Limits
from acsmpd.packages.image import image_chunks, plan_image
from tests.support.images import image_package

NAME = "localhost/acsmpd-0/p:1"
CONFIG = json.dumps({"config": {}, "rootfs": {"type": "layers", "diff_ids": ["sha256:0"]}}).encode()
ENTRY: dict[str, Any] = {"Config": "c.json", "RepoTags": ["theirs:1"], "Layers": ["a/layer.tar"]}


def tar_of(members: dict[str, bytes | str]) -> bytes:
    """A str stands for a symbolic link to it."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as tar:
        for name, content in members.items():
            about = tarfile.TarInfo(name)
            if isinstance(content, str):
                about.type, about.linkname = tarfile.SYMTYPE, content
                tar.addfile(about)
            else:
                about.size = len(content)
                tar.addfile(about, io.BytesIO(content))
    return held.getvalue()


HELD = os.urandom(3000)
LAYER = tar_of({"model": HELD})


def package(folder: Path, raw: bytes) -> Path:
    tar = folder / "image"
    tar.write_bytes(raw)
    return image_package(folder, tar=tar)


def saved(index: Any = (ENTRY,), **more: bytes | str) -> dict[str, bytes | str]:
    """What a saver writes; manifest.json comes last, as with Docker."""
    raw = index if isinstance(index, bytes) else json.dumps(index).encode()
    return {"c.json": CONFIG, "a/layer.tar": LAYER, "repositories": b"{}", **more, "manifest.json": raw}


def handed_on(path: Path, limits: Limits = DEFAULTS) -> dict[str, bytes]:
    plan = plan_image(path, limits)
    raw = io.BytesIO(b"".join(image_chunks(path, plan, NAME, limits)))
    with tarfile.open(fileobj=raw) as tar:
        return {one.name: tar.extractfile(one).read() for one in tar.getmembers()}  # type: ignore[union-attr]


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_only_the_one_image_is_handed_on_and_under_our_name(tmp_path: Path, pack: Any) -> None:
    path = package(tmp_path, pack(tar_of(saved(**{"other.json": b"[]", "stray.tar": b"stray"}))))
    digest = hashlib.sha256(CONFIG).hexdigest()
    assert plan_image(path, DEFAULTS).image_id == f"sha256:{digest}"
    found = handed_on(path)
    assert list(found) == [f"{digest}.json", "layer0.tar", "manifest.json"]
    assert (found[f"{digest}.json"], found["layer0.tar"]) == (CONFIG, LAYER)
    index = [{"Config": f"{digest}.json", "RepoTags": [NAME], "Layers": ["layer0.tar"]}]
    assert json.loads(found["manifest.json"]) == index


def test_a_layer_that_is_written_once_and_linked_to_is_followed(tmp_path: Path) -> None:
    entry = {**ENTRY, "Layers": ["a/layer.tar", "b/layer.tar"]}
    found = handed_on(package(tmp_path, tar_of(saved([entry], **{"b/layer.tar": "../a/layer.tar"}))))
    assert json.loads(found["manifest.json"])[0]["Layers"] == ["layer0.tar", "layer0.tar"]
    assert found["layer0.tar"] == LAYER


def weight(folder: Path, layer: bytes, index: Any = (ENTRY,)) -> int:
    members = saved(index, **{"a/layer.tar": layer})
    return plan_image(package(folder, tar_of(members)), DEFAULTS).unpacked_bytes


def test_layers_weigh_what_they_unpack_to_as_often_as_they_are_stacked(tmp_path: Path) -> None:
    assert weight(tmp_path, LAYER) == weight(tmp_path, gzip.compress(LAYER)) == len(HELD)
    assert weight(tmp_path, LAYER, [{**ENTRY, "Layers": ["a/layer.tar"] * 256}]) == 256 * len(HELD)
    assert weight(tmp_path, tar_of({"{": HELD})) == len(HELD)  # a name that looks like a description
    assert weight(tmp_path, tar_of({"link": "/etc/passwd", "n" * 300: HELD})) == len(HELD)


def _sparse(name: str = "hole") -> bytes:
    about = tarfile.TarInfo(name)
    about.type = tarfile.GNUTYPE_SPARSE
    return about.tobuf(tarfile.GNU_FORMAT) + bytes(1024)


def _sparse_by_extension() -> bytes:
    about = tarfile.TarInfo("hole")
    about.pax_headers = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.realsize": "1" + "0" * 12,
    }
    return about.tobuf(tarfile.PAX_FORMAT) + bytes(1024)


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (_sparse(), "a sparse file"),
        (LAYER[:3584] + _sparse(), "a sparse file"),
        (_sparse_by_extension(), "a sparse file"),
        (gzip.compress(tar_of({"zeros": bytes(100_000_000)})), "more than 200 times its size"),
        (lzma.compress(LAYER), "damaged tar header"),
        (bz2.compress(LAYER), "damaged tar header"),
        (LAYER[:2000], "truncated"),
        (LAYER[:3584] + b"rubbish!" * 64, "damaged tar header"),
        (b"{}", "no layer as docker save writes it"),
    ],
    ids=[
        "sparse",
        "sparse later",
        "sparse by extension",
        "gzip bomb",
        "xz",
        "bzip2",
        "cut",
        "rubbish",
        "text",
    ],
)
def test_a_layer_that_cannot_be_weighed_is_never_handed_on(tmp_path: Path, layer: bytes, words: str) -> None:
    with pytest.raises(faults.InvalidPackage, match=f"a/layer.tar: no layer.*{words}|{words}$"):
        weight(tmp_path, layer)


@pytest.mark.parametrize(
    ("members", "words"),
    [
        (saved([]), "0 images in it"),
        (saved([ENTRY, ENTRY]), "2 images in it"),
        ({"c.json": CONFIG, "a/layer.tar": LAYER}, "no manifest.json"),
        ({"oci-layout": b"{}", "index.json": b"{}"}, "it is an OCI archive"),
        (saved({"Config": "c.json"}), "manifest.json cannot be read"),
        (saved([{"Config": 7, "Layers": []}]), "manifest.json cannot be read"),
        (saved(b"[" * 100_000), "manifest.json cannot be read"),
        (saved(b"<html>"), "no manifest.json"),
        (saved([{**ENTRY, "Layers": []}]), "an image of 0 layers"),
        (saved([{**ENTRY, "Layers": ["a/layer.tar"] * 257}]), "an image of 257 layers"),
        (saved([{**ENTRY, "Layers": ["../../etc/passwd"]}]), "a layer of the image is not in it"),
        (saved([{**ENTRY, "Layers": ["gone.tar"]}]), "gone.tar: a layer of the image is not in it"),
        (saved([{**ENTRY, "Layers": ["l"]}], l="l"), "leads in a circle|a layer of the image is not in it"),
        (saved([{**ENTRY, "Config": "gone.json"}]), "configuration is not in it"),
        ({**saved(), "c.json": b"{}"}, "no configuration of an image"),
        ({**saved(), "c.json": b"{" + b"x" * 100}, "cannot be read"),
        ({**saved(), "c.json": b"{" + b" " * (1 << 20) + b"}"}, "configuration is not in it"),
    ],
)  # fmt: skip
def test_what_is_not_one_image_is_no_valid_package(
    tmp_path: Path, members: dict[str, bytes | str], words: str
) -> None:
    with pytest.raises(faults.InvalidPackage, match=words):
        plan_image(package(tmp_path, tar_of(members)), DEFAULTS)


@pytest.mark.parametrize("cut", [100, 1500, 6000])
def test_an_archive_that_ends_early_is_told(tmp_path: Path, cut: int) -> None:
    with pytest.raises(faults.InvalidPackage):
        plan_image(package(tmp_path, tar_of(saved())[:cut]), DEFAULTS)


def test_an_image_that_is_elsewhere_is_told(tmp_path: Path) -> None:
    with pytest.raises(faults.InvalidPackage, match=r"pulled from bin\.remote_uri"):
        plan_image(image_package(tmp_path, remote_uri="registry:5000/a:1"), DEFAULTS)


def test_descriptions_are_bounded_in_all(tmp_path: Path) -> None:
    many = {f"{number}.json": b"[" + b" " * 1_000_000 for number in range(9)}
    with pytest.raises(faults.InvalidPackage, match="bytes of descriptions"):
        plan_image(package(tmp_path, tar_of({**many, **saved()})), DEFAULTS)
