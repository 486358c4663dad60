"""Which schedule policy an instance is under, and what priority that gives it (Part 5 6.3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from acsmpd.decide.placement import asked_by, candidates
from acsmpd.model import Ability, InstanceRow, Policy

DEFAULT = Policy()


class Priority(Struct, frozen=True):
    """Higher comes first. `preempts`: it may take the place of a lower one."""

    value: int
    preempts: bool


class Policies:
    """Of an instance's capabilities the first that has a policy of its own decides, else the global policy."""

    def __init__(self, policies: Sequence[Policy] = (), abilities: Sequence[Ability] = ()) -> None:
        self._by_capability = {policy.capability: policy for policy in policies}
        self._abilities = abilities
        self._known: dict[tuple[Any, ...], Policy] = {}

    def of(self, instance: InstanceRow) -> Policy:
        key = asked_by(instance)
        if key not in self._known:
            self._known[key] = self._find(instance)
        return self._known[key]

    def priority(self, instance: InstanceRow) -> Priority:
        """By the class it names, in its own policy or the global one; else that of its policy."""
        own = self.of(instance)
        for policy in (own, self._by_capability.get("", DEFAULT)):
            for one in policy.classes:
                if instance.priority_class and one.name == instance.priority_class:
                    return Priority(one.value, one.preempts)
        return Priority(own.priority, own.preempts)

    def _find(self, instance: InstanceRow) -> Policy:
        if self._by_capability.keys() - {""}:
            for found in candidates(instance, self._abilities).values():
                for ability in found:
                    if ability.code in self._by_capability:
                        return self._by_capability[ability.code]
        return self._by_capability.get("", DEFAULT)
