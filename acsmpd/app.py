"""The composition root: the only file that knows every room. Builds, starts in order, stops in reverse."""

from __future__ import annotations

import contextlib
import logging
import shutil
import threading
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from acsmpd.api.access import Credentials, faces_of
from acsmpd.api.audit import Audit
from acsmpd.api.bind import make_app
from acsmpd.api.chains import Chains
from acsmpd.api.guarding import make_guard
from acsmpd.api.platform import Platform
from acsmpd.api.server import HttpServer
from acsmpd.clock import Clock
from acsmpd.decide.cards import Card
from acsmpd.drivers.cad import Cad
from acsmpd.drivers.cap import Cap
from acsmpd.drivers.ccp import Ccp
from acsmpd.drivers.local import Local, Use
from acsmpd.drivers.programs import Programs
from acsmpd.engine.assembly import Assembly
from acsmpd.engine.core import Core
from acsmpd.engine.imports import Importer
from acsmpd.engine.parts import PartImporter
from acsmpd.memory import few_arenas
from acsmpd.model import Family
from acsmpd.notify import Notifier
from acsmpd.packages.bytestream import Limits
from acsmpd.packages.executable import Executables
from acsmpd.packages.intake import Intake
from acsmpd.probes.device_info import ServiceUse, device_info, record_services
from acsmpd.probes.sampler import Sampler
from acsmpd.probes.watch import Pace
from acsmpd.runtime.on_images import OnImages
from acsmpd.runtime.process import Runtime
from acsmpd.runtime.runner import Runners
from acsmpd.runtime.values import RuntimeSettings
from acsmpd.security import links, seal, sm2
from acsmpd.security.egress import EgressPolicy
from acsmpd.security.gate import waiting_within
from acsmpd.security.passwords import ScryptGate
from acsmpd.security.throttle import RateLimit, Throttle
from acsmpd.settings import Settings
from acsmpd.spec.message import prepare
from acsmpd.store.database import Store
from acsmpd.store.folder import DataFolder
from acsmpd.store.presence import Presence
from acsmpd.store.transfers import Transfers
from acsmpd.wire.caller import Wire
from acsmpd.wire.download import Downloader

log = logging.getLogger(__name__)


