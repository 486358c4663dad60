"""How near a computility is to a stream: by network, organisation, region and distance, as far as they are told."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from acsmpd.model import Device

EARTH_KM = 6371.0
Apart = tuple[int, int, int, float]
"""Smaller is nearer: another network (0, 1), steps in the tree of organisations, of regions, kilometres."""

NOWHERE: Apart = (0, 0, 0, 0.0)
UNTOLD_STEPS = 99


class Where(Struct, frozen=True):
    """Where a stream comes from, as far as it is told. Organisation and region are paths, parts between /."""

    organisation: str = ""
    network: str = ""
    region: str = ""
    longitude: float | None = None
    latitude: float | None = None


def place_of_stream(info: Mapping[str, Any]) -> Where | None:
    """Organisation, Network and Location{Text, Longitude, Latitude} beside the Url; None when none is told."""
    streams = info.get("StreamOptions")
    for options in streams.values() if isinstance(streams, Mapping) else ():
        if isinstance(options, Mapping):
            found = _where(options.get("Organisation"), options.get("Network"), options.get("Location"))
            if found != Where():
                return found
    return None


def place_of_device(device: Device) -> Where:
    return _where(device.organisation, device.network, device.location)


def region_of(device: Device) -> str:
    """The text of its Location."""
    return place_of_device(device).region


def apart(stream: Where | None, there: Where) -> Apart:
    """How far the computility is from the stream; what the stream does not tell makes no difference."""
    if stream is None:
        return NOWHERE
    return (*steps_apart(stream, there), _kilometres(stream, there))


def steps_apart(stream: Where, there: Where) -> tuple[int, int, int]:
    """The same but for the kilometres, which cost more and decide only among equals."""
    return (
        int(bool(stream.network) and stream.network.casefold() != there.network.casefold()),
        _steps(stream.organisation, there.organisation) if stream.organisation else 0,
        _steps(stream.region, there.region) if stream.region else 0,
    )


def words(stream: Where, there: Where) -> str:
    """What makes it near, or that nothing does: "same network, 2.3 km"."""
    network, organisation, region, kilometres = apart(stream, there)
    found = [
        "same network" if stream.network and not network else "",
        "same organisation" if stream.organisation and not organisation else "",
        "same region" if stream.region and not region else "",
        f"{kilometres:.1f} km" if stream.longitude is not None and math.isfinite(kilometres) else "",
    ]
    return ", ".join(word for word in found if word) or "nothing in common"


def within(path: str, whole: str) -> bool:
    """Whether a path such as city/district lies in another such as city."""
    parts, ends = _parts(path), _parts(whole)
    return parts[: len(ends)] == ends


def _where(organisation: object, network: object, location: object) -> Where:
    spot = location if isinstance(location, Mapping) else {}
    longitude, latitude = _degrees(spot.get("Longitude"), 180), _degrees(spot.get("Latitude"), 90)
    known = longitude is not None and latitude is not None
    return Where(
        _text(organisation), _text(network), _text(spot.get("Text")),
        longitude if known else None, latitude if known else None,
    )  # fmt: skip


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _degrees(value: object, most: int) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) and abs(value) <= most else None


@functools.lru_cache(maxsize=4096)
def _parts(path: str) -> list[str]:
    return [part.strip().casefold() for part in path.split("/") if part.strip()]


@functools.lru_cache(maxsize=65_536)
def _steps(wanted: str, found: str) -> int:
    """Steps from one path to the other over their last common part."""
    if not found:
        return UNTOLD_STEPS
    one, other = _parts(wanted), _parts(found)
    common = 0
    while common < min(len(one), len(other)) and one[common] == other[common]:
        common += 1
    return min(len(one) + len(other) - 2 * common, UNTOLD_STEPS)


def _kilometres(one: Where, other: Where) -> float:
    """Along the great circle; infinite where only the stream tells, 0 where it does not."""
    if one.longitude is None or one.latitude is None:
        return 0.0
    if other.longitude is None or other.latitude is None:
        return math.inf
    here, there = _on_the_ball(one.longitude, one.latitude), _on_the_ball(other.longitude, other.latitude)
    cosine = here[0] * there[0] + here[1] * there[1] + here[2] * there[2]
    return round(EARTH_KM * math.acos(min(1.0, max(-1.0, cosine))), 3)


@functools.lru_cache(maxsize=4096)
def _on_the_ball(longitude: float, latitude: float) -> tuple[float, float, float]:
    """A point of the unit ball."""
    east, north = math.radians(longitude), math.radians(latitude)
    return math.cos(north) * math.cos(east), math.cos(north) * math.sin(east), math.sin(north)
