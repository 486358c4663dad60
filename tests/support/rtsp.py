"""A real RTSP server for tests: Debian's GStreamer plays a file in a loop on 127.0.0.1.

Needs the Debian packages named in PACKAGES. It runs under /usr/bin/python3, because python3-gi
belongs to Debian's interpreter and not to the environment the tests run in.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.wait import wait_until

PACKAGES = (
    "ffmpeg",
    "gir1.2-gst-rtsp-server-1.0",
    "python3-gi",
    "gstreamer1.0-plugins-base",
    "gstreamer1.0-plugins-good",
    "gstreamer1.0-plugins-bad",
    "gstreamer1.0-plugins-ugly",
)
START_SECONDS = 20.0

# argv: FILE PORT [USER PASSWORD]. A loop inside GStreamer fails at the second PLAY; a pipe from ffmpeg holds.
PROGRAM = """
import subprocess, sys
import gi
for name in ("Gst", "GstRtsp", "GstRtspServer"):
    gi.require_version(name, "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer

class Loop(GstRtspServer.RTSPMediaFactory):
    def __init__(self, path):
        super().__init__()
        self.path = path
        self.set_shared(True)

    def do_create_element(self, url):
        self.feed = subprocess.Popen(
            ["ffmpeg", "-v", "error", "-re", "-stream_loop", "-1", "-i", self.path, "-c", "copy", "-an",
             "-f", "mpegts", "pipe:1"], stdout=subprocess.PIPE)
        return Gst.parse_launch(
            f"( fdsrc fd={self.feed.stdout.fileno()} do-timestamp=true ! tsdemux"
            " ! h264parse config-interval=-1 ! rtph264pay name=pay0 pt=96 config-interval=1 )")

    def do_configure(self, media):
        media.connect("unprepared", lambda _, feed=self.feed: (feed.kill(), feed.wait()))

Gst.init(None)
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service(sys.argv[2])
factory = Loop(sys.argv[1])
if len(sys.argv) == 5:
    allowed = GstRtspServer.RTSPPermissions()
    allowed.add_role("viewer")
    for right in ("media.factory.access", "media.factory.construct"):
        allowed.add_permission_for_role("viewer", right, True)
    factory.set_permissions(allowed)
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    auth = GstRtspServer.RTSPAuth()
    auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
    auth.add_digest(sys.argv[3], sys.argv[4], token)
    server.set_auth(auth)
server.get_mount_points().add_factory("/video", factory)
server.attach(None)
print(server.get_bound_port(), flush=True)
GLib.MainLoop().run()
"""


def missing_packages() -> list[str]:
    """What must be installed before `rtsp_server` can work; empty when it can."""
    try:
        code = "import gi; gi.require_version('GstRtspServer', '1.0')"
        subprocess.run(["/usr/bin/python3", "-c", code], check=True, capture_output=True, timeout=60)
        subprocess.run(["ffmpeg", "-version"], check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return list(PACKAGES)
    return []


@contextmanager
def rtsp_server(video: Path, login: tuple[str, str] | None = None, port: int = 0) -> Iterator[str]:
    """Serve the H.264 file and give its address; with `login` it asks for digest authentication."""
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            ["/usr/bin/python3", "-c", PROGRAM, str(video), str(port), *(login or ())],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
        assert process.stdout is not None
        try:
            ready, _, _ = select.select([process.stdout], [], [], START_SECONDS)
            bound = process.stdout.readline().strip() if ready else ""
            if not bound.isdigit():
                errors.seek(0)
                raise AssertionError(f"no RTSP server: {errors.read().decode(errors='replace')[-800:]}")
            yield f"rtsp://127.0.0.1:{bound}/video"
        finally:
            _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    """End the server and its ffmpeg: they are a process group of their own."""
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=5)
    wait_until(lambda: _gone(process.pid), seconds=5, what="the RTSP server's ffmpeg to end")
    if process.stdout is not None:
        process.stdout.close()


def _gone(group: int) -> bool:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return True
    return False
