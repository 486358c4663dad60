"""Engines of this box that misbehave: told in words, bounded, started again, and nobody else is the worse for it."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from acsmpd.runtime import cgroup
from acsmpd.store import services
from acsmpd.store.tables import Intent, Load
from tests.support import engines
from tests.support.engines import Misbehaving, the_hand
from tests.support.packaging import task_info
from tests.support.site import Site, running
from tests.support.wait import wait_until

MIB = 1 << 20
MEMORY, SCRATCH, LOG, PIDS = 64 * MIB, 4 * MIB, 65536, 24
OTHER_ID = "1101000000502000000120261121120000000055"
ROUGH = {
    "runtime_health_interval_seconds": "0.3", "runtime_start_timeout_seconds": "2",
    "runtime_stop_timeout_seconds": "1", "runtime_memory_max_bytes": str(MEMORY),
    "runtime_scratch_max_bytes": str(SCRATCH), "runtime_log_max_bytes": str(LOG),
    "runtime_pids_max": str(PIDS),
}  # fmt: skip


@pytest.fixture(scope="module")
def open_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("open")
    folder.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory, open_folder: Path) -> Iterator[Site]:
    more = {**engines.ports(1), **ROUGH, "runtime_read_only_paths": str(open_folder)}
    with running(tmp_path_factory.mktemp("box") / "data", **more) as site:
        yield site


@pytest.fixture
def rogue(box: Site, open_folder: Path) -> Iterator[Misbehaving]:
    one = Misbehaving(open_folder / "rogue")
    one.order("")
    assert box.client.upload(one.file).code == 0
    yield one
    for plan in box.client.fine("POST", "/ACSMP/Tasks/Search", {})["PageContent"]:
        if plan["Name"] == "watch":
            box.client.fine("DELETE", f"/ACSMP/Tasks/{plan['TaskID']}?Wait=20")
    box.client.fine("DELETE", f"/ACSMP/AlgoFilePackages/{one.id}?Force=true&Wait=25")
    wait_until(lambda: not one.traces(), what="its engines ended")


@pytest.fixture(scope="module")
def neighbour(box: Site, open_folder: Path) -> tuple[Misbehaving, str, int]:
    """A service with a task that has nothing to do with the rogue's."""
    one = Misbehaving(
        open_folder / "neighbour",
        package_id=OTHER_ID,
        name="neighbour",
        codes=("NEIGHBOUR",),
        events=("FIRE",),
    )
    assert box.client.upload(one.file).code == 0
    service = engines.load(box, OTHER_ID)
    plan = engines.add_plan(box, task_info("FIRE", "rtsp://10.0.0.9/n"), Name="neighbour")
    engines.until_instance(box, plan, "RUNNING")
    return one, service, plan


@contextmanager
def undisturbed(box: Site, neighbour: tuple[Misbehaving, str, int]) -> Iterator[None]:
    """The neighbour runs throughout in one process, its task is never made anew, its results flow."""
    one, service, plan = neighbour
    before, pids, count = engines.instances(box, plan)[0], one.pids(), engines.results(box, plan)
    yield
    wait_until(lambda: engines.results(box, plan) > count, what="the neighbour's results")
    assert engines.until_running(box, service, 1)["Status"] == "RUNNING"
    assert engines.instances(box, plan)[0] == before
    assert one.pids() == pids
    assert len(the_hand(box.data, service).tasks()) == 1


def running_task(box: Site, rogue: Misbehaving) -> tuple[str, int]:
    """A service of the rogue with a running task."""
    service = engines.load(box, rogue.id)
    plan = engines.add_plan(box, task_info("INTRUSION", "rtsp://10.0.0.9/r"))
    engines.until_instance(box, plan, "RUNNING")
    return service, plan


def comes_back(box: Site, service: str, plan: int) -> None:
    """The service runs again, its error is over, and its task is there again, once, without a call."""
    assert engines.until_running(box, service).get("LastError") is None
    engines.until_instance(box, plan, "RUNNING")
    wait_until(lambda: len(the_hand(box.data, service).tasks()) == 1, what="its task, once")
    count = engines.results(box, plan)
    wait_until(lambda: engines.results(box, plan) > count, what="results again")
    box.client.fine("DELETE", f"/ACSMP/Tasks/{plan}?Wait=20")


def starts(box: Site, service: str) -> list[int]:
    """When the service's engine was started, in milliseconds."""
    assert box.app is not None
    ids = Load.select(Load.id).where(Load.service_id == service)
    with box.app.store.read() as tx:
        rows = tx.rows(
            Intent.select().where(Intent.step == "load", Intent.subject.in_(ids)).order_by(Intent.id)
        )
    return [row["begun_ms"] for row in rows]


