"""An engine for tests, standard library alone: it speaks the engine interface and misbehaves when told to.

At its start it obeys the words in the file that its environment's ORDERS names ("exit 3", "never", "deaf",
"silent"); while it runs, what is posted to /Do. A test talks to it directly: engines listen on loopback.
Its tasks report a result every ExtendParams.Every seconds, 0.3 if not given.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import uuid
from pathlib import Path
from typing import Any

from tests.support.packaging import PACKAGE_ID, make_package, task_info
from tests.support.site import Site
from tests.support.wait import wait_until

PYTHON = "/usr/bin/python3"

ENGINE = r"""
import http.server, json, os, signal, subprocess, sys, threading, time, urllib.error, urllib.request

TASKS, ENDED, LOCK, HELD = {}, {}, threading.Lock(), []
HANG = threading.Event()


def shown(task):
    return {k: v for k, v in task.items() if k != "Every"}


def create(body):
    info = body["TaskInfo"]
    with LOCK:
        task_id = "t%d" % (len(TASKS) + 1)
        extras = info["RulesParams"][0].get("ExtendParams") or {}
        TASKS[task_id] = {
            "TaskInfo": {**info, "ID": task_id}, "Status": "RUNNING", "RestartPolicy": body["RestartPolicy"],
            "CreateAndStartTask": True, "Every": extras.get("Every", 0.3), "Sent": info.get("ID"),
        }
        ENDED[task_id] = threading.Event()
    threading.Thread(target=report, args=(task_id,), daemon=True).start()
    return shown(TASKS[task_id])


def report(task_id):
    task, ended, due = TASKS[task_id], ENDED[task_id], 0
    while not ended.wait(due):
        due = task["Every"]
        if task["Status"] == "RUNNING":
            rule = task["TaskInfo"]["RulesParams"][0]
            body = {"TaskID": task["Sent"], "EventID": rule["EventID"], "EventTime": time.strftime("%Y-%m-%d %H:%M:%S"),
                    "Pts": time.time_ns() // 1000, "DeviceID": "", "Targets": [], "Images": []}
            for url in rule["ResultReceiveUrl"]:
                fetch(url, json.dumps(body).encode())


def fetch(url, raw=None):
    request = urllib.request.Request(url, raw, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError as error:
        return str(error)


def search(body):
    with LOCK:
        records = [shown(task) for task in TASKS.values()]
    at, size = body.get("PageNumber", 1), body.get("PageSize", 10)
    return {"PageNumber": at, "PageSize": size, "TotalSize": len(records),
            "Records": records[(at - 1) * size:at * size]}


def fork(count):
    made = 0
    for _ in range(count):
        try:
            HELD.append(subprocess.Popen(["sleep", "1000"]))
            made += 1
        except OSError as error:
            return [made, str(error)]
    return [made, ""]


def fill_disk(name_and_mebibytes):
    name, mebibytes = name_and_mebibytes
    with open(os.path.join(os.environ["HOME"], name), "wb") as file:
        try:
            for _ in range(mebibytes):
                file.write(b"x" * (1 << 20))
        except OSError as error:
            return str(error)
    return ""


def fill_memory(mebibytes):
    for _ in range(mebibytes):
        HELD.append(b"m" * (1 << 20))
    return ""


def flood(lines):
    for _ in range(lines):
        print("y" * 1023)
    sys.stdout.flush()
    return ""


def look(path):
    try:
        if os.path.isdir(path):
            return sorted(os.listdir(path))
        with open(path, "rb") as file:
            return len(file.read(1000))
    except OSError as error:
        return error.strerror


def write(path):
    try:
        with open(path, "w") as file:
            file.write("x")
        os.unlink(path)
        return ""
    except OSError as error:
        return error.strerror


def spin(seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass
    return ""


def status_lines():
    with open("/proc/self/status") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file)


DO = {
    "exit": lambda code: os._exit(code), "signal": lambda number: os.kill(os.getpid(), number),
    "hang": lambda _: HANG.set(), "fork": fork, "disk": fill_disk, "memory": fill_memory, "flood": flood,
    "look": look, "write": write, "env": lambda _: dict(os.environ), "fetch": fetch, "spin": spin,
    "status": lambda _: status_lines(), "argv": lambda _: sys.argv,
    "attach": lambda pid: __import__("ctypes").CDLL(None).ptrace(16, pid, 0, 0),
}


class Handler(http.server.BaseHTTPRequestHandler):
    def serve(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length) or b"{}")
        if HANG.is_set():
            threading.Event().wait()
        parts = self.path.strip("/").split("/")
        data = None
        if self.path == "/Do":
            data = DO[body["What"]](body.get("With"))
        elif self.path == "/Status":
            data = {}
        elif self.path == "/AlgoTasks":
            data = create(body)
        elif self.path == "/AlgoTasks:search":
            data = search(body)
        else:
            name, _, verb = parts[1].partition(":")
            if name not in TASKS:
                return self.answer(404, {"Code": 40401, "Message": "no task " + name})
            if verb:
                TASKS[name]["Status"] = {"resume": "RUNNING", "pause": "PAUSED"}[verb]
            elif self.command == "DELETE":
                del TASKS[name]
                ENDED[name].set()
            elif self.command == "PUT":
                TASKS[name]["TaskInfo"] = {**body["TaskInfo"], "ID": name}
            data = shown(TASKS[name]) if name in TASKS else None
        self.answer(200, {"Code": 0, "Message": "success", "Data": data})

    def answer(self, status, body):
        raw = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    do_GET = do_POST = do_PUT = do_DELETE = serve

    def log_message(self, *_):
        pass


def orders():
    try:
        with open(os.environ.get("ORDERS") or "/nonexistent") as file:
            return (file.read().split() + ["", ""])[:2]
    except FileNotFoundError:
        return "", ""


def main():
    what, value = orders()
    if what == "exit":
        print("told to end")
        sys.exit(int(value))
    if what == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if what == "never":
        threading.Event().wait()
    if what == "silent":
        HANG.set()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler)
    server.daemon_threads = True
    print("ready", os.environ["ACSMP_SERVICE_ID"], os.environ["PORT"], flush=True)
    server.serve_forever(0.1)


