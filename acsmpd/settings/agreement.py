"""What no single setting can say: which values do not go together."""

from __future__ import annotations

from collections.abc import Iterator

from acsmpd.settings.whole import Settings


def disagreements(settings: Settings, spoilt: frozenset[str]) -> list[str]:
    """One sentence for each pair that does not fit; pairs with a spoilt member are passed over."""
    told = [*_orders(settings), *_ports(settings), *_threads(settings), *_identity(settings, spoilt)]
    return [fault for members, fault in told if not spoilt.intersection(members)]


_Told = tuple[tuple[str, ...], str]


def _orders(s: Settings) -> Iterator[_Told]:
    """Pairs of which the first must not be greater than the second."""
    pairs = (
        ("runtime.port_from", s.runtime.port_from, "runtime.port_to", s.runtime.port_to),
        (
            "computility.suspect_seconds",
            s.computility.suspect_seconds,
            "computility.lost_seconds",
            s.computility.lost_seconds,
        ),
        (
            "engine.backoff_first_seconds",
            s.engine.backoff_first_seconds,
            "engine.backoff_max_seconds",
            s.engine.backoff_max_seconds,
        ),
        ("engine.lanes_per_device", s.engine.lanes_per_device, "engine.lanes", s.engine.lanes),
        (
            "probes.deadline_seconds",
            s.probes.deadline_seconds,
            "probes.interval_seconds",
            s.probes.interval_seconds,
        ),
        (
            "results.picture_max_bytes",
            s.results.picture_max_bytes,
            "results.pictures_max_bytes",
            s.results.pictures_max_bytes,
        ),
        (
            "enrolment.pending_per_address",
            s.enrolment.pending_per_address,
            "enrolment.pending_max",
            s.enrolment.pending_max,
        ),
    )
    for low_name, low, high_name, high in pairs:
        if low > high:
            yield (
                (low_name, high_name),
                f"{low_name} = {_plain(low)}: must not be over {high_name} = {_plain(high)}",
            )


def _plain(number: float) -> str:
    return f"{number:g}" if isinstance(number, float) else str(number)


def _ports(s: Settings) -> Iterator[_Told]:
    low, port, high = s.runtime.port_from, s.server.port, s.runtime.port_to
    if low <= port <= high:
        members = ("server.port", "runtime.port_from", "runtime.port_to")
        yield members, f"server.port = {port}: must lie outside the ports of engines, {low} to {high}"


def _threads(s: Settings) -> Iterator[_Told]:
    waiters, threads = s.server.max_waiters, s.server.threads
    if waiters >= threads:
        members = ("server.max_waiters", "server.threads")
        yield members, f"server.max_waiters = {waiters}: must be below server.threads = {threads}"


def _identity(s: Settings, spoilt: frozenset[str]) -> Iterator[_Told]:
    reasons = []
    if not s.server.is_loopback and "server.host" not in spoilt:
        reasons.append(f'server.host = "{s.server.host}" is not loopback')
    if s.upstream or "upstream" in spoilt:
        reasons.append("an upstream is set")
    if reasons and not s.site.code:
        yield ("site.code",), f'site.code = "": must be set (20 digits), because {" and ".join(reasons)}'
    seen: set[tuple[str, str]] = set()
    for index, one in enumerate(s.upstream):
        place = (one.url, one.code or s.site.code)
        if place in seen:
            yield ("upstream",), f"upstream[{index}].code: stands twice at {one.url}; give each its own"
        seen.add(place)
