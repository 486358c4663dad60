"""Table 27 of Part 4, served: the site as one central analysis platform, a node for every computility."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import msgspec

from acsmpd.api import facade_scope as scope
from acsmpd.api.call import Call
from acsmpd.api.cap_site import site_nodes
from acsmpd.api.platform import Platform
from acsmpd.api.registry import handles
from acsmpd.decide.nodes import PERCENT
from acsmpd.decide.own_nodes import basic_of, ops_of
from acsmpd.spec.messages import cap
from acsmpd.store import packages, services
from acsmpd.store.database import Tx
from acsmpd.store.tables import Load


@handles("cap.get_cap_status")
def status(platform: Platform, call: Call) -> cap.CAPStatusData:
    """From the last observations; no device is asked. Services of others are not told, but what they use counts."""
    sight = scope.sight_of(platform, call)
    with platform.store.read() as tx:
        nodes = site_nodes(platform, tx, call.caller)
        quotas = _quotas(tx, "" if platform.settings.facade.show_local else sight.origin)
    basic = [basic_of(node) for node in nodes]
    first = {node.code: number for number, node in reversed(list(enumerate(nodes)))}
    ops = [
        ops_of(node, quotas[node.code] if first[node.code] == number else ())
        for number, node in enumerate(nodes)
    ]
    return msgspec.convert({"BasicInfo": basic, "OpsInfo": ops, "UsageUnit": PERCENT}, cap.CAPStatusData)


def _quotas(tx: Tx, origin: str) -> dict[str, list[tuple[str, float]]]:
    """computility -> (service, cards it takes there) of an origin's services, "" of all."""
    found: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    card: dict[str, float] = {}
    for row in tx.rows(services.search(Load.wanted == True)):
        if origin in ("", row["origin"]):
            if row["package_id"] not in card:
                card[row["package_id"]] = xpu_quota(packages.get(tx, row["package_id"]))
            found[row["device"]][row["id"]] += card[row["package_id"]]
    return defaultdict(list, {code: sorted(of.items()) for code, of in found.items()})


def xpu_quota(package: dict[str, Any] | None) -> float:
    """Cards one replica takes by its package; 0 of one that runs without."""
    wishes = (package["manifest"].get("xpu") if package else None) or ()
    return float(wishes[0].get("quota") or 0.0) if wishes else 0.0
