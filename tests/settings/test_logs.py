"""The log: its two shapes, lines that cannot be forged, repeats that are counted, bounds."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acsmpd import logs
from acsmpd.clock import Clock, Moment

LOG = logging.getLogger("acsmpd.engine.lanes")
STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d"


class HandClock(Clock):
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.moment = Moment(0, 1000.0, "boot")

    def now(self) -> Moment:
        return self.moment

    def later(self, seconds: float) -> None:
        self.moment = self.moment.later(seconds)


class Written(io.StringIO):
    """What was written, line by line."""

    def lines(self) -> list[str]:
        text = self.getvalue()
        assert text == "" or text.endswith("\n")
        return text.split("\n")[:-1]


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    names = ["", "acsmpd", *logs._QUIETER]
    levels = {name: logging.getLogger(name).level for name in names}
    yield
    root = logging.getLogger()
    for handler in [one for one in root.handlers if isinstance(one, logs.LineHandler)]:
        root.removeHandler(handler)
        handler.close()
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def out(clock: HandClock) -> Written:
    written = Written()
    logs.configure("text", "debug", clock, stream=written)
    return written


def test_a_line_names_time_level_logger_fields_and_message(clock: HandClock) -> None:
    out = Written()
    logs.configure("text", "info", clock, zone=ZoneInfo("Asia/Shanghai"), stream=out)
    fields = {
        "count": 3,
        "operation": "load-7",
        "device": "340200",
        "request_id": "r-1",
        "late": True,
        "none": None,
    }
    record = LOG.makeRecord(LOG.name, logging.INFO, "f", 1, "step %s done", ("load",), None, None, fields)
    record.created = 1795274702.1234
    LOG.handle(record)
    assert out.lines() == [
        "2026-11-21T23:25:02.123+08:00 INFO acsmpd.engine.lanes "
        "device=340200 op=load-7 request_id=r-1 count=3 late=true step load done"
    ]


def test_the_systems_zone_is_used_when_none_is_given(out: Written) -> None:
    LOG.info("here")
    assert re.fullmatch(rf"{STAMP} INFO acsmpd\.engine\.lanes here", out.lines()[0])


def test_json_lines_hold_the_same(clock: HandClock) -> None:
    out = Written()
    logs.configure("json", "info", clock, stream=out)
    LOG.warning(
        "取流失败 %s", "a\nb", extra={"device": "1", "operation": "o", "rate": float("nan"), "n": 2.5}
    )
    line = json.loads(out.lines()[0])
    assert re.fullmatch(STAMP, line.pop("time"))
    assert line == {
        "level": "WARNING",
        "logger": "acsmpd.engine.lanes",
        "message": "取流失败 a\nb",
        "device": "1",
        "operation": "o",
        "rate": "nan",
        "n": 2.5,
    }


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("plain words, 中文: 50%", "plain words, 中文: 50%"),
        ("two\nlines", '"two\\nlines"'),
        ("a\r\tb\x1b[31m\x00", '"a\\r\\tb\\u001b[31m\\u0000"'),
        ("sep\u2028\u2029\x85", '"sep\\u2028\\u2029\\u0085"'),
        ("\u202egnp", '"\\u202egnp"'),
        ("\udcff", '"\\udcff"'),
        ("device=1 x", '"device=1 x"'),
        ("x device=1", '"x device=1"'),
        ('"quoted"', '"\\"quoted\\""'),
        ("back\\n", '"back\\\\n"'),
        ("once (repeated 9 times)", '"once (repeated 9 times)"'),
    ],
)
def test_a_message_cannot_pose_as_anything_else(out: Written, message: str, shown: str) -> None:
    LOG.info("%s", message)
    (line,) = out.lines()
    assert line.partition("lanes ")[2] == shown


def test_a_field_cannot_pose_as_another(out: Written) -> None:
    LOG.info(
        "m", extra={"device": "1 op=2\n", "url": "http://a?b=c", "empty": "", "od d\n": "x", "level": "y"}
    )
    assert out.lines()[0].endswith('device="1 op=2\\n" url="http://a?b=c" empty="" od_d_=x field_level=y m')


@given(message=st.text(), value=st.text(), logger=st.text(min_size=1, max_size=20))
def test_any_text_stays_one_line_that_can_be_read_back(message: str, value: str, logger: str) -> None:
    record = logging.makeLogRecord(
        {"name": logger, "msg": message, "levelno": 20, "levelname": "INFO", "device": value}
    )
    for shape in ("text", "json"):
        out = Written()
        handler = logs.LineHandler(
            out, logs._as_json if shape == "json" else logs._as_text, HandClock(), None
        )
        handler.handle(record)
        handler.close()
        assert len(out.getvalue().splitlines()) == 1
        if shape == "json":
            assert (json.loads(out.getvalue())["message"], json.loads(out.getvalue())["device"]) == (
                message,
                value,
            )


def test_repeats_are_written_once_then_counted_each_minute(out: Written, clock: HandClock) -> None:
    for second in range(130):
        LOG.warning("took %d s", second, extra={"device": "a"})
        clock.later(1)
    told = [line.partition("lanes ")[2] for line in out.lines()]
    assert told == [
        "device=a took 0 s",
        "device=a took 59 s (repeated 59 times)",
        "device=a took 119 s (repeated 60 times)",
    ]


def test_another_device_level_logger_or_exception_is_another_event(out: Written) -> None:
    LOG.warning("lost %s", 1, extra={"device": "a"})
    LOG.warning("lost %s", 2, extra={"device": "b"})
    LOG.error("lost %s", 3, extra={"device": "a"})
    logging.getLogger("acsmpd.wire").warning("lost %s", 4, extra={"device": "a"})
    for kind in (ValueError, KeyError, ValueError):
        LOG.warning("lost %s", 5, extra={"device": "a"}, exc_info=kind("x"))
    assert [re.search(r"lost (\d)", line)[1] for line in out.lines()] == ["1", "2", "3", "4", "5", "5"]  # type: ignore[index]


def test_the_same_of_another_upstream_is_not_a_repeat(out: Written) -> None:
    for name in ("a", "b"):
        LOG.info("upstream is registered", extra={"upstream": name})
    assert [line.split()[3] for line in out.lines()] == ["upstream=a", "upstream=b"]


def test_news_with_another_text_is_not_a_repeat(out: Written) -> None:
    for name in ("a", "b", "a"):
        LOG.info("loaded %s", name)
    assert [line[-8:] for line in out.lines()] == ["loaded a", "loaded b"]


def test_a_single_repeat_is_told_later_with_its_own_time(out: Written, clock: HandClock) -> None:
    LOG.error("once %d", 1)
    LOG.error("once %d", 2)
    clock.later(60)
    LOG.info("other")
    assert [line.partition("lanes ")[2] for line in out.lines()] == ["once 1", "once 2", "other"]


def test_counts_are_told_when_asked_for_and_at_the_end(clock: HandClock) -> None:
    out = Written()
    handler = logs.configure("json", "info", clock, stream=out)
    for _ in range(3):
        LOG.error("deaf")
    handler.summarise()
    assert len(out.lines()) == 1
    clock.later(60)
    handler.summarise()
    LOG.error("deaf")
    LOG.error("deaf")
    handler.close()
    assert [json.loads(line).get("repeated") for line in out.lines()] == [None, 2, 2]


def test_after_a_quiet_minute_the_first_is_written_at_once_again(out: Written, clock: HandClock) -> None:
    LOG.error("x")
    clock.later(61)
    LOG.error("x")
    assert len(out.lines()) == 2


def test_the_memory_of_events_is_bounded_and_loses_no_count(clock: HandClock) -> None:
    out = Written()
    handler = logs.configure("text", "info", clock, stream=out)
    LOG.error("first")
    LOG.error("first")
    LOG.error("first")
    for number in range(1000):
        LOG.info("n %d", number)
    assert len(handler._seen) == 1000
    assert out.lines()[-1].endswith("first (repeated 2 times)")


def test_a_traceback_is_one_line_and_its_end_is_kept(out: Written) -> None:
    def deep(left: int) -> None:
        if left == 0:
            raise ValueError("no\nway" + "." * 9000)
        deep(left - 1)

    try:
        deep(3)
    except ValueError:
        LOG.exception("cannot place")
    (line,) = out.lines()
    assert 'cannot place traceback="...' in line
    assert len(line) < 8200


def test_no_frame_is_kept_with_a_repeat(clock: HandClock) -> None:
    handler = logs.configure("text", "info", clock, stream=Written())
    for _ in range(2):
        try:
            raise KeyError("k")
        except KeyError:
            LOG.exception("x")
    (known,) = handler._seen.values()
    assert known.last is not None
    assert "KeyError" in known.last.fields["traceback"]
    assert all(isinstance(value, (str, int)) for value in known.last.fields.values())


def test_long_texts_and_many_fields_are_cut(out: Written) -> None:
    LOG.info("m" * 10_000, extra={f"f{number}": "v" * 2000 for number in range(50)})
    (line,) = out.lines()
    assert line.endswith("m... (2000 characters more)")
    assert line.count("characters more") == 21
    assert " f19=" in line
    assert "f20=" not in line


def test_arguments_that_do_not_fit_lose_no_line(clock: HandClock) -> None:
    out = Written()
    handler = logs.configure("text", "info", clock, stream=out)
    handler.handle(LOG.makeRecord(LOG.name, logging.ERROR, "f", 1, "%d of %d", ("x",), None))
    assert out.lines()[0].endswith("%d of %d (its arguments do not fit)")


def test_a_log_that_cannot_be_written_stops_nobody(clock: HandClock) -> None:
    out = Written()
    handler = logs.configure("text", "info", clock, stream=out)
    out.close()
    LOG.error("into nothing")
    handler.close()


def test_foreign_loggers_are_quiet_and_levels_are_kept(clock: HandClock) -> None:
    out = Written()
    logs.configure("text", "warning", clock, stream=out)
    LOG.info("no")
    logging.getLogger("waitress.queue").warning("Task queue depth is %d", 5)
    logging.getLogger("urllib3.connectionpool").warning("retry of http://h/link?sig=secret")
    logging.getLogger("waitress").info("no")
    assert out.lines() == []
    logging.getLogger("waitress").warning("yes")
    LOG.warning("yes")
    assert len(out.lines()) == 2


def test_even_at_debug_no_foreign_debug_line_is_written(out: Written) -> None:
    logging.getLogger("urllib3.connectionpool").debug("GET /link?sig=secret")
    LOG.debug("ours")
    assert len(out.lines()) == 1


def test_a_second_configuration_takes_the_place_of_the_first(out: Written, clock: HandClock) -> None:
    LOG.error("a")
    LOG.error("a")
    second = Written()
    logs.configure("json", "error", clock, stream=second)
    LOG.error("b")
    assert (len(out.lines()), len(second.lines())) == (2, 1)