main()
"""


class Misbehaving:
    """A package of the test engine, told apart on this machine by a mark on its command line."""

    def __init__(self, folder: Path, **more: Any) -> None:
        """`folder` is made readable to engines; its parents must be in runtime.read_only_paths."""
        self.mark = f"mark-{uuid.uuid4()}"
        self._orders = folder / "orders"
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)
        env = {"ORDERS": str(self._orders), "FLAVOUR": "plain", **more.pop("env", {})}
        self.id = more.setdefault("package_id", PACKAGE_ID)
        command = [more.pop("command", PYTHON), "engine.py", self.mark]
        self.file = make_package(folder, program={"engine.py": ENGINE}, cmd=command, env=env, **more)

    def order(self, words: str) -> None:
        """What every engine of the package does at its next start; "" for nothing special."""
        fresh = self._orders.with_suffix(".new")
        fresh.write_text(words)
        fresh.chmod(0o644)
        fresh.replace(self._orders)

    def pids(self) -> list[int]:
        """The engines that run, without their wrappers."""
        return [pid for pid, argv in self._marked() if argv[:2] == [PYTHON, "engine.py"]]

    def traces(self) -> list[int]:
        """Every process of this machine that has to do with the package's engines."""
        return [pid for pid, _ in self._marked()]

    def _marked(self) -> list[tuple[int, list[str]]]:
        found = []
        for entry in os.scandir("/proc"):
            with contextlib.suppress(OSError):  # it has ended meanwhile; a zombie has no command line
                if entry.name.isdigit():
                    argv = Path(entry.path, "cmdline").read_bytes().decode(errors="replace").split("\0")
                    found += [(int(entry.name), argv)] if self.mark in argv else []
        return found


class Hand:
    """A direct line to one engine that runs."""

    def __init__(self, port: int) -> None:
        self.port = port

    def do(self, what: str, value: Any = None) -> Any:
        """The answer of an act; None when the engine was gone before it could answer."""
        return self._ask("/Do", {"What": what, "With": value})

    def tasks(self) -> list[dict[str, Any]]:
        """The tasks it holds."""
        return list((self._ask("/AlgoTasks:search", {"PageSize": 100}) or {"Records": []})["Records"])

    def _ask(self, path: str, body: Any) -> Any:
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            line.request("POST", path, json.dumps(body))
            return json.loads(line.getresponse().read())["Data"]
        except (http.client.HTTPException, OSError):
            return None
        finally:
            line.close()


