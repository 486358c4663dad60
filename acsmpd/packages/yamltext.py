"""YAML text as the bounded tree of `yamltree`. Only who reads a package pays for PyYAML, a megabyte of memory."""

from __future__ import annotations

import re
from typing import Any

import yaml

from acsmpd import faults
from acsmpd.packages.yamltree import Scalar, Tree

MAX_EVENTS = 40_000
MAX_DEPTH = 32
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_OPENING = (yaml.MappingStartEvent, yaml.SequenceStartEvent)
_CLOSING = (yaml.MappingEndEvent, yaml.SequenceEndEvent)
_UNFIT = re.compile("[\x00\ud800-\udfff]")


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
    return _scalar(node)


def _mapping(node: yaml.MappingNode) -> dict[str, Tree]:
    found: dict[str, Tree] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise faults.InvalidPackage(f"line {_line(key)}: a key that is not plain text")
        name = _scalar(key).value
        if name in found:
            raise faults.InvalidPackage(f"line {_line(key)}: {name[:64]!r} is given twice")
        found[name] = _tree(value)
    return found


def _scalar(node: yaml.Node) -> Scalar:
    if _UNFIT.search(node.value):
        raise faults.InvalidPackage(f"line {_line(node)}: a text with U+0000 or half a surrogate pair")
    return Scalar(node.tag, node.value)
