"""What runs images, made when the first image comes: a box without any keeps its memory."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from acsmpd.clock import Clock
from acsmpd.packages.bytestream import Limits
from acsmpd.runtime.values import RuntimeSettings
from acsmpd.security.egress import EgressPolicy
from acsmpd.settings.sections import Runtime as Section

if TYPE_CHECKING:
    from acsmpd.runtime.container import Containers
    from acsmpd.runtime.images import Images
    from acsmpd.runtime.sockets import Sockets

RECORDS, HOMES = ".containers", ".container-homes"


class OnImages:
    """The parts for one data directory. Both `runner` and `images` are asked at most once."""

    def __init__(
        self,
        section: Section,
        settings: RuntimeSettings,
        folder: Path,
        limits: Limits,
        egress: EgressPolicy,
        clock: Clock,
    ) -> None:
        self.settings, self._section, self._folder = settings, section, folder
        self._limits, self._egress, self._clock = limits, egress, clock
        mark = str(settings.data_dir.resolve()).encode()
        self._owner = hashlib.sha256(mark).hexdigest()[:12]

    def left(self) -> bool:
        """Whether an earlier daemon had containers here."""
        return (self._folder / RECORDS).is_dir()

    def runner(self) -> Containers:
        from acsmpd.runtime.container import Containers

        return Containers(self.settings, self._folder, self._sockets(), self._owner, self._clock)

    def images(self) -> Images:
        from acsmpd.runtime.images import Images, ImageSettings
        from acsmpd.runtime.reference import registry_judge

        section = self._section
        settings = ImageSettings(
            min_free_bytes=section.image_min_free_bytes, timeout_seconds=section.image_timeout_seconds
        )
        judge = registry_judge(self._egress)
        return Images(self._sockets(), self._owner, settings, self._limits, judge, self._clock)

    def _sockets(self) -> Sockets:
        from acsmpd.runtime.sockets import Sockets

        return Sockets(self._section.container_socket, self._clock, self.settings.start_timeout_seconds)
