"""The log: one line an event on stderr, key=value or JSON; repeats summarised, no line can be forged."""

from __future__ import annotations

import json
import logging
import math
import re
import sys
import traceback
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, tzinfo
from typing import Any, NamedTuple, TextIO

from acsmpd.clock import Clock

REPEAT_SECONDS = 60.0
_KEYS_MAX = 1000
_TEXT_MAX = 8000
_VALUE_MAX = 1000
_FIELDS_MAX = 20
_FIRST_FIELDS = ("device", "operation", "request_id")
_SHORT = {"operation": "op"}
_OWN = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_CORE = frozenset({"time", "level", "logger", "repeated", "traceback"})
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
# Controls, line and paragraph separators, marks that reorder text, lone surrogates.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_BARE = re.compile(r"[^\s\"'=\\]+")
_LIKE_FIELD = re.compile(r"^\s*\"|[\w.-]=|\\|\(repeated ")
# Foreign loggers whose usual lines are noise or hold addresses with signed links in them.
_QUIETER = {"waitress.queue": logging.ERROR, "urllib3": logging.ERROR, "schedule": logging.WARNING}

_Key = tuple[str, int, int, str, str]


def configure(
    format: str, level: str, clock: Clock, *, zone: tzinfo | None = None, stream: TextIO | None = None
) -> LineHandler:
    """Send every logger to stderr (`stream`) in one shape, `acsmpd` from `level` up, others from WARNING up.

    A second call takes the place of the first. The handler's `summarise` writes the counts of repeats that
    are due: call it now and then, as nothing else does while the log is quiet.
    """
    shape = _as_json if format == "json" else _as_text
    handler = LineHandler(stream or sys.stderr, shape, clock, zone)
    root = logging.getLogger()
    for old in [one for one in root.handlers if isinstance(one, LineHandler)]:
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(max(logging.WARNING, _LEVELS[level]))
    logging.getLogger("acsmpd").setLevel(_LEVELS[level])
    for name, least in _QUIETER.items():
        logging.getLogger(name).setLevel(max(least, _LEVELS[level]))
    return handler


class _Repeat:
    """What is known of one event: when a line of it was written, and what came since."""

    __slots__ = ("count", "last", "written")

    def __init__(self, written: float) -> None:
        self.written = written
        self.count = 0
        self.last: _Event | None = None


class LineHandler(logging.Handler):
    """Writes the first of equal events at once, then at most one line a minute that counts them."""

    def __init__(self, stream: TextIO, shape: _Shape, clock: Clock, zone: tzinfo | None) -> None:
        super().__init__()
        self._stream, self._shape, self._clock, self._zone = stream, shape, clock, zone
        self._seen: OrderedDict[_Key, _Repeat] = OrderedDict()  # the longest unwritten first

    def emit(self, record: logging.LogRecord) -> None:
        now = self._clock.now().mono
        self._tell_due(now)
        event = _Event.of(record)
        known = self._seen.get(event.key)
        if known is not None:
            known.count, known.last = known.count + 1, event
            return
        self._write(event, 1)
        self._remember(event.key, now)

    def summarise(self) -> None:
        """Write the counts that are due; cheap when there are none."""
        self.acquire()
        try:
            self._tell_due(self._clock.now().mono)
        finally:
            self.release()

    def close(self) -> None:
        """Write what was only counted so far, and end."""
        self.acquire()
        try:
            while self._seen:
                self._tell(self._seen.popitem(last=False)[1])
        finally:
            self.release()
        super().close()

    def handleError(self, record: logging.LogRecord) -> None:
        """Say nothing: a log that cannot be written must not stop the work that logs."""

    def _remember(self, key: _Key, now: float) -> None:
        self._seen[key] = _Repeat(now)
        if len(self._seen) > _KEYS_MAX:
            self._tell(self._seen.popitem(last=False)[1])

    def _tell_due(self, now: float) -> None:
        while self._seen:
            key, repeat = next(iter(self._seen.items()))
            if now - repeat.written < REPEAT_SECONDS:
                return
            del self._seen[key]
            if repeat.count:
                self._tell(repeat)
                self._remember(key, now)

    def _tell(self, repeat: _Repeat) -> None:
        if repeat.last is not None:
            self._write(repeat.last, repeat.count)

    def _write(self, event: _Event, times: int) -> None:
        try:
            self._stream.write(self._shape(event, times, self._zone) + "\n")
            self._stream.flush()
        except (OSError, ValueError):  # a closed pipe, a full disk, a closed stream
            return


