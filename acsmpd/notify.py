"""Tells the service manager how we are (sd_notify); without one, or with a deaf one, nothing happens."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping

_log = logging.getLogger(__name__)
_SEND_TIMEOUT_SECONDS = 1.0
_STATUS_MAX_CHARACTERS = 200


class Notifier:
    """Sends READY, STOPPING, STATUS, WATCHDOG to $NOTIFY_SOCKET; no call raises, each says if it was sent."""

    def __init__(self, environ: Mapping[str, str], pid: int | None = None) -> None:
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self._interval = _interval(environ, os.getpid() if pid is None else pid) if self._address else None
        self._last_beat: float | None = None

    @property
    def watchdog_interval_seconds(self) -> float | None:
        """How often a sign of life is due: a third of what the manager waits for; None: it does not watch."""
        return self._interval

    def ready(self, status: str = "serving") -> bool:
        """The start is over: the port answers and the loop turns."""
        return self._send("READY=1", _status(status))

    def stopping(self, status: str = "stopping") -> bool:
        return self._send("STOPPING=1", _status(status))

    def status(self, text: str) -> bool:
        """One line for `systemctl status`."""
        return self._send(_status(text))

    def beat(self, mono: float) -> bool:
        """A sign of life, at most one an interval; to be called by the loop that must not hang."""
        if self._interval is None:
            return False
        if self._last_beat is not None and mono - self._last_beat < self._interval:
            return False
        self._last_beat = mono
        return self._send("WATCHDOG=1")

    def _send(self, *lines: str) -> bool:
        if not self._address:
            return False
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                channel.settimeout(_SEND_TIMEOUT_SECONDS)
                channel.sendto("\n".join(lines).encode("utf-8", "replace"), self._address)
        except OSError as error:
            _log.warning("cannot notify the service manager: %s", error.strerror or error)
            return False
        return True


def _address(text: str) -> bytes:
    """The socket's address; empty when there is none we can speak to ('@' stands for an abstract name)."""
    if not text.startswith(("/", "@")) or len(text) < 2:
        return b""
    name = os.fsencode(text)
    return b"\0" + name[1:] if text.startswith("@") else name


def _interval(environ: Mapping[str, str], pid: int) -> float | None:
    period = environ.get("WATCHDOG_USEC", "")
    meant_for = environ.get("WATCHDOG_PID", "")
    if not (period.isascii() and period.isdigit() and 0 < int(period) < 1 << 63):
        return None
    return int(period) / 3_000_000 if meant_for in ("", str(pid)) else None


def _status(text: str) -> str:
    """One line, so that no text can smuggle in a second assignment."""
    return "STATUS=" + " ".join(text.split())[:_STATUS_MAX_CHARACTERS]
