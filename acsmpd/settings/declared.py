"""The declarations as a list: what the reader judges by and the printed configuration is made from."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Annotated, Any, NamedTuple, get_args, get_origin

import msgspec
from msgspec import Struct, inspect

from acsmpd.settings.whole import Settings

ENV_PREFIX = "ACSMPD_"


class Declared(NamedTuple):
    """One setting: where it stands, what it may hold and why it is there."""

    section: str
    key: str  # empty for a section that is itself a list of tables
    kind: Any  # the type of the value, or of one item of a list
    is_list: bool
    default: Any  # msgspec.NODEFAULT where a value must be given
    comment: str
    allowed: str
    example: str
    check: Callable[[str], bool] | None

    @property
    def where(self) -> str:
        return f"{self.section}.{self.key}" if self.key else self.section

    @property
    def env(self) -> str:
        """The environment variable that overrides it."""
        return ENV_PREFIX + self.where.replace(".", "_").upper()

    @property
    def table(self) -> type[Struct] | None:
        """The struct of one table, where the setting is a list of tables."""
        return self.kind if is_struct(self.kind) else None


def is_struct(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, Struct)


@lru_cache(maxsize=1)
def section_types() -> dict[str, type[Struct]]:
    """The struct of each section; of one table of it, where the section is a list of tables."""
    return {field.name: _item_type(field.type) for field in msgspec.structs.fields(Settings)}


@lru_cache(maxsize=1)
def all_declared() -> dict[str, dict[str, Declared]]:
    """Every setting by section and key, in the order they are declared in."""
    found = {}
    for field in msgspec.structs.fields(Settings):
        alone = is_struct(field.type)
        found[field.name] = (
            keys_of(field.type, field.name) if alone else {"": _declare(field, field.name, "")}
        )
    return found


@lru_cache(maxsize=64)
def keys_of(table: type[Struct], section: str) -> dict[str, Declared]:
    """The settings of one section, or of one table in a list."""
    return {field.name: _declare(field, section, field.name) for field in msgspec.structs.fields(table)}


def _declare(field: msgspec.structs.FieldInfo, section: str, key: str) -> Declared:
    item = _item_type(field.type)
    told, extra, info = _metadata(item)
    told = {**told, **_metadata(field.type)[0]}
    return Declared(
        section=section,
        key=key,
        kind=item,
        is_list=item is not field.type,
        default=field.default,
        comment=told.get("description", ""),
        allowed=told.get("title", "") or _in_words(item, info),
        example=(told.get("examples") or [""])[0],
        check=extra.get("check"),
    )


def _item_type(kind: Any) -> Any:
    """The type of one item for a tuple, annotated or not; any other type as it is."""
    bare = _bare(kind)
    return get_args(bare)[0] if get_origin(bare) is tuple else kind


def _bare(kind: Any) -> Any:
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _metadata(kind: Any) -> tuple[dict[str, Any], dict[str, Any], inspect.Type]:
    info = inspect.type_info(kind)
    if isinstance(info, inspect.Metadata):
        return info.extra_json_schema or {}, info.extra or {}, info.type
    return {}, {}, info


def _in_words(kind: Any, info: inspect.Type) -> str:
    if isinstance(info, inspect.IntType):
        return f"a whole number from {info.ge} to {info.le}"
    if isinstance(info, inspect.FloatType):
        return f"a number from {info.ge:g} to {info.le:g}"
    if isinstance(info, inspect.LiteralType):
        return "one of " + ", ".join(get_args(_bare(kind)))
    return "true or false" if isinstance(info, inspect.BoolType) else "a table"
