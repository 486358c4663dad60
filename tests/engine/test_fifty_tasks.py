"""A device with fifty tasks goes: they run elsewhere in time, and when it comes back none runs twice (R23)."""

from __future__ import annotations

from collections import Counter

from tests.engine.bench import Bench
from tests.store.rows import CODE, OTHER, add_instance

NUMBER = 50
OBSERVED = 15.0  # observe.interval_seconds
LOST = 270.0  # computility.lost_seconds


def info(number: int) -> dict[str, object]:
    stream = {"VideoStreamOptions": {"Url": f"rtsp://10.0.0.9/{number}"}}
    return {"RulesParams": [{"EventID": "INTRUSION"}], "StreamOptions": stream}


def live(works: Bench, *codes: str, seconds: float = 1.0) -> None:
    for code in codes:
        works.presence.heard(code, works.clock.moment.mono)
    works.run(1, seconds)


def running(works: Bench) -> Counter[str]:
    """instance id -> devices on which a task of it runs."""
    return Counter(
        box.infos[task_id]["ID"]
        for box in works.plant.boxes.values()
        for task_id, task in box.tasks.items()
        if task.status == "RUNNING"
    )


def at(works: Bench, code: str) -> int:
    return sum(task.status == "RUNNING" for task in works.plant.boxes[code].tasks.values())


def fifty(works: Bench) -> None:
    """All on one device; the other gets the same service afterwards."""
    works.device(CODE)
    works.package(manifest={"env": [], "xpu": [{"stream_video_quota": 100}]})
    works.load("load-1", CODE)
    with works.store.write() as tx:
        for number in range(NUMBER):
            add_instance(tx, f"i-{number}", info=info(number))
    for _ in range(60):
        live(works, CODE)
        if at(works, CODE) == NUMBER:
            break
    works.device(OTHER)
    works.load("load-2", OTHER)
    for _ in range(6):
        live(works, CODE, OTHER)
    assert (at(works, CODE), at(works, OTHER)) == (NUMBER, 0)


def test_fifty_tasks_of_a_lost_device_run_elsewhere_in_time_and_never_twice(works: Bench) -> None:
    fifty(works)
    died = works.clock.moment.mono
    works.plant.away.add(CODE)
    while works.state(CODE) != "lost":
        live(works, OTHER, seconds=5.0)
        assert at(works, OTHER) == 0 or works.state(CODE) == "lost"
        assert works.clock.moment.mono - died <= LOST + 5.0
    passes = 0
    while at(works, OTHER) < NUMBER:
        live(works, OTHER)
        passes += 1
        assert (
            passes <= NUMBER / works.settings.engine.lanes_per_device + 2
        )  # each pass fills every lane to it
    assert works.state(CODE) == "lost"
    live(works, OTHER)
    assert {works.status(f"i-{number}")[0] for number in range(NUMBER)} == {"RUNNING"}

    works.plant.away.discard(CODE)
    back = works.clock.moment.mono
    assert at(works, CODE) == NUMBER  # it ran on alone, behind a line that was cut
    while at(works, CODE):
        live(works, CODE, OTHER)
        assert works.clock.moment.mono - back < 60.0
    assert running(works) == Counter({f"i-{number}": 1 for number in range(NUMBER)})
    assert works.plant.told(OTHER).count("create_task") == NUMBER
    for _ in range(10):
        live(works, CODE, OTHER, seconds=OBSERVED)
    assert running(works) == Counter({f"i-{number}": 1 for number in range(NUMBER)})
    assert at(works, CODE) == 0


def test_an_unreachable_device_keeps_its_tasks(works: Bench) -> None:
    """It is heard: the line to it is cut one way, and its work goes on (conventions section 11)."""
    fifty(works)
    works.plant.away.add(CODE)
    for _ in range(40):
        live(works, CODE, OTHER, seconds=OBSERVED)
    assert works.state(CODE) == "unreachable"
    assert works.plant.told(OTHER).count("create_task") == 0
