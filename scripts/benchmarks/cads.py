"""Simulated CADs, many in one process: Part 4 chapter 5 as tests/support/fake_cad.py has it, at a tenth of the cost.

python cads.py PORT DEVICES

Each device has a port of its own and keeps its lines open; every answer waits as long as it was told. PORT itself
speaks to the bench: `/told` takes {"delay": seconds, "keep": bool, "forget": bool} (keep the bodies of creates; have
no tasks any more) and sets all counts to 0, `/seen` and `/count` tell what has been since: the devices' ports,
creates, when the last was accepted, tasks there are, what was asked, lines opened, our CPU; `/seen` also the bodies.
With "slow": bytes a second of the first device (0: as fast as it can), packages are fetched for real, in two halves by
Range; until then a device has what is pushed at once. "fetches" of a count are (device, bytes, when it began, ended).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
import sys
import time
import uuid
from collections import Counter
from typing import Any
from urllib.parse import urlsplit

import msgspec

HEAD_END = b"\r\n\r\n"
RANGE = re.compile(rb"(?i)\r\ncontent-range: *bytes [0-9]+-[0-9]+/(\d+)")
LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
CAD_TASK = re.compile(r"/CAD/AlgoTasks/([^/:]+)(?:[:/](resume|pause))?")
PACKAGE = re.compile(r"/CAD/Machine/(AlgoFilePackages|AlgoPackages)/([^/:]+)")
read, write = msgspec.json.decode, msgspec.json.encode


class Refused(Exception):
    """The Code and the words of a no."""


class Bench:
    """What the bench told, and what was seen since."""

    def __init__(self) -> None:
        self.delay, self.keep = 0.0, False
        self.slow: int | None = None
        self.fetches: list[tuple[int, int, float, float]] = []
        self.work: set[asyncio.Task[None]] = set()
        self.devices: list[Device] = []
        self.forget()

    def forget(self) -> None:
        self.asked: Counter[str] = Counter()
        self.created, self.last, self.lines = 0, 0.0, 0
        self.bodies: list[tuple[int, str, str]] = []

    def told(self, message: Any) -> None:
        self.forget()
        self.delay, self.keep = float(message["delay"]), bool(message["keep"])
        if "slow" in message:
            self.slow = int(message["slow"])
            self.fetches = []
        if message["forget"]:
            for device in self.devices:
                device.tasks.clear()

    def count(self) -> dict[str, Any]:
        return {
            "created": self.created, "last": self.last, "asked": dict(self.asked), "lines": self.lines,
            "cpu": time.process_time(), "tasks": sum(len(device.tasks) for device in self.devices),
            "ports": [device.port for device in self.devices], "fetches": self.fetches,
        }  # fmt: skip

    def seen(self) -> dict[str, Any]:
        return {**self.count(), "bodies": self.bodies}


class Device:
    """What one CAD holds: packages by their run status, tasks by their id."""

    def __init__(self, bench: Bench, number: int) -> None:
        self.bench, self.code, self.place, self.port = bench, f"1101000000505{number:07d}", number - 1, 0
        self.packages: dict[str, str] = {}
        self.tasks: dict[str, dict[str, Any]] = {}

    def answer(self, method: str, path: str, body: bytes) -> tuple[str, Any, bool]:
        """The row's name, its Data, and whether its Code is a text."""
        path = path.split("?", 1)[0]
        if path == "/CAD/AlgoTasks":
            return "create", self._create(body), False
        if path == "/CAD/AlgoTasks:search":
            return "tasks", self._page(read(body)), False
        if path == "/CAD/Status":
            return "status", self._status(), False
        if path.startswith("/CAD/Machine/"):
            return "packages", self._machine(method, path, body), True
        found = CAD_TASK.fullmatch(path)
        if found is None:
            raise Refused(40401, f"there is no {method} {path} here")
        return found[2] or method.lower(), self._task(method, *found.groups()), False

    def _create(self, body: bytes) -> dict[str, Any]:
        """A task runs as soon as it is created; its ID is of the device."""
        asked = read(body)
        task_id = str(uuid.uuid4())
        shown = {
            "TaskInfo": {**asked["TaskInfo"], "ID": task_id}, "Status": "RUNNING",
            "RestartPolicy": asked["RestartPolicy"], "CreateAndStartTask": True,
        }  # fmt: skip
        self.tasks[task_id] = shown
        return shown

    def accepted(self) -> None:
        self.bench.created += 1
        self.bench.last = time.monotonic()

    def _page(self, asked: dict[str, int]) -> dict[str, Any]:
        number, size = asked.get("PageNumber", 1), asked.get("PageSize", 10)
        held = list(self.tasks.values())
        return {
            "PageNumber": number, "PageSize": size, "TotalSize": len(held),
            "Records": held[(number - 1) * size : number * size],
        }  # fmt: skip

    def _task(self, method: str, task_id: str, deed: str | None) -> Any:
        task = self.tasks.get(task_id)
        if task is None:
            raise Refused(40401, f"there is no task {task_id}")
        if method == "DELETE":
            del self.tasks[task_id]
            return None
        if deed is not None:
            task["Status"] = "RUNNING" if deed == "resume" else "PAUSED"
            return None
        return task

    def _machine(self, method: str, path: str, body: bytes) -> Any:
        named = PACKAGE.fullmatch(path)
        asked = read(body) if body else {}
        if named is not None and method == "DELETE":
            self.packages.pop(named[2], None) if named[1] == "AlgoFilePackages" else None
        elif path == "/CAD/Machine/AlgoFilePackages":
            if self.bench.slow is None:
                self.packages.setdefault(asked["AlgoFilePackageID"], "STOPPED")  # as if fetched at once
            else:
                self.packages[asked["AlgoFilePackageID"]] = "DOWNLOADING"
                task = asyncio.get_running_loop().create_task(self._fetch(asked))
                self.bench.work.add(task)
                task.add_done_callback(self.bench.work.discard)
        elif "AlgoFilePackageID" in asked:
            self.packages[asked["AlgoFilePackageID"]] = "RUNNING"
        else:
            return [
                {
                    "AlgoPackageName": "bench", "AlgoPackageType": "BIN", "AlgoPackageVersion": "1.0.0",
                    "AlgoFilePackageID": package_id, "Status": state,
                }
                for package_id, state in self.packages.items()
            ]  # fmt: skip
        return None

    async def _fetch(self, asked: dict[str, str]) -> None:
        """The whole file, the second half by Range on a line of its own; wrong by a byte and it has failed."""
        bench, begun, digest = self.bench, time.monotonic(), hashlib.md5()
        slow = bench.slow if self.place == 0 else 0
        first, whole = await self._part(asked["Url"], "bytes=0-0", hashlib.md5(), 0)
        for part in (f"bytes=0-{whole // 2 - 1}", f"bytes={whole // 2}-"):
            first += (await self._part(asked["Url"], part, digest, slow or 0))[0]
        good = digest.hexdigest() == asked["MD5"].lower()
        self.packages[asked["AlgoFilePackageID"]] = "STOPPED" if good else "FAILED"
        bench.fetches.append((self.place, first - 1, begun, time.monotonic()))

    async def _part(self, url: str, part: str, digest: Any, slow: int) -> tuple[int, int]:
        """(bytes that came, size of the whole) of a range."""
        where = urlsplit(url)
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        writer.write(
            f"GET {where.path} HTTP/1.1\r\nHost: {where.netloc}\r\nRange: {part}\r\nConnection: close\r\n\r\n".encode()
        )
        head = await reader.readuntil(HEAD_END)
        if not head.startswith(b"HTTP/1.1 206"):
            raise Refused(50000, f"no partial content: {head[:80]!r}")
        came = 0
        while block := await reader.read(262_144):
            digest.update(block)
            came += len(block)
            if slow:
                await asyncio.sleep(len(block) / slow)
        writer.close()
        return came, int(RANGE.search(head)[1])  # type: ignore[index]

    def _status(self) -> dict[str, Any]:
        return {
            "DeviceID": self.code, "IsOnline": True, "Cpu": 8, "CpuType": "x86", "CpuUtilization": 0.2, "Memory": 16,
            "MemoryUsed": 4.0, "Disk": 512, "DiskUsed": 100.0, "XpuMonitors": [], "AlgoServiceMonitors": [],
        }  # fmt: skip


