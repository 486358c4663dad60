"""The outbox over real HTTP receivers: order, repeats, refusals, and what is told about them."""

from __future__ import annotations

import base64
import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from acsmpd.engine import losses, relay
from acsmpd.engine.engine import Engine
from acsmpd.engine.parcels import AT_ONCE
from acsmpd.settings import Results
from acsmpd.store.tables import Delivery, Load, Task
from tests.engine.results_bench import SITE, Bench, decoded, posting, pts
from tests.support.wait import wait_until
from tests.wire.servers import OK, Handler, replying, serving, unused_port

OLD = {"instance_id": "inst", "url": "http://a:80/r", "destination": "http://a:80", "created_ms": 1}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.store.close()


def switching(*answers: tuple[int, dict[str, int]]) -> Callable[[Handler], None]:
    """Each answer once, the last for ever."""
    left = list(answers)

    def script(handler: Handler) -> None:
        status, body = left.pop(0) if len(left) > 1 else left[0]
        handler.reply(status, body)

    return script


def test_results_go_in_order_with_their_key_and_pictures(bench: Bench) -> None:
    bench.instance()
    picture = b"\xff\xd8\xff picture"
    with serving(replying(200, OK)) as server, posting(bench) as post:
        bench.result(
            f"{server.url}/r", body={"Images": [{"Type": "FULL"}, {"Type": "TARGET"}], "Mine": 1}, p1=picture
        )
        bench.result(f"{server.url}/r")
        bench.result(f"{server.url}/other")
        post.step()
        first, *_ = server.seen
        assert decoded(first.body) == {
            "EventID": "FIRE", "TaskID": "inst", "Pts": 1, "Mine": 1,
            "Images": [{"Type": "FULL"}, {"Type": "TARGET", "Data": base64.b64encode(picture).decode()}],
        }  # fmt: skip
        assert first.headers["Idempotency-Key"] == "mark1"
        assert first.headers["Via"] == f"1.1 {SITE}"
        assert [one.path for one in server.seen] == ["/r", "/r", "/other"]
        assert pts(server) == [1, 2, 3]
    assert bench.outbox == []
    assert bench.kept == [1, 2, 3], "the result stays when it is delivered"


def test_an_upstream_gets_the_ids_it_knows(bench: Bench) -> None:
    bench.instance(origin=SITE, caller_id="the id from above")
    with bench.store.write() as tx:
        now = {"created_ms": 1, "changed_ms": 1}
        tx.run(
            Load.insert(id="load", service_id="service", package_id="p", device="d", facility_id="f", **now)
        )
        tx.run(Task.insert(instance_id="inst", device="d", load_id="load", **now))
    with serving(replying(200, OK)) as server, posting(bench) as post:
        bench.result(server.url, body={"AlgoServiceID": "f"})
        post.step()
        sent = decoded(server.seen[0].body)
    assert (sent["TaskID"], sent["AlgoServiceID"]) == ("the id from above", "service")


def test_an_instance_that_is_gone_is_named_by_our_id(bench: Bench) -> None:
    with serving(replying(200, OK)) as server, posting(bench) as post:
        bench.result(server.url)
        post.step()
        assert decoded(server.seen[0].body)["TaskID"] == "inst"


def test_a_picture_that_is_gone_holds_up_nothing(bench: Bench) -> None:
    with serving(replying(200, OK)) as server, posting(bench) as post:
        bench.result(server.url, body={"Images": [{"Type": "FULL"}]}, p0=b"x")
        (bench.data / "results/pictures/20270115/1-p0.jpg").unlink()
        post.step()
        assert decoded(server.seen[0].body)["Images"] == [{"Type": "FULL"}]
    assert bench.outbox == []


def test_a_failure_holds_the_order_and_waits_longer_each_time(bench: Bench) -> None:
    with serving(replying(503, OK)) as server, posting(bench) as post:
        bench.result(server.url)
        bench.result(server.url)
        waits = []
        for _ in range(6):
            tries, waited = len(server.seen), 0.0
            while len(server.seen) == tries:
                post.step(1.0)
                waited += 1.0
                assert waited < 400
            waits.append(waited)
        assert pts(server) == [1] * 6
        assert waits[0] == 1.0
        assert waits[1:] == sorted(waits[1:])
        assert waits[5] > 20
        assert bench.outbox[0]["attempts"] == 6
        assert bench.outbox[0]["error"] == "it answered HTTP 503"
        server.script = replying(200, OK)
        post.step(300)
        assert pts(server) == [1] * 7 + [2]
    assert bench.outbox == []


