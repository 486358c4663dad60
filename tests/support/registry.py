"""A real registry on loopback (Debian's docker-registry), and images put into it by hand."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import socket
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests

from tests.support.wait import wait_until

_CONFIG = """
version: 0.1
storage: {filesystem: {rootdirectory: %s}}
http: {addr: "%s"}
log: {level: error, accesslog: {disabled: true}}
"""
_KIND = "application/vnd.docker.distribution.manifest.v2+json"


class Registry:
    """`host` is host:port, as it stands before a repository's name."""

    def __init__(self, host: str) -> None:
        self.host, self._url = host, f"http://{host}/v2"
        self._session = requests.Session()
        self._session.trust_env = False

    def answers(self) -> bool:
        with contextlib.suppress(requests.ConnectionError):
            return self._session.get(f"{self._url}/", timeout=5).status_code == 200
        return False

    def put(self, tar: Path, repository: str, tag: str) -> str:
        """The image of an archive with one layer, under this name; the digest of its manifest."""
        with tarfile.open(tar) as held:
            [index] = json.load(held.extractfile("manifest.json"))  # type: ignore[arg-type]
            config = held.extractfile(index["Config"]).read()  # type: ignore[union-attr]
            layer = held.extractfile(index["Layers"][0]).read()  # type: ignore[union-attr]
        manifest = {
            "schemaVersion": 2, "mediaType": _KIND,
            "config": self._blob(repository, config, "application/vnd.docker.container.image.v1+json"),
            "layers": [self._blob(repository, layer, "application/vnd.docker.image.rootfs.diff.tar")],
        }  # fmt: skip
        raw = json.dumps(manifest).encode()
        url = f"{self._url}/{repository}/manifests/{tag}"
        self._session.put(url, raw, headers={"Content-Type": _KIND}, timeout=30).raise_for_status()
        return f"sha256:{hashlib.sha256(raw).hexdigest()}"

    def _blob(self, repository: str, raw: bytes, kind: str) -> dict[str, Any]:
        digest = f"sha256:{hashlib.sha256(raw).hexdigest()}"
        begun = self._session.post(f"{self._url}/{repository}/blobs/uploads/", timeout=30)
        begun.raise_for_status()
        headers = {"Content-Type": "application/octet-stream"}
        done = self._session.put(
            begun.headers["Location"], raw, params={"digest": digest}, headers=headers, timeout=30
        )
        done.raise_for_status()
        return {"mediaType": kind, "size": len(raw), "digest": digest}

    def close(self) -> None:
        self._session.close()


@contextlib.contextmanager
def registry(folder: Path) -> Iterator[Registry]:
    assert shutil.which("docker-registry"), "apt-get install docker-registry"
    folder.mkdir(parents=True, exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{probe.getsockname()[1]}"
    (folder / "config.yml").write_text(_CONFIG % (folder / "data", host))
    with (folder / "log").open("wb") as out:
        process = subprocess.Popen(
            ["docker-registry", "serve", folder / "config.yml"], stdout=out, stderr=out
        )
    one = Registry(host)
    try:
        wait_until(one.answers, what="the registry answering")
        yield one
    finally:
        one.close()
        process.kill()
        process.wait()
