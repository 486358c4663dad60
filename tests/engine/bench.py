"""The engine without its sockets: real store, lanes and managers, a clock that a test moves, a Plant as driver."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from acsmpd.clock import Clock, Moment
from acsmpd.decide.cards import Card
from acsmpd.engine.core import Core, Manager, Retries
from acsmpd.engine.deployments import Deployments
from acsmpd.engine.engine import Engine
from acsmpd.engine.hours import Hours
from acsmpd.engine.lanes import Lanes
from acsmpd.engine.lapses import Lapses
from acsmpd.engine.liveness import Liveness
from acsmpd.engine.observations import Observations
from acsmpd.engine.outcomes import Recorder
from acsmpd.engine.pipelines import Pipelines
from acsmpd.engine.placement import Placement
from acsmpd.engine.rollouts import Rollouts
from acsmpd.engine.rounds import Rounds
from acsmpd.engine.statuses import Statuses
from acsmpd.model import Family, InstanceRow, LoadRow, TaskRow
from acsmpd.security.links import LinkSigner
from acsmpd.security.seal import Sealer
from acsmpd.settings import load
from acsmpd.store import devices, foreign, plans, services
from acsmpd.store.database import Store
from acsmpd.store.presence import Presence
from acsmpd.store.tables import Alarm, Copy, Instance, Load, Task
from tests.engine.plant import Plant
from tests.store.rows import CODE, NOW, PACKAGE, add_device, add_instance, add_load, add_package
from tests.support.wait import wait_until

SITE = "11010000005020000001"
BEGIN = Moment(NOW, 10_000.0, "boot")
STREAM = "rtsp://10.0.0.9/1"
INFO = {"RulesParams": [{"EventID": "INTRUSION"}], "StreamOptions": {"VideoStreamOptions": {"Url": STREAM}}}


class Hands(Clock):
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        super().__init__()
        self.moment = BEGIN

    def now(self) -> Moment:
        return self.moment


class Bench:
    """One platform and what it commands. `run` makes passes and waits for what they set going."""

    def __init__(self, folder: Path, **settings: str) -> None:
        environ = {f"ACSMPD_{name.upper()}": value for name, value in settings.items()}
        self.settings = load(None, {"ACSMPD_SITE_CODE": SITE, "ACSMPD_SERVER_PORT": "8750", **environ})
        self.clock, self.plant, self.here = Hands(), Plant(), Plant(with_ids=True)
        self.store = Store(folder / "acsmpd.db").open()
        self.folder, self.cards = folder, list[Card]()
        self.extra: list[Manager] = []
        self.start()

    def start(self) -> None:
        """As when the process starts: nothing is remembered but what is stored."""
        self.presence = Presence(self.clock.moment.mono)
        remote = dict.fromkeys((Family.CAD, Family.EDGE, Family.CAP, Family.DIRECT), self.plant)
        self.core = Core(
            settings=self.settings, store=self.store, clock=self.clock, presence=self.presence,
            sealer=Sealer(b"k" * 32), signer=LinkSigner(b"k" * 32), drivers={**remote, Family.LOCAL: self.here},
            data=self.folder, local_code=SITE, cards=lambda: self.cards,
        )  # fmt: skip
        limits = self.settings.engine
        self._ended = threading.Event()
        self.steps = Lanes("step", limits.lanes, limits.lanes_per_device, self._job_ended)
        self.sights = Lanes("look", limits.lanes, 1, self._job_ended)
        self.observations = Observations(self.core, self.sights, self.steps)
        self.retries = Retries()
        self._poked = list[str]()
        self.deployments = Deployments(
            self.core, self.steps, Recorder(self._poked.append, self.clock.steps), self.retries
        )
        self.placement = Placement(self.core)
        managers: Sequence[Manager] = (
            Liveness(self.core), Rollouts(self.core), Hours(self.core), Rounds(self.core), Pipelines(self.core),
            Lapses(self.core), self.placement, self.deployments, self.observations,
            Statuses(self.core, self.placement), *self.extra,
        )  # fmt: skip
        self.engine = Engine(self.core, managers, (self.steps, self.sights), lambda: None)
        self.deployments.recover(self.clock.moment)

    def restart(self) -> None:
        self.steps.close()
        self.sights.close()
        self.start()

    def close(self) -> None:
        self.engine.stop()
        self.store.close()

    # --- time ------------------------------------------------------------------------------------------------

    def pass_by(self, seconds: float) -> None:
        self.clock.moment = self.clock.moment.later(seconds)

    def run(self, passes: int = 1, seconds: float = 1.0) -> None:
        """Passes of the loop, so many seconds apart; each waits for the lanes to be done."""
        for _ in range(passes):
            self.pass_by(seconds)
            self._poke()
            self.engine.loop(self.clock.moment)
            self.idle()
            self._poke()

    def _poke(self) -> None:
        """Between the passes: the clock stands during one, and a look in the pass of a step tells nothing of it."""
        while self._poked:
            self.observations.poke(self._poked.pop())

    def _job_ended(self) -> None:
        self._ended.set()
        self.core.wake()

    def idle(self) -> None:
        wait_until(self._is_idle, what="the lanes to be free")

    def steps_done(self) -> None:
        """Wait for steps only; a look may hang on."""
        wait_until(lambda: self.steps.free == self.settings.engine.lanes, what="the steps to be done")

    def _is_idle(self) -> bool:
        while any(one.free < self.settings.engine.lanes for one in (self.steps, self.sights)):
            self._ended.clear()
            if not self._ended.wait(0.01):
                return False
        return True

    @contextlib.contextmanager
    def mid_look(self) -> Iterator[None]:
        """A look that has read the listing as it is before the block and answers after it."""
        read, go = threading.Event(), threading.Event()

        def wait() -> None:
            read.set()
            assert go.wait(20)

        self.plant.seeing = wait
        self.observations.poke(CODE)
        self.pass_by(1)
        self.engine.loop(self.clock.moment)
        assert read.wait(20)
        self.plant.seeing = lambda: None
        yield
        go.set()
        self.idle()

    # --- wishes ------------------------------------------------------------------------------------------------

    def device(self, code: str = CODE, **more: Any) -> None:
        with self.store.write() as tx:
            number = int(code[-2:])
            values = {"ip": f"10.0.0.{number}", "port": 80, "registered_ms": NOW, "auth": "none", **more}
            add_device(tx, code, **values)

    def package(self, package_id: str = PACKAGE, **more: Any) -> None:
        with self.store.write() as tx:
            add_package(tx, package_id, **more)

    def load(self, load_id: str = "load-1", code: str = CODE, **more: Any) -> None:
        """Wish for a service of the package on a device, and for the file there."""
        service = more.pop("service_id", f"service-{load_id}")
        with self.store.write() as tx:
            services.want_copy(tx, more.get("package_id", PACKAGE), code, NOW, asked=False)
            add_load(tx, load_id, service, device=code, **more)

    def instance(self, instance_id: str = "instance-1", **more: Any) -> None:
        with self.store.write() as tx:
            add_instance(tx, instance_id, **{"info": INFO, **more})

    def change(self, instance_id: str = "instance-1", **values: Any) -> None:
        with self.store.write() as tx:
            plans.change_instance(tx, instance_id, **values)

    def running(self, code: str = CODE) -> str:
        """The whole ladder climbed on one device; gives the id of the task there."""
        self.device(code)
        self.package()
        self.load(code=code)
        self.instance()
        self.run(8)
        assert self.status() == ("RUNNING", ""), self.status()
        [task_id] = self.plant.boxes[code].tasks
        return task_id

    # --- what stands -----------------------------------------------------------------------------------------------

    def status(self, instance_id: str = "instance-1") -> tuple[str, str]:
        with self.store.read() as tx:
            [row] = plans.instances(tx, Instance.id == instance_id)
        return row.status, row.reason

    def row(self, instance_id: str = "instance-1") -> InstanceRow:
        with self.store.read() as tx:
            return plans.instances(tx, Instance.id == instance_id)[0]

    def tasks(self, instance_id: str = "instance-1") -> list[TaskRow]:
        with self.store.read() as tx:
            return plans.tasks(tx, Task.instance_id == instance_id)

    def task(self, instance_id: str = "instance-1") -> TaskRow:
        [row] = self.tasks(instance_id)
        return row

    def load_row(self, load_id: str = "load-1") -> LoadRow | None:
        with self.store.read() as tx:
            return services.load(tx, load_id)

    def the_load(self, load_id: str = "load-1") -> LoadRow:
        row = self.load_row(load_id)
        assert row is not None
        return row

    def load_row_on(self, code: str) -> LoadRow:
        """The only load on a computility."""
        with self.store.read() as tx:
            [row] = services.loads(tx, Load.device == code)
        return row

    def copy(self, package_id: str = PACKAGE, code: str = CODE) -> dict[str, Any] | None:
        with self.store.read() as tx:
            return services.copy(tx, package_id, code)

    def the_copy(self, package_id: str = PACKAGE, code: str = CODE) -> dict[str, Any]:
        row = self.copy(package_id, code)
        assert row is not None
        return row

    def state(self, code: str = CODE) -> str:
        with self.store.read() as tx:
            row = devices.get(tx, code)
        assert row is not None
        return str(row["state"])

    def foreign(self, code: str = CODE) -> list[tuple[str, str]]:
        """What is there and not ours, as (kind, the device's id)."""
        with self.store.read() as tx:
            copies = services.copies(tx, Copy.device == code)
            loads = services.loads(tx, Load.device == code)
            tasks = foreign.tasks(tx, code)
        return sorted(
            [("package", one.package_id) for one in copies if not one.ours]
            + [("service", one.facility_id or one.package_id) for one in loads if not one.ours and one.wanted]
            + [("task", one["task_id"]) for one in tasks]
        )

    def alarms(self, *kinds: str) -> list[tuple[str, str, str]]:
        """Open alarms as (kind, subject, text)."""
        with self.store.read() as tx:
            rows = tx.rows(Alarm.select().where(Alarm.until_ms.is_null(True)).order_by(Alarm.id))
        return [
            (row["kind"], row["subject"], row["text"]) for row in rows if not kinds or row["kind"] in kinds
        ]
