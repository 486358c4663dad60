"""An artifact that means harm, in the real sandbox below the real daemon: contained, shown, cleaned up.

Contained: the daemon and the engine next door go on as they were. Shown: the API says what happened, in words.
Cleaned: after the unload no process, no file and no control group of it is left.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import engines
from tests.support.daemon import Daemon
from tests.support.engines import Hand, Misbehaving, the_hand
from tests.support.packaging import task_info
from tests.support.wait import wait_until

MIB = 1 << 20
MEMORY, SCRATCH, PIDS = 64 * MIB, 4 * MIB, 24
NEIGHBOUR_ID = "1101000000502000000120261121120000000055"
CGROUPS = Path("/sys/fs/cgroup")


class House:
    """A daemon with two engines: one that means harm, and one next door with a running task."""

    def __init__(self, folder: Path) -> None:
        folder.chmod(0o755)
        settings = {
            **engines.ports(2), "ACSMPD_RUNTIME_HEALTH_INTERVAL_SECONDS": "0.3",
            "ACSMPD_RUNTIME_STOP_TIMEOUT_SECONDS": "1", "ACSMPD_RUNTIME_MEMORY_MAX_BYTES": str(MEMORY),
            "ACSMPD_RUNTIME_SCRATCH_MAX_BYTES": str(SCRATCH), "ACSMPD_RUNTIME_PIDS_MAX": str(PIDS),
            "ACSMPD_RUNTIME_READ_ONLY_PATHS": str(folder / "lent"),
        }  # fmt: skip
        (folder / "lent").mkdir(mode=0o755)
        self.box = Daemon(folder / "data", settings)
        self.rogue = Misbehaving(folder / "lent" / "rogue")
        self.neighbour = Misbehaving(
            folder / "lent" / "neighbour", package_id=NEIGHBOUR_ID, name="neighbour", codes=("NEIGHBOUR",),
            events=("FIRE",),
        )  # fmt: skip

    def open(self) -> None:
        self.box.start()
        for one in (self.rogue, self.neighbour):
            assert self.box.client.upload(one.file).code == 0
        engines.load(self.box, NEIGHBOUR_ID)
        self.plan = engines.add_plan(self.box, task_info("FIRE", "rtsp://10.0.0.9/n"))
        engines.until_instance(self.box, self.plan, "RUNNING")

    def files(self) -> set[str]:
        """What lies below services/, but for the programs unpacked there and second files of logs."""
        folder = self.box.data / "services"
        paths = (path.relative_to(folder).as_posix() for path in folder.rglob("*"))
        return {path for path in paths if not path.startswith("programs/") and not path.endswith(".1")}

    @property
    def pid(self) -> int:
        assert self.box.process is not None
        return self.box.process.pid

    def state(self) -> tuple[Any, ...]:
        """What a rogue must leave as it is."""
        assert self.box.process is not None
        assert self.box.process.poll() is None, self.box.log.read_text()[-2000:]
        return self.pid, self.neighbour.pids(), engines.instances(self.box, self.plan)[0]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    one = House(tmp_path_factory.mktemp("house"))
    try:
        one.open()
        yield one
    finally:
        one.box.stop()


@contextlib.contextmanager
def hosted(house: House, orders: str = "") -> Iterator[tuple[str, Hand]]:
    """The rogue's service while the test lets it loose; contained, then gone without a trace."""
    files, state, count = house.files(), house.state(), engines.results(house.box, house.plan)
    house.rogue.order(orders)
    service = engines.load(house.box, house.rogue.id)
    engines.until_running(house.box, service)
    [load] = {path.stem for path in (house.box.data / "services" / "logs").glob("*.log")} - {
        Path(path).stem for path in files
    }
    assert list(CGROUPS.rglob(f"*{load}"))
    yield service, the_hand(house.box.data, service)
    assert house.state() == state
    wait_until(lambda: engines.results(house.box, house.plan) > count, what="the neighbour's results")
    assert house.box.client.get("/readyz").status == 200

    engines.unload(house.box, house.rogue.id, service)
    wait_until(lambda: not house.rogue.traces(), what="no process of it")
    wait_until(lambda: house.files() == files, what="no file of it")
    assert list(CGROUPS.rglob(f"*{load}")) == []
    assert house.state() == state


