"""The CCP driver, and whom it commands."""

from __future__ import annotations

from typing import Any

from acsmpd.drivers.ccp import Ccp
from acsmpd.model import Family, Load, Observed, Outcome, Peer, Unload
from acsmpd.settings import load
from acsmpd.wire.caller import Wire
from tests.support.fake_ccp import CLUSTER, NODES

PACKAGE = "1101150192508600000120231012203630000102"
IMAGE = "127.0.0.1:5000/provider-human_detect:1.3.0"
LOAD = "76079e21-1b8b-4151-b904-6c56a4635d58"
NAME = "acsmp-76079e211b8b4151b9046c56a4635d58"


class Stage:
    """The driver, and whom it commands."""

    def __init__(self, wire: Wire, url: str, interface: str = "none", **more: Any) -> None:
        settings = load(
            None,
            {"ACSMPD_CCP_ENGINE_INTERFACE": interface, "ACSMPD_CCP_CPU": "3", "ACSMPD_CCP_MEMORY_GIB": "5"},
        )
        self.driver = Ccp(wire, settings)
        place = {"cluster": CLUSTER, "nodes": NODES, "namespaces": ("default",), **more}
        self.peer = Peer(code="11010000005020000041", family=Family.CCP, url=url, **place)

    def perform(self, step: Any) -> Outcome:
        return self.driver.perform(self.peer, step)

    def observe(self, *known: str) -> Observed:
        return self.driver.observe(self.peer, frozenset(known))

    def load(self, load_id: str = LOAD, **more: Any) -> str:
        return self.perform(deploy(load_id, **more)).facility_id

    def unload(self, key: str, *, again: bool = False) -> Outcome:
        return self.perform(
            Unload(load_id=LOAD, service_id="s", package_id=PACKAGE, facility_id=key, again=again)
        )


def deploy(load_id: str = LOAD, **more: Any) -> Load:
    return Load(**{"load_id": load_id, "service_id": "s", "package_id": PACKAGE, "image": IMAGE, **more})
