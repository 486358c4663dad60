"""Reading multipart/form-data as it arrives: the file part is handed on as a stream, never spooled.

The grammar is werkzeug's pure decoder (a dependency of Flask; no server and no socket comes with it).
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import BinaryIO

from msgspec import Struct
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.http import parse_options_header
from werkzeug.sansio import multipart as grammar

from acsmpd import faults

_CHUNK = 256 * 1024
_BOUNDARY = re.compile(r"[ -~]{1,70}")


class FormLimits(Struct, frozen=True, kw_only=True):
    """How much of a form is taken. A part's headers may be as long as one chunk read, 256 KiB."""

    max_parts: int = 16
    max_field_bytes: int = 1024 * 1024
    max_name_length: int = 256


DEFAULTS = FormLimits()


class Part:
    """One part. Read `stream` (or `text()`) before asking for the next part; the rest is passed over."""

    def __init__(self, name: str, filename: str | None, form: _Form, limits: FormLimits) -> None:
        self.name = name
        self.filename = filename
        self.stream: BinaryIO = io.BufferedReader(_Content(form), _CHUNK)
        self._limits = limits

    def text(self) -> str:
        """The value of a field; one over the cap, or not UTF-8, is a fault naming the field."""
        raw = self.stream.read(self._limits.max_field_bytes + 1)
        if len(raw) > self._limits.max_field_bytes:
            raise faults.TooLarge(
                f"{self.name}: a form field may have at most {self._limits.max_field_bytes} bytes"
            )
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise faults.InvalidField(f"{self.name}: not UTF-8 (byte {error.start})") from error


def multipart_parts(
    stream: BinaryIO,
    content_type: str,
    content_length: int | None,
    limits: FormLimits = DEFAULTS,
) -> Iterator[Part]:
    """The parts in their order. `content_length` bounds what is read; None reads to the end."""
    form = _Form(stream, _boundary(content_type), content_length, limits)
    while True:
        header = form.next_part()
        if header is None:
            return
        filename = header.filename if isinstance(header, grammar.File) else None
        yield Part(_name(header, limits), filename, form, limits)


def _boundary(content_type: str) -> bytes:
    kind, options = parse_options_header(content_type)
    if kind.lower() != "multipart/form-data":
        raise faults.UnsupportedMedia(f"multipart/form-data is expected, not {kind[:64]!r}")
    boundary = options.get("boundary", "")
    if not _BOUNDARY.fullmatch(boundary):
        raise faults.InvalidField(
            "Content-Type: the multipart boundary is missing or not 1 to 70 printable characters"
        )
    return boundary.encode("ascii")


def _name(header: grammar.Field | grammar.File, limits: FormLimits) -> str:
    name: str | None = header.name
    if not name or len(name) > limits.max_name_length:
        raise faults.InvalidField("cannot read the form: a part has no name, or one that is too long")
    return name


class _Form:
    """The decoder and the bytes it has not been given yet."""

    def __init__(self, stream: BinaryIO, boundary: bytes, length: int | None, limits: FormLimits) -> None:
        self._stream = stream
        self._left = length
        self._decoder = grammar.MultipartDecoder(boundary, 4 * _CHUNK, max_parts=limits.max_parts)
        self._limits = limits
        self._in_part = False

    def next_part(self) -> grammar.Field | grammar.File | None:
        while self._in_part:
            self.content()
        while True:
            event = self._event()
            if isinstance(event, (grammar.Field, grammar.File)):
                self._in_part = True
                return event
            if isinstance(event, grammar.Epilogue):
                return None

    def content(self) -> bytes:
        """Some bytes of the present part, b"" only at its end."""
        while self._in_part:
            event = self._event()
            if isinstance(event, grammar.Data):
                self._in_part = event.more_data
                if event.data:
                    return event.data
        return b""

    def _event(self) -> grammar.Event:
        try:
            event = self._decoder.next_event()
            while isinstance(event, grammar.NeedData):
                self._decoder.receive_data(self._more())
                event = self._decoder.next_event()
        except RequestEntityTooLarge as error:
            raise faults.TooLarge(
                f"cannot read the form: more than {self._limits.max_parts} parts, or headers without end"
            ) from error
        except ValueError as error:
            reason = "it ends too early" if self._decoder.complete else "a part's headers are malformed"
            raise faults.InvalidField(f"cannot read the multipart form: {reason}") from error
        return event

    def _more(self) -> bytes | None:
        wanted = _CHUNK if self._left is None else min(_CHUNK, self._left)
        block = self._stream.read(wanted) if wanted else b""
        if self._left is not None:
            self._left -= len(block)
        return block or None


class _Content(io.RawIOBase):
    """The content of the present part as a raw file."""

    def __init__(self, form: _Form) -> None:
        self._form = form
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        block = self._rest or self._form.content()
        count = min(len(block), len(buffer))
        buffer[:count] = block[:count]
        self._rest = block[count:]
        return count
