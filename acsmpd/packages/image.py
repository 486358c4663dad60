"""The image inside a package: an archive as `docker save` and `podman save` write it, judged and written anew.

A container engine that loads such an archive gives the image the names the archive asks for, and takes them
from whatever image has them. So nothing is handed over as it came: out of here goes an archive of our own
making, with the configuration and the layers of one image under one name, ours.
"""

from __future__ import annotations

import hashlib
import posixpath
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from acsmpd import faults
from acsmpd.packages import archive, names
from acsmpd.packages.bytestream import MIB, Growth, Limits, Stream, compression, inflated
from acsmpd.packages.tarstream import FILE, LINK, RECORD, Entry, content_bytes, is_tar

_INDEX = "manifest.json"
_LAYERS_MAX = 256
_TEXT_MAX = MIB
_TEXTS_MAX = 8 * MIB


class ImagePlan(Struct, frozen=True, kw_only=True):
    """One image of a package. `config` is its configuration as it lies there: the SHA-256 of it names the image."""

    member: str
    config: bytes
    layers: tuple[str, ...]
    unpacked_bytes: int  # what the files of all layers take, each as often as it is stacked

    @property
    def image_id(self) -> str:
        """The image's id wherever the engine names images by their configuration (all but the newest Docker)."""
        return f"sha256:{hashlib.sha256(self.config).hexdigest()}"


class _Index(Struct):
    """One entry of manifest.json."""

    config: str = msgspec.field(name="Config")
    layers: list[str] = msgspec.field(name="Layers")


def plan_image(path: Path, limits: Limits) -> ImagePlan:
    """What the package's image consists of. InvalidPackage unless there is exactly one, whole and readable."""
    judged = archive.judge(path, limits)
    if judged.executable != archive.IN_ARCHIVE:
        raise faults.InvalidPackage("the image is not in the package: it is pulled from bin.remote_uri")
    member = archive.within(judged.root, judged.manifest.local_uri)
    with archive.naming(judged.manifest.local_uri):
        return _plan(path, member, limits)


def image_chunks(path: Path, plan: ImagePlan, name: str, limits: Limits) -> Iterator[bytes]:
    """The archive to load: the planned image alone, called `name` (repository:tag)."""
    config = f"{hashlib.sha256(plan.config).hexdigest()}.json"
    places = {layer: f"layer{number}.tar" for number, layer in enumerate(dict.fromkeys(plan.layers))}
    yield from _small(config, plan.config)
    for entry, content in _inside(path, plan.member, limits):
        if entry.name in places:
            yield _header(places[entry.name], entry.size)
            yield from _blocks(content)
            yield bytes(-entry.size % RECORD)
    layers = [places[layer] for layer in plan.layers]
    index = [{"Config": config, "RepoTags": [name], "Layers": layers}]
    yield from _small(_INDEX, msgspec.json.encode(index))
    yield bytes(2 * RECORD)


def _plan(path: Path, member: str, limits: Limits) -> ImagePlan:
    entries: dict[str, Entry] = {}
    texts: dict[str, bytes] = {}
    weights: dict[str, int | faults.InvalidPackage] = {}
    for entry, content in _inside(path, member, limits):
        if entry.name in entries and entry.kind == FILE:
            raise faults.InvalidPackage(f"{names.shown(entry.name)}: stands twice in the image archive")
        entries[entry.name] = entry
        if entry.kind != FILE:
            continue
        head = content.peek(RECORD)
        if head[:1] in (b"{", b"[") and not is_tar(head):
            if entry.size <= _TEXT_MAX:
                texts[entry.name] = content.read(entry.size)
            if sum(map(len, texts.values())) > _TEXTS_MAX:
                raise faults.InvalidPackage(f"more than {_TEXTS_MAX} bytes of descriptions")
        else:
            weights[entry.name] = _weight(content, entry, limits)
    index = _index(texts, entries)
    layers = tuple(_layer(layer, entries) for layer in index.layers)
    return ImagePlan(
        member=member,
        config=_config(index, texts),
        layers=layers,
        unpacked_bytes=sum(
            _weighed(layer, weights) for layer in layers
        ),  # one that stands twice is unpacked twice
    )


