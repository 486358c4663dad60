"""What the settings say of one line: its order, its pace, its pictures; and who goes first."""

from __future__ import annotations

import base64
import itertools
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from acsmpd.engine import relay
from acsmpd.engine.parcels import AT_ONCE, LEFT_HERE
from acsmpd.settings import Relay
from acsmpd.store import results
from tests.engine.results_bench import Bench, decoded, posting, pts
from tests.wire.servers import OK, Handler, replying, serving

FORM = b'--b0undary\r\nContent-Disposition: form-data; name="alarm_info"\r\n\r\n{}\r\n--b0undary--\r\n'


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.store.close()


def test_newest_first_takes_what_came_last_even_while_a_backlog_drains(bench: Bench) -> None:
    bench.limits(None, Relay(order="newest"))
    with serving(replying(200, OK)) as server, posting(bench) as post:
        backlog = AT_ONCE * 2
        for _ in range(backlog):
            bench.result(server.url)

        def one_comes_in(handler: Handler) -> None:
            if len(server.seen) == 10:
                bench.result(server.url)
            handler.reply(200, OK)

        server.script = one_comes_in
        post.step()
        fresh = backlog + 1
        assert pts(server)[:10] == list(range(backlog, backlog - 10, -1))
        assert pts(server).index(fresh) == AT_ONCE, "at the next look, not behind the backlog"
        assert sorted(pts(server)) == list(range(1, fresh + 1)), "the oldest go too"
    assert bench.outbox == []


def test_a_thin_line_is_kept_to_its_pace(bench: Bench) -> None:
    with serving(replying(200, OK)) as server, posting(bench) as post:
        bench.limits(None, Relay(to=f"127.0.0.1:{server.port}", bytes_per_second=1000))
        post.restart()
        for _ in range(30):
            bench.result(server.url, body={"Text": "x" * 250})
        taken = []
        for _ in range(12):
            post.step(1.0)
            taken.append(sum(len(one.body) for one in server.seen))
        size = len(server.seen[0].body)
        assert taken[0] <= 1000 + size, "a burst of one second"
        assert all(later - sooner <= 1000 + size for sooner, later in itertools.pairwise(taken))
        assert pts(server) == list(range(1, 31)), "in order, all of them"


def test_another_line_is_not_held_up_by_a_thin_one(bench: Bench) -> None:
    with serving(replying(200, OK)) as thin, serving(replying(200, OK)) as wide, posting(bench) as post:
        bench.limits(None, Relay(to=f"127.0.0.1:{thin.port}", bytes_per_second=1))
        post.restart()
        for _ in range(5):
            bench.result(thin.url, wide.url)
        post.step()
        assert (pts(thin), pts(wide)) == ([1], [1, 2, 3, 4, 5])


def test_pictures_stay_here_where_the_line_is_thin(bench: Bench) -> None:
    with serving(replying(200, OK)) as thin, serving(replying(200, OK)) as wide, posting(bench) as post:
        bench.limits(None, Relay(to=f"127.0.0.1:{thin.port}", pictures=False))
        post.restart()
        bench.result(
            thin.url, wide.url, body={"Images": [{"Type": "FULL"}, {"Url": "x"}]}, p0=b"\xff\xd8\xff"
        )
        post.step()
        assert decoded(thin.seen[0].body)["Images"] == [{"Type": "FULL", "Note": LEFT_HERE}, {"Url": "x"}]
        whole = {"Type": "FULL", "Data": base64.b64encode(b"\xff\xd8\xff").decode()}
        assert decoded(wide.seen[0].body)["Images"] == [whole, {"Url": "x"}]


def test_an_address_that_refuses_holds_up_no_other_of_its_host(bench: Bench) -> None:
    def script(handler: Handler) -> None:
        handler.reply(404 if handler.path.startswith("/gone") else 200, OK)

    with serving(script) as server, posting(bench) as post:
        for _ in range(AT_ONCE):
            bench.result(f"{server.url}/gone/1", f"{server.url}/gone/2", f"{server.url}/here")

        def here() -> list[int]:
            return [decoded(one.body)["Pts"] for one in server.seen if one.path == "/here"]

        for _ in range(10):
            post.step(1.0)
        assert here() == list(range(1, AT_ONCE + 1))
        assert len(server.seen) - len(here()) <= 8, "those that refuse are not pestered"
        bench.result(f"{server.url}/here")
        post.step(5.0)
        assert here()[-1] == AT_ONCE + 1, "what is fresh goes too"


