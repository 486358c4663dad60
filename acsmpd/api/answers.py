"""Envelopes, files and documents as HTTP answers."""

from __future__ import annotations

import os
from typing import Any, BinaryIO

import flask
import msgspec
from werkzeug.datastructures import Headers
from werkzeug.http import dump_options_header, parse_range_header
from werkzeug.wsgi import wrap_file

from acsmpd import faults
from acsmpd.api.call import DocumentReply, FileReply
from acsmpd.api.platform import Platform
from acsmpd.spec.operation import Face, Operation

JSON = "application/json; charset=utf-8"
ALWAYS_SHOWN = (401, 413)
"""Statuses that stay on /CAD and /CAP even where business faults are HTTP 200."""


class Json(flask.Response):
    """An answer whose body is here, whole, and leads nowhere else: nothing of it is worked out when it leaves."""

    def __init__(self, body: bytes, status: int = 200) -> None:
        super().__init__(body, status, content_type=JSON)

    def get_wsgi_headers(self, environ: Any) -> Headers:
        """See the base, which copies them and looks for a Location."""
        del environ
        return self.headers

    def get_app_iter(self, environ: Any) -> Any:
        """See the base."""
        return () if environ["REQUEST_METHOD"] == "HEAD" else self.response


def success(row: Operation, data: Any, request_id: str, warning: str = "") -> flask.Response:
    """Code 0 with Data if there is one; a file or a document as it is."""
    if isinstance(data, FileReply):
        return send_file(data)
    if isinstance(data, DocumentReply):
        return Json(data.body, data.status)
    envelope: dict[str, Any] = {
        "Code": _code(row, 0),
        "Message": f"success; {warning}"[:1024] if warning else "success",
    }
    if data is not None:
        envelope["Data"] = data
    envelope[row.request_id_key] = request_id
    return Json(msgspec.json.encode(envelope))


def failure(platform: Platform, row: Operation, fault: faults.Fault, request_id: str) -> flask.Response:
    """The fault's Code and words. Its HTTP status, unless the face or a setting says always 200."""
    envelope = {
        "Code": _code(row, fault.code),
        "Message": fault.message[:1024],
        row.request_id_key: request_id,
    }
    response = Json(msgspec.json.encode(envelope), _status(platform, row, fault.status))
    if fault.retry_after_seconds is not None:
        response.headers["Retry-After"] = str(fault.retry_after_seconds)
    if isinstance(fault, faults.MethodNotAllowed) and fault.allowed:
        response.headers["Allow"] = fault.allowed
    if fault.status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="acsmpd"'
    return response


def _status(platform: Platform, row: Operation, status: int) -> int:
    if row.face in (Face.CAD, Face.CAP) and platform.settings.facade.always_200:
        return status if status in ALWAYS_SHOWN or status >= 500 else 200
    return 200 if platform.settings.api.always_200 else status


def _code(row: Operation, code: int) -> int | str:
    return str(code) if row.code_as_string else code


class _Watched:
    """A part of a file that says what of it has left for the socket.

    The server looks at a block, sends what the line takes and seeks behind that: only what lies before the
    place it reads from has left.
    """

    def __init__(self, file: BinaryIO, end: int, size: int, reply: FileReply) -> None:
        self._file, self._end, self._size, self._reply = file, end, size, reply
        self._first = file.tell()
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._end - self._tell())
        return self._file.read(left if size < 0 else min(size, left))

    def _tell(self) -> int:
        at = self._file.tell()
        if at > self._first and self._reply.read is not None:
            self._reply.read(self._first, min(at, self._end), self._size)
        return at

    def close(self) -> None:
        if self._file.closed:
            return
        self._tell()
        self._file.close()
        if self._reply.closed is not None:
            self._reply.closed()


def send_file(reply: FileReply) -> flask.Response:
    """A file through `wsgi.file_wrapper`, with one Range; never held in a thread while a slow client reads."""
    try:
        file = reply.path.open("rb")
    except OSError as error:
        raise faults.NotFound(f"the file is not there any more: {error.strerror}") from error
    size = os.fstat(file.fileno()).st_size
    modified = int(os.fstat(file.fileno()).st_mtime)
    etag = f'"{size:x}-{modified:x}"'
    first, last, status = _range(size, etag)
    file.seek(first)
    headers = {
        "Content-Length": str(last - first),
        "Accept-Ranges": "bytes",
        "ETag": etag,
        "X-Content-Type-Options": "nosniff",
    }
    if status == 206:
        headers["Content-Range"] = f"bytes {first}-{last - 1}/{size}"
    if reply.download_name:
        headers["Content-Disposition"] = dump_options_header("attachment", {"filename": reply.download_name})
    body: Any = wrap_file(flask.request.environ, _Watched(file, last, size, reply))  # type: ignore[arg-type]
    return flask.Response(body, status, headers, content_type=reply.content_type, direct_passthrough=True)


def _range(size: int, etag: str) -> tuple[int, int, int]:
    """first, last + 1 and status of the answer; a Range that does not fit is ignored, as HTTP allows."""
    request = flask.request
    asked = parse_range_header(request.headers.get("Range"))
    condition = request.headers.get("If-Range")
    if asked is None or asked.units != "bytes" or len(asked.ranges) != 1 or (condition and condition != etag):
        return 0, size, 200
    found = asked.range_for_length(size)
    return (found[0], found[1], 206) if found else (0, size, 200)
