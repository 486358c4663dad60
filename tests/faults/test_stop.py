"""The daemon is told to stop, and stops."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.support.daemon import Daemon
from tests.support.signals import signal_another_thread


def test_it_stops_also_when_another_thread_catches_the_signal(tmp_path: Path) -> None:
    site = Daemon(tmp_path / "data", {}).start()
    try:
        assert site.process is not None
        signal_another_thread(site.process.pid, signal.SIGTERM)
        assert site.process.wait(timeout=30) == 0
    finally:
        site.kill()
