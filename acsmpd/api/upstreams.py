"""Extension Upstream: how it goes with the platforms above. The engine registers; this shows what came of it."""

from __future__ import annotations

from typing import Any

from acsmpd.api.call import Call
from acsmpd.api.platform import Platform
from acsmpd.api.registry import handles
from acsmpd.decide.results import destination
from acsmpd.decide.upstreams import by_name, code_of
from acsmpd.settings import Upstream
from acsmpd.spec import times
from acsmpd.spec.messages import upstream as messages
from acsmpd.store import results, upstreams


@handles("acsmp.get_upstream")
def get(platform: Platform, call: Call) -> list[messages.Upstream]:
    entries = by_name(platform.settings.upstream, platform.settings.site_code)
    with platform.store.read() as tx:
        rows = {row["code"]: row for row in upstreams.all_rows(tx)}
        return [
            _item(platform, name, entry, rows.get(name), results.waiting(tx, destination(entry.url)))
            for name, entry in entries.items()
        ]


def _item(
    platform: Platform, name: str, entry: Upstream, row: dict[str, Any] | None, waiting: int
) -> messages.Upstream:
    return messages.Upstream(
        name=name,
        code=code_of(name),
        url=entry.url,
        type=entry.type,
        state=row["state"] if row else "new",
        reason=row["reason"] or None if row else None,
        since=times.written(row["changed_ms"], platform.zone) if row else None,
        waiting_results=waiting,
    )