def test_one_bad_destination_does_not_hold_up_another(bench: Bench) -> None:
    with serving(replying(500, OK)) as bad, serving(replying(200, OK)) as good, posting(bench) as post:
        bench.result(bad.url, good.url)
        bench.result(bad.url, good.url)
        post.step()
        assert (pts(bad), pts(good)) == ([1], [1, 2])
    assert [row["destination"] for row in bench.outbox] == [bad.url, bad.url]


def test_one_job_at_a_time_for_a_destination(bench: Bench) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def script(handler: Handler) -> None:
        entered.set()
        assert go_on.wait(20)
        handler.reply(200, OK)

    with serving(script) as server, posting(bench) as post:
        bench.result(server.url)
        post.relay.ensure(bench.clock.now())
        assert entered.wait(20)
        post.relay.ensure(bench.clock.now())
        assert post.lanes.free == 3
        go_on.set()
        post.step()
        assert pts(server) == [1]


def test_a_job_ends_after_its_share(bench: Bench) -> None:
    with serving(replying(200, OK)) as server, posting(bench) as post:
        for _ in range(5):
            bench.result(server.url)

        def slowly(handler: Handler) -> None:
            bench.clock.forward(4.0)
            handler.reply(200, OK)

        server.script = slowly
        post.step()
        assert pts(server) == [1, 2, 3], "the third ends after 12 s, the lane is free after 10"
        assert bench.core.wake_event.is_set(), "the loop is told that there is more to do"
        post.step()
        assert pts(server) == [1, 2, 3, 4, 5]


def test_nothing_is_posted_while_stopping(bench: Bench) -> None:
    with serving(replying(200, OK)) as server, posting(bench) as post:
        bench.result(server.url)
        bench.core.stopping.set()
        post.step()
        assert server.seen == []


def test_a_lost_answer_is_posted_again_under_the_same_key(bench: Bench) -> None:
    with serving(lambda handler: handler.reset()) as server, posting(bench) as post:
        bench.result(server.url)
        post.step()
        assert len(bench.outbox) == 1
        server.script = replying(200, OK)
        post.step(300)
        assert {one.headers["Idempotency-Key"] for one in server.seen} == {"mark1"}
    assert bench.outbox == []


def test_a_receiver_that_is_not_there(bench: Bench) -> None:
    with posting(bench) as post:
        bench.result(f"http://127.0.0.1:{unused_port()}/r?key=secret")
        post.step()
        (row,) = bench.outbox
        assert row["attempts"] == 1
        assert row["error"].startswith("cannot deliver to 127.0.0.1:")
        assert "secret" not in row["error"]


def test_many_failures_in_a_row_are_told_and_over_with_a_success(bench: Bench) -> None:
    with serving(replying(503, OK)) as server, posting(bench) as post:
        bench.result(server.url)
        bench.result(server.url)
        for _ in range(relay.FAILURES - 1):
            post.step(300)
        assert bench.alarms("undeliverable") == []
        post.step(300)
        assert bench.alarms("undeliverable") == [
            (server.url, "it answered HTTP 503; results that wait: 2", True)
        ]
        server.script = replying(200, OK)
        post.restart()
        post.step()
        assert [is_open for *_, is_open in bench.alarms("undeliverable")] == [False]


