"""The real handlers behind the real Flask app on a real store, without an engine: a test plays its part."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from acsmpd.api.access import Credentials, faces_of
from acsmpd.api.audit import Audit
from acsmpd.api.bind import make_app
from acsmpd.api.chains import Chains
from acsmpd.api.platform import Platform
from acsmpd.clock import Clock
from acsmpd.engine.imports import Importer
from acsmpd.engine.parts import PartImporter
from acsmpd.model import Family
from acsmpd.packages.bytestream import Limits
from acsmpd.packages.intake import Intake, Received
from acsmpd.security import sm2
from acsmpd.security.egress import EgressPolicy
from acsmpd.security.links import LinkSigner
from acsmpd.security.seal import Sealer
from acsmpd.security.throttle import RateLimit, Throttle
from acsmpd.security.tokens import token_hash
from acsmpd.settings import Settings, load
from acsmpd.store import accounts, asks, devices, plans, services
from acsmpd.store.database import Store
from acsmpd.store.presence import Presence
from acsmpd.store.tables import Ask, Instance, Load, Service
from acsmpd.store.transfers import Transfers

import acsmpd.api.handlers  # noqa: F401, isort: skip  (declares every handler)

SITE_CODE = "11010000005020000001"
OTHER_CODE = "11010000005020000077"
TOKENS = {SITE_CODE: "token-of-the-platform-above", OTHER_CODE: "token-of-another-platform"}
UPSTREAM_HOST = "10.9.9.9"
KEY = sm2.generate()
MD5 = "0123456789abcdef0123456789abcdef"


class Standing:
    """Stands for whatever is set in it; building the routes anew for every test would take most of its time."""

    def __init__(self) -> None:
        self.present: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.present, name)


PLATFORM, AUDIT = Standing(), Standing()


@functools.cache
def the_app() -> Any:
    return make_app(PLATFORM, AUDIT)  # type: ignore[arg-type]


class Said:
    """An answer of the face: HTTP status, Code, Message, Data."""

    def __init__(self, response: Any) -> None:
        self.status = response.status_code
        body = response.get_json()
        self.body: dict[str, Any] = body
        self.code, self.message, self.data = body["Code"], body["Message"], body.get("Data")

    def __repr__(self) -> str:
        return f"<{self.status} {self.body}>"


class Face:
    """A box, and what platforms above and its own people say to it."""

    def __init__(self, platform: Platform, app: Any) -> None:
        self.platform, self.store, self._client = platform, platform.store, app.test_client()

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str = TOKENS[SITE_CODE],
        address: str = "127.0.0.1",
    ) -> Said:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        given = {"json": body} if body is not None else {}
        where = {"REMOTE_ADDR": address}
        return Said(self._client.open(path, method=method, headers=headers, environ_overrides=where, **given))

    def fine(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        said = self.ask(method, path, body, **more)
        assert str(said.code) == "0", said
        return said.data

    # --- what the engine would do -------------------------------------------------------------------------

    def asked(self) -> list[dict[str, Any]]:
        with self.store.read() as tx:
            return tx.rows(Ask.select().order_by(Ask.created_ms))

    def fetched(self, file: Path, ask: dict[str, Any]) -> str:
        """Answer an ask as the engine does: import the file in the name of who asked."""
        with file.open("rb") as stream:
            received = self.platform.intake.receive(stream)
        given = ask["arguments"]
        package_id = self._imported(received, file.name, given)
        now = self.platform.clock.now().wall_ms
        with self.store.write() as tx:
            asks.change(tx, ask["id"], now, state="done", answer={"AlgoFilePackageID": package_id})
            if "Device" in given:
                services.want_copy(tx, package_id, given["Device"], now, asked=True, origin=given["Origin"])
        return package_id

    def _imported(self, received: Received, name: str, given: dict[str, Any]) -> str:
        platform, origin, package_id = self.platform, given["Origin"], given["AlgoFilePackageID"]
        importer = Importer(
            platform.store, platform.intake, platform.limits, platform.clock, platform.zone, SITE_CODE
        )
        parts = PartImporter(platform.store, platform.intake, platform.limits, platform.clock, importer)
        if given.get("Program"):
            return parts.take_program(received, origin, package_id, given["Program"])
        if given.get("MayLackProgram"):
            return parts.take_package(received, name, origin, package_id)
        return importer.import_file(received, name, origin, package_id)

    def failed(self, ask: dict[str, Any], code: int, message: str) -> None:
        with self.store.write() as tx:
            asks.change(tx, ask["id"], 1, state="failed", answer={"Code": code, "Message": message})

    def imported_here(self, file: Path) -> str:
        """The site's own people import a package."""
        with file.open("rb") as stream:
            return self.platform.import_file(self.platform.intake.receive(stream), file.name)

    def loads(self, *conditions: Any) -> list[dict[str, Any]]:
        with self.store.read() as tx:
            return tx.rows(services.search(*(conditions or (Load.id != "",))))

    def service(self) -> dict[str, Any]:
        """The only service there is."""
        with self.store.read() as tx:
            (row,) = tx.rows(Service.select())
        return row

    def load(self, load_id: str) -> Any:
        with self.store.read() as tx:
            return services.load(tx, load_id)

    def becomes(self, load_id: str, status: str) -> None:
        with self.store.write() as tx:
            services.change_load(tx, load_id, status=status, sent=True)

    def drops(self, load_id: str) -> None:
        with self.store.write() as tx:
            services.drop_load(tx, load_id)

    def instance(self, instance_id: str) -> dict[str, Any]:
        with self.store.read() as tx:
            row = plans.any_instance(tx, instance_id)
        assert row is not None
        return row

    def instance_becomes(self, instance_id: str, **values: Any) -> None:
        with self.store.write() as tx:
            tx.run(Instance.update(**values).where(Instance.id == instance_id))

    def placed(self, instance_id: str, load_id: str | None, device: str = SITE_CODE, **values: Any) -> int:
        with self.store.write() as tx:
            return plans.add_task(
                tx,
                instance_id=instance_id,
                device=device,
                load_id=load_id,
                sent=True,
                created_ms=1,
                changed_ms=1,
                **values,
            )