# --- ends of its own ---------------------------------------------------------------------------------------


def test_a_crash_loop_is_told_slowed_down_and_over_when_the_engine_recovers(
    box: Site, rogue: Misbehaving, neighbour: tuple[Misbehaving, str, int]
) -> None:
    with undisturbed(box, neighbour):
        service, plan = running_task(box, rogue)
        rogue.order("exit 3")
        the_hand(box.data, service).do("exit", 7)
        assert engines.until_told(box, service, "code 7") == "the engine ended with code 7"
        assert engines.until_error(box, service, "code 3") == "the engine ended with code 3"
        engines.until_instance(box, plan, "PENDING", "its service is ERROR: the engine ended with code 3")
        wait_until(lambda: len(starts(box, service)) >= 5, seconds=30, what="four restarts")
        moments = starts(box, service)
        gaps = [later - earlier for earlier, later in itertools.pairwise(moments)]
        for place, gap in enumerate(gaps[1:4], 1):
            assert gap >= 0.75 * 200 * 2**place, gaps
        assert not rogue.pids()
        rogue.order("")
        comes_back(box, service, plan)


def test_a_signal_is_named(box: Site, rogue: Misbehaving) -> None:
    service, plan = running_task(box, rogue)
    the_hand(box.data, service).do("signal", 11)
    assert engines.until_told(box, service, "SIG") == "the engine ended by SIGSEGV"
    comes_back(box, service, plan)


def test_an_engine_that_ends_at_its_start_is_shown_and_unloads_at_once(
    box: Site, rogue: Misbehaving, neighbour: tuple[Misbehaving, str, int]
) -> None:
    with undisturbed(box, neighbour):
        rogue.order("exit 9")
        service = engines.load(box, rogue.id, wait=0)
        assert engines.until_error(box, service, "code 9") == "the engine ended with code 9"
        begun = len(starts(box, service))
        wait_until(lambda: len(starts(box, service)) >= begun + 3, seconds=30, what="a long pause")
        engines.unload(box, rogue.id, service)  # the pause between starts does not hold it up
        assert left_over(box) == []


def test_a_program_that_is_not_there(box: Site, open_folder: Path) -> None:
    rogue = Misbehaving(open_folder / "none", package_id="1101000000502000000120261121120000000056", name="none",
                        codes=("NONE",), command="./not-there")  # fmt: skip
    assert box.client.upload(rogue.file).code == 0
    service = engines.load(box, rogue.id, wait=0)
    engines.until_error(box, service, "the engine ended with code ")
    engines.unload(box, rogue.id, service)
    box.client.fine("DELETE", f"/ACSMP/AlgoFilePackages/{rogue.id}")


# --- silence -------------------------------------------------------------------------------------------------


def test_a_hanging_engine_is_ended_and_started_again(
    box: Site, rogue: Misbehaving, neighbour: tuple[Misbehaving, str, int]
) -> None:
    with undisturbed(box, neighbour):
        service, plan = running_task(box, rogue)
        [before] = rogue.pids()
        assert the_hand(box.data, service).do("hang") is None
        # a stuck engine hides nothing of the others: a task made meanwhile is seen to run
        more = engines.add_plan(box, task_info("FIRE", "rtsp://10.0.0.9/m"))
        engines.until_instance(box, more, "RUNNING")
        box.client.fine("DELETE", f"/ACSMP/Tasks/{more}?Wait=20")
        assert engines.until_told(box, service, "stopped answering").startswith(
            "the engine stopped answering: "
        )
        comes_back(box, service, plan)
        [after] = rogue.pids()
        assert after != before


def test_an_engine_that_never_answers_is_ended(
    box: Site, rogue: Misbehaving, neighbour: tuple[Misbehaving, str, int]
) -> None:
    with undisturbed(box, neighbour):
        rogue.order("never")
        service = engines.load(box, rogue.id, wait=0)
        wait_until(rogue.pids, what="the engine started")
        words = engines.until_error(box, service, "did not answer within")
        assert words.startswith("the engine did not answer within ")
        assert len(words) <= 300
        rogue.order("")
        engines.until_running(box, service)


# --- limits --------------------------------------------------------------------------------------------------


