"""Which policy an instance is under: its capability's beats the global one."""

from __future__ import annotations

from typing import Any

import pytest

from acsmpd.decide.policies import DEFAULT, Policies, Priority
from acsmpd.model import Policy, PriorityClass
from tests.decide.rows import ability, wants

ABLE = [ability("A"), ability("B", "p2", "2.0"), ability("C", "p3", event_ids=("CLIMB",))]
GLOBAL = Policy(
    id="g", priority=1, classes=(PriorityClass("urgent", 50), PriorityClass("calm", -5, preempts=False))
)
OWN = Policy(id="a", capability="A", priority=7, preempts=True, classes=(PriorityClass("urgent", 90),))
CLIMB = Policy(id="c", capability="C")


@pytest.mark.parametrize(
    ("policies", "asked", "found"),
    [
        ([], ("INTRUSION",), ""),
        ([GLOBAL], ("INTRUSION",), "g"),
        ([GLOBAL, OWN], ("INTRUSION",), "a"),
        ([GLOBAL, OWN, CLIMB], ("INTRUSION", "CLIMB"), "a"),
        ([GLOBAL, OWN, CLIMB], ("CLIMB", "INTRUSION"), "c"),
        ([CLIMB], ("INTRUSION",), ""),
        ([GLOBAL, OWN], (), "g"),
    ],
)
def test_the_first_capability_with_a_policy_decides(policies: Any, asked: Any, found: str) -> None:
    rules = Policies(policies, ABLE)
    assert rules.of(wants(*asked)).id == found
    assert Policies(policies[::-1], ABLE[::-1]).of(wants(*asked)).id == found


@pytest.mark.parametrize(
    ("name", "asked", "priority"),
    [
        ("", "INTRUSION", Priority(7, True)),
        ("urgent", "INTRUSION", Priority(90, True)),
        ("calm", "INTRUSION", Priority(-5, False)),  # the global policy's class
        ("nobody", "INTRUSION", Priority(7, True)),
        ("", "CLIMB", Priority(1, False)),
        ("urgent", "CLIMB", Priority(50, True)),
    ],
)
def test_the_priority_is_that_of_the_class_else_of_the_policy(
    name: str, asked: str, priority: Priority
) -> None:
    assert Policies([GLOBAL, OWN], ABLE).priority(wants(asked, priority_class=name)) == priority


def test_without_policies_all_is_as_it_was() -> None:
    assert Policies().of(wants("INTRUSION")) == DEFAULT
    assert (DEFAULT.strategy, DEFAULT.failover, DEFAULT.delay_seconds) == ("spread", "gap", 0)
    assert Policies().priority(wants("X", priority_class="urgent")) == Priority(0, False)
