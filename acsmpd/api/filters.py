"""Filters that several searches share."""

from __future__ import annotations

from typing import Any

from peewee import SQL, fn

from acsmpd.api.platform import Platform
from acsmpd.spec import times
from acsmpd.store.tables import Capability, Instance, InstanceEvent


def created_between(platform: Platform, asked: Any, column: Any) -> list[Any]:
    """The CreateTimeFrom / CreateTimeTo filters."""
    return _between(platform, column, asked.create_time_from, asked.create_time_to, "CreateTime")


def time_between(platform: Platform, asked: Any, column: Any) -> list[Any]:
    """The TimeFrom / TimeTo filters of our extensions."""
    return _between(platform, column, asked.time_from, asked.time_to, "Time")


def _between(platform: Platform, column: Any, begin: str | None, end: str | None, name: str) -> list[Any]:
    """Both ends inclusive; a whole second belongs to the end."""
    conditions = []
    first = times.read(begin, platform.zone, f"$.{name}From")
    last = times.read(end, platform.zone, f"$.{name}To")
    if first is not None:
        conditions.append(column >= first)
    if last is not None and end is not None:
        conditions.append(column <= (last if "." in end else last + 999))
    return conditions


def instance_filters(asked: Any) -> list[Any]:
    """The filters plans and instances share: capability codes, capability name, devices."""
    conditions: list[Any] = []
    if asked.device_ids is not None:
        conditions.append(Instance.stream_device_id.in_(asked.device_ids))
    if asked.algo_def_codes is not None:
        conditions.append(_with_capability(Capability.code.in_(asked.algo_def_codes)))
    if asked.algo_def_name:
        conditions.append(_with_capability(Capability.name.contains(asked.algo_def_name)))
    return conditions


def _with_capability(condition: Any) -> Any:
    """Instances that run on such a capability, or, before they have a place, ask for an event it serves."""
    codes = Capability.select(Capability.code).where(condition)
    served = fn.json_each(Capability.event_ids).alias("served")
    events = Capability.select(SQL('"served"."value"')).from_(Capability, served).where(condition)
    asked = InstanceEvent.select(InstanceEvent.id).where(
        InstanceEvent.instance_number == Instance.number,
        InstanceEvent.capability.in_(codes)
        | ((InstanceEvent.capability == "") & InstanceEvent.event_id.in_(events)),
    )
    return fn.EXISTS(asked)  # a first page is found without looking at all of them
