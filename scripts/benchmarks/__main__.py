"""scripts/bench NAME: run one bench, or list them."""

from __future__ import annotations

import argparse
import importlib
import sys

from benchmarks.harness import ROOT, Void

NAMES = (
    "keepalive",
    "search",
    "storm",
    "upload",
    "download",
    "idle",
    "schedule",
    "instances",
    "relay",
    "devices",
    "pushes",
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench")
    parser.add_argument("name", nargs="?", choices=NAMES)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    modules = {name: importlib.import_module(f"benchmarks.{name}") for name in NAMES}
    if asked.name is None:
        for name, module in modules.items():
            print(f"{name:<10} {(module.__doc__ or '').splitlines()[0]}")
        return 0
    (ROOT / ".bench").mkdir(exist_ok=True)
    try:
        return 0 if modules[asked.name].run(asked.rounds) else 1
    except Void as reason:
        print(f"void: {reason}")
        return 3


if __name__ == "__main__":
    sys.exit(main())