def test_memory_is_limited(box: Site, rogue: Misbehaving, neighbour: tuple[Misbehaving, str, int]) -> None:
    if cgroup.find().memory is None:
        pytest.skip("no memory control group is writable here")
    with undisturbed(box, neighbour):
        service, plan = running_task(box, rogue)
        assert limit_of(rogue) == MEMORY  # or the next line would take the whole machine's
        the_hand(box.data, service).do("memory", 4 * MEMORY // MIB)
        assert engines.until_told(box, service, "memory") == (
            f"the engine killed by the kernel: over its memory limit of {MEMORY} bytes"
        )
        comes_back(box, service, plan)


def limit_of(rogue: Misbehaving) -> int:
    """The memory limit of the control group the engine is in, as the kernel says."""
    [pid] = rogue.pids()
    rows = [line.split(":", 2) for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()]
    for _, controllers, path in rows:
        for file in ("memory/{}/memory.limit_in_bytes", "{}/memory.max"):
            found = Path("/sys/fs/cgroup") / file.format(path.lstrip("/"))
            if controllers in ("memory", "") and found.is_file():
                return int(found.read_text())
    raise AssertionError(f"pid {pid} is in no memory group: {rows}")


def test_forks_are_limited_and_none_outlives_the_service(box: Site, rogue: Misbehaving) -> None:
    service = engines.load(box, rogue.id)
    made, error = the_hand(box.data, service).do("fork", 100)
    assert 5 < made < PIDS
    assert error
    [pid] = rogue.pids()
    children = psutil.Process(pid).children()
    assert len(children) == made
    engines.until_running(box, service)
    engines.unload(box, rogue.id, service)
    wait_until(lambda: not any(child.is_running() for child in children), what="its children ended")


def test_an_engine_that_fills_its_disk_is_ended_and_starts_with_an_empty_one(
    box: Site, rogue: Misbehaving
) -> None:
    service, plan = running_task(box, rogue)
    hand = the_hand(box.data, service)
    assert hand.do("disk", ["one", 8]) == "[Errno 27] File too large"
    home = hand.do("env")["HOME"]
    hand.do("disk", ["two", 3])
    assert engines.until_told(box, service, "scratch") == (
        f"the engine ended by us: its scratch folder is over {SCRATCH} bytes"
    )
    engines.until_running(box, service)
    assert list(Path(home).iterdir()) == []
    comes_back(box, service, plan)


def test_a_flood_of_output_fills_two_small_files(box: Site, rogue: Misbehaving) -> None:
    service = engines.load(box, rogue.id)
    hand = the_hand(box.data, service)
    assert hand.do("flood", 1000) == ""
    [load] = loads_of(box, service)
    log = box.data / "services" / "logs" / f"{load}.log"
    older = log.with_name(log.name + ".1")
    wait_until(lambda: hand.do("flood", 40) == "" and older.exists(), what="a second file")
    assert {path.name for path in log.parent.glob(f"{load}*")} <= {log.name, older.name}
    assert size_of(older) <= LOG
    assert size_of(log) <= LOG
    assert b"yyyy" in older.read_bytes()
    assert hand.do("argv")
    engines.until_running(box, service)


def test_one_that_ignores_sigterm_is_killed_in_time(box: Site, rogue: Misbehaving) -> None:
    rogue.order("deaf")
    service = engines.load(box, rogue.id)
    assert box.app is not None
    clock = box.app.clock
    begun = clock.now().mono
    engines.unload(box, rogue.id, service)
    assert 1 <= clock.now().mono - begun < 6
    assert rogue.traces() == []


# --- nothing is left -----------------------------------------------------------------------------------------


def left_over(box: Site) -> list[str]:
    """What lies below services/ beyond the neighbour's, and control groups of engines that are over."""
    folder = box.data / "services"
    kept = {path.name.split(".")[0] for path in (folder / "engines" / ".homes").iterdir()}
    alive = set(loads_of(box))
    places = [*(folder / "logs").iterdir(), *(folder / "engines" / ".running").iterdir()]
    found = [path.name for path in places if path.name.split(".")[0] not in alive]
    return sorted([*found, *(kept - alive)])


def size_of(path: Path) -> int:
    """0 in the moment between the turn of the file and its new beginning: what was flooded may still be written."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def loads_of(box: Site, service: str = "") -> list[str]:
    """The loads of this box, or those of one service."""
    assert box.app is not None
    with box.app.store.read() as tx:
        return [load.id for load in services.loads(tx) if service in ("", load.service_id)]


def test_after_unload_and_delete_nothing_is_left(box: Site, rogue: Misbehaving) -> None:
    service, plan = running_task(box, rogue)
    port = the_hand(box.data, service).port
    box.client.fine("DELETE", f"/ACSMP/Tasks/{plan}?Wait=20")
    engines.unload(box, rogue.id, service)
    assert rogue.traces() == []
    assert left_over(box) == []
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
    box.client.fine("DELETE", f"/ACSMP/AlgoFilePackages/{rogue.id}?Wait=20")
    programs = box.data / "services" / "programs"
    assert rogue.id not in [path.name for path in programs.iterdir()]
    assert box.client.upload(rogue.file).code == 0
