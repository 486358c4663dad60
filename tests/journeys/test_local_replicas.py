"""Several engines of one service on this box: replicas and their streams, and the cards they share."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.probes.conftest import SOURCE, FakeDriver
from tests.support import engines
from tests.support.daemon import Daemon, daemon
from tests.support.engines import Misbehaving, hands, the_hand
from tests.support.packaging import task_info
from tests.support.site import Site, running
from tests.support.state import refused, unchanged
from tests.support.wait import wait_until

QUICK = {"runtime_health_interval_seconds": "0.3", "runtime_stop_timeout_seconds": "2"}


@pytest.fixture
def tame(tmp_path: Path) -> Misbehaving:
    return Misbehaving(tmp_path / "open")


@pytest.fixture
def site(tmp_path: Path, tame: Misbehaving) -> Iterator[Site]:
    """Every engine carries one stream."""
    more = {**engines.ports(3), **QUICK, "runtime_read_only_paths": str(tmp_path / "open")}
    with running(tmp_path / "data", **more, runtime_stream_limit="1") as one:
        assert one.client.upload(tame.file).code == 0
        yield one


def change(site: Site, service: str, **wish: Any) -> dict[str, Any]:
    return dict(site.client.fine("PUT", f"/ACSMP/AlgoServices/{service}?Wait=20", wish))


def statuses(site: Site, plan: int) -> list[str]:
    return [one["Status"] for one in engines.instances(site, plan)]


def test_replicas_are_engines_of_their_own_and_can_be_changed(site: Site, tame: Misbehaving) -> None:
    service = engines.load(site, tame.id, Replicas=2)
    assert engines.until_running(site, service)["Replicas"] == 2
    first = set(tame.pids())
    assert len(first) == 2
    assert len({hand.port for hand in hands(site.data, service)}) == 2

    assert change(site, service, Replicas=1)["Replicas"] == 1
    wait_until(lambda: len(tame.pids()) == 1, what="one engine")
    assert set(tame.pids()) < first  # the other went on as it was

    assert change(site, service, Replicas=2)["Replicas"] == 2
    wait_until(lambda: len(hands(site.data, service)) == 2 and len(tame.pids()) == 2, what="two engines")
    assert len(first & set(tame.pids())) == 1
    engines.unload(site, tame.id, service)
    assert tame.traces() == []


@pytest.mark.parametrize("replicas", [21, 2**63 - 1])
def test_more_replicas_than_engines_have_ports_are_refused_at_once(
    site: Site, tame: Misbehaving, replicas: int
) -> None:
    body = {"AlgoFilePackageID": tame.id, "ComputilityCode": site.settings.site_code, "Replicas": replicas}
    with unchanged(site):
        refused(site.client.post("/ACSMP/AlgoServices/Devices", body), 409, 40903, "$.Replicas", "at most 20")
    service = engines.load(site, tame.id)
    with unchanged(site):
        answer = site.client.put(f"/ACSMP/AlgoServices/{service}", {"Replicas": replicas})
        refused(answer, 409, 40903, "$.Replicas", "at most 20")
    engines.unload(site, tame.id, service)


def test_another_environment_replaces_the_engines(site: Site, tame: Misbehaving) -> None:
    service = engines.load(site, tame.id, Env=[{"Name": "FLAVOUR", "Value": "one"}])
    plan = engines.add_plan(site)
    engines.until_instance(site, plan, "RUNNING")
    [before] = tame.pids()
    answer = site.client.put(f"/ACSMP/AlgoServices/{service}", {"Env": [{"Name": "COLOUR", "Value": "red"}]})
    assert (answer.status, answer.code) == (400, 40001)
    assert "COLOUR" in answer.message

    change(site, service, Env=[{"Name": "FLAVOUR", "Value": "two"}])
    wait_until(lambda: before not in tame.pids() and len(tame.pids()) == 1, what="another engine")
    wait_until(lambda: len(hands(site.data, service)) == 1, what="its line")
    hand = the_hand(site.data, service)
    assert hand.do("env")["FLAVOUR"] == "two"
    engines.until_instance(site, plan, "RUNNING")
    wait_until(lambda: len(hand.tasks()) == 1, what="its task moved")
    count = engines.results(site, plan)
    wait_until(lambda: engines.results(site, plan) > count, what="results of the new engine")
    shown = engines.until_running(site, service)
    assert shown["Env"] == [{"Name": "FLAVOUR", "Value": "two"}]


def test_streams_are_counted_over_the_replicas(site: Site, tame: Misbehaving) -> None:
    service = engines.load(site, tame.id, Replicas=2)
    plan = engines.add_plan(site, *(task_info(url=f"rtsp://10.0.0.9/{n}") for n in range(3)), wait=0)
    wait_until(lambda: statuses(site, plan).count("RUNNING") == 2, what="two at work")
    assert sorted(len(hand.tasks()) for hand in hands(site.data, service)) == [1, 1]
    [waiting] = [one for one in engines.instances(site, plan) if one["Status"] != "RUNNING"]
    assert (waiting["Status"], waiting["Reason"]) == (
        "PENDING",
        "all streams of the 2 fitting services are taken",
    )

    at_work = next(one["ID"] for one in engines.instances(site, plan) if one["Status"] == "RUNNING")
    site.client.fine("POST", "/ACSMP/TaskInstances/Stop", {"IDs": [at_work]})

    def moved_up() -> bool:
        states = {one["ID"]: one["Status"] for one in engines.instances(site, plan)}
        return states[at_work] == "PAUSED" and states[waiting["ID"]] == "RUNNING"

    wait_until(moved_up, what="the third at work in its place")
    started = [
        task for hand in hands(site.data, service) for task in hand.tasks() if task["Status"] == "RUNNING"
    ]
    assert len(started) == 2


# --- cards -----------------------------------------------------------------------------------------------------

HALF, MOST = "1101000000502000000120261121120000000031", "1101000000502000000120261121120000000032"
CARDS = [
    {
        "name": "NVIDIA A2",
        "uuid": f"GPU-{n}",
        "total": 16 << 30,
        "used": 1 << 30,
        "use": 10 * n,
        "celsius": 40,
    }
    for n in range(2)
]


@pytest.fixture
def driver(tmp_path: Path) -> FakeDriver:
    """A driver library of two cards, which knows by itself where its state lies: the child of the probe is
    handed the library path and nothing else."""
    state, folder = tmp_path / "state", tmp_path / "driver"
    folder.mkdir()
    (folder / "where.c").write_text(
        "#include <stdlib.h>\n__attribute__((constructor)) static void where(void) "
        f'{{ setenv("FAKE_NVML_STATE", "{state}", 1); }}\n'
    )
    library = folder / "libnvidia-ml.so.1"
    command = ["gcc", "-shared", "-fPIC", "-Wl,-soname,libnvidia-ml.so.1", "-o", library, SOURCE]
    subprocess.run([*command, folder / "where.c"], check=True, timeout=60)
    made = FakeDriver(folder, state)
    made.play(*CARDS)
    return made


def carded(folder: Path, package_id: str, quota: float) -> Misbehaving:
    xpu: list[dict[str, object]] = [{"quota": quota, "vendor": "NVIDIA", "accelerator": "nvidia_a2"}]
    return Misbehaving(
        folder / package_id, package_id=package_id, name=f"q{quota}", codes=(f"Q{quota}",), xpu=xpu
    )


@pytest.fixture
def cards(tmp_path: Path, driver: FakeDriver) -> Iterator[Daemon]:
    more = {**engines.ports(4), **QUICK, "runtime_read_only_paths": str(tmp_path / "open")}
    (tmp_path / "open").mkdir()
    library = {"LD_LIBRARY_PATH": driver.environment["LD_LIBRARY_PATH"]}
    with daemon(
        tmp_path / "data", library, **more, probes_interval_seconds="1", probes_deadline_seconds="1"
    ) as one:
        yield one


def given(site: Site, service: str) -> tuple[str, str, str]:
    """What an engine was told of its card."""
    env = the_hand(site.data, service).do("env")
    return env["XPU_INDEX"], env["XPU_TYPE"], env["CUDA_VISIBLE_DEVICES"]


def monitors(site: Site) -> dict[str, Any]:
    page = site.client.fine("POST", "/ACSMP/Computility", {"ComputilityCode": site.settings.site_code})
    info = page["PageContent"][0]["DeviceInfos"][0]
    return {
        "cards": info["XpuMonitors"],
        **{one["AlgoServiceID"]: one for one in info["AlgoServiceMonitors"]},
    }


def test_cards_are_shared_shown_and_kept(cards: Daemon, driver: FakeDriver, tmp_path: Path) -> None:
    half, most = carded(tmp_path / "open", HALF, 0.5), carded(tmp_path / "open", MOST, 0.8)
    for package in (half, most):
        assert cards.client.upload(package.file).code == 0
    services = [engines.load(cards, HALF) for _ in range(3)]
    for service in services:
        engines.until_running(cards, service)
    first = {service: given(cards, service) for service in services}
    assert sorted(first.values()) == [("0", "NVIDIA-A2", "GPU-0")] * 2 + [("1", "NVIDIA-A2", "GPU-1")]

    # 0.8 of a card is on neither: it waits, and says why
    waiting = engines.load(cards, MOST, wait=0)
    path = engines.service_path(cards, waiting)
    shown = cards.until(path, lambda d: "0.8 of a card" in (d.get("LastError") or ""))
    assert shown["Status"] != "RUNNING"
    assert "the freest has 0.5" in shown["LastError"]
    assert not most.pids()

    # what the driver tells of the engine's process is the service's
    [pid] = [pid for pid in half.pids() if b"XPU_INDEX=1" in Path(f"/proc/{pid}/environ").read_bytes()]
    alone = next(service for service, card in first.items() if card[0] == "1")
    driver.play(CARDS[0], {**CARDS[1], "processes": f"{pid}:{3 << 30}:40"})
    wait_until(lambda: monitors(cards)[alone]["XpuUtilization"] == 0.4, what="its use of the card")
    seen = monitors(cards)
    assert [card["XpuType"] for card in seen["cards"]] == ["NVIDIA-A2"] * 2
    assert [card["XpuMemory"] for card in seen["cards"]] == [16, 16]
    assert (seen[alone]["XpuMemoryUsed"], seen[alone]["XpuMemory"]) == (3, 16)
    for service in services:
        assert seen[service]["XpuType"] == "NVIDIA-A2"
        assert 0 <= seen[service]["CpuUtilization"] <= 1
        assert seen[service]["MemoryUsed"] > 0

    # everyone has the same card after a crash, and the room that comes free is taken
    cards.kill()
    cards.start()
    for service in services:
        engines.until_running(cards, service)
    assert {service: given(cards, service) for service in services} == first
    engines.unload(cards, HALF, alone)
    engines.until_running(cards, waiting)
    assert given(cards, waiting) == ("1", "NVIDIA-A2", "GPU-1")


def test_a_change_of_both_leaves_one_service_in_the_list(site: Site, tame: Misbehaving) -> None:
    service = engines.load(site, tame.id, Replicas=2)

    def shown() -> list[tuple[str, str, int]]:
        wish = {"ComputilityCode": site.settings.site_code}
        found = site.client.fine("POST", "/ACSMP/AlgoServices/Devices/Search", wish)["Records"]
        return [(one["AlgoServiceID"], one["Status"], one["Replicas"]) for one in found]

    change(site, service, Env=[{"Name": "FLAVOUR", "Value": "two"}])
    wait_until(lambda: shown() == [(service, "RUNNING", 2)] and len(tame.pids()) == 2, what="two new engines")
    change(site, service, Env=[{"Name": "FLAVOUR", "Value": "three"}], Replicas=1)
    wait_until(lambda: shown() == [(service, "RUNNING", 1)] and len(tame.pids()) == 1, what="one new engine")
    assert the_hand(site.data, service).do("env")["FLAVOUR"] == "three"
