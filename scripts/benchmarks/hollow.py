"""Hollow devices, a thousand in one process: they register with an SM2 password, keep alive, and answer when looked at.

python hollow.py PORT DEVICES PUBLIC_KEY

Each has an address of its own in 127/8 and answers there on PORT; four of ten are CADs, three edge devices, two cameras
that analyse (direct), one a CAP. They behave as the print wants it: who is told 42901 comes again, with jitter; who
is told 401 registers again. 127.0.0.1:PORT speaks to the bench, everything as POST with JSON:
`/at` {"port", "seconds"}: there is a platform on that port, register within so many seconds; `/again`: register once
more, all of them; `/pace` {"seconds"}: a keepalive each so often; `/seen`: what happened since the last `/forget`.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import sys
import time
from collections import Counter
from typing import Any

import msgspec

from acsmpd.security import sm2

HEAD_END = b"\r\n\r\n"
LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
KINDS = ("CAD", "CAD", "CAD", "CAD", "AI_BOX", "AI_BOX", "AI_BOX", "AI_CAMERA", "AI_CAMERA", "CAP")
PASSWORD = "hollow-1"
ANSWER_SECONDS = 60.0
read, write = msgspec.json.decode, msgspec.json.encode


class World:
    """What the bench told, and what the devices saw."""

    def __init__(self, port: int, number: int, public_key: str) -> None:
        self.port, self.platform = port, 0
        self.sealed = sm2.encrypt(public_key, PASSWORD)
        self.keepalive_seconds = 30.0
        self.chance = random.Random(1)
        self.devices = [Device(self, place) for place in range(number)]
        self.by_address = {device.address: device for device in self.devices}
        self.work: set[asyncio.Task[None]] = set()
        self.forget()

    def forget(self) -> None:
        self.told: Counter[str] = Counter()
        self.keepalives: list[float] = []
        self.registers: list[float] = []
        self.begun = self.ended = 0.0
        for device in self.devices:
            device.looks = 0

    def answer(self, path: str, asked: Any) -> Any:
        if path == "/forget":
            self.forget()
        elif path == "/pace":
            self.keepalive_seconds = float(asked["seconds"])
        elif path in ("/at", "/again"):
            self.platform = asked.get("port", self.platform)
            self.begun = time.monotonic()
            for device in self.devices:
                device.registered = False
                self.start(device.live(float(asked.get("seconds", 0.0)), only_once=path == "/again"))
        return {
            "told": dict(self.told), "registered": sum(device.registered for device in self.devices),
            "took": self.ended - self.begun, "keepalives_ms": self.keepalives, "registers_ms": self.registers,
            "looked_at": sum(device.looks > 0 for device in self.devices), "cpu": time.process_time(),
        }  # fmt: skip

    def start(self, life: Any) -> None:
        task = asyncio.get_running_loop().create_task(life)
        self.work.add(task)
        task.add_done_callback(self.work.discard)


class Device:
    """One device."""

    def __init__(self, world: World, place: int) -> None:
        self.world, self.code = world, f"11010000005059{place:06d}"
        self.kind = KINDS[place % len(KINDS)]
        self.address = f"127.{1 + place // 200}.{1 + place % 200}.1"
        self.token, self.registered, self.looks = "", False, 0
        self.lives = False

    async def live(self, spread: float, *, only_once: bool) -> None:
        """Register, then keep alive for ever; registering again when the platform does not know us any more."""
        await asyncio.sleep(self.world.chance.random() * spread)
        await self._register()
        if only_once or self.lives:
            return
        self.lives = True
        while True:
            pause = self.world.keepalive_seconds
            await asyncio.sleep(pause * (0.5 + self.world.chance.random()))
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.TimeoutError):
                begun = time.monotonic()
                code, data = await self._post("/ACSMP/Keepalive", {"Code": self.code}, self.token)
                self.world.keepalives.append((time.monotonic() - begun) * 1000)
                self.world.told[f"keepalive {code}"] += 1
                if code // 100 in (401, 404):
                    self.registered = False
                    await self._register()
                elif data:
                    self.token = data["Token"]

    async def _register(self) -> None:
        body = {
            "Code": self.code, "Type": self.kind, "IP": self.address, "Port": self.world.port, "Username": "hollow",
            "Password": self.world.sealed, "SupportAlgoService": self.kind != "AI_CAMERA",
        }  # fmt: skip
        while not self.registered:
            pause = 1.0
            try:
                begun = time.monotonic()
                code, data = await self._post("/ACSMP/Register", body, "")
            except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError) as broken:
                self.world.told[f"register {type(broken).__name__}"] += 1
            else:
                self.world.told[f"register {code}"] += 1
                if code == 0:
                    self.world.registers.append((time.monotonic() - begun) * 1000)
                    self.token, self.registered = data["Token"], True
                    self.world.ended = time.monotonic()
                    return
            await asyncio.sleep(pause * (0.5 + self.world.chance.random()))

    async def _post(self, path: str, body: Any, token: str) -> tuple[int, Any]:
        """(Code, Data), on a line of its own from the device's own address."""
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.world.platform, local_addr=(self.address, 0)
        )
        try:
            content = write(body)
            sent = f"Authorization: Bearer {token}\r\n" if token else ""
            head = (
                f"POST {path} HTTP/1.1\r\nHost: platform\r\nContent-Type: application/json\r\n{sent}"
                f"Connection: close\r\nContent-Length: {len(content)}\r\n\r\n"
            )
            writer.write(head.encode() + content)
            answer = await asyncio.wait_for(reader.read(), ANSWER_SECONDS)
            if HEAD_END not in answer:
                raise asyncio.IncompleteReadError(answer, None)
            said = read(answer.partition(HEAD_END)[2])
            return int(said["Code"]), said.get("Data")
        finally:
            writer.close()

    def answer(self, method: str, path: str) -> tuple[Any, dict[str, Any]]:
        """(Code, further members) of what a platform asks of us: a device that carries nothing."""
        self.looks += 1
        text = path.startswith("/CAD/Machine/")
        if path == "/CAD/Status":
            return 0, {"Data": self._status()}
        if path == "/CAP/Status":
            return 0, {"Data": {"BasicInfo": [], "OpsInfo": []}}
        if path.endswith(":search"):
            return 0, {"Data": {"PageNumber": 1, "PageSize": 100, "TotalSize": 0, "Records": []}}
        if text and method == "POST":
            return "0", {"Data": []}
        return ("40401" if text else 40401), {}

    def _status(self) -> dict[str, Any]:
        return {
            "DeviceID": self.code, "IsOnline": True, "Cpu": 8, "CpuType": "x86", "CpuUtilization": 0.2, "Memory": 16,
            "MemoryUsed": 4.0, "Disk": 512, "DiskUsed": 100.0, "XpuMonitors": [], "AlgoServiceMonitors": [],
        }  # fmt: skip


class Line(asyncio.Protocol):
    """One connection to a device, or to the bench's own address."""

    def __init__(self, world: World) -> None:
        self._world, self._held = world, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._device = self._world.by_address.get(transport.get_extra_info("sockname")[0])

    def data_received(self, data: bytes) -> None:
        self._held += data
        head, mark, rest = self._held.partition(HEAD_END)
        length = LENGTH.search(head)
        need = int(length[1]) if length else 0
        if not mark or len(rest) < need:
            return
        self._held = rest[need:]
        method, path, _ = head.split(b"\r\n", 1)[0].decode().split(" ", 2)
        if self._device is None:
            body = write(self._world.answer(path, read(rest[:need]) if need else {}))
        else:
            code, more = self._device.answer(method, path.split("?", 1)[0])
            body = write({"Code": code, "Message": "", "RequestID": "1", **more})
        shown = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        if not self._transport.is_closing():
            self._transport.write(shown.encode() + body)


async def serve(port: int, number: int, public_key: str) -> None:
    world = World(port, number, public_key)
    await asyncio.get_running_loop().create_server(lambda: Line(world), "0.0.0.0", port, backlog=1024)
    await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
