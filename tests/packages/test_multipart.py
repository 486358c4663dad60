"""The form reader: streams the file, bounds the rest, and only ever gives faults."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acsmpd import faults
from acsmpd.packages.multipart import FormLimits, multipart_parts

MIB = 1024 * 1024
TYPE = "multipart/form-data; boundary=frontier"


def field(name: str, value: bytes) -> bytes:
    return b'--frontier\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (name.encode(), value)


def file(name: str, filename: str, content: bytes) -> bytes:
    head = f'form-data; name="{name}"; filename="{filename}"'.encode()
    return (
        b"--frontier\r\nContent-Disposition: "
        + head
        + b"\r\nContent-Type: application/x-tar\r\n\r\n"
        + content
        + b"\r\n"
    )


END = b"--frontier--\r\n"
TRICKY = b"\r\n--frontie\r\n--frontier-not\r\n\r\n--\r" * 9000 + b"\r\n"


def read(body: bytes, limits: FormLimits | None = None) -> list[tuple[str, str | None, bytes]]:
    parts = multipart_parts(io.BytesIO(body), TYPE, len(body), limits or FormLimits())
    return [(part.name, part.filename, part.stream.read()) for part in parts]


def test_fields_and_files_in_their_order() -> None:
    body = field("MD5", b"0123") + file("File", "人.tar", TRICKY) + field("Url", "地址".encode()) + END
    assert read(body) == [("MD5", None, b"0123"), ("File", "人.tar", TRICKY), ("Url", None, "地址".encode())]


@pytest.mark.parametrize("content", [b"", b"x", b"\r\n", b"\r", b"\n\n", b"-" * 300])
def test_contents_near_the_boundary(content: bytes) -> None:
    assert read(file("File", "a", content) + END) == [("File", "a", content)]


def test_bare_line_feeds_are_understood() -> None:
    body = (field("MD5", b"0123") + END).replace(b"\r\n", b"\n")
    assert read(body) == [("MD5", None, b"0123")]


def test_a_part_not_read_is_passed_over() -> None:
    body = file("File", "a", bytes(3 * MIB)) + field("MD5", b"0123") + END
    parts = multipart_parts(io.BytesIO(body), TYPE, len(body))
    assert next(parts).stream.read(10) == bytes(10)
    assert next(parts).text() == "0123"
    assert list(parts) == []


def test_the_content_type_is_compared_without_case() -> None:
    parts = multipart_parts(
        io.BytesIO(field("a", b"b") + END), "Multipart/form-Data; boundary=frontier", None
    )
    assert [part.text() for part in parts] == ["b"]


def test_nothing_is_read_past_the_announced_length() -> None:
    body = field("a", b"b") + END
    stream = io.BytesIO(body + b"next request")
    assert len(list(multipart_parts(stream, TYPE, len(body)))) == 1
    assert stream.read() == b"next request"


def test_memory_stays_small() -> None:
    class Body(io.RawIOBase):
        def __init__(self) -> None:
            self._pieces: Iterator[bytes] = iter(
                [file("File", "a", b"")[:-2], *[b"\r\n" * 128 * 1024] * 400, b"\r\n" + END]
            )
            self._rest = b""

        def read(self, size: int = -1) -> bytes:
            self._rest = self._rest or next(self._pieces, b"")
            found, self._rest = self._rest[:size], self._rest[size:]
            return found

    tracemalloc.start()
    try:
        total = 0
        for part in multipart_parts(Body(), TYPE, None):
            while block := part.stream.read(MIB):
                total += len(block)
        assert total == 400 * 256 * 1024
        assert tracemalloc.get_traced_memory()[1] < 8 * MIB
    finally:
        tracemalloc.stop()


def read_all(body: bytes, content_type: str) -> None:
    for part in multipart_parts(io.BytesIO(body), content_type, len(body)):
        if part.filename is None:
            part.text()


def refusal(kind: type[faults.Fault], body: bytes, content_type: str = TYPE) -> str:
    with pytest.raises(kind) as caught:
        read_all(body, content_type)
    return caught.value.message


def test_another_content_type() -> None:
    assert refusal(faults.UnsupportedMedia, b"{}", "application/json") == (
        "multipart/form-data is expected, not 'application/json'"
    )


@pytest.mark.parametrize("given", ["", "; boundary=", '; boundary="' + "x" * 71 + '"', '; boundary="é"'])
def test_a_boundary_that_is_none(given: str) -> None:
    assert refusal(faults.InvalidField, END, "multipart/form-data" + given) == (
        "Content-Type: the multipart boundary is missing or not 1 to 70 printable characters"
    )


@pytest.mark.parametrize("cut", [0, 5, 30, 80, 200, -3, -12])
def test_a_body_that_ends_early(cut: int) -> None:
    body = field("MD5", b"0123") + file("File", "a", bytes(200)) + END
    assert refusal(faults.InvalidField, body[:cut]) == "cannot read the multipart form: it ends too early"


def test_a_file_that_ends_early_tells_so_while_it_is_read() -> None:
    body = file("File", "a", bytes(MIB))[: MIB // 2]
    part = next(multipart_parts(io.BytesIO(body), TYPE, MIB))
    with pytest.raises(faults.InvalidField, match="it ends too early"):
        part.stream.read()


def test_a_part_without_a_name() -> None:
    reason = "cannot read the form: a part has no name, or one that is too long"
    body = b"--frontier\r\nContent-Disposition: form-data\r\n\r\nx\r\n" + END
    assert refusal(faults.InvalidField, body) == reason
    assert refusal(faults.InvalidField, field("n" * 257, b"x") + END) == reason


def test_headers_that_are_none() -> None:
    body = b"--frontier\r\nX: y\r\n\r\nx\r\n" + END
    assert (
        refusal(faults.InvalidField, body) == "cannot read the multipart form: a part's headers are malformed"
    )


def test_too_many_parts() -> None:
    reason = "cannot read the form: more than 16 parts, or headers without end"
    assert refusal(faults.TooLarge, field("a", b"b") * 17 + END) == reason


@pytest.mark.parametrize("start", [b"", b"--frontier\r\nX: "])
def test_headers_without_end(start: bytes) -> None:
    reason = "cannot read the form: more than 16 parts, or headers without end"
    assert refusal(faults.TooLarge, start + b"y" * (2 * MIB)) == reason


def test_a_field_over_its_cap() -> None:
    assert refusal(faults.TooLarge, field("Url", b"x" * (MIB + 1)) + END) == (
        "Url: a form field may have at most 1048576 bytes"
    )


def test_a_field_that_is_not_utf8() -> None:
    assert refusal(faults.InvalidField, field("Url", b"ab\xff") + END) == "Url: not UTF-8 (byte 2)"


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_random_damage_only_ever_gives_a_fault(data: st.DataObject) -> None:
    body = bytearray(field("MD5", b"0123") + file("File", "a", b"\r\n--frontier-" * 40) + END)
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at : at + 1] = data.draw(
            st.sampled_from([b"", b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"--frontier", b"\0", b"\xff", b'"'])
        )
    try:
        read(bytes(body))
    except faults.Fault as fault:
        fault.message.encode()
