"""The application's threads, and the two kinds of work they do: answer a request, refuse one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from waitress.task import ErrorTask, ThreadedTaskDispatcher, WSGITask

from acsmpd.api.guard import request_id
from acsmpd.api.server_parser import Refused, fault_of, shown

_JOINED_BYTES = 64 * 1024


class RequestTask(WSGITask):  # type: ignore[misc]
    """Calls the application."""

    wrote_header: bool

    def get_environment(self) -> dict[str, Any]:
        """See the base. From here on the path is for log lines only."""
        environ: dict[str, Any] = super().get_environment()
        environ["SERVER_SOFTWARE"] = "acsmpd"
        self.request.path = shown(self.request.path)
        return environ

    def write(self, data: bytes) -> None:
        """See the base. A whole answer leaves with its header in one piece: one call of the system, not two."""
        is_whole = self.complete and not self.wrote_header and self.content_length == len(data) > 0
        if not is_whole or not self.has_body or len(data) > _JOINED_BYTES:
            super().write(data)
            return
        header = self.build_response_header()
        self.wrote_header, self.content_bytes_written = True, len(data)
        self.channel.write_soon(header + data)

    def build_response_header(self) -> bytes:
        """See the base. A connection on which a body was left lying, or of a stopping server, ends here."""
        self.request.free_slot()
        stream = self.request.stream
        if stream is not None and not stream.is_whole:
            self.channel.expect_unread(0)
            self.set_close_on_finish()
        elif self.channel.server.is_stopping:
            self.set_close_on_finish()
        header: bytes = super().build_response_header()
        return header


class RefusalTask(ErrorTask):  # type: ignore[misc]
    """Answers for the application, in our envelope."""

    def execute(self) -> None:
        error = self.request.error
        row = error.row if isinstance(error, Refused) else None
        given = self.request.headers.get("X_REQUEST_ID")
        response = self.channel.server.guard.answer(row, fault_of(error), request_id(given))
        body = response.get_data()
        self.status = response.status
        self.response_headers.extend(response.headers.items())
        self.channel.expect_unread(self.request.taken)
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


class Threads(ThreadedTaskDispatcher):  # type: ignore[misc]
    """Waitress' dispatcher with threads that can be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self._started: list[threading.Thread] = []

    def start_new_thread(self, target: Callable[[int], None], thread_no: int) -> None:
        thread = threading.Thread(target=target, name=f"http-{thread_no}", args=(thread_no,), daemon=True)
        self._started.append(thread)
        thread.start()

    def end(self, seconds: float) -> bool:
        """Let running requests end, drop waiting ones; False when some still run after so long."""
        self.set_thread_count(0)
        with self.lock:  # waited for here: the base measures by the wall clock
            self.thread_exit_cv.wait_for(lambda: not self.threads, seconds)
        self.shutdown(cancel_pending=True, timeout=0)
        with self.lock:
            is_over = not self.threads
        for thread in self._started if is_over else ():
            thread.join()
        return is_over
