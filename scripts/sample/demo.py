"""The demo: one real job, end to end. Started by scripts/demo with a Python that has acsmpd[demo].

Everything but making the package and the API key is done over HTTP, as an application would do it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from application import Application, Job, Refused, until
from boxed import build_boxed
from build import build
from daemon import ROOT, Daemon, Failed
from fetch_video import NotFetched, fetch

PLAN_NAME, EVENT = "acsmpd demo", "FACE_DETECT"
ENOUGH = 5
PICTURES_KEPT = 200
SERVICE_SECONDS, IMAGE_SECONDS = 60.0, 180.0
LIMIT_SECONDS = float(os.environ.get("ACSMPD_DEMO_LIMIT_SECONDS") or 120)
"""Results have to come within this time of the task's start, and of each other."""


def say(label: str, chinese: str, text: str) -> None:
    print(f"  {label:8} {chinese}  {text}", flush=True)


def shown(path: Path) -> str:
    """A path as one would type it here."""
    path = path.absolute()
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


class Demo:
    """One run. `results` yields until the caller has enough; `close` leaves nothing running."""

    def __init__(self, boxed: bool = False) -> None:
        self._boxed, self._inside = boxed, ""
        self.video = os.environ.get("ACSMPD_DEMO_VIDEO") or str(_sample_video())
        readable = [Path(sys.prefix), Path(sys.base_prefix)]
        self.daemon = Daemon([*readable, *_local_file(self.video)])
        self.application = Application(self.daemon.url)
        self.job: Job | None = None
        self.plan_id = self.newest = 0
        self._service: Any = None

    # --- setting up ------------------------------------------------------------------------------------

    def prepare(self) -> Path:
        """The package file, made before anything is started."""
        self.daemon.expect_free()
        folder = self.daemon.folder
        self.daemon.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.mkdir(exist_ok=True, mode=0o700)
        say("video", "视频", shown(Path(self.video)) if _local_file(self.video) else self.video)
        if self._boxed:
            say("engine", "容器", self.daemon.container_engine())
        packed = self._build_boxed(folder) if self._boxed else build(sys.executable, folder / "package")
        return Path(self.daemon.run("package", "pack", str(packed), "--out", str(folder)))

    def _build_boxed(self, folder: Path) -> Path:
        """The package as an image with the video in it; a stream is reached from the container as from here."""
        files = _local_file(self.video)
        self._inside = build_boxed(sys.executable, folder / "boxed", files[0] if files else None)
        size = (folder / "boxed" / "image.tar").stat().st_size
        say("image", "镜像", f"{size >> 20} MiB, made of this machine's Python and OpenCV")
        return folder / "boxed"

    def start(self) -> None:
        say("sandbox", "沙箱", self.daemon.choose_sandbox())
        pid = self.daemon.start(self.application)
        say("daemon", "平台", f"{self.daemon.url}  pid {pid}  log {shown(self.daemon.log)}")
        self._log_in()
        self.job = Job(self.application)

    def _log_in(self) -> None:
        """With the API key of an earlier run, or a fresh one; only this user can read it."""
        path = self.daemon.data / "demo-key"
        self.application.key = path.read_text().strip() if path.is_file() else ""
        if self.application.knows_me():
            return
        name = f"demo-{os.urandom(4).hex()}"
        key = self.daemon.run("key", "create", "--name", name, "--role", "operator", "--role", "packages")
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"{key}\n")
        self.application.key = key

    # --- the job ---------------------------------------------------------------------------------------

    def deploy(self, job: Job, package: Path) -> None:
        """Import the package and load it, or find both as an earlier run left them."""
        package_id = self._import(job, package)
        seconds = IMAGE_SECONDS if self._boxed else SERVICE_SECONDS
        self._service = job.load(package_id, seconds)
        status = self._service["Status"]
        say("service", "服务", f"{status} on computility {job.computility}")
        if status != "RUNNING":
            raise Failed(f"the service is {status}, not RUNNING, after {seconds:g} s")

    def _import(self, job: Job, package: Path) -> str:
        """The package's ID. What was imported is noted beside the file: the platform tells no MD5."""
        note, content = self.daemon.folder / "imported.json", package.read_bytes()
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
        known = json.loads(note.read_text()) if note.is_file() else {}
        if known.get("MD5") == md5 and job.package(known["ID"]):
            say("package", "算法", f"{job.package(known['ID'])}, imported before")
            return str(known["ID"])
        if known:
            job.unload(known["ID"])
        package_id = job.import_package(package.name, content, md5)
        note.write_text(json.dumps({"ID": package_id, "MD5": md5}))
        say("package", "算法", f"{job.package(package_id)}, imported")
        return package_id

    def start_task(self, job: Job) -> None:
        extras = {"Loop": True, "Interval": 0.2, "RepeatAlarmIntervalThreshold": 1}
        info = {
            "RulesParams": [{"EventID": EVENT, "ExtendParams": extras}],
            "StreamOptions": {
                "VideoStreamOptions": {"PlayType": "REALPLAY", "Url": self._inside or self.video}
            },
        }
        self.plan_id = job.start_plan(PLAN_NAME, info)
        self.newest = job.newest_result(self.plan_id)
        say("task", "任务", f"plan {self.plan_id}: {EVENT} on {Path(self.video).name}")

    def results(self, job: Job) -> Iterator[dict[str, Any]]:
        """Results as they arrive. Raises Failed when none comes in time."""
        while True:
            begin = time.monotonic()
            found = until(lambda: self._look(job), LIMIT_SECONDS)
            if not found:
                raise Failed(f"no result within {time.monotonic() - begin:.0f} s")
            yield from found

    def _look(self, job: Job) -> list[dict[str, Any]]:
        if not self.daemon.alive():
            raise Failed("the daemon ended")
        found = list(job.results_after(self.plan_id, self.newest))
        self.newest = max((int(one["ResultID"]) for one in found), default=self.newest)
        return found

    def save_picture(self, result: dict[str, Any]) -> str:
        """The path of the target's picture, else of the whole frame's; "-" for a result without one."""
        images = [one for one in result.get("Images") or [] if one.get("Url")]
        images.sort(key=lambda one: one.get("Type") != "TARGET")
        if not images:
            return "-"
        folder = self.daemon.folder / "pictures"
        folder.mkdir(exist_ok=True)
        path = folder / f"{int(result['ResultID']):06d}.jpg"
        path.write_bytes(self.application.picture(images[0]["Url"]))
        for old in sorted(folder.glob("*.jpg"))[:-PICTURES_KEPT]:
            old.unlink()
        return shown(path)

    # --- the end -----------------------------------------------------------------------------------------

    def reasons(self) -> Iterator[str]:
        """What is known of a failure, from the outside in."""
        if not self.daemon.was_started():
            return
        if self.job is not None and self.daemon.alive():
            yield from self._states(self.job)
        logs = sorted(
            (self.daemon.data / "services" / "logs").glob("*.log"), key=lambda one: one.stat().st_mtime
        )
        for path in [*logs[-1:], self.daemon.log]:
            if path.is_file():
                yield f"the end of {shown(path)}:"
                yield from (
                    "    " + line[:300] for line in path.read_text(errors="replace").splitlines()[-6:]
                )

    def _states(self, job: Job) -> Iterator[str]:
        try:
            if self.plan_id:
                one = job.instance(self.plan_id)
                yield f"the task instance: {one.get('Status')} {one.get('Reason') or '(no reason given)'}"
            if self._service:
                for one in job.services(self._service["AlgoFilePackageID"]):
                    yield f"the service: {one['Status']} {one.get('LastError') or '(no error)'}"
        except Refused as refusal:
            yield str(refusal)

    def close(self) -> None:
        """Stop the plan, so that the next run shows fresh results, and the daemon."""
        try:
            if self.job is not None and self.plan_id and self.daemon.alive():
                self.job.stop_plan(self.plan_id)
        except Refused as refusal:
            print(f"the plan was not stopped: {refusal}", file=sys.stderr)
        finally:
            self.daemon.stop()
            self.application.close()


