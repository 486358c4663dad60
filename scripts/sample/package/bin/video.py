"""One open video: a file read to its end, or a live stream. Opening and reading never wait over 5 s."""

from __future__ import annotations

import os
from types import TracebackType
from urllib.parse import unquote, urlsplit, urlunsplit

os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = "rtsp_transport;tcp"
os.environ["OPENCV_FFMPEG_LOGLEVEL"] = "-8"  # FFmpeg prints addresses, and with them passwords
os.environ["OPENCV_LOG_LEVEL"] = "OFF"

import cv2
import numpy as np

TIMEOUT_MS = 5000
FALLBACK_FPS = 25.0


class VideoFailed(Exception):
    """The video cannot be opened or has stopped coming; the words name it without its password."""


def shown(url: str) -> str:
    """The address without the user and password in it."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


class Video:
    """A video being read frame by frame; `seconds` is how far in the last frame taken lies."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        local = parts.scheme in ("", "file")
        source = unquote(parts.path) if parts.scheme == "file" else url
        if local and not os.access(source, os.R_OK):
            raise VideoFailed(f"cannot open {shown(url)}: no such file, or not readable here")
        self._capture = cv2.VideoCapture(
            source,
            cv2.CAP_FFMPEG,
            [
                cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, TIMEOUT_MS,
                cv2.CAP_PROP_READ_TIMEOUT_MSEC, TIMEOUT_MS,
                cv2.CAP_PROP_N_THREADS, 1,
            ],
        )  # fmt: skip
        if not self._capture.isOpened():
            raise VideoFailed(f"cannot open {shown(url)}: not a video, refused, or no answer in 5 s")
        self.live = not local and self._capture.get(cv2.CAP_PROP_FRAME_COUNT) <= 0
        rate = float(self._capture.get(cv2.CAP_PROP_FPS))
        self._fps = rate if 1 <= rate <= 240 else FALLBACK_FPS
        self.frames = 0

    @property
    def seconds(self) -> float:
        return self.frames / self._fps

    def advance(self) -> bool:
        """Step to the next frame without decoding it to pixels; False at the end."""
        if not self._capture.grab():
            return False
        self.frames += 1
        return True

    def pixels(self) -> np.ndarray | None:
        """The frame stepped to, None if it is damaged."""
        found, frame = self._capture.retrieve()
        return frame if found and frame is not None and frame.size else None

    def __enter__(self) -> Video:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._capture.release()