class App:
    """One running acsmpd. `start` returns when it serves; `stop` leaves nothing running."""

    def __init__(
        self, settings: Settings, clock: Clock | None = None, notifier: Notifier | None = None
    ) -> None:
        self.settings, self.clock = settings, clock or Clock()
        self._notifier = notifier or Notifier({})
        self._stack = contextlib.ExitStack()
        self._host, self._port = settings.server.host, settings.server.port
        self.local_code = settings.site_code

    def start(self) -> App:
        try:
            self._build()
        except BaseException:
            self.stop()
            raise
        self._notifier.ready(f"serving on port {self._port}")
        log.info("acsmpd serves %s:%d", self.settings.server.host, self._port)
        return self

    @property
    def port(self) -> int:
        """The port it listens on, as it turned out."""
        return self._port

    def _build(self) -> None:
        few_arenas()
        prepare()  # before there is a second thread
        folder = DataFolder(self.settings.data.path)
        folder.take()
        self._stack.callback(folder.release)
        self._data = folder.path
        self.store = Store(self._data / "acsmpd.db").open()
        self._stack.callback(self.store.close)
        self.presence, self.transfers = Presence(self.clock.now().mono), Transfers()
        self._make_outgoing()
        self._make_local()
        self._make_engine()
        self.platform = self._make_platform()
        credentials = self.platform.credentials
        credentials.load()
        self._assembly.upstreams.renewed = lambda name: credentials.close(name=name, kind="upstream")
        self._serve()
        self.runtime.sweep(set())
        self._assembly.recover()
        self._stack.callback(self.engine.stop)
        self.engine.start()

    def _make_outgoing(self) -> None:
        wire = self.settings.wire
        self._egress = EgressPolicy(self.settings.egress.allow, self._own_listeners)
        self.wire = Wire(
            self._egress, self.settings.site_code, wire.connect_timeout_seconds, wire.read_timeout_seconds,
            wire.answer_max_bytes, clock=self.clock,
        )  # fmt: skip
        self._stack.callback(self.wire.close)
        self._downloader = Downloader(
            self._egress, wire.connect_timeout_seconds, wire.read_timeout_seconds, clock=self.clock
        )

    def _own_listeners(self) -> Collection[tuple[str, int]]:
        hosts = self._sampler.latest().host.ips if self._host in ("0.0.0.0", "::") else (self._host,)  # noqa: S104
        return [(address, self._port) for address in hosts]

    # --- this box: its probes, its engines ---------------------------------------------------------------

    def _make_local(self) -> None:
        probes, caps = self.settings.probes, self.settings.packages
        pace = Pace(interval_seconds=probes.interval_seconds, deadline_seconds=probes.deadline_seconds)
        self._limits = Limits(
            max_members=caps.max_members, max_unpacked_bytes=caps.max_unpacked_bytes, max_ratio=caps.max_ratio
        )
        self._sampler = Sampler(self.clock, self._data, pace=pace)
        self._stack.callback(self._sampler.stop)
        self._sampler.start()
        services = self._data / "services"
        on_images = OnImages(
            self.settings.runtime, _runtime_settings(self.settings, self._data), services / "engines",
            self._limits, self._egress, self.clock,
        )  # fmt: skip
        processes = Runtime(on_images.settings, services / "engines", self.clock)
        self.runtime = Runners(processes, on_images.runner, left=on_images.left)
        self._stack.callback(self.runtime.close)
        programs = Programs(services / "programs", self._limits, on_images.images)
        logs = services / "logs"
        logs.mkdir(exist_ok=True, mode=0o700)
        self._local = Local(
            self.wire, self.runtime, programs, self.settings, self.clock, self._describe, logs
        )

    def _describe(self, uses: Sequence[Use]) -> dict[str, Any]:
        """This box as a DeviceInfo, with what each of its services uses."""
        sample = self._sampler.latest()
        cores = max(1, sample.host.cpu_cores)
        services = [
            ServiceUse(
                service_id=use.service_id, package_id=use.package_id,
                xpu_index=use.xpu_index[0] if use.xpu_index else None, xpu_type=use.xpu_type,
                cpu_fraction=min(1.0, use.cpu / cores), memory_bytes=use.rss_bytes, pids=use.pids,
            )
            for use in uses
        ]  # fmt: skip
        record_services(self._sampler.history, sample, services)
        return device_info(sample, self._sampler.history, services, device_id=self.local_code)

    def _cards(self) -> tuple[Card, ...]:
        return tuple(
            Card(
                index=card.index,
                uuid=card.uuid,
                type=card.type,
                vendor=card.vendor,
                healthy=card.state == "ok",
            )
            for card in self._sampler.latest().cards
        )

    # --- engine and handlers -------------------------------------------------------------------------------

    def _make_engine(self) -> None:
        keys, settings, cad = self._data / "keys", self.settings, Cad(self.wire)
        cap = Cap(self.wire, Executables(self._data / "services" / "executables", self._limits), self.clock)
        ccp = Ccp(self.wire, settings, self.clock)
        self._core = Core(
            settings=settings, store=self.store, clock=self.clock, presence=self.presence,
            transfers=self.transfers,
            sealer=seal.load_or_create(keys), signer=links.load_or_create(keys), data=self._data,
            drivers={Family.CAD: cad, Family.EDGE: cad, Family.DIRECT: cad, Family.CAP: cap, Family.CCP: ccp,
                     Family.LOCAL: self._local},
            local_code=self.local_code, cards=self._cards, port=lambda: self._port,
        )  # fmt: skip
        self._intake = Intake(
            self._data / "packages", settings.packages.max_bytes, settings.data.min_free_bytes
        )
        self._importer = Importer(
            self.store, self._intake, self._limits, self.clock, settings.site.zone, settings.site_code
        )
        self._assembly = Assembly(
            self._core, self.wire, self._downloader, self._intake, self._importer,
            PartImporter(self.store, self._intake, self._limits, self.clock, self._importer), self._beat,
        )  # fmt: skip
        self.engine = self._assembly.engine

    def _make_platform(self) -> Platform:
        settings, core = self.settings, self._core
        waiting = waiting_within(settings.server.threads)
        return Platform(
            settings=settings, store=self.store, chains=Chains(self.store), clock=self.clock,
            zone=settings.site.zone,
            presence=self.presence, transfers=self.transfers, traffic=core.traffic, sealer=core.sealer,
            signer=core.signer,
            sm2=sm2.load_or_create(self._data / "keys"), gate=sm2.DecryptGate(waiting=waiting), throttle=Throttle(),
            scrypt=ScryptGate(waiting), unknown_tokens=RateLimit(), egress=self._egress, limits=self._limits,
            intake=self._intake,
            credentials=Credentials(self.store, settings.sessions.idle_minutes * 60, faces_of(settings)),
            data=self._data,
            import_file=self._importer.import_file, local_code=self.local_code,
            started_ms=self.clock.now().wall_ms, wake=core.wake, poke=self._assembly.poke, ready=self._ready,
            stopping=core.stopping, waiters=threading.BoundedSemaphore(max(1, settings.server.waiters)),
        )  # fmt: skip

    def _serve(self) -> None:
        audit = Audit(self.store, self.clock)
        audit.start()
        self._stack.callback(audit.close)
        self._server = HttpServer(
            make_app(self.platform, audit), self.settings.server, make_guard(self.platform, audit),
            self._data / "packages" / "incoming", self.clock,
        )  # fmt: skip
        self._server.start()
        self._stack.callback(self._server.stop)
        self._host, self._port = self._server.host, self._server.port

    def _beat(self) -> None:
        """After every pass: the watchdog is fed while loop and server both live."""
        if self._server.is_alive:
            self._notifier.beat(self.clock.now().mono)

    def _ready(self) -> list[str]:
        """What keeps this box from being ready, in words; empty when all is well."""
        found = [] if self.engine.passes else ["the engine has not made its first pass"]
        if shutil.disk_usage(self._data).free < self.settings.data.min_free_bytes:
            found.append("the data disk is nearly full")  # strangers read this: no paths, no numbers
        if self.store.trouble:
            found.append("the database cannot be written")
        with self.store.read() as tx:
            tx.sql("SELECT 1")
        return found

    def stop(self) -> None:
        """In reverse of the start: the engine, the server, what they stand on, the lock last."""
        self._notifier.stopping("stopping")
        self._stack.close()


def _runtime_settings(settings: Settings, data: Path) -> RuntimeSettings:
    own = settings.runtime
    return RuntimeSettings(
        data_dir=data,
        user=own.user,
        allow_unsandboxed=own.allow_unsandboxed,
        read_only_paths=tuple(Path(path) for path in own.read_only_paths),
        port_range=(own.port_from, own.port_to),
        stop_timeout_seconds=own.stop_timeout_seconds,
        guard_interval_seconds=own.health_interval_seconds,
        log_max_bytes=own.log_max_bytes,
        scratch_max_bytes=own.scratch_max_bytes,
        tmp_max_bytes=own.tmp_max_bytes,
    )
