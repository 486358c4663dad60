"""Who takes part: families of computilities, and how to reach one."""

from __future__ import annotations

from enum import Enum

from msgspec import Struct


class Family(str, Enum):
    """Which driver commands a computility (conventions section 12)."""

    CAD = "cad"
    CAP = "cap"
    CCP = "ccp"
    EDGE = "edge"
    DIRECT = "direct"
    LOCAL = "local"
    NONE = "none"


FAMILY_OF_TYPE = {
    "CAP": Family.CAP, "CAD": Family.CAD, "EDGE_COMPUTE_DEVICE": Family.EDGE, "AI_BOX": Family.EDGE,
    "FRONT_END_DEVICE": Family.DIRECT, "AI_CAMERA": Family.DIRECT, "AI_CLOUD": Family.NONE, "CCP": Family.CCP,
}  # fmt: skip
"""Which driver commands a Type of table B.1 where an operator names no other (conventions section 12)."""

ONE_SERVICE = (Family.CAD, Family.EDGE)
"""Families on which a package has one service (conventions section 5)."""


OWN_REPLICAS = (Family.CAP, Family.CCP)
"""Families that keep the replicas of a service themselves: it is one load."""

KEEPS_RUNNING = (Family.CCP,)
"""Of them, those that start a replica that failed again themselves, and change their number while the service runs; on
the others another number is another load."""

HAS_HOSTS = (Family.CAP,)
"""Families of several hosts, on one of which a service may be wanted."""

PICKS_CARDS = (Family.CAP, Family.CCP)
"""Families that are told with a load which card it wants."""

PULLS_IMAGES = (Family.CCP,)
"""Families that take no file: they pull an image by its address, and list none of what they were told to pull."""

TASKS_ON_PODS = (Family.CCP,)
"""Families that control no tasks: at best the engines of their services do (conventions section 5)."""

HAS_CLUSTER = (Family.CCP,)
"""Families that are called with the code of a cluster, and put services into a namespace of it."""

ENTERED = (Family.CCP,)
"""Families that an operator enters: they never register nor say that they live."""

OWN_PACKAGE_IDS = (Family.CAP,)
"""Families that may list packages by ids of their own: they are known by name and version then."""

NO_FAILOVER = (Family.CAP,)
"""Families whose work stays where it is: a cut line to a site must not double it (conventions section 11)."""


class Peer(Struct, frozen=True, kw_only=True):
    """How to reach one party. `token` and `password` are plain here and only here; never log a Peer."""

    code: str
    family: Family
    url: str  # http(s)://host:port, no path, "" for the local computility
    prefix: str = ""  # put before the printed path; edge: instead of /CAD
    auth: str = "token"  # token | basic | none
    token: str | None = None
    username: str = ""
    password: str = ""
    pin: str | None = None  # SHA-256 of the peer's certificate, hex
    via: tuple[str, ...] = ()  # site codes this call has passed, ours last
    usage_unit: str = "auto"  # what its status means by use: auto | amount | percent | fraction
    cluster: str = ""  # of a computing platform: the ClusterCode, and the nodes to be looked at
    nodes: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ("default",)  # where new services go, then where else services of ours are
    trusted: bool = False  # an engine of our own on loopback: the egress policy is not asked

    def __repr__(self) -> str:
        return f"Peer({self.code}, {self.family.value}, {self.url})"
