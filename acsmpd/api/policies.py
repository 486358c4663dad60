"""Extension SchedulePolicies: how work is placed, moved and scaled; the engine reads them at its next pass."""

from __future__ import annotations

import uuid
from typing import Any

import msgspec

from acsmpd import faults
from acsmpd.api.call import Call, Reply
from acsmpd.api.platform import Platform
from acsmpd.api.registry import handles
from acsmpd.model import PriorityClass, Scaling
from acsmpd.spec import times
from acsmpd.spec.messages import policies as messages
from acsmpd.store import packages, policies
from acsmpd.store.database import Tx

PREEMPTS = {True: "PreemptLowerPriority", False: "Never"}


@handles("acsmp.list_schedule_policies")
def list_policies(platform: Platform, call: Call) -> list[messages.SchedulePolicy]:
    with platform.store.read() as tx:
        return [_item(platform, row) for row in policies.rows(tx)]


@handles("acsmp.create_schedule_policy")
def create(platform: Platform, call: Call) -> Reply:
    """One for each capability and one for all others; a second one is refused, naming the first."""
    asked, now = call.message, call.now.wall_ms
    capability, policy_id = asked.algo_def_code or "", str(uuid.uuid4())
    values = {"classes": [], **_values(asked)}
    with platform.store.write() as tx:
        if capability and capability not in packages.holders(tx, [capability]):
            raise faults.NotFound(f"$.AlgoDefCode: no capability {capability}")
        held = policies.of_capability(tx, capability)
        if held is not None:
            scope = f"capability {capability}" if capability else "all capabilities"
            raise faults.Duplicate(f"there is a schedule policy for {scope}: {held['id']}; change that one")
        policies.add(tx, id=policy_id, capability=capability, created_ms=now, modified_ms=now, **values)
        item = _item(platform, _row(tx, policy_id))
    platform.wake()
    return Reply(item, object=policy_id)


@handles("acsmp.update_schedule_policy")
def update(platform: Platform, call: Call) -> Reply:
    asked, policy_id = call.message, call.path["ID"]
    with platform.store.write() as tx:
        row = _row(tx, policy_id)
        if asked.algo_def_code is not None and asked.algo_def_code != row["capability"]:
            raise faults.InvalidField("$.AlgoDefCode: what a policy is for cannot be changed; create another")
        policies.change(tx, policy_id, modified_ms=call.now.wall_ms, **_values(asked))
        item = _item(platform, _row(tx, policy_id))
    platform.wake()
    return Reply(item, object=policy_id)


@handles("acsmp.delete_schedule_policy")
def delete(platform: Platform, call: Call) -> Reply:
    """What is placed stays; instances that name one of its classes have the priority of the policy they fall to."""
    policy_id = call.path["ID"]
    with platform.store.write() as tx:
        _row(tx, policy_id)
        policies.drop(tx, policy_id)
    platform.wake()
    return Reply(object=policy_id)


def _row(tx: Tx, policy_id: str) -> dict[str, Any]:
    row = policies.get(tx, policy_id)
    if row is None:
        raise faults.NotFound(f"no schedule policy {policy_id}")
    return row


def _values(asked: Any) -> dict[str, Any]:
    """Columns of what was given."""
    plain = ("name", "strategy", "failover", "delay_seconds", "priority")
    values = {name: getattr(asked, name) for name in plain if getattr(asked, name) is not None}
    if asked.preemption_policy is not None:
        values["preempts"] = asked.preemption_policy == PREEMPTS[True]
    if asked.priority_classes is not None:
        values["classes"] = _classes(asked.priority_classes)
    if asked.scaling is not None:
        values["scaling"] = _scaling(asked.scaling)
    return values


def _scaling(asked: messages.Scaling) -> Scaling | None:
    if asked.max_replicas < asked.min_replicas:
        raise faults.InvalidField(
            f"$.Scaling.MaxReplicas: {asked.max_replicas} is less than MinReplicas, {asked.min_replicas}"
        )
    if asked.enabled is False:
        return None
    names = ("min_replicas", "max_replicas", "target_use", "cooldown_seconds", "per_region")
    return Scaling(**{name: value for name in names if (value := getattr(asked, name)) is not None})


def _classes(asked: list[messages.PriorityClass]) -> list[PriorityClass]:
    """A class pre-empts unless it says otherwise."""
    names = [one.name for one in asked]
    for place, name in enumerate(names):
        if name in names[:place]:
            raise faults.InvalidField(f"$.PriorityClasses[{place}].Name: {name} stands twice")
    return [PriorityClass(one.name, one.value, one.preemption_policy != PREEMPTS[False]) for one in asked]


def _item(platform: Platform, row: dict[str, Any]) -> messages.SchedulePolicy:
    classes = msgspec.convert(row["classes"], list[PriorityClass])
    shown = {
        "ID": row["id"], "Strategy": row["strategy"], "Failover": row["failover"],
        "DelaySeconds": row["delay_seconds"], "Priority": row["priority"],
        "PreemptionPolicy": PREEMPTS[row["preempts"]],
        "PriorityClasses": [
            {"Name": one.name, "Value": one.value, "PreemptionPolicy": PREEMPTS[one.preempts]} for one in classes
        ],
        "CreatedDate": times.written(row["created_ms"], platform.zone),
        "LastModifiedDate": times.written(row["modified_ms"], platform.zone),
    }  # fmt: skip
    if row["scaling"] is not None:
        scaling = msgspec.convert(row["scaling"], Scaling)
        shown["Scaling"] = {
            "Enabled": True, "MinReplicas": scaling.min_replicas, "MaxReplicas": scaling.max_replicas,
            "TargetUse": scaling.target_use, "CooldownSeconds": scaling.cooldown_seconds,
            "PerRegion": scaling.per_region,
        }  # fmt: skip
    named = {"Name": row["name"], "AlgoDefCode": row["capability"]}
    return msgspec.convert(shown | {k: v for k, v in named.items() if v}, messages.SchedulePolicy)
