"""The configuration file with every setting at its default, made from the declarations."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator

from msgspec import NODEFAULT, Struct

from acsmpd.settings.declared import Declared, all_declared, keys_of, section_types
from acsmpd.settings.values import GIB, MIB

_HEAD = """\
# The settings of acsmpd, each at its default. Read from the file given by --config, else from
# /etc/acsmpd/acsmpd.toml, else from conf/acsmpd.toml; what is not set there has its default.
# An environment variable ACSMPD_<SECTION>_<KEY> overrides a setting (ACSMPD_SERVER_PORT=8751); a
# list is written there with commas, a list of tables as JSON. `acsmpd check-config` tells what is
# wrong.
# This file is generated from acsmpd/settings; a test compares the two.
"""


def render_default_toml() -> str:
    """conf/acsmpd.toml: every setting at its default with its comment, lists of tables as examples."""
    parts = [_HEAD]
    for name, declared in all_declared().items():
        lines = _tables(name) if "" in declared else _section(name, declared)
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _section(name: str, declared: dict[str, Declared]) -> Iterator[str]:
    yield from _comment(section_types()[name].__doc__ or "")
    yield f"[{name}]"
    for item in declared.values():
        yield ""
        yield from _explained(item)
        if item.table:
            yield from _inline_example(item, item.table)
        yield f"{item.key} = {_literal(item.default)}{_unit(item)}"


def _tables(name: str) -> Iterator[str]:
    table = section_types()[name]
    yield from _comment((table.__doc__ or "") + " One such table for each; none by default. An example:")
    yield f"#[[{name}]]"
    for item in keys_of(table, name).values():
        yield "#"
        yield from _explained(item)
        yield f"#{item.key} = {_sample(item)}"


def _inline_example(item: Declared, table: type[Struct]) -> Iterator[str]:
    keys = keys_of(table, item.where).values()
    for key in keys:
        yield from _comment(f"- {key.key}: {key.comment} Allowed: {key.allowed}.")
    yield f"#{item.key} = [{{{', '.join(f'{key.key} = {_sample(key)}' for key in keys)}}}]"


def _explained(item: Declared) -> Iterator[str]:
    allowed = f"a list, each {item.allowed}" if item.is_list else item.allowed
    needed = " Required." if item.default is NODEFAULT else ""
    yield from _comment(item.comment)
    yield from _comment(f"Allowed: {allowed}.{needed}")


def _comment(text: str) -> list[str]:
    words = " ".join(text.split())
    return textwrap.wrap(words, 100, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)


def _sample(item: Declared) -> str:
    return _literal(item.example if item.default is NODEFAULT else item.default)


def _literal(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return f"{value:g}" if isinstance(value, float) else str(value)
    if isinstance(value, tuple):
        return f"[{', '.join(_literal(item) for item in value)}]"
    return json.dumps(value, ensure_ascii=False)


def _unit(item: Declared) -> str:
    """The size in words, where the number of bytes is hard to read."""
    value = item.default
    if not item.key.endswith("_bytes") or value % MIB:
        return ""
    return f"  # {value // GIB} GiB" if value % GIB == 0 else f"  # {value // MIB} MiB"
