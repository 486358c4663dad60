"""Misbehaviour that is told: what, for which row, how many times."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any


@dataclass
class _Switch:
    value: Any
    times: int | None


class Switches:
    """Settings of (kind, row); row None means every row, one that is named goes before it. Thread-safe."""

    def __init__(self) -> None:
        self._set: dict[tuple[str, str | None], _Switch] = {}
        self._lock = threading.Lock()

    def set(self, kind: str, operation: str | None, value: Any, times: int | None = None) -> None:
        """Replace the setting; value None, or no times left, takes it away."""
        with self._lock:
            if value is None or (times is not None and times <= 0):
                self._set.pop((kind, operation), None)
            else:
                self._set[kind, operation] = _Switch(value, times)

    def take(self, kind: str, operation: str) -> Any:
        """The value that counts for this call, which uses up one of its times; None if there is none."""
        with self._lock:
            for key in ((kind, operation), (kind, None)):
                switch = self._set.get(key)
                if switch is not None:
                    return self._used(key, switch)
        return None

    def _used(self, key: tuple[str, str | None], switch: _Switch) -> Any:
        if switch.times is not None:
            switch.times -= 1
            if switch.times == 0:
                del self._set[key]
        return switch.value

    def clear(self) -> None:
        with self._lock:
            self._set.clear()


class Habits:
    """Ways of a face that are on or off. A subclass names them."""

    def __init__(self) -> None:
        self._on: set[str] = set()

    def turn(self, name: str, on: bool) -> None:
        (self._on.add if on else self._on.discard)(name)

    def is_on(self, name: str) -> bool:
        return name in self._on
