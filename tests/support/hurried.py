"""acsmpd that tidies at every look of its duty, once a second: `python -m tests.support.hurried`.

A byte a round goes to the file that ROUNDS names.
"""

from __future__ import annotations

import os
from pathlib import Path

from acsmpd.cli import cli
from acsmpd.engine import housekeeping, relay
from acsmpd.engine.housekeeping import Housekeeping


def main() -> None:
    rounds, trim = Path(os.environ["ROUNDS"]), Housekeeping.trim

    def counted(self: Housekeeping) -> None:
        trim(self)
        with rounds.open("ab") as file:
            file.write(b".")

    Housekeeping.trim = counted  # type: ignore[method-assign]
    housekeeping.PERIOD_SECONDS = housekeeping.TRIM_PERIOD_SECONDS = 0.9  # type: ignore[assignment]
    relay.TIDY_SECONDS = 1.0
    cli(["serve"])


if __name__ == "__main__":
    main()
