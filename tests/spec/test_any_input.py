"""Whatever comes in: a message or a fault of ours, never anything else."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from acsmpd.faults import Fault
from acsmpd.spec.message import Message
from acsmpd.spec.reading import read_strict, read_tolerant, to_json
from acsmpd.spec.tables import OPERATIONS

REQUESTS = [row.request for row in OPERATIONS if row.request is not None]
ANSWERS = [row.response for row in OPERATIONS]
NAMES = [field.encode_name for kind in (*REQUESTS, *ANSWERS) for field in msgspec.structs.fields(kind)]
KEYS = st.sampled_from(NAMES) | st.text()
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=20,
)
unhurried = settings(deadline=None)  # a busy machine is no fault of ours


def outcome(read: Callable[[], Any]) -> Any:
    """What reading gave: a message, or the fault."""
    try:
        return read()
    except Fault as fault:
        return fault


@unhurried
@given(kind=st.sampled_from(REQUESTS), value=VALUES)
def test_reading_any_json(kind: type[Any], value: Any) -> None:
    got = outcome(lambda: read_strict(kind, json.dumps(value).encode()))
    if isinstance(got, Fault):
        assert got.code in (40000, 40001, 40002)
        assert got.message.startswith("$") or got.code == 40000
    else:
        message, unknown = got
        assert unknown >= 0
        assert read_strict(kind, to_json(message))[0] == message


@unhurried
@given(kind=st.sampled_from(REQUESTS), body=st.binary())
def test_reading_any_bytes(kind: type[Any], body: bytes) -> None:
    got = outcome(lambda: read_strict(kind, body))
    assert isinstance(got, tuple) or got.code in (40000, 40001, 40002)


@unhurried
@given(kind=st.sampled_from(ANSWERS), value=VALUES)
def test_forgiving_any_json(kind: type[Any], value: Any) -> None:
    got = outcome(lambda: read_tolerant(kind, value))
    if isinstance(got, Fault):
        assert got.code in (40000, 40001)
    else:
        assert read_tolerant(kind, json.loads(to_json(got))) == got


@unhurried
@given(kind=st.sampled_from(ANSWERS), body=st.binary())
def test_forgiving_any_bytes(kind: type[Any], body: bytes) -> None:
    got = outcome(lambda: read_tolerant(kind, body))
    assert isinstance(got, Message) or got.code in (40000, 40001)


@unhurried
@given(kind=st.sampled_from(ANSWERS), text=st.text(alphabet=st.characters()))
def test_forgiving_any_text_in_the_envelope(kind: type[Any], text: str) -> None:
    got = outcome(lambda: read_tolerant(kind, {"Code": 0, "Message": text, text: text}))
    assert isinstance(got, Message) or got.code == 40001
