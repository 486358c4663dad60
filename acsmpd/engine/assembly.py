"""The engine put together: lanes, retries and one manager for each duty, in the order they are called."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from acsmpd.drivers.authserver import AuthServers
from acsmpd.drivers.upstream import Upstream
from acsmpd.engine.authquotas import AuthQuotas
from acsmpd.engine.core import Core, Retries
from acsmpd.engine.deployments import Deployments
from acsmpd.engine.engine import Engine
from acsmpd.engine.fetches import Fetches
from acsmpd.engine.hours import Hours
from acsmpd.engine.housekeeping import Housekeeping
from acsmpd.engine.imports import Importer
from acsmpd.engine.lanes import Lanes
from acsmpd.engine.lapses import Lapses
from acsmpd.engine.liveness import Liveness
from acsmpd.engine.observations import Observations
from acsmpd.engine.outcomes import Recorder
from acsmpd.engine.parts import PartImporter
from acsmpd.engine.pictures import Pictures
from acsmpd.engine.pipelines import Pipelines
from acsmpd.engine.placement import Placement
from acsmpd.engine.relay import Relay
from acsmpd.engine.rollouts import Rollouts
from acsmpd.engine.rounds import Rounds
from acsmpd.engine.scaling import Scaler
from acsmpd.engine.statuses import Statuses
from acsmpd.engine.upstream import Upstreams
from acsmpd.model import Family
from acsmpd.packages.intake import Intake
from acsmpd.store import devices, packages, unfinished
from acsmpd.wire.caller import Wire
from acsmpd.wire.download import Downloader

FETCHES, FETCHES_PER_ORIGIN = 6, 2
"""Packages fetched at the same moment, and those for one origin: a slow one must not hold up the others."""


def _nothing() -> None:
    """A look wakes the loop itself, if it was wanted for something."""


class Assembly:
    """What app.py starts and hands to the handlers: the engine, `poke`, and the recovery before both."""

    def __init__(
        self,
        core: Core,
        wire: Wire,
        downloader: Downloader,
        intake: Intake,
        importer: Importer,
        parts: PartImporter,
        beat: Callable[[], object],
    ) -> None:
        self._core, self._intake = core, intake
        wake, limits = core.wake, core.settings.engine
        steps = Lanes("step", limits.lanes, limits.lanes_per_device, wake)
        looks = Lanes("look", limits.lanes, 1, _nothing)
        posts = Lanes("post", limits.lanes, 1, wake)
        meetings = Lanes("upstream", limits.lanes, 1, wake)
        fetches = Lanes("fetch", FETCHES, FETCHES_PER_ORIGIN, wake)
        questions = Lanes("quota", limits.lanes, 1, wake)
        observations = Observations(core, looks, steps)
        self.poke = observations.poke
        self._deployments = Deployments(core, steps, Recorder(self.poke, core.clock.steps), Retries())
        self._pictures = Pictures(core)
        self.upstreams = Upstreams(core, meetings, Upstream(wire))
        self._housekeeping = Housekeeping(core, [self._pictures.tidy])
        placement = Placement(core)
        managers = (
            Liveness(core),
            Rollouts(core),
            Hours(core),
            Rounds(core),
            Pipelines(core),
            Lapses(core),
            placement,
            Scaler(core, placement.for_streams),
            self._deployments,
            observations,
            Statuses(core, placement),
            Fetches(core, fetches, downloader, intake, importer, parts),
            AuthQuotas(core, questions, AuthServers(wire, core.clock)),
            Relay(core, posts, wire),
            self.upstreams,
            self._housekeeping,
        )
        self.engine = Engine(core, managers, (steps, looks, posts, meetings, fetches, questions), beat)

    def recover(self) -> None:
        """Before the first pass: half uploads swept, open intents unknown, our own compute entered."""
        now, settings = self._core.clock.now(), self._core.settings
        with self._core.store.read() as tx:
            known = [Path(row["path"]) for row in packages.search(tx)]
            known += [Path(one.path) for one in unfinished.all_of(tx)]
        self._housekeeping.recover()
        self._intake.sweep(known)
        self._pictures.sweep()
        self._deployments.recover(now)
        with self._core.store.write() as tx:
            devices.put(
                tx, self._core.local_code, now.wall_ms, type=settings.local.type, family=Family.LOCAL.value,
                approved=True, registered=True, enabled=settings.local.enabled, preset=True, state="online",
            )  # fmt: skip