def test_an_address_that_is_refused_is_kept_and_told(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with serving(replying(200, OK)) as server, posting(bench, allow=()) as post:
        bench.result(f"{server.url}/r?key=secret")
        post.step()
        ((subject, text, is_open),) = bench.alarms("undeliverable")
        assert (subject, is_open) == (server.url, True)
        assert text.startswith(f"cannot deliver: cannot call 127.0.0.1:{server.port}: it is ")
        assert text.endswith("egress.allow does not name it; results that wait: 1")
        assert len(bench.outbox) == 1
        post.step(299)
        assert bench.outbox[0]["attempts"] == 1
        post.step(2)
        assert bench.outbox[0]["attempts"] == 2, "tried again at the slowest pace"
        assert server.seen == []
        assert "secret" not in text + caplog.text


def test_addresses_that_are_none_hold_up_only_each_other(bench: Bench) -> None:
    with serving(replying(200, OK)) as server, posting(bench) as post:
        name = server.url.removeprefix("http://")
        bench.result(f"http://user:secret@{name}/r")
        bench.result(server.url)
        post.step()
        assert pts(server) == [2]
        ((subject, text, _),) = bench.alarms("undeliverable")
        assert (subject, "secret" in text) == ("no usable address", False)


@pytest.mark.parametrize(
    ("status", "body"), [(400, OK), (404, {}), (200, {"Code": 40001}), (200, {}), (413, {"Code": 41301})]
)
def test_a_result_refused_again_and_again_is_given_up(
    bench: Bench, status: int, body: dict[str, int]
) -> None:
    def script(handler: Handler) -> None:
        poison = decoded(handler.body)["Pts"] == 2
        handler.reply(status if poison else 200, body if poison else OK)

    with serving(script) as server, posting(bench) as post:
        for _ in range(3):
            bench.result(server.url)
        for _ in range(relay.REFUSALS - 1):
            post.step(300)
            assert pts(server)[-1] == 2
            assert [row["result_id"] for row in bench.outbox] == [2, 3]
        post.restart()
        post.step(300)
        assert pts(server) == [1, 2, 2, 2, 2, 2, 3]
    assert bench.outbox == []
    assert bench.kept == [1, 2, 3]
    text = "results given up: 1 (1 refused by the receiver again and again)"
    assert bench.alarms(losses.KIND) == [(server.url, text, True)]


@pytest.mark.parametrize("status", [401, 408, 409, 429, 500, 503])
def test_what_may_pass_is_never_given_up_for_its_answers(bench: Bench, status: int) -> None:
    with serving(replying(status, {"Code": status * 100})) as server, posting(bench) as post:
        bench.result(server.url)
        for _ in range(12):
            post.step(300)
        assert len(server.seen) == 12
        assert len(bench.outbox) == 1


def test_refusals_count_apart_from_failures(bench: Bench) -> None:
    with serving(switching(*[(503, OK)] * 9, (400, OK))) as server, posting(bench) as post:
        bench.result(server.url)
        for _ in range(9 + relay.REFUSALS - 1):
            post.step(300)
        assert [(row["attempts"], row["refusals"]) for row in bench.outbox] == [(13, 4)]
        post.step(300)
        assert bench.outbox == []


def test_what_could_not_be_delivered_in_time_is_given_up_and_told(bench: Bench) -> None:
    bench.limits(Results(keep_hours=2))
    with serving(replying(503, OK)) as server, posting(bench) as post:
        bench.result(server.url)
        bench.clock.forward(3600)
        bench.result(server.url)
        for _ in range(relay.FAILURES):
            post.step(300)
        assert bench.alarms("undeliverable")[0][2] is True
        bench.clock.forward(2 * 3600 - relay.FAILURES * 300 - 3600 + 1)
        post.step()
        assert [row["result_id"] for row in bench.outbox] == [2]
        text = "results given up: 1 (1 not delivered in time)"
        assert bench.alarms(losses.KIND) == [(server.url, text, True)]
        post.step(3600)
        assert bench.outbox == []
        text = "results given up: 2 (2 not delivered in time)"
        assert bench.alarms(losses.KIND) == [(server.url, text, True)]
        assert bench.alarms("undeliverable")[0][2] is False, "nothing waits any more"


def test_more_than_a_batch_is_given_up_at_once(bench: Bench) -> None:
    bench.limits(Results(keep_hours=2))
    old = [{**OLD, "result_id": number} for number in range(relay.BATCH + 3)]
    with bench.store.write() as tx:
        for row in (*old, {**OLD, "result_id": -1, "created_ms": bench.clock.now().wall_ms}):
            tx.run(Delivery.insert(**row))
    with posting(bench) as post:
        post.step()
    assert [row["result_id"] for row in bench.outbox] == [-1]
    text = f"results given up: {len(old)} ({len(old)} not delivered in time)"
    assert bench.alarms(losses.KIND) == [("http://a:80", text, True)]


def test_the_count_of_losses_ends_a_day_after_the_last(bench: Bench) -> None:
    with bench.store.write() as tx:
        losses.note(tx, "http://a:1", "expired", 3, bench.clock.now().wall_ms)
        losses.note(tx, "http://a:1", "dropped", 2, bench.clock.now().wall_ms)
    text = "results given up: 5 (3 not delivered in time, 2 dropped to make room for newer ones)"
    with posting(bench) as post:
        post.step(24 * 3600)
        assert bench.alarms(losses.KIND) == [("http://a:1", text, True)]
        post.step(61)
        assert bench.alarms(losses.KIND) == [("http://a:1", text, False)]
    with bench.store.write() as tx:
        losses.note(tx, "http://a:1", "refused", 1, bench.clock.now().wall_ms)
    assert bench.alarms(losses.KIND)[1][1].startswith("results given up: 1 (1 refused ")


def test_many_destinations_with_few_lanes(bench: Bench) -> None:
    with (
        serving(replying(200, OK)) as one,
        serving(replying(200, OK)) as two,
        posting(bench, lanes=1) as post,
    ):
        for _ in range(3):
            bench.result(one.url, two.url)
        post.step()
        post.step()
        assert (pts(one), pts(two)) == ([1, 2, 3], [1, 2, 3])


def test_destinations_that_take_nothing_leave_half_of_the_lanes(bench: Bench) -> None:
    bench.limits(None, lanes=4)
    hung = threading.Event()

    def script(handler: Handler) -> None:
        if hung.is_set():
            handler.server.over.wait(20)
        else:
            handler.reply(503, OK)

    with contextlib.ExitStack() as stack:
        post = stack.enter_context(posting(bench))
        stack.callback(bench.core.stopping.set)
        good = stack.enter_context(serving(replying(200, OK)))
        bad = [stack.enter_context(serving(script)) for _ in range(4)]
        bench.result(*[server.url for server in bad])
        post.step()
        hung.set()
        bench.clock.forward(10)
        post.relay.ensure(bench.clock.now())
        wait_until(lambda: sum(len(server.seen) for server in bad) == 6, what="two are tried")
        bench.result(good.url)
        post.relay.ensure(bench.clock.now())
        wait_until(lambda: len(good.seen) == 1, what="the good one gets its result")
        assert post.lanes.free >= 1


def test_a_receiver_that_takes_nothing_does_not_keep_us_from_stopping(bench: Bench) -> None:
    picture = b"\xff\xd8\xff" + bytes(4_000_000)
    with serving(lambda handler: handler.stall()) as server, posting(bench) as post:
        bench.result(server.url, body={"Images": [{}]}, p0=picture)
        post.relay.ensure(bench.clock.now())
        wait_until(lambda: bool(server.seen), what="the post")
        bench.core.stopping.set()
        bench.clock.forward(bench.core.settings.wire.read_timeout_seconds + 1)
        wait_until(lambda: post.lanes.free == 4, seconds=5, what="the post is given up")
        assert not server.over.is_set()
    (row,) = bench.outbox
    assert row["attempts"] == 0, "it was no failure of the receiver"


def test_more_destinations_than_one_pass_looks_at_take_turns(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "DESTINATIONS", 2)
    with contextlib.ExitStack() as stack:
        post = stack.enter_context(posting(bench))
        servers = [stack.enter_context(serving(replying(503, OK))) for _ in range(5)]
        bench.result(*[server.url for server in servers])
        for _ in range(3):
            post.step()
        assert [len(server.seen) for server in servers] == [1] * 5


@pytest.mark.parametrize("status", [200, 404])
def test_what_is_given_up_while_it_is_posted_fails_nothing(
    bench: Bench, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    with serving(replying(200, OK)) as server, posting(bench) as post:

        def late(handler: Handler) -> None:
            bench.clock.forward(73 * 3600)
            post.relay.ensure(bench.clock.now())
            handler.reply(status, OK)

        server.script = late
        bench.result(server.url)
        post.step()
    assert bench.outbox == []
    assert [one for one in caplog.records if one.exc_info] == []


def test_the_loop_itself_empties_the_outbox(bench: Bench) -> None:
    with serving(replying(200, OK)) as server, posting(bench) as post:
        engine = Engine(bench.core, [post.relay], [], lambda: None)
        engine.start()
        try:
            for _ in range(AT_ONCE + 20):
                bench.result(server.url)
            bench.core.wake()
            wait_until(lambda: not bench.outbox, what="the outbox is empty")
        finally:
            engine.stop()
        assert pts(server) == list(range(1, AT_ONCE + 21))
