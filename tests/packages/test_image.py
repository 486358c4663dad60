"""The image in a package: exactly one, whole, and handed on under our name alone."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
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
LAYER = b"layer " * 1000
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


def test_compressed_layers_are_reckoned_to_grow(tmp_path: Path) -> None:
    plain = plan_image(package(tmp_path, tar_of(saved())), DEFAULTS).unpacked_bytes
    packed = gzip.compress(LAYER)
    grown = plan_image(package(tmp_path, tar_of({**saved(), "a/layer.tar": packed})), DEFAULTS).unpacked_bytes
    assert (plain, grown) == (len(LAYER), 4 * len(packed))


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
