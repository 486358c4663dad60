"""The images of packages in the container engine: loaded or pulled, pinned by id, taken away again.

What we brought carries one name of ours and no other, `localhost/acsmpd-<data directory>/<package>:<md5>`: the
list of what is ours to remove, kept where the images are. An image that was there before is used as it is,
gets no name of ours and is never removed.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from msgspec import Struct, field

from acsmpd.clock import Clock
from acsmpd.durable import free_bytes
from acsmpd.faults import Conflict, FacilityRefused, Fault, InvalidField, NoSpace, NotFound
from acsmpd.packages.bytestream import Limits
from acsmpd.packages.manifest import Manifest
from acsmpd.runtime.reference import Reference, reference
from acsmpd.runtime.socketapi import SocketApi
from acsmpd.runtime.sockets import Sockets

log = logging.getLogger(__name__)

_PACKAGE_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}")
_IMAGE_ID = re.compile(r"sha256:[0-9a-f]{64}")
_LOOK_EVERY_BYTES = 64 * 1024 * 1024
_LOOK_EVERY_SECONDS = 1.0
_INFO_SECONDS = 5.0


class ImageSettings(Struct, frozen=True, kw_only=True):
    min_free_bytes: int  # what is left free on the engine's disk
    timeout_seconds: float  # for a whole load or pull


class Seen(Struct, kw_only=True):
    """What an engine says of an image."""

    id: str = field(name="Id")
    tags: list[str] | None = field(name="RepoTags", default=None)


class _Info(Struct):
    root: str = field(name="DockerRootDir", default="")


class Images:
    """Any thread may call; one image is brought at a time."""

    def __init__(
        self,
        sockets: Sockets,
        owner: str,
        settings: ImageSettings,
        limits: Limits,
        judge: Callable[[str, int], None],
        clock: Clock,
    ) -> None:
        """`judge` passes a registry's host and port or raises NotAllowed."""
        self._sockets, self._settings, self._limits, self._judge = sockets, settings, limits, judge
        self._clock, self._prefix = clock, f"localhost/acsmpd-{owner}/"
        self._lock = threading.Lock()

    def bring(self, package_id: str, md5: str, file: Path, manifest: Manifest) -> str:
        """Have the package's image in the engine; its id. A fault says what kept it away, and nothing stays."""
        name = f"{self._prefix}{package_id}:{md5}"
        if not _PACKAGE_ID.fullmatch(package_id):
            raise InvalidField(f"cannot name an image after package {package_id[:140]!r}")
        with self._lock:
            api = self._sockets.api()
            if manifest.local_uri and (found := self._load(api, file, manifest, name)):
                return found
            return self._pull(api, reference(manifest.remote_uri), name)

    def keep(self, wanted: Collection[tuple[str, str]]) -> bool:
        """Take away every image we brought but those of these (package, md5); False when one is still in use."""
        names = {f"{self._prefix}{package_id}:{md5}" for package_id, md5 in wanted}
        with self._lock:
            api = self._sockets.api()
            held = [tag for image in api.get(list[Seen], "/images/json") for tag in image.tags or ()]
            done = [
                self._remove(api, tag) for tag in held if tag.startswith(self._prefix) and tag not in names
            ]
        return all(done)

    # --- bringing -------------------------------------------------------------------------------------

    def _load(self, api: SocketApi, file: Path, manifest: Manifest, name: str) -> str:
        """The id of the image out of the package; "" when the package holds none, but says where there is one."""
        from acsmpd.packages import archive, image

        if manifest.remote_uri and archive.judge(file, self._limits).executable == archive.REMOTE:
            return ""
        plan = image.plan_image(file, self._limits)
        there = _look(api, plan.image_id)
        if there is not None:
            return self._as_it_is(api, there, name)
        self._expect_room(api, 2 * plan.unpacked_bytes)  # an engine keeps a copy of the archive as it loads
        self._listen(api, "/images/load", image.image_chunks(file, plan, name, self._limits), quiet="1")
        return self._arrived(api, name)

    def _pull(self, api: SocketApi, wanted: Reference, name: str) -> str:
        """Never over a name that is there: whose it is, is not ours to say."""
        there = _look(api, wanted.text)
        if there is not None:
            return self._as_it_is(api, there, name)
        self._judge(wanted.host, wanted.port)
        self._expect_room(api, 0)
        self._listen(api, "/images/create", None, fromImage=wanted.repository, tag=wanted.tag)
        found = self._arrived(api, wanted.text)
        self._tag(api, found, name)
        self._remove(api, wanted.text)  # the name goes, the image stays by ours
        return self._arrived(api, name)

    def _as_it_is(self, api: SocketApi, there: Seen, name: str) -> str:
        ours = any(tag.startswith(self._prefix) for tag in there.tags or ())
        if ours and name not in (there.tags or ()):
            self._tag(api, there.id, name)
        log.info("image %s is there already%s", there.id, "" if ours else " and not ours: used as it is")
        return _checked(api, there.id)

    def _tag(self, api: SocketApi, image_id: str, name: str) -> None:
        repository, _, tag = name.rpartition(":")
        api.ask("POST", f"/images/{image_id}/tag", repo=repository, tag=tag)

    def _arrived(self, api: SocketApi, name: str) -> str:
        there = _look(api, name)
        if there is None:
            raise FacilityRefused(f"{api} says it has the image {name}, and has it not")
        return _checked(api, there.id)

    def _listen(self, api: SocketApi, path: str, content: Iterator[bytes] | None, **query: str) -> None:
        """Carry it through to the end, or until the disk is nearly full."""
        root = _root(api)
        if content is not None:
            content = self._watched(content, root)
        looked = 0.0
        for _ in api.told(path, content, seconds=self._settings.timeout_seconds, **query):
            now = self._clock.now().mono
            if now - looked >= _LOOK_EVERY_SECONDS:
                looked = now
                self._judge_room(root, 0)

    def _watched(self, content: Iterator[bytes], root: Path) -> Iterator[bytes]:
        passed = 0
        for block in content:
            passed += len(block)
            if passed >= _LOOK_EVERY_BYTES:
                passed = 0
                self._judge_room(root, 0)
            yield block

    def _expect_room(self, api: SocketApi, needed: int) -> None:
        self._judge_room(_root(api), needed)

    def _judge_room(self, root: Path, needed: int) -> None:
        free, spare = free_bytes(root), self._settings.min_free_bytes
        if free - needed < spare:
            raise NoSpace(
                f"cannot take an image: {needed} bytes needed and {spare} to stay free "
                f"(runtime.image_min_free_bytes), {free} free at {root}"
            )

    def _remove(self, api: SocketApi, name: str) -> bool:
        """Whether it is gone; the engine refuses while a container uses it, whosever."""
        try:
            api.ask("DELETE", f"/images/{name}")
        except NotFound:
            return True
        except (Conflict, FacilityRefused) as fault:  # Podman's code for "in use" differs by release
            log.warning("image %s stays for now: %s", name, fault.message)
            return False
        log.info("image %s removed", name)
        return True


def find(api: SocketApi, image_id: str) -> bool:
    """Whether the engine has the image still."""
    return _look(api, image_id) is not None


def _look(api: SocketApi, name: str) -> Seen | None:
    try:
        return api.get(Seen, f"/images/{name}/json")
    except NotFound:
        return None


def _checked(api: SocketApi, image_id: str) -> str:
    full = image_id if image_id.startswith("sha256:") else f"sha256:{image_id}"
    if not _IMAGE_ID.fullmatch(full):
        raise FacilityRefused(f"{api} gives {image_id[:100]!r} as the id of an image")
    return full


def _root(api: SocketApi) -> Path:
    """The folder on this box whose disk takes the engine's images, or the nearest one above it that we may see."""
    root = Path(api.get(_Info, "/info", seconds=_INFO_SECONDS).root or "/")
    for folder in (root, *root.parents):
        try:
            free_bytes(folder)
        except OSError:
            continue
        return folder
    raise Fault(f"cannot find the disk of {api}")