def test_who_refuses_everything_loses_no_more_for_having_many_addresses(bench: Bench) -> None:
    with serving(replying(404, {})) as server, posting(bench) as post:
        for number in range(50):
            bench.result(f"{server.url}/{number}")
        for _ in range(120):
            post.step(30.0)
        assert max(Counter(one.path for one in server.seen).values()) > relay.REFUSALS
        server.script = replying(200, OK)
        post.step(300)
        post.step(300)
    assert bench.outbox == []
    assert bench.alarms("results_lost") == []


def raw_results(bench: Bench, url: str, content: bytes) -> None:
    """Two results that came in one form."""
    bench.write("results/raw/form", content)
    for _ in range(2):
        result = bench.result(url)
        with bench.store.write() as tx:
            tx.sql("UPDATE result SET raw_path = 'results/raw/form' WHERE id = ?", result)
            tx.sql(
                "INSERT INTO picture (result_id, place, path, size, created_ms) VALUES (?, ?, ?, 0, 1)",
                result, results.RAW, "results/raw/form",
            )  # fmt: skip


def test_a_form_goes_once_as_it_came(bench: Bench) -> None:
    bench.limits(None, Relay(raw=True))
    with serving(replying(200, OK)) as server, posting(bench) as post:
        raw_results(bench, server.url, FORM)
        bench.result(server.url)
        post.step()
        assert server.seen[0].body == FORM
        assert server.seen[0].headers["Content-Type"] == 'multipart/form-data; boundary="b0undary"'
        assert server.seen[0].headers["Idempotency-Key"] == "mark1"
        assert decoded(server.seen[1].body)["Pts"] == 3, "what came as JSON goes as JSON"
        assert len(server.seen) == 2
    assert bench.outbox == []


@pytest.mark.parametrize("content", [b"no boundary at all", None])
def test_a_form_that_is_gone_or_none_goes_as_json(bench: Bench, content: bytes | None) -> None:
    bench.limits(None, Relay(raw=True))
    with serving(replying(200, OK)) as server, posting(bench) as post:
        raw_results(bench, server.url, content or b"")
        if content is None:
            (bench.data / "results/raw/form").unlink()
        post.step()
        assert pts(server) == [1, 2], "each by itself: no form was taken that would hold both"
    assert bench.outbox == []


def test_a_backlog_does_not_keep_the_only_lane(bench: Bench) -> None:
    """Two destinations that always have something to get take turns."""
    with (
        serving(replying(200, OK)) as one,
        serving(replying(200, OK)) as two,
        posting(bench, lanes=1) as post,
    ):
        for _ in range(8):
            bench.result(one.url, two.url)

        def slowly(handler: Handler) -> None:
            bench.clock.forward(6.0)
            handler.reply(200, OK)

        one.script = two.script = slowly
        turns = []
        for _ in range(4):
            before = (len(one.seen), len(two.seen))
            post.step()
            turns.append((len(one.seen) > before[0], len(two.seen) > before[1]))
        assert turns[0] != turns[1]
        assert turns == [turns[0], turns[1]] * 2


def test_who_works_here_goes_first_but_never_stops_the_backlog(bench: Bench) -> None:
    asides = []

    class Counting(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            asides.append(timeout)
            return False

    object.__setattr__(bench.core, "stopping", Counting())
    with serving(replying(200, OK)) as server, posting(bench) as post:
        for _ in range(20):
            bench.result(server.url)
        bench.core.traffic.seen(bench.clock.now().mono)  # the hands do not move: somebody is always at work
        post.step()
        assert len(server.seen) == 20
        assert len(asides) == 2 * 20
        bench.result(server.url)
        post.step(1.0)
        assert (len(server.seen), len(asides)) == (21, 40), "nobody is at work any more"
