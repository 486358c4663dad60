"""The package files of a fake device: fetched from where the platform says, checked, loaded, listed."""

from __future__ import annotations

import hashlib
import tarfile
import tempfile
import threading
import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import IO, Any

import requests
import urllib3
import yaml

from acsmpd.spec.messages.cad import (
    AlgoFilePackageRequest,
    AlgoPackageInstallRequest,
    MachineAlgoPackage,
)
from tests.support.fake_server import Refusal

DOWNLOADING, FAILED, STOPPED, RUNNING = "DOWNLOADING", "FAILED", "STOPPED", "RUNNING"
_TRIES = 4
_BLOCK_BYTES = 65536
_STALL_SECONDS = 5.0


@dataclass
class FakePackage:
    """One package on the device. `size_bytes` and `md5` are of what really arrived."""

    package_id: str
    asked: AlgoFilePackageRequest | None = None
    state: str = DOWNLOADING
    name: str = ""
    version: str = "1.0.0"
    kind: str = "BIN"
    size_bytes: int = 0
    md5: str = ""
    error: str = ""
    downloads: int = 0
    foreign: bool = False
    loaded_with: AlgoPackageInstallRequest | None = None
    service_id: str = ""
    created: str = field(default_factory=lambda: datetime.now().strftime("%Y-%m-%d %H:%M:%S.%f")[:-3])

    @property
    def complete(self) -> bool:
        return self.state in (STOPPED, RUNNING)

    def shown(self) -> MachineAlgoPackage:
        """A row of table C.4."""
        return MachineAlgoPackage(
            algo_package_name=self.name or f"{self.package_id}.tar",
            algo_package_type=self.kind,  # type: ignore[arg-type]
            algo_package_version=self.version,
            algo_file_package_id=self.package_id,
            status=self.state,  # type: ignore[arg-type]
            created_date=self.created,
        )


class PackageShelf:
    """Everything about packages. The caller holds `lock` around what must stand together."""

    def __init__(self, lock: threading.RLock) -> None:
        self.held: dict[str, FakePackage] = {}
        self.beside: dict[str, bytes] = {}
        """other files that were fetched, by their MD5"""
        self._lock = lock
        self._threads: list[threading.Thread] = []
        self._over = threading.Event()
        self._open = threading.Event()
        self._open.set()

    # --- what the platform asks -------------------------------------------------------------------------

    def push(self, message: AlgoFilePackageRequest) -> None:
        """Accept and fetch in a thread; one that is there is overwritten unless it is loaded."""
        with self._lock:
            old = self.held.get(message.algo_file_package_id)
            if old is not None and old.state == RUNNING:
                raise Refusal(40901, f"package {old.package_id} is loaded")
            package = FakePackage(
                message.algo_file_package_id, message, downloads=old.downloads if old else 0
            )
            self.held[package.package_id] = package
            thread = threading.Thread(target=self._fetch, args=(package, message), name="fake-download")
            self._threads = [one for one in self._threads if one.is_alive()] + [thread]
            thread.start()

    def load(self, message: AlgoPackageInstallRequest) -> None:
        """Start its service; a second load of a loaded package succeeds without effect."""
        with self._lock:
            package = self.get(message.algo_file_package_id)
            if not package.complete:
                raise Refusal(
                    40901, f"package {package.package_id} is {package.state} {package.error}".strip()
                )
            if package.state != RUNNING:
                package.loaded_with = message
                self.run(package)

    def run(self, package: FakePackage) -> None:
        package.state, package.service_id = RUNNING, package.service_id or str(uuid.uuid4())

    def unload(self, package_id: str, tasks: int) -> None:
        with self._lock:
            package = self.get(package_id)
            if package.state != RUNNING:
                raise Refusal(40401, f"package {package_id} is not loaded")
            if tasks:
                raise Refusal(40901, f"{tasks} tasks run on package {package_id}")
            package.state = STOPPED

    def delete(self, package_id: str) -> None:
        with self._lock:
            if self.get(package_id).state == RUNNING:
                raise Refusal(40901, f"package {package_id} is loaded")
            del self.held[package_id]

    def get(self, package_id: str) -> FakePackage:
        package = self.held.get(package_id)
        if package is None:
            raise Refusal(40401, f"there is no package {package_id}")
        return package

    def for_labels(self, labels: dict[str, Any] | None, service_id: str | None) -> FakePackage:
        """The package a task is to run on: of that service, else of that name and version, loaded first."""
        name, version = (str((labels or {}).get(key) or "") for key in ("AlgoCaBinName", "Version"))
        if not service_id and not name:
            raise Refusal(40002, "TaskInfo.Labels or AlgoServiceID: one of the two is required")
        fits = [
            one
            for one in self.held.values()
            if one.complete
            and (one.service_id == service_id if service_id else _folded(one) == _fold(name, version))
        ]
        running = [one for one in fits if one.state == RUNNING]
        if not fits or (service_id and not running):
            raise Refusal(40901, f"no algorithm service for {service_id or f'{name} {version}'}")
        return (running or fits)[0]

    def fetch_beside(self, url: str, md5: str) -> bytes:
        """A file that is no package of its own, at once; refused when it is not what was announced."""
        with tempfile.TemporaryFile() as file:
            try:
                _download(url, file, self._over)
            except (OSError, ValueError) as reason:
                raise Refusal(50201, f"cannot fetch {url}: {reason}") from reason
            file.seek(0)
            content = file.read()
        found = hashlib.md5(content).hexdigest()
        if found != md5.lower():
            raise Refusal(42201, f"the MD5 is {found}, not {md5}")
        self.beside[md5.lower()] = content
        return content

    # --- fetching ---------------------------------------------------------------------------------------

    def hold(self, on: bool) -> None:
        """While on, downloads wait before their first byte."""
        (self._open.clear if on else self._open.set)()

    def end(self) -> None:
        """Break off downloads and wait for their threads."""
        self._over.set()
        self._open.set()
        for thread in self._threads:
            thread.join(4 * _STALL_SECONDS)
        self._threads = []
        self._over = threading.Event()

    def _fetch(self, package: FakePackage, message: AlgoFilePackageRequest) -> None:
        over = self._over
        self._open.wait()
        if over.is_set():
            return
        with tempfile.TemporaryFile() as file:
            try:
                _download(message.url, file, over)
                self._arrived(package, message, file)
            except (OSError, ValueError, tarfile.TarError, yaml.YAMLError) as reason:
                package.state, package.error = FAILED, type(reason).__name__ + f": {reason}"

    def _arrived(self, package: FakePackage, message: AlgoFilePackageRequest, file: IO[bytes]) -> None:
        digest = hashlib.md5()
        file.seek(0)
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
        with self._lock:
            package.size_bytes, package.md5 = file.tell(), digest.hexdigest()
            package.downloads += 1
            if message.md5 and message.md5.lower() != package.md5:
                raise ValueError(f"the MD5 is {package.md5}, not {message.md5}")
            _read_labels(package, file)
            package.state = STOPPED


