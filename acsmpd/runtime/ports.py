"""Ports for engines on the loopback address."""

from __future__ import annotations

import errno
import socket
from collections.abc import Collection

from acsmpd.faults import Conflict


def free_port(port_range: tuple[int, int], taken: Collection[int] = ()) -> int:
    """The lowest port of the range (both ends included) that nobody listens on and that is not `taken`.

    Between this answer and the engine's own bind somebody else may take the port: the engine then ends,
    and the next start asks again.
    """
    low, high = port_range
    for port in range(low, high + 1):
        if port not in taken and _can_bind(port):
            return port
    raise Conflict(f"cannot find a free port in {low}-{high}: every one is taken")


def _can_bind(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True