def _sample_video() -> Path:
    try:
        return fetch(ROOT / ".cache" / "demo")[0]
    except (NotFetched, OSError) as error:
        raise Failed(
            f"the sample video cannot be had: {error}\nName a video of yours by ACSMPD_DEMO_VIDEO."
        ) from None


def _local_file(video: str) -> list[Path]:
    """The file an engine has to be let read; none for a stream."""
    path = Path(video)
    return [path.absolute()] if "://" not in video and path.exists() else []


def run(demo: Demo, once: bool) -> None:
    print("acsmpd demo 演示: a package, a service, a task on a real video, and its results\n")
    package = demo.prepare()
    demo.start()
    assert demo.job is not None
    demo.deploy(demo.job, package)
    demo.start_task(demo.job)
    print(f"\n  {'#':>3}  {'time':23}  {'event':12} {'score':>5}  picture", flush=True)
    for number, result in enumerate(demo.results(demo.job), 1):
        score = max((target.get("Score") or 0.0 for target in result.get("Targets") or []), default=0.0)
        when, picture = result.get("EventTime") or result["ReceivedTime"], demo.save_picture(result)
        print(f"  {number:3}  {when:23}  {result['EventID']:12} {score:5.2f}  {picture}", flush=True)
        if number == ENOUGH:
            tell_next(demo, once)
            if once:
                return


def tell_next(demo: Demo, once: bool) -> None:
    url, data = demo.daemon.url, demo.daemon.data
    token = f'-H "Authorization: Bearer $(cat {shlex.quote(shown(data / "demo-key"))})"'
    body = f"-H 'Content-Type: application/json' -d '{{\"TaskID\": {demo.plan_id}}}'"
    state = "the daemon ends with this run; ./scripts/demo alone keeps it up" if once else "the daemon is up"
    print(f"\nWhere to look next 接下来 ({state}):")
    for label, text in (
        ("interface", f"curl -s {url}/openapi.json"),
        ("results", f"curl -s {token} {body} {url}/ACSMP/Results/Search"),
        ("data", f'{shown(data)}/  (README.md, "Where data lies")'),
        ("logs", f"{shown(demo.daemon.log)}  {shown(data / 'services' / 'logs')}/"),
        ("a device", 'README.md, "A first device"'),
    ):
        print(f"  {label:9}  {text}")
    if not once:
        print("\nResults go on. Ctrl-C ends the demo and the daemon 按 Ctrl-C 结束.\n")
    sys.stdout.flush()


def interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def main() -> int:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
    demo = None
    try:
        demo = Demo("--image" in sys.argv[1:])
        run(demo, "--once" in sys.argv[1:])
    except (Failed, Refused) as failure:
        print(f"\nthe demo failed 失败: {failure}", file=sys.stderr)
        if demo is not None:
            print(*demo.reasons(), sep="\n", file=sys.stderr)
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("\nending 结束", flush=True)
        return 130
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        if demo is not None:
            demo.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