def _download(url: str, file: IO[bytes], over: threading.Event) -> None:
    """The whole file, going on where a cut line left off if the server takes Range."""
    with requests.Session() as session:
        session.trust_env = False
        for left in range(_TRIES - 1, -1, -1):
            have = file.seek(0, 2)
            headers = {"Range": f"bytes={have}-"} if have else {}
            try:
                with session.get(url, headers=headers, stream=True, timeout=_STALL_SECONDS) as answer:
                    _take(answer, file, over)
                return
            except requests.HTTPError:
                raise
            except (requests.RequestException, urllib3.exceptions.HTTPError) as reason:
                if not left or over.is_set():
                    raise ValueError(f"the download broke off: {reason}") from reason


def _take(answer: requests.Response, file: IO[bytes], over: threading.Event) -> None:
    """Write what comes as it comes, so that nothing is lost with the line."""
    answer.raise_for_status()
    if answer.status_code != 206:
        file.truncate(file.seek(0))
    while block := answer.raw.read1(_BLOCK_BYTES):
        file.write(block)
        if over.is_set():
            raise ValueError("the device was switched off")


def _read_labels(package: FakePackage, file: IO[bytes]) -> None:
    """Name, version and kind out of algo.yaml; a file that is no package keeps the defaults."""
    file.seek(0)
    try:
        with tarfile.open(fileobj=file, mode="r:*") as archive:
            names = [
                one for one in archive.getmembers() if one.isfile() and one.name.split("/")[-1] == "algo.yaml"
            ]
            content = archive.extractfile(min(names, key=lambda one: len(one.name))) if names else None
            tree = yaml.safe_load(content.read()) if content is not None else {}
    except tarfile.ReadError:
        return
    package.name, package.version = str(tree.get("name", "")), str(tree.get("version", package.version))
    package.kind = "ENGINE" if (tree.get("bin") or {}).get("type") == "image" else "BIN"


def _folded(package: FakePackage) -> tuple[str, str]:
    return _fold(package.name or f"{package.package_id}.tar", package.version)


def _fold(name: str, version: str) -> tuple[str, str]:
    return name.strip().lower().replace("_", "-"), version.strip().lower()
