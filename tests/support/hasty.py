"""acsmpd as a process that tidies every second, not every minute: `python -m tests.support.hasty`."""

from __future__ import annotations

from acsmpd.cli import cli
from acsmpd.engine import housekeeping, relay

if __name__ == "__main__":
    housekeeping.PERIOD_SECONDS = housekeeping.TRIM_PERIOD_SECONDS = 1
    relay.TIDY_SECONDS = 1.0
    cli(["serve"])