def shown(house: House, service: str) -> dict[str, Any]:
    return dict(house.box.client.fine("GET", engines.service_path(house.box, service)))


def test_it_forks_without_end(house: House) -> None:
    with hosted(house) as (service, hand):
        made, error = hand.do("fork", 100)
        assert 5 < made < PIDS
        assert error
        engines.until_told(
            house.box, service, f"the engine was refused more than {PIDS} processes and threads"
        )
        assert shown(house, service)["Status"] == "RUNNING"  # bounded, it may go on


def test_it_fills_memory(house: House) -> None:
    with hosted(house) as (service, hand):
        hand.do("memory", 4 * MEMORY // MIB)
        engines.until_told(
            house.box, service, f"the engine killed by the kernel: over its memory limit of {MEMORY} bytes"
        )
        engines.until_running(house.box, service)


def test_it_fills_its_disk(house: House) -> None:
    with hosted(house) as (service, hand):
        assert hand.do("disk", ["one", 8]) == "[Errno 27] File too large"
        hand.do("disk", ["two", 3])
        engines.until_told(
            house.box, service, f"the engine ended by us: its scratch folder is over {SCRATCH} bytes"
        )
        engines.until_running(house.box, service)


def test_it_ignores_sigterm(house: House) -> None:
    with hosted(house, "deaf") as (service, _):
        assert shown(house, service)["Status"] == "RUNNING"
    assert house.box.client.get(engines.service_path(house.box, service)).code == 40401
    wait_until(
        lambda: "is over: killed: it did not end within 1 s of SIGTERM" in house.box.log.read_text(),
        what="the words",
    )


def test_it_reads_the_data_directory(house: House) -> None:
    """The walls stand, which is all there is to show: the daemon does not see what is asked of the kernel."""
    data, missing = house.box.data, "No such file or directory"
    with hosted(house) as (service, hand):
        assert hand.do("look", str(data)) == ["services"]  # nothing but the way to its own program
        for name in ("acsmpd.db", "acsmpd.db-wal", "keys", "keys/seal.key", "packages", "services/logs"):
            assert (data / name).exists(), name
            assert hand.do("look", str(data / name)) == missing, name
            assert hand.do("write", str(data / name / "x")), name
        assert hand.do("look", f"/proc/{house.pid}/environ") == missing
        assert (shown(house, service)["Status"], shown(house, service).get("LastError")) == ("RUNNING", None)
    assert "engines run by way bwrap" in house.box.log.read_text()


def test_it_traces_the_daemon(house: House) -> None:
    tracer = f"/proc/{house.pid}/status"
    with hosted(house) as (service, hand):
        assert hand.do("attach", house.pid) == -1
        assert hand.do("attach", house.neighbour.pids()[0]) == -1
        assert "TracerPid:\t0" in Path(tracer).read_text()
        assert (shown(house, service)["Status"], shown(house, service).get("LastError")) == ("RUNNING", None)


def test_it_calls_the_api_from_loopback(house: House) -> None:
    box = house.box
    with hosted(house) as (service, hand):
        for path in ("/ACSMP/System/Info", f"/ACSMP/AlgoFilePackages/{NEIGHBOUR_ID}", "/metrics"):
            assert hand.do("fetch", f"{box.url}{path}") in (401, 404, 501), path
        assert hand.do("fetch", f"{box.url}/ACSMP/System/Info") == 401
        with contextlib.closing(sqlite3.connect(box.data / "acsmpd.db")) as plain:
            question = (
                "SELECT count(*) FROM audit WHERE who = 'nobody' AND address = '127.0.0.1' AND code = 40101"
            )
            wait_until(lambda: plain.execute(question).fetchone()[0] >= 2, what="the refusals on record")
        assert shown(house, service)["Status"] == "RUNNING"
