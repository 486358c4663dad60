"""Reading one mapping of algo.yaml with its place, so that every fault can say where it is."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

from acsmpd import faults
from acsmpd.packages import names, yamltree
from acsmpd.packages.yamltree import Scalar, Tree

_MAX_ITEMS = 1000

T = TypeVar("T")


class At:
    """One mapping and the way to it. Reading what is not there gives None, "" or ()."""

    def __init__(self, place: str, tree: dict[str, Tree]) -> None:
        self._place = place
        self._members: dict[str, tuple[str, Tree]] = {}
        for key, value in tree.items():
            folded = re.sub(r"[_-]", "", key).casefold()
            if folded in self._members:
                raise self.wrong(key, f"given twice (also as {self._members[folded][0]!r})")
            self._members[folded] = (key, value)

    def wrong(self, key: str, reason: str) -> faults.InvalidPackage:
        return faults.InvalidPackage(f"{self._place}{names.shown(key)}: {reason}")

    def tree(self, key: str) -> Tree:
        """The raw value of a key, None when it is absent, empty or null."""
        value = self._members.get(key.replace("_", ""), ("", None))[1]
        return None if yamltree.is_nothing(value) else value

    def inner(self, key: str) -> At:
        value = self.tree(key)
        return At(f"{self._place}{key}.", {} if value is None else self._as(dict, key, value, "a mapping"))

    def items(self, key: str, read: Callable[[At], T]) -> tuple[T, ...]:
        """Each mapping of a list, read with its place."""
        found = self._list(key)
        return tuple(
            read(At(f"{self._place}{key}[{index}].", self._as(dict, f"{key}[{index}]", item, "a mapping")))
            for index, item in enumerate(found)
        )

    def exact(self, key: str, most: int) -> str:
        """A text as it stands, spaces and all."""
        value = self.tree(key)
        return "" if value is None else self._as_text(key, value, most, strip=False)

    def words(self, key: str, most: int) -> tuple[str, ...] | None:
        """A list of texts as they stand, None when the value is no list."""
        if not isinstance(self.tree(key), list):
            return None
        found = enumerate(self._list(key))
        return tuple(self._as_text(f"{key}[{n}]", item, most, strip=False) for n, item in found)

    def text(self, key: str, most: int, *, required: bool = False) -> str:
        value = self.tree(key)
        if value is None:
            if required:
                raise self.wrong(key, "required, but missing")
            return ""
        return self._as_text(key, value, most)

    def texts(self, key: str, most: int) -> tuple[str, ...]:
        """A list of texts, each once, in order."""
        found = [self._as_text(f"{key}[{n}]", item, most) for n, item in enumerate(self._list(key))]
        return tuple(dict.fromkeys(found))

    def number(self, key: str, default: float, least: float, most: float) -> float:
        value = self.tree(key)
        if value is None:
            return default
        number = yamltree.as_number(value.value) if isinstance(value, Scalar) else None
        if number is None or not least <= number <= most:
            raise self.wrong(key, f"a number from {least:g} to {most:g} is expected")
        return number

    def fields(self, key: str) -> tuple[dict[str, Any], ...]:
        """A list of mappings, handed on as they stand."""
        found = self._list(key)
        return tuple(
            yamltree.verbatim(self._as(dict, f"{key}[{index}]", item, "a mapping"))
            for index, item in enumerate(found)
        )

    def _list(self, key: str) -> list[Tree]:
        value = self.tree(key)
        found: list[Tree] = [] if value is None else self._as(list, key, value, "a list")
        if len(found) > _MAX_ITEMS:
            raise self.wrong(key, f"more than {_MAX_ITEMS} entries")
        return found

    def _as(self, kind: type, key: str, value: Tree, what: str) -> Tree:
        if not isinstance(value, kind):
            raise self.wrong(key, f"{what} is expected")
        return value

    def _as_text(self, key: str, value: Tree, most: int, *, strip: bool = True) -> str:
        raw: str = self._as(Scalar, key, value, "a text").value
        text = raw.strip() if strip else raw
        if len(text) > most:
            raise self.wrong(key, f"longer than {most} characters")
        return text