class _Event(NamedTuple):
    """What a line needs of a record, without its frames and arguments: it may be kept for a minute."""

    created: float
    level: str
    logger: str
    message: str
    fields: dict[str, Any]
    key: _Key

    @classmethod
    def of(cls, record: logging.LogRecord) -> _Event:
        message, fields = _message(record), _fields(record)
        trouble = _traceback(record)
        if trouble:
            fields["traceback"] = trouble
        # News (info and below) differs by its text, trouble by its template: the same failure with
        # another duration or port in it is still a repeat.
        same = str(record.msg) if record.levelno >= logging.WARNING else message
        kind = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else ""
        whose = str(fields.get("device") or fields.get("upstream") or "")
        key = (record.name, record.levelno, hash(same), whose, kind)
        return cls(record.created, record.levelname, record.name, message, fields, key)


_Shape = Callable[[_Event, int, "tzinfo | None"], str]


def _as_text(event: _Event, times: int, zone: tzinfo | None) -> str:
    fields = dict(event.fields)
    trouble = fields.pop("traceback", None)
    parts = [_stamp(event, zone), event.level, _UNSAFE.sub(_escaped, event.logger)]
    parts += [f"{_SHORT.get(name, name)}={_value(value)}" for name, value in fields.items()]
    odd = _LIKE_FIELD.search(event.message) or _UNSAFE.search(event.message)
    parts.append(_quoted(event.message) if odd else event.message)
    if times > 1:
        parts.append(f"(repeated {times} times)")
    if trouble:
        parts.append(f"traceback={_quoted(trouble)}")
    return " ".join(parts)


def _as_json(event: _Event, times: int, zone: tzinfo | None) -> str:
    line: dict[str, Any] = {
        "time": _stamp(event, zone),
        "level": event.level,
        "logger": event.logger,
        "message": event.message,
    }
    line.update(event.fields)
    if times > 1:
        line["repeated"] = times
    return _UNSAFE.sub(_escaped_json, json.dumps(line, ensure_ascii=False))


def _stamp(event: _Event, zone: tzinfo | None) -> str:
    moment = datetime.fromtimestamp(event.created, zone)
    return (moment if zone else moment.astimezone()).isoformat(timespec="milliseconds")


def _message(record: logging.LogRecord) -> str:
    try:
        return _cut(record.getMessage())
    except (TypeError, ValueError, LookupError, AttributeError):
        return _cut(f"{record.msg} (its arguments do not fit)")


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """The record's extras: the well-known ones first, none that hides a part of the line itself."""
    given = {name: value for name, value in record.__dict__.items() if name not in _OWN and value is not None}
    order = [name for name in _FIRST_FIELDS if name in given]
    order += [name for name in given if name not in order]
    found: dict[str, Any] = {}
    for name in order[:_FIELDS_MAX]:
        value = given[name]
        label = f"field_{name}" if name in _CORE else re.sub(r"[^\w.-]", "_", name)[:64]
        found[label] = value if _is_number(value) else _cut(str(value), _VALUE_MAX)
    return found


def _is_number(value: object) -> bool:
    """True for what JSON can say as a number, and for truth values."""
    return isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))


def _traceback(record: logging.LogRecord) -> str:
    if record.exc_info and record.exc_info[1] is not None:
        told = "".join(traceback.format_exception(*record.exc_info)).rstrip()
        return told if len(told) <= _TEXT_MAX else "..." + told[-_TEXT_MAX:]
    return _cut(record.stack_info or "")


def _cut(text: str, limit: int = _TEXT_MAX) -> str:
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text) - limit} characters more)"


def _value(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text if _BARE.fullmatch(text) and not _UNSAFE.search(text) else _quoted(text)


def _quoted(text: str) -> str:
    slashed = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{_UNSAFE.sub(_escaped, slashed)}"'


def _escaped(found: re.Match[str]) -> str:
    sign = found[0]
    return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(sign) or f"\\u{ord(sign):04x}"


def _escaped_json(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"
