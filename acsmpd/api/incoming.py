"""A request as the WSGI server hands it over, each part read when it is asked for and not twice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, BinaryIO

import flask

from acsmpd import faults
from acsmpd.api.guard import media_type


class Incoming:
    """What the table's view wants to know of a request: who sent it, its headers, its body.

    Flask's own request object answers the same from parsed and copied headers, which under load costs more
    than the work of a short row.
    """

    __slots__ = ("_environ", "address", "media")

    def __init__(self, environ: Mapping[str, Any]) -> None:
        self._environ = environ
        self.address: str = environ.get("REMOTE_ADDR") or ""
        self.media = media_type(self.content_type)

    def header(self, name: str) -> str | None:
        """A header by its lower-case name, None when it is absent."""
        value: str | None = self._environ.get("HTTP_" + name.upper().replace("-", "_"))
        return value

    @property
    def method(self) -> str:
        return str(self._environ["REQUEST_METHOD"])

    @property
    def content_type(self) -> str:
        return self._environ.get("CONTENT_TYPE") or ""

    @property
    def content_length(self) -> int | None:
        """Bytes of body announced; None when nobody knows before its end."""
        announced: str = self._environ.get("CONTENT_LENGTH") or ""
        return int(announced) if announced.isdigit() and announced.isascii() else None

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters. Raises InvalidField for one that is given twice: nobody knows which is meant."""
        if not self._environ.get("QUERY_STRING"):
            return {}
        given = flask.request.args.to_dict(flat=False)
        for name, values in given.items():
            if len(values) > 1:
                raise faults.InvalidField(f"?{name[:64]}: given {len(values)} times; once is enough")
        return {name: value for name, (value,) in given.items()}

    @property
    def stream(self) -> BinaryIO:
        """The body. The server's own, which ends where the body ends."""
        body: BinaryIO = self._environ["wsgi.input"]
        return body
