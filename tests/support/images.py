"""Images for tests: this machine's Python with the test engine, and packages that carry or name one."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from io import BytesIO
from pathlib import Path
from typing import Any

import yaml

from tests.support.engines import ENGINE, PYTHON
from tests.support.packaging import CAPABILITY, PACKAGE_ID

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts" / "sample"))

from image import Files, python_files, write_image

CONFIG = {"WorkingDir": "/app", "Env": ["PATH=/usr/bin:/bin", "FLAVOUR=of the image"]}


_NEEDED = """
import ctypes, email.parser, encodings.idna, http.server, json, subprocess, sys, threading, urllib.request
print(json.dumps([m.__file__ for m in list(sys.modules.values()) if getattr(m, "__file__", None)]))
"""


@functools.cache
def python() -> Files:
    """The interpreter with what the test engine needs of its library: loading the rest would take most of the time."""
    done = subprocess.run([PYTHON, "-c", _NEEDED], capture_output=True, text=True, check=True)
    needed = {os.path.normpath(path) for path in json.loads(done.stdout)}
    files = {
        name: path
        for name, path in python_files(PYTHON).items()
        if name in needed or "/python3" not in name or "/encodings/" in name
    }
    return {**files, PYTHON: Path(PYTHON).resolve()}


def small_tar(out: Path, name: str, content: bytes) -> str:
    """An archive of an image with one small file that no processor runs; its id."""
    return write_image(out, {"/app/program": content}, {"Cmd": ["/app/program"]}, name)


def image_tar(out: Path, *names: str, config: dict[str, Any] | None = None, **more: bytes) -> str:
    """An archive with the test engine at /app/engine.py; the image's id. `more` are further files of /app."""
    own = {f"/app/{name}": content for name, content in more.items()}
    return write_image(
        out, {**python(), "/app/engine.py": ENGINE.encode(), **own}, {**CONFIG, **(config or {})}, *names
    )


@functools.cache
def engine_tar() -> tuple[Path, str]:
    """The archive of the test engine, made once, and its image's id."""
    path = Path(tempfile.mkdtemp(prefix="acsmpd-image-")) / "engine.tar"
    return path, image_tar(path, "somebody/engine:1")


def image_package(
    folder: Path,
    *,
    tar: Path | None = None,
    remote_uri: str = "",
    package_id: str = PACKAGE_ID,
    version: str = "1.0.0",
    cmd: list[str] | None = None,
    env: dict[str, str] | None = None,
) -> Path:
    """A package of type image: with this archive inside, or fetched from `remote_uri`."""
    program = {"type": "image", "local_uri": "bin/image.tar" if tar else "", "remote_uri": remote_uri}
    runtime: dict[str, Any] = {"env": [{"name": key, "value": value} for key, value in (env or {}).items()]}
    ability = {
        "code": CAPABILITY, "data_type": "ALERT", "event_ids": ["INTRUSION"], "task_types": ["VIDEO_REALTIME"],
    }  # fmt: skip
    description = {
        "id": package_id, "name": "boxed", "version": version, "provider": "ACSMPD", "abilities": [ability],
        "bin": {key: value for key, value in program.items() if value},
        "algo_runtime": {**runtime, "cmd": cmd} if cmd else runtime,
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{package_id}_V{version}.tar"
    raw = yaml.safe_dump(description, allow_unicode=True).encode()
    with tarfile.open(path, "w") as package:
        about = tarfile.TarInfo("algo.yaml")
        about.size = len(raw)
        package.addfile(about, BytesIO(raw))
        if tar is not None:
            package.add(tar, "bin/image.tar")
    return path