def hands(data: Path, service_id: str) -> list[Hand]:
    """The engines of a service by what their logs say last."""
    ports = []
    for log in sorted((data / "services" / "logs").glob("*.log")):
        ready = re.findall(rf"^ready {service_id} (\d+)$", log.read_text(errors="replace"), re.MULTILINE)
        ports += ready[-1:]
    return [Hand(int(port)) for port in ports]


def the_hand(data: Path, service_id: str) -> Hand:
    [only] = hands(data, service_id)
    return only


# --- what a test asks of the platform ------------------------------------------------------------------


def ports(number: int = 0) -> dict[str, str]:
    """Settings: a range of ports no other test process takes its engines' from."""
    first = 20000 + (os.getpid() % 200) * 60 + number * 20
    return {"ACSMPD_RUNTIME_PORT_FROM": str(first), "ACSMPD_RUNTIME_PORT_TO": str(first + 19)}


def load(site: Site, package_id: str, *, wait: int = 20, **more: Any) -> str:
    """Wish for a service on this box's own compute; its ID."""
    body = {"AlgoFilePackageID": package_id, "ComputilityCode": site.settings.site_code, **more}
    return str(site.client.fine("POST", f"/ACSMP/AlgoServices/Devices?Wait={wait}", body))


def service_path(site: Site, service_id: str) -> str:
    return f"/ACSMP/AlgoServices/Devices/{site.settings.site_code}/{service_id}"


def until_running(site: Site, service_id: str, seconds: float = 20.0) -> dict[str, Any]:
    """The service as shown, once it is RUNNING."""
    return dict(
        site.until(service_path(site, service_id), lambda d: d["Status"] == "RUNNING", seconds=seconds)
    )


def until_error(site: Site, service_id: str, words: str, seconds: float = 20.0) -> str:
    """The LastError with these words, once the service is in ERROR for them."""
    found = site.until(
        service_path(site, service_id),
        lambda d: d["Status"] == "ERROR" and words in (d.get("LastError") or ""),
        seconds=seconds,
    )
    return str(found["LastError"])


def until_told(site: Site, service_id: str, words: str) -> str:
    """The LastError with these words; the service may be on its way again already."""
    path = service_path(site, service_id)
    return str(site.until(path, lambda d: words in (d.get("LastError") or ""))["LastError"])


def unload(site: Site, package_id: str, *service_ids: str, force: bool = False) -> None:
    """Unload and wait until it is gone."""
    body: dict[str, Any] = {"AlgoFilePackageID": package_id, "ComputilityCode": site.settings.site_code}
    if service_ids:
        body["AlgoServiceID"] = list(service_ids)
    path = f"/ACSMP/AlgoServices/Devices/UnInstall?Wait=25{'&Force=true' if force else ''}"
    site.client.fine("POST", path, body)
    for service_id in service_ids:
        wait_until(
            lambda one=service_id: site.client.get(service_path(site, one)).code == 40401, what="unloaded"
        )


def add_plan(
    site: Site, *infos: dict[str, Any], kind: str = "VIDEO_REALTIME", wait: int = 20, **more: Any
) -> int:
    """A started PERIODIC plan of these instances."""
    body = {
        "Name": "watch", "Type": kind, "Mode": "PERIODIC", "AutoStart": True,
        "AlgoTaskInfos": list(infos) or [task_info()], **more,
    }  # fmt: skip
    return int(site.client.fine("POST", f"/ACSMP/Tasks?Wait={wait}", body))


def instances(site: Site, plan: int) -> list[dict[str, Any]]:
    """The plan's instances with their states, in order."""
    page = site.client.fine(
        "POST", "/ACSMP/TaskInstances/Search", {"TaskID": plan, "PageRequest": {"PageSize": 100}}
    )
    return sorted(page["PageContent"], key=lambda one: one["Number"])


def until_instance(
    site: Site, plan: int, status: str, words: str = "", seconds: float = 20.0
) -> dict[str, Any]:
    """The plan's only instance, once it has this status and its reason these words."""
    last: list[dict[str, Any]] = []

    def reached() -> dict[str, Any] | None:
        last[:] = instances(site, plan)
        [one] = last
        return one if one["Status"] == status and words in (one.get("Reason") or "") else None

    try:
        return dict(wait_until(reached, seconds=seconds) or {})
    except AssertionError as error:
        raise AssertionError(f"instance of plan {plan} not {status} within {seconds} s: {last}") from error


def results(site: Site, plan: int) -> int:
    return int(site.client.fine("POST", "/ACSMP/Results/Search", {"TaskID": plan})["Total"])
