"""An image archive made by hand, as `docker save` writes it: no container engine and no registry has a part in it.

What goes in is this machine's own Python (any with its standard library), the shared libraries it needs, and
files. The same input gives the same bytes, and with them the same image.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

ARCHITECTURES = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "armv7l": "arm",
    "ppc64le": "ppc64le",
    "riscv64": "riscv64",
}
_LEFT_OUT = {"__pycache__", "test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "pydoc_data",
             "site-packages", "dist-packages"}  # fmt: skip
_LIBRARY = re.compile(r"(/\S+) \(0x")
_WHEN = "1970-01-01T00:00:00Z"

Files = dict[str, "Path | bytes"]
"""Absolute path in the image -> the file to take its content from, or the content itself."""


def python_files(python: str) -> Files:
    """An interpreter with its standard library, where they lie here."""
    facts = json.loads(_output(python, "-c", _FACTS))
    home = Path(facts["stdlib"])
    files: Files = {facts["executable"]: Path(facts["executable"]).resolve(), **folder_files(home, str(home))}
    shared = [Path(path) for path in files if path.endswith(".so")]
    return {**files, **libraries([Path(facts["executable"]), *shared])}


_FACTS = """
import json, os, sys, sysconfig
print(json.dumps({"executable": os.path.realpath(sys._base_executable), "stdlib": os.path.dirname(os.__file__)}))
"""


def folder_files(folder: Path, inside: str) -> Files:
    """A folder's files; tests, caches and what only a desktop needs are left out."""
    found: Files = {}
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(
            name for name in folders if name not in _LEFT_OUT and not name.startswith("config-")
        )
        for name in sorted(names):
            path = Path(place, name)
            if path.is_file():
                found[f"{inside}/{path.relative_to(folder)}"] = path.resolve()
    return found


def libraries(programs: Iterable[Path], leaving_out: str = "") -> Files:
    """The shared libraries that these programs and libraries need, where they lie here, but for those of a folder."""
    known = [str(path) for path in programs]
    said = subprocess.run(["ldd", *known], capture_output=True, text=True, check=False).stdout
    paths = sorted({os.path.normpath(path) for path in _LIBRARY.findall(said)})
    return {
        path: Path(path).resolve()
        for path in paths
        if not (leaving_out and path.startswith(f"{leaving_out}/"))
    }


def write_image(out: Path, files: Files, config: Mapping[str, Any], *names: str) -> str:
    """Write the archive of an image with one layer; its id. `config` is what Docker calls Config, `names` its tags."""
    layer = out.with_suffix(".layer")
    try:
        digest = _write_layer(layer, files)
        raw = _configuration(config, digest)
        image = hashlib.sha256(raw).hexdigest()
        index = [{"Config": f"{image}.json", "RepoTags": list(names) or None, "Layers": ["layer.tar"]}]
        with tarfile.open(out, "w", format=tarfile.GNU_FORMAT) as tar:
            _add(tar, f"{image}.json", raw)
            _add(tar, "layer.tar", layer)
            _add(tar, "manifest.json", json.dumps(index).encode())
    finally:
        layer.unlink(missing_ok=True)
    return f"sha256:{image}"


def _configuration(config: Mapping[str, Any], digest: str) -> bytes:
    whole = {
        "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "created": _WHEN,
        "config": {"WorkingDir": "/", **config},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        "history": [{"created": _WHEN, "created_by": "scripts/sample/image.py"}],
    }
    return json.dumps(whole, sort_keys=True).encode()


def _write_layer(path: Path, files: Files) -> str:
    made: set[str] = set()
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for name, content in sorted(files.items()):
            for folder in _folders(name.lstrip("/"), made):
                about = tarfile.TarInfo(folder)
                about.type, about.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(about)
            _add(tar, name.lstrip("/"), content)
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _folders(name: str, made: set[str]) -> Iterator[str]:
    parts = name.split("/")[:-1]
    for depth in range(1, len(parts) + 1):
        folder = "/".join(parts[:depth])
        if folder not in made:
            made.add(folder)
            yield folder


def _add(tar: tarfile.TarFile, name: str, content: Path | bytes) -> None:
    about = tarfile.TarInfo(name)
    if isinstance(content, bytes):
        about.size, about.mode = len(content), 0o644
        tar.addfile(about, io.BytesIO(content))
        return
    about.size, about.mode = content.stat().st_size, 0o755 if os.access(content, os.X_OK) else 0o644
    with content.open("rb") as file:
        tar.addfile(about, file)


def _output(*argv: str) -> str:
    try:
        return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        sys.exit(f"cannot make an image with {argv[0]}: {error}")
