"""An application before /ACSMP: HTTP, JSON and an API key, nothing else of acsmpd."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import requests

POLL_SECONDS = 0.3
TIMEOUT_SECONDS = 60


class Refused(Exception):
    """The platform answered a fault, or nothing; the words say which call and why."""

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class Application:
    """One caller of the platform at `url`."""

    def __init__(self, url: str) -> None:
        self.url, self.key = url, ""
        self._session = requests.Session()
        self._session.trust_env = False

    def close(self) -> None:
        self._session.close()

    def ask(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """The Data of the answer. Raises Refused for anything but Code 0."""
        response = self._send(method, path, json=body, **more)
        try:
            answer = response.json()
            code, message = int(answer["Code"]), answer["Message"]
        except (ValueError, KeyError, TypeError):
            raise Refused(f"{method} {path}: HTTP {response.status_code} without an envelope") from None
        if code:
            raise Refused(f"{method} {path}: {code} {message}", code)
        return answer.get("Data")

    def picture(self, path: str) -> bytes:
        response = self._send("GET", path)
        if response.status_code != 200:
            raise Refused(f"GET {path}: HTTP {response.status_code}")
        return response.content

    def is_ready(self) -> bool:
        try:
            return self._send("GET", "/readyz").status_code == 200
        except Refused:
            return False

    def knows_me(self) -> bool:
        """Whether the key is one of this platform's."""
        try:
            return bool(self.key and self.ask("GET", "/ACSMP/System/Info"))
        except Refused as refusal:
            if refusal.code == 40101:
                return False
            raise

    def _send(self, method: str, path: str, **more: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        try:
            return self._session.request(
                method, self.url + path, headers=headers, timeout=TIMEOUT_SECONDS, **more
            )
        except requests.RequestException as error:
            raise Refused(f"{method} {path}: no answer ({type(error).__name__})") from None


def until(look: Callable[[], Any], seconds: float) -> Any:
    """The first true answer, or the last one when the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        answer = look()
        if answer or time.monotonic() > deadline:
            return answer
        time.sleep(POLL_SECONDS)


class Job:
    """The steps of the demo on the platform's own compute; each reuses what an earlier run left."""

    def __init__(self, application: Application) -> None:
        self.application, self.ask = application, application.ask
        self.computility = self.ask("GET", "/ACSMP/System/Info")["Details"]["ComputilityCode"]

    def package(self, package_id: str) -> str:
        """Name and version of a package that is there, else ""."""
        for one in self.ask("POST", "/ACSMP/AlgoFilePackages/Search", {"AlgoFilePackageIDs": [package_id]}):
            return f"{one['AlgoFilePackageName']} {one['AlgoFilePackageVersion']}"
        return ""

    def import_package(self, name: str, content: bytes, md5: str) -> str:
        """The ID of the package, imported."""
        files = {"File": (name, content)}
        answer = self.ask("POST", "/ACSMP/AlgoFilePackages", files=files, data={"MD5": md5})
        return str(answer["AlgoFilePackageID"])

    def services(self, package_id: str) -> list[Any]:
        asked = {"ComputilityCode": self.computility, "AlgoFilePackageID": package_id}
        return list(self.ask("POST", "/ACSMP/AlgoServices/Devices/Search", asked)["Records"])

    def unload(self, package_id: str) -> None:
        """End the services of a package that is about to be replaced."""
        if self.services(package_id):
            asked = {"ComputilityCode": self.computility, "AlgoFilePackageID": package_id}
            self.ask("POST", "/ACSMP/AlgoServices/Devices/UnInstall?Wait=30&Force=true", asked)

    def load(self, package_id: str, seconds: float) -> Any:
        """The service of the package; RUNNING unless that took too long."""
        if not self.services(package_id):
            asked = {"ComputilityCode": self.computility, "AlgoFilePackageID": package_id}
            self.ask("POST", "/ACSMP/AlgoServices/Devices?Wait=30", asked)
        until(lambda: self.services(package_id)[0]["Status"] == "RUNNING", seconds)
        return self.services(package_id)[0]

    def start_plan(self, name: str, info: dict[str, Any]) -> int:
        """The plan of that name, started; one that does something else is made anew."""
        found = None
        for plan in self.ask("POST", "/ACSMP/Tasks/Search", {"Name": name})["PageContent"]:
            if plan["Name"] != name:
                continue
            if found is None and _does(plan, info):
                found = int(plan["TaskID"])
            else:
                self.ask("DELETE", f"/ACSMP/Tasks/{plan['TaskID']}?Wait=20")
        if found is not None:
            self.ask("POST", f"/ACSMP/Tasks/{found}/Start")
            return found
        body = {"Name": name, "Type": "VIDEO_REALTIME", "Mode": "PERIODIC", "AutoStart": True}
        return int(self.ask("POST", "/ACSMP/Tasks", {**body, "AlgoTaskInfos": [info]}))

    def stop_plan(self, plan_id: int) -> None:
        self.ask("POST", f"/ACSMP/Tasks/{plan_id}/Stop?Wait=10")

    def instance(self, plan_id: int) -> Any:
        """The one instance of the demo's plan, with its state."""
        return self.ask("POST", "/ACSMP/TaskInstances/Search", {"TaskID": plan_id})["PageContent"][0]

    def newest_result(self, plan_id: int) -> int:
        return max((int(one["ResultID"]) for one in self._results(plan_id)), default=0)

    def results_after(self, plan_id: int, result_id: int) -> Iterator[Any]:
        """Results that came later than that one, oldest first."""
        for one in reversed(self._results(plan_id)):
            if int(one["ResultID"]) > result_id:
                yield one

    def _results(self, plan_id: int) -> list[Any]:
        order = [{"Property": "ResultID", "Direction": "desc"}]
        page = {"PageNumber": 1, "PageSize": 50, "OrderList": order}
        asked = {"TaskID": plan_id, "PageRequest": page}
        return list(self.ask("POST", "/ACSMP/Results/Search", asked)["PageContent"])


def _does(plan: dict[str, Any], info: dict[str, Any]) -> bool:
    infos = plan.get("AlgoTaskInfos") or []
    return len(infos) == 1 and all(infos[0].get(name) == value for name, value in info.items())