def settings_of(**overrides: str) -> Settings:
    environ = {"ACSMPD_SITE_CODE": SITE_CODE, "ACSMPD_DATA_MIN_FREE_BYTES": "1000000"}
    return load(None, {**environ, **{f"ACSMPD_{name.upper()}": value for name, value in overrides.items()}})


def above(url: str = f"http://{UPSTREAM_HOST}:8750", **more: Any) -> dict[str, Any]:
    return {"url": url, "type": "CAD", "username": "box", "password_file": "/nonexistent", **more}


@contextlib.contextmanager
def face(folder: Path, **overrides: str) -> Iterator[Face]:
    """A box that two platforms above know, by the codes of TOKENS."""
    upstream = [above(), above("http://10.9.9.8:8750", code=OTHER_CODE)]
    settings = settings_of(**{"upstream": msgspec.json.encode(upstream).decode(), **overrides})
    clock = Clock()
    store = Store(folder / "acsmpd.db").open()
    audit = Audit(store, clock)
    audit.start()
    try:
        _enter(store, settings)
        platform = _platform(folder, settings, store, clock)
        platform.credentials.load()
        PLATFORM.present, AUDIT.present = platform, audit
        yield Face(platform, the_app())
    finally:
        audit.close()
        store.close()


def _enter(store: Store, settings: Settings) -> None:
    with store.write() as tx:
        devices.put(
            tx, SITE_CODE, 1, type="AI_BOX", family=Family.LOCAL.value, approved=True, registered=True, state="online",
            enabled=settings.local.enabled,
        )  # fmt: skip
        for code, token in TOKENS.items():
            accounts.add_upstream_token(tx, code, token_hash(token), "sealed", 1, 2)
        for name, roles in (("boss", ["system_admin", "operator"]), ("worker", ["operator"])):
            accounts.add_key(tx, name=name, hash=token_hash(f"key-{name}"), roles=roles, created_ms=1)


def _platform(folder: Path, settings: Settings, store: Store, clock: Clock) -> Platform:
    limits = Limits(max_members=1000, max_unpacked_bytes=1 << 28, max_ratio=200)
    intake = Intake(folder / "packages", 1 << 28, 1)
    importer = Importer(store, intake, limits, clock, settings.site.zone, settings.site_code)
    return Platform(
        settings=settings, store=store, chains=Chains(store), clock=clock, zone=settings.site.zone,
        presence=Presence(0.0), transfers=Transfers(),
        sealer=Sealer(b"k" * 32), signer=LinkSigner(b"k" * 32), sm2=KEY,
        gate=sm2.DecryptGate(), throttle=Throttle(), unknown_tokens=RateLimit(),
        credentials=Credentials(store, 1800, faces_of(settings)),
        egress=EgressPolicy(settings.egress.allow), intake=intake,
        import_file=importer.import_file, limits=limits, data=folder, local_code=SITE_CODE, started_ms=1,
        wake=lambda: None, poke=lambda _code: None, ready=list, stopping=threading.Event(),
        waiters=threading.BoundedSemaphore(4),
    )  # fmt: skip
