"""Results within their bounds: what goes first, what goes last, what is told, what a crash leaves."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from acsmpd.engine import losses, pictures
from acsmpd.engine.pictures import Pictures
from acsmpd.settings import Results
from acsmpd.store import results
from tests.engine.results_bench import NOW_MS, Bench

A, B = "http://a:80", "http://b:80"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.store.close()


def tidy(bench: Bench, given: Results) -> None:
    bench.limits(given)
    Pictures(bench.core).tidy()


def delivered(bench: Bench) -> None:
    with bench.store.write() as tx:
        results.drop_deliveries(tx, True)


def test_within_the_bounds_nothing_goes(bench: Bench) -> None:
    bench.result(f"{A}/r", p0=bytes(100))
    bench.result(p0=bytes(100))
    tidy(bench, Results(pictures_max_bytes=200, max_rows=2))
    assert (bench.kept, bench.pictures, len(bench.files())) == ([1, 2], ["1-p0.jpg", "2-p0.jpg"], 2)
    assert bench.alarms(pictures.EVICTED) == []


def test_the_oldest_pictures_go_until_the_rest_fits(bench: Bench) -> None:
    for _ in range(5):
        bench.result(p0=bytes(60), p1=bytes(40))
    tidy(bench, Results(pictures_max_bytes=250))
    assert bench.pictures == ["3-p1.jpg", "4-p0.jpg", "4-p1.jpg", "5-p0.jpg", "5-p1.jpg"]
    assert [name.rsplit("/", 1)[-1] for name in bench.files()] == bench.pictures
    assert bench.kept == [1, 2, 3, 4, 5], "a result outlives its pictures"


def test_old_results_of_any_size_go_in_one_tidying(bench: Bench) -> None:
    for _ in range(5):
        bench.result(size=pictures.BATCH_BYTES // 2)
    bench.clock.forward(4 * 3600)
    young = bench.result(size=1)
    tidy(bench, Results(keep_hours=3, pictures_keep_hours=3))
    assert bench.kept == [young]


def test_more_than_a_batch_goes_in_one_tidying(bench: Bench) -> None:
    for _ in range(pictures.BATCH // 5 + 3):
        bench.result(**{f"p{place}": b"x" for place in range(5)})
    tidy(bench, Results(pictures_max_bytes=4))
    assert len(bench.pictures) == 4
    assert len(bench.files()) == 4


def test_pictures_of_undelivered_results_go_last_and_are_told(bench: Bench) -> None:
    bench.result(f"{A}/r", p0=bytes(100))
    bench.result(f"{A}/r", f"{B}/r", p0=bytes(100))
    bench.result(p0=bytes(100))
    tidy(bench, Results(pictures_max_bytes=200))
    assert bench.pictures == ["1-p0.jpg", "2-p0.jpg"]
    assert bench.alarms(pictures.EVICTED) == []
    tidy(bench, Results(pictures_max_bytes=100))
    assert bench.pictures == ["2-p0.jpg"]
    tidy(bench, Results(pictures_max_bytes=99))
    text = "pictures of results not delivered yet that had to go: 2; the space or the time for them is up"
    assert bench.alarms(pictures.EVICTED) == [("results", text, True)]
    assert len(bench.outbox) == 3, "the results themselves are still to be delivered"
    delivered(bench)
    tidy(bench, Results())
    assert bench.alarms(pictures.EVICTED) == [("results", text, False)]
    bench.result(f"{A}/r", p0=bytes(100))
    tidy(bench, Results(pictures_max_bytes=99))
    assert bench.alarms(pictures.EVICTED)[1][1].startswith(
        "pictures of results not delivered yet that had to go: 1;"
    )


def test_pictures_go_by_age(bench: Bench) -> None:
    bench.result(p0=b"1")
    bench.clock.forward(3600)
    bench.result(p0=b"2")
    bench.clock.forward(3600)
    tidy(bench, Results(pictures_keep_hours=1))
    assert bench.pictures == ["2-p0.jpg"]
    bench.clock.forward(1)
    tidy(bench, Results(pictures_keep_hours=1))
    assert (bench.pictures, bench.files(), bench.kept) == ([], [], [1, 2])


def test_results_go_by_age_with_their_pictures(bench: Bench) -> None:
    bench.result(p0=b"1")
    bench.result(f"{A}/r", p0=b"2")
    bench.clock.forward(3601)
    bench.result(p0=b"3")
    tidy(bench, Results(keep_hours=1, pictures_keep_hours=1))
    assert (bench.kept, bench.pictures) == ([2, 3], ["3-p0.jpg"]), "the outbox gives up first"
    assert len(bench.files()) == 1
    delivered(bench)
    tidy(bench, Results(keep_hours=1, pictures_keep_hours=1))
    assert (bench.kept, len(bench.files())) == ([3], 1)


def test_results_go_by_number_and_undelivered_ones_last(bench: Bench) -> None:
    bench.result(f"{A}/r", f"{B}/r", p0=b"1")
    bench.result(f"{A}/r")
    bench.result()
    bench.result()
    tidy(bench, Results(max_rows=3))
    assert bench.kept == [1, 2, 4]
    assert bench.alarms(losses.KIND) == []
    tidy(bench, Results(max_rows=1))
    assert (bench.kept, bench.files()) == ([2], [])
    assert [row["destination"] for row in bench.outbox] == [A]
    tidy(bench, Results(max_rows=0))
    assert (bench.kept, bench.outbox) == ([], [])
    words = "results given up: {0} ({0} dropped to make room for newer ones)"
    assert bench.alarms(losses.KIND) == [(A, words.format(2), True), (B, words.format(1), True)]


def test_a_result_lives_as_long_as_its_pictures(bench: Bench) -> None:
    bench.result(p0=b"1")
    bench.clock.forward(3601)
    tidy(bench, Results(keep_hours=1, pictures_keep_hours=2))
    assert (bench.kept, bench.pictures) == ([1], ["1-p0.jpg"])
    tidy(bench, Results(keep_hours=2, pictures_keep_hours=1))
    assert (bench.kept, bench.pictures) == ([1], [])
    bench.clock.forward(3601)
    tidy(bench, Results(keep_hours=1, pictures_keep_hours=2))
    assert bench.kept == []


def test_results_go_by_the_size_of_their_bodies_and_undelivered_ones_last(bench: Bench) -> None:
    bench.result(f"{A}/r", size=100)
    for _ in range(4):
        bench.result(size=100)
    tidy(bench, Results(bodies_max_bytes=500))
    assert bench.kept == [1, 2, 3, 4, 5]
    tidy(bench, Results(bodies_max_bytes=350))
    assert bench.kept == [1, 4, 5], "no more than makes room"
    assert bench.alarms(losses.KIND) == []
    tidy(bench, Results(bodies_max_bytes=1))
    assert (bench.kept, bench.outbox) == ([], [])
    words = "results given up: 1 (1 dropped to make room for newer ones)"
    assert bench.alarms(losses.KIND) == [(A, words, True)]


def test_a_shared_file_goes_with_the_last_result_that_has_it(bench: Bench) -> None:
    path = "results/raw/20270115/shared.form"
    bench.write(path, b"raw")
    for number in (1, 2):
        bench.clock.forward(3600)
        with bench.store.write() as tx:
            results.add(
                tx,
                {
                    "instance_id": "inst", "event_id": "FIRE", "fingerprint": f"m{number}", "event_ms": 1,
                    "body": {}, "received_ms": bench.clock.now().wall_ms,
                },
                [(results.RAW, path, 3)],
                [],
            )  # fmt: skip
    bench.clock.forward(1)
    tidy(bench, Results(keep_hours=1, pictures_keep_hours=1))
    assert (bench.kept, bench.files()) == ([2], ["raw/20270115/shared.form"])
    bench.clock.forward(3600)
    tidy(bench, Results(keep_hours=1, pictures_keep_hours=1))
    assert (bench.kept, bench.files()) == ([], [])


def test_tidying_stops_when_the_platform_does(bench: Bench) -> None:
    for _ in range(3):
        bench.result(p0=bytes(10))
    duty = Pictures(bench.core)
    bench.core.stopping.set()
    duty.tidy()
    assert bench.kept == [1, 2, 3]


# --- what a crash leaves ----------------------------------------------------------------------------------


def test_a_sweep_takes_what_no_row_points_to(bench: Bench) -> None:
    bench.result(p0=b"1")
    old = [
        bench.write("results/pictures/20270114/orphan.jpg", b"x"),
        bench.write("results/pictures/20270115/.half.part", b"x"),
        bench.write("results/raw/20270114/orphan.form", b"x"),
        bench.data / "results/pictures/20270115/1-p0.jpg",
    ]
    for file in old:
        os.utime(file, (NOW_MS / 1000 - 10,) * 2)
    coming = bench.write("results/pictures/20270116/coming.jpg", b"x")
    os.utime(coming, (NOW_MS / 1000 + 1,) * 2)
    Pictures(bench.core).sweep()
    assert bench.files() == ["pictures/20270115/1-p0.jpg", "pictures/20270116/coming.jpg"]
    days = sorted(path.name for path in (bench.data / "results").glob("*/*"))
    assert days == ["20270115", "20270116"], "empty folders went too"


def test_a_sweep_of_more_than_a_batch(bench: Bench) -> None:
    for number in range(pictures.BATCH + 5):
        os.utime(bench.write(f"results/pictures/20270114/{number}.jpg", b"x"), (1, 1))
    Pictures(bench.core).sweep()
    assert bench.files() == []


def test_a_sweep_of_a_new_data_directory(bench: Bench) -> None:
    Pictures(bench.core).sweep()
    assert bench.files() == []


def test_a_file_that_is_gone_already_or_cannot_go(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.result(p0=b"1", p1=b"2")
    folder = bench.data / "results/pictures/20270115"
    (folder / "1-p0.jpg").unlink()
    (folder / "1-p1.jpg").unlink()
    (folder / "1-p1.jpg").mkdir()
    tidy(bench, Results(max_rows=0))
    assert bench.kept == []
    assert "cannot remove results/pictures/20270115/1-p1.jpg: Is a directory" in caplog.text
