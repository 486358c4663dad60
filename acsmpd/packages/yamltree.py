"""YAML as a bounded tree of plain nodes: no object is ever constructed, no alias ever expanded.

Scalars stay nodes, so that `version: 1.10` is still "1.10" when it is read as text.
"""

from __future__ import annotations

import math
import re
from typing import Any

import yaml

from acsmpd import faults

MAX_EVENTS = 40_000
MAX_DEPTH = 32
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_OPENING = (yaml.MappingStartEvent, yaml.SequenceStartEvent)
_CLOSING = (yaml.MappingEndEvent, yaml.SequenceEndEvent)
_TAG = "tag:yaml.org,2002:"
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})")
_DECIMAL = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,4})?")
_UNFIT = re.compile("[\x00\ud800-\udfff]")

Scalar = yaml.ScalarNode
Tree = Any  # dict[str, Tree] | list[Tree] | Scalar


def parse(text: str) -> Tree:
    """The one document in `text`; None when it is empty. Faults say the line and the reason."""
    try:
        _bound(text)
        node = yaml.compose(text, Loader=_LOADER)
    except yaml.YAMLError as error:
        raise faults.InvalidPackage(f"not valid YAML: {_reason(error)}") from error
    return None if node is None else _tree(node)


def _bound(text: str) -> None:
    depth = 0
    for number, event in enumerate(yaml.parse(text, Loader=_LOADER)):
        if number > MAX_EVENTS:
            raise faults.InvalidPackage(f"more than {MAX_EVENTS} YAML nodes")
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise faults.InvalidPackage(f"line {_line(event)}: YAML anchors and aliases are not accepted")
        depth += isinstance(event, _OPENING) - isinstance(event, _CLOSING)
        if depth > MAX_DEPTH:
            raise faults.InvalidPackage(f"line {_line(event)}: nested more than {MAX_DEPTH} deep")


def _line(found: yaml.Event | yaml.Node) -> int:
    return found.start_mark.line + 1 if found.start_mark is not None else 0


def _reason(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "unreadable"
    return f"line {mark.line + 1}: {problem}" if mark is not None else str(problem)


def _tree(node: yaml.Node) -> Tree:
    if isinstance(node, yaml.MappingNode):
        return _mapping(node)
    if isinstance(node, yaml.SequenceNode):
        return [_tree(item) for item in node.value]
    _fit(node)
    return node


def _mapping(node: yaml.MappingNode) -> dict[str, Tree]:
    found: dict[str, Tree] = {}
    for key, value in node.value:
        if not isinstance(key, Scalar):
            raise faults.InvalidPackage(f"line {_line(key)}: a key that is not plain text")
        _fit(key)
        if key.value in found:
            raise faults.InvalidPackage(f"line {_line(key)}: {key.value[:64]!r} is given twice")
        found[key.value] = _tree(value)
    return found


def _fit(node: yaml.Node) -> None:
    if _UNFIT.search(node.value):
        raise faults.InvalidPackage(f"line {_line(node)}: a text with U+0000 or half a surrogate pair")


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


def _plain(node: yaml.ScalarNode) -> Any:
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
