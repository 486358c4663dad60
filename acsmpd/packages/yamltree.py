"""YAML as a bounded tree of plain nodes: no object is ever constructed, no alias ever expanded.

Scalars stay nodes, so that `version: 1.10` is still "1.10" when it is read as text.
"""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple

_TAG = "tag:yaml.org,2002:"
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})")
_DECIMAL = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,4})?")


class Scalar(NamedTuple):
    """A text and the tag YAML gives it."""

    tag: str
    value: str


Tree = Any  # dict[str, Tree] | list[Tree] | Scalar


def is_nothing(tree: Tree) -> bool:
    """Absent, empty or null all mean: not given."""
    return tree is None or (isinstance(tree, Scalar) and (tree.tag == _TAG + "null" or tree.value == ""))


def verbatim(tree: Tree) -> Any:
    """The same as JSON-ready values. Only true and false are booleans; an odd number stays text."""
    if isinstance(tree, dict):
        return {key: verbatim(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [verbatim(item) for item in tree]
    return _plain(tree)


def _plain(node: Scalar) -> Any:
    text: str = node.value
    if node.tag == _TAG + "null":
        return None
    if node.tag == _TAG + "bool" and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if node.tag == _TAG + "int" and _INTEGER.fullmatch(text):
        return int(text)
    if node.tag == _TAG + "float":
        number = as_number(text)
        return text if number is None else number
    return text


def as_number(text: str) -> float | None:
    """A finite decimal number, else None."""
    if not _DECIMAL.fullmatch(text) or len(text) > 64:
        return None
    number = float(text)
    return number if math.isfinite(number) else None
