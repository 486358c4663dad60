"""Which rows an address and a method reach, found without Flask: the guard asks before a body is taken."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import get_args, get_origin

from msgspec import Struct

from acsmpd import faults
from acsmpd.spec.operation import Operation

_PLACEHOLDER = re.compile(r"<(\w+)>")
Methods = dict[str, tuple[Operation, ...]]


class Found(Struct, frozen=True):
    """The rows that share this method and address, and what stands at the placeholders."""

    rows: tuple[Operation, ...]
    values: Mapping[str, str]


class Routes:
    """Every served row by method and address; a literal address comes before one with placeholders."""

    def __init__(self, rows: Iterable[Operation]) -> None:
        self._literal: dict[str, Methods] = {}
        by_pattern: dict[str, Methods] = {}
        for row in rows:
            if row.served:
                for method, uri in ((row.method, row.uri), *row.aliases):
                    table = by_pattern if "<" in uri else self._literal
                    methods = table.setdefault(_pattern(row, uri) if "<" in uri else uri, {})
                    methods[method] = (*methods.get(method, ()), row)
        self._patterns = [(re.compile(pattern), methods) for pattern, methods in by_pattern.items()]

    def find(self, method: str, path: str) -> Found:
        """The rows. Raises NotFound for an unknown address, MethodNotAllowed for a known one."""
        allowed: set[str] = set()
        for methods, values in self._matching(path):
            if method in methods:
                return Found(methods[method], values)
            allowed |= methods.keys()
        if allowed:
            named = ", ".join(sorted(allowed | ({"HEAD"} if "GET" in allowed else set())))
            raise faults.MethodNotAllowed(
                f"{method[:20]} is not served on {path[:200]}; allowed: {named}", named
            )
        raise faults.NotFound(f"nothing is served at {path[:200]}")

    def _matching(self, path: str) -> Iterable[tuple[Methods, Mapping[str, str]]]:
        if path in self._literal:
            yield self._literal[path], {}
        for pattern, methods in self._patterns:
            found = pattern.fullmatch(path)
            if found is not None:
                yield methods, found.groupdict()


def _pattern(row: Operation, uri: str) -> str:
    """`/ACSMP/Tasks/<ID>` as a pattern; a colon belongs to the verbs of Part 4, never to a value."""
    pieces, end = [], 0
    for place in _PLACEHOLDER.finditer(uri):
        value = "[0-9]{1,19}" if _is_number(row, place[1]) else "[^/:]+"
        pieces += [re.escape(uri[end : place.start()]), f"(?P<{place[1]}>{value})"]
        end = place.end()
    return "".join(pieces) + re.escape(uri[end:])


def _is_number(row: Operation, name: str) -> bool:
    kind = row.path.get(name)
    return (get_args(kind)[0] if get_origin(kind) is not None else kind) is int