class Line(asyncio.Protocol):
    """One connection; `device` None: the bench's."""

    def __init__(self, bench: Bench, device: Device | None) -> None:
        self._bench, self._device, self._held = bench, device, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._bench.lines += self._device is not None

    def data_received(self, data: bytes) -> None:
        self._held += data
        head, mark, rest = self._held.partition(HEAD_END)
        if not mark:
            return
        length = LENGTH.search(head)
        need = int(length[1]) if length else 0
        if len(rest) < need:
            return
        self._held = rest[need:]
        method, path, _ = head.split(b"\r\n", 1)[0].decode().split(" ", 2)
        self._received(method, path, rest[:need])

    def _received(self, method: str, path: str, body: bytes) -> None:
        loop, bench = asyncio.get_running_loop(), self._bench
        if self._device is None:
            if path == "/told":
                bench.told(read(body))
            self._send(write(bench.seen() if path == "/seen" else bench.count()))
            return
        name, text = "refused", False
        try:
            name, data, text = self._device.answer(method, path, body)
            code, message = 0, "success"
        except Refused as no:
            (code, message), data = no.args, None
        bench.asked[name] += 1
        if bench.keep and name == "create":
            bench.bodies.append((self._device.place, path, body.decode()))
        envelope = {"Code": str(code) if text else code, "Message": message, "RequestID": "1", "Data": data}
        if data is None:
            del envelope["Data"]
        loop.call_later(bench.delay, self._answered, name, write(envelope))

    def _answered(self, name: str, body: bytes) -> None:
        if name == "create":
            assert self._device is not None
            self._device.accepted()
        self._send(body)

    def _send(self, body: bytes) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        if not self._transport.is_closing():
            self._transport.write(head.encode() + body)


async def serve(port: int, number: int) -> None:
    loop, bench = asyncio.get_running_loop(), Bench()
    for device in (Device(bench, place) for place in range(1, number + 1)):
        server = await loop.create_server(
            lambda device=device: Line(bench, device), "127.0.0.1", 0, backlog=512
        )
        device.port = server.sockets[0].getsockname()[1]
        bench.devices.append(device)
    await loop.create_server(lambda: Line(bench, None), "127.0.0.1", port, backlog=16)
    await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2])))
