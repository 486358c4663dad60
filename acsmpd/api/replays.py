"""Results delivered again on request: what a receiver lost comes out of what this box kept."""

from __future__ import annotations

from typing import Any

from acsmpd import faults
from acsmpd.api.call import Call, Reply
from acsmpd.api.platform import Platform
from acsmpd.api.registry import handles
from acsmpd.api.results import conditions_of
from acsmpd.decide import results as decided
from acsmpd.spec.messages.results import ResultReplay
from acsmpd.store import plans, results
from acsmpd.store.database import Tx
from acsmpd.store.tables import Result

MOST = 10_000
"""Results of one request."""
AT_ONCE = 500
"""Results whose deliveries are written together: everybody who writes waits for it."""


@handles("acsmp.replay_results")
def replay(platform: Platform, call: Call) -> Reply:
    """They go behind what waits already. What waits for an address is not put there twice."""
    conditions = [*conditions_of(platform, call.message), Result.error == ""]
    with platform.store.read() as tx:
        found = tx.rows(results.search(*conditions).order_by(Result.id).limit(MOST + 1))
    if len(found) > MOST:
        raise faults.InvalidField(
            f"$: more than {MOST} results fit; name a plan, an instance, or a shorter time"
        )
    deliveries = 0
    for first in range(0, len(found), AT_ONCE):
        ids = [row["id"] for row in found[first : first + AT_ONCE]]
        with platform.store.write(durable=False) as tx:
            rows = _deliveries(tx, ids, call.message.url or "")
            deliveries += results.deliver_again(tx, rows, call.now.wall_ms)
    platform.wake()
    return Reply(ResultReplay(results=len(found), deliveries=deliveries), object=f"{deliveries} deliveries")


def _deliveries(tx: Tx, ids: list[int], only: str) -> list[tuple[int, str, str, str]]:
    """(result id, instance id, url, destination) for the addresses the instances name now."""
    instances: dict[str, dict[str, Any] | None] = {}
    rows = []
    for row in results.some(tx, ids):
        instance_id = row["instance_id"]
        if instance_id not in instances:
            instances[instance_id] = plans.any_instance(tx, instance_id)
        instance = instances[instance_id]
        urls = decided.addresses((instance or {}).get("receive_urls") or {}, row["event_id"])
        rows += [(row["id"], instance_id, url, decided.destination(url)) for url in urls if only in ("", url)]
    return rows
