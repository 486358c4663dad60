"""What a container printed, as the engine keeps it: frames of eight bytes of head and their text."""

from __future__ import annotations

from acsmpd.runtime.socketapi import SocketApi

_HEAD = 8
_SECONDS = 10.0
_LINES = "2000"


def log_end(api: SocketApi, name: str, count: int) -> bytes:
    """The last `count` bytes of both its streams, as they came."""
    found, reader = bytearray(), Frames()
    query = {"stdout": "true", "stderr": "true", "tail": _LINES}
    for block in api.blocks(f"/containers/{name}/logs", seconds=_SECONDS, **query):
        found += reader.text(block)
        del found[: max(0, len(found) - count)]
    return bytes(found)


class Frames:
    """The text in a stream of frames, whatever pieces it comes in."""

    def __init__(self) -> None:
        self._head, self._left = b"", 0

    def text(self, block: bytes) -> bytes:
        """What of the block is text."""
        found, at = bytearray(), 0
        while at < len(block):
            if self._left:
                piece = block[at : at + self._left]
                found += piece
                at += len(piece)
                self._left -= len(piece)
                continue
            wanted = _HEAD - len(self._head)
            self._head += block[at : at + wanted]
            at += wanted
            if len(self._head) == _HEAD:
                self._left, self._head = int.from_bytes(self._head[4:], "big"), b""
        return bytes(found)
