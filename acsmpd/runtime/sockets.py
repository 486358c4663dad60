"""Where the container engine of this box listens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from acsmpd.clock import Clock
from acsmpd.faults import Fault, NotSupported
from acsmpd.runtime.socketapi import SocketApi, is_socket

PLACES = (Path("/run/docker.sock"), Path("/run/podman/podman.sock"))
NEVER = "none"
_LOOK_SECONDS = 3.0


class Sockets:
    """Looks each time it is asked: an engine may be installed, started or restarted under a running daemon."""

    def __init__(self, setting: str, clock: Clock, seconds: float, places: Sequence[Path] = PLACES) -> None:
        """`setting`: "" looks at `places` in order, "none" uses no engine, else the one path to use."""
        self._setting, self._clock, self._seconds, self._places = setting, clock, seconds, places

    def api(self) -> SocketApi:
        """The engine to use. NotSupported names what was looked for when there is none."""
        if self._setting == NEVER:
            raise NotSupported("cannot run images on this box: runtime.container_socket is none")
        places = (Path(self._setting),) if self._setting else self._places
        for place in places:
            if is_socket(place):
                return self.at(place)
        looked = " or ".join(str(place) for place in places)
        raise NotSupported(f"cannot run images on this box: no container engine listens at {looked}")

    def at(self, path: Path) -> SocketApi:
        return SocketApi(path, self._clock, self._seconds)


def told(setting: str, clock: Clock) -> tuple[bool, str]:
    """(fine, words) of the container engine as it is now; without one all is well unless one was named."""
    try:
        api = Sockets(setting, clock, _LOOK_SECONDS).api()
        said = api.get(dict[str, Any], "/version")
    except Fault as fault:
        return setting in ("", NEVER), fault.message
    parts = [str(part.get("Name")) for part in said.get("Components") or [] if isinstance(part, dict)]
    return True, f"{(parts or ['an engine'])[0]} {said.get('Version')} at {api.path}"[:200]