def _weight(content: Stream, entry: Entry, limits: Limits) -> int | faults.InvalidPackage:
    """What this takes on the disk if it is a layer, or why it can be none. TooLarge when it is a bomb."""
    kind = compression(content.peek(RECORD))
    try:
        if kind is not None:
            content = inflated(content, kind, Growth(limits, entry.size))
        return content_bytes(content)
    except faults.InvalidPackage as fault:
        return fault


def _weighed(layer: str, weights: dict[str, int | faults.InvalidPackage]) -> int:
    weight = weights.get(layer)
    if isinstance(weight, int):
        return weight
    why = f": {weight.message}" if weight else ""
    raise faults.InvalidPackage(f"{names.shown(layer)}: no layer as docker save writes it{why}")


def _index(texts: dict[str, bytes], entries: dict[str, Entry]) -> _Index:
    if _INDEX not in texts:
        told = "it is an OCI archive: " if "oci-layout" in entries else ""
        raise faults.InvalidPackage(
            f"no image in it: {told}no {_INDEX} as docker save and podman save --format docker-archive write it"
        )
    try:
        found = msgspec.json.decode(texts[_INDEX], type=list[_Index])
    except (msgspec.DecodeError, RecursionError) as error:
        raise faults.InvalidPackage(f"{_INDEX} cannot be read: {error}") from error
    if len(found) != 1:
        raise faults.InvalidPackage(f"{len(found)} images in it: exactly one is expected")
    if not 0 < len(found[0].layers) <= _LAYERS_MAX:
        raise faults.InvalidPackage(
            f"an image of {len(found[0].layers)} layers: 1 to {_LAYERS_MAX} are expected"
        )
    return found[0]


def _config(index: _Index, texts: dict[str, bytes]) -> bytes:
    name = posixpath.normpath(index.config)
    if name not in texts:
        raise faults.InvalidPackage(f"{names.shown(index.config)}: the image's configuration is not in it")
    try:
        decoded: Any = msgspec.json.decode(texts[name])
    except (msgspec.DecodeError, RecursionError) as error:
        raise faults.InvalidPackage(f"{names.shown(name)} cannot be read: {error}") from error
    if not isinstance(decoded, dict) or not isinstance(decoded.get("rootfs"), dict):
        raise faults.InvalidPackage(f"{names.shown(name)} is no configuration of an image")
    return texts[name]


def _layer(name: str, entries: dict[str, Entry]) -> str:
    """The member with the layer's bytes: older savers write a layer once and links to it."""
    at = posixpath.normpath(name)
    for _ in range(8):
        entry = entries.get(at)
        if entry is None or entry.kind not in (FILE, LINK):
            break
        if entry.kind == FILE:
            return at
        at = posixpath.normpath(posixpath.join(posixpath.dirname(at), entry.target))
    raise faults.InvalidPackage(f"{names.shown(name)}: a layer of the image is not in it")


def _inside(path: Path, member: str, limits: Limits) -> Iterator[tuple[Entry, Stream]]:
    """The members of the image archive in the package."""
    with archive.opened(path) as (stream, size):
        for outer, held in archive.members(stream, limits, Growth(limits, size)):
            if outer.name == member:
                yield from archive.members(held, limits, Growth(limits, size))
                return
    raise faults.InvalidPackage("no longer in the package")


def _small(name: str, content: bytes) -> Iterator[bytes]:
    yield _header(name, len(content))
    yield content + bytes(-len(content) % RECORD)


def _header(name: str, size: int) -> bytes:
    about = tarfile.TarInfo(name)
    about.size, about.mode = size, 0o644
    return about.tobuf(tarfile.GNU_FORMAT)


def _blocks(content: Stream) -> Iterator[bytes]:
    while block := content.read(MIB):
        yield block
