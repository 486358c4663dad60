"""Requests that schemathesis generates from the document, sent to a World, and what every answer has to be."""

from __future__ import annotations

import base64
import random
import re
import zlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi import checks

from acsmpd.api.bind import FROM_DEVICES
from acsmpd.spec.operation import Access
from tests.api.published import operations
from tests.support.fake_speaking import TINY_JPEG
from tests.support.packaging import CAPABILITY
from tests.support.world import ENGINE, VERSION, Ids, World

EARLY, LATE = "2026-01-02 03:04:05", "2096-01-02 03:04:05.678"
TINY_PNG = b"\x89PNG\r\n\x1a\n" + bytes(32)
LONGEST_WAIT_SECONDS = 0.05
UNSIGNED = {Access.OPEN.value, Access.CREDENTIALS.value, Access.LINK.value, Access.RESULT.value}
# Not among them: `negative_data_rejection`, which knows nothing of what the conventions read tolerantly (a wrong
# X-Request-ID is replaced, a body of null is an empty one): is_forbidden does.
CHECKS = [
    checks.response_schema_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
]
Request = schemathesis.Case
ANYHOW = settings(
    deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)  # what costs time is drawing, and a busy machine is no fault of ours


class Campaign:
    """Sends requests, judges the answers and counts them by operation."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.answers: dict[str, Counter[int]] = {}
        self._session = requests.Session()
        self._session.trust_env = False
        with self._session.get(f"{world.box.url}/openapi.json", timeout=30) as answer:
            self._schema = schemathesis.openapi.from_dict(answer.json())
        self._schema.config.base_url = world.box.url
        self._schema.config.generation.with_security_parameters = False
        self.operations = {found.ok().label: found.ok() for found in self._schema.get_all_operations()}
        self._changed, self._label = False, ""

    def __enter__(self) -> Campaign:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def edges(self, label: str, mode: GenerationMode) -> Sequence[Request]:
        """The requests at the edges of every member's type, right or wrong ones; always the same."""
        if label == "POST /ACSMP/AlgoFilePackages":  # "Unsupported type: 'Binary'": a file beside oneOf
            return self.drawn(label, mode, settings(ANYHOW, max_examples=12, derandomize=True))
        found = self._schema.iter_coverage_cases(
            self.operations[label],
            generation_modes=[mode],
            generation_config=self._schema.config.generation,
            unexpected_methods_seen=set(),
        )
        return list(found)

    def drawn(
        self, label: str, mode: GenerationMode, how: settings, number: int | None = None
    ) -> Sequence[Request]:
        """Random requests, right or wrong ones; drawn before any is sent, so that all depends on the seed."""
        found: list[Request] = []
        cases = self.operations[label].as_strategy(generation_mode=mode)
        draw = given(case=cases)(lambda case: found.append(case))
        how(draw if number is None else seed(number)(draw))()
        return found

    def send(self, case: Request) -> None:
        """One request, with real ids in it, and its answer judged."""
        label = case.operation.label
        if self._changed and label != self._label:
            self.world.know()
            self._changed = False
        self._label = label
        judges = judges_of(case)
        make_real(case, self.world)
        response = self._answer(case)
        status = response.status_code
        if case.method == case.operation.method.upper():
            self.answers.setdefault(label, Counter())[status] += 1
        self._changed |= case.method != "GET" and status < 300
        if label == "PUT /ACSMP/Password" and status == 200:
            self.world.password = case.body["NewPassword"]
        case.validate_response(response, checks=judges)

    def _answer(self, case: Request) -> Any:
        access = case.operation.definition.raw["x-access"]
        token = self._token(access)
        headers = {"Authorization": f"Bearer {token}"} if token else None
        if access in (Access.CREDENTIALS.value, Access.SELF.value):
            with self.world.elsewhere() as session:
                return case.call(session=session, headers=headers)
        return case.call(session=self._session, headers=headers)

    def _token(self, access: str) -> str:
        if access == Access.SELF.value:
            return self.world.person()
        if access == Access.KEEPALIVE.value:
            return self.world.cad.token or ""
        return "" if access in UNSIGNED else self.world.box.key


def judges_of(case: Request) -> list[Any]:
    """What an answer to this request has to be, by the request as it was made."""
    judges = [*CHECKS, as_promised]
    if is_forbidden(case):
        judges.append(is_refused)
    if not is_of_a_neighbour(case):
        judges.append(checks.unsupported_method)
    return judges


def is_of_a_neighbour(case: Request) -> bool:
    """Whether this method at this address is another operation: PUT Computility/Statistics is that of
    Computility/{Code}, with a Code that it refuses by 400, not 405."""
    return any(
        method.upper() == case.method and re.fullmatch(re.sub(r"{\w+}", "[^/]+", path), case.path)
        for path, method, _ in operations()
        if path != case.path
    )


def as_promised(_context: Any, response: Any, case: Request) -> None:
    """No failure of the server but one the document names for this row, and the HTTP status of the Code."""
    status, operation = response.status_code, case.operation
    assert status < 500 or str(status) in operation.definition.raw["responses"], f"{status} is not named here"
    if response.headers["content-type"][0].startswith("application/json"):
        code = int(response.json().get("Code", 0))
        business = operation.path.startswith(("/CAD", "/CAP")) and status == 200
        assert business or status == (code // 100 or 200), f"HTTP {status} with Code {code}"


def is_forbidden(case: Request) -> bool:
    """Whether the document forbids it, and we do not take it all the same.

    A form of a result that cannot be read is kept as it came; devices write numbers as texts.
    """
    if case.operation.definition.raw["operationId"] in FROM_DEVICES:
        return False
    wrong = _is_wrong(case, ParameterLocation.BODY) and case.media_type == "application/json"
    return (wrong and case.body is not None) or _is_wrong(case, ParameterLocation.PATH)


def is_refused(_context: Any, response: Any, _case: Request) -> None:
    """What is forbidden is no success."""
    is_json = response.headers["content-type"][0].startswith("application/json")
    accepted = response.status_code == 200 and (not is_json or int(response.json().get("Code", 0)) == 0)
    assert not accepted, "accepted, although the document forbids it"


# --- what there is, in the place of what was made up ------------------------------------------------------

_KINDS = {
    "AlgoFilePackageID": "AlgoFilePackages", "AlgoFilePackageIDs": "AlgoFilePackages",
    "ComputilityCode": "Computility", "ComputilityCodes": "Computility", "AlgoServiceID": "AlgoServices",
    "TaskID": "Tasks", "TaskIDs": "Tasks", "IDs": "TaskInstances", "InstanceID": "TaskInstances",
    "ResultID": "Results",
}  # fmt: skip
_FIXED: dict[str, list[Any]] = {
    "EventID": ["INTRUSION"], "AlgoDefCode": [CAPABILITY], "AlgoDefCodes": [CAPABILITY],
    "Mode": ["PERIODIC"], "PlanDayTime": [None, ["1,7:00-9:00"]], "InspectionPlan": [None], "Roles": ["viewer"],
    "CreateTimeFrom": [EARLY], "TimeFrom": [EARLY], "CreateTimeTo": [LATE], "TimeTo": [LATE],
    "Labels": [{"AlgoCaBinName": ENGINE, "Version": VERSION}],
    "Data": [base64.b64encode(TINY_JPEG).decode(), base64.b64encode(TINY_PNG).decode()],
}  # fmt: skip
_OFTEN = 0.7


def make_real(case: Request, world: World) -> None:
    """Much of what was made up becomes what there is; a part that is to be refused stays as it is.

    What becomes of a request depends on the request alone, so that it is the same in every run.
    """
    chance = random.Random(zlib.crc32(repr((case.path_parameters, case.body)).encode("utf-8", "replace")))
    query = case.query or {}
    if re.fullmatch(r"[0-9.]+", str(query.get("Wait", ""))):
        query["Wait"] = LONGEST_WAIT_SECONDS  # not the 30 s it may be
    if case.path_parameters and not _is_wrong(case, ParameterLocation.PATH):
        _fill_path(case, world, chance)
    if not _is_wrong(case, ParameterLocation.BODY):
        right = _FIXED | {name: world.ids[kind] for name, kind in _KINDS.items()} | world.given(case.path)
        case.body = _fill(case.body, right, chance)


def _is_wrong(case: Request, location: ParameterLocation) -> bool:
    part = case.meta.components.get(location) if case.meta is not None else None
    return part is not None and part.mode.is_negative


def _fill_path(case: Request, world: World, chance: random.Random) -> None:
    if chance.random() > _OFTEN:
        return
    if (known := world.paths.get(case.path)) is not None:
        case.path_parameters = dict(known)
        return
    for before, name in re.findall(r"([^/{]*)/\{(\w+)\}", case.path):
        found = world.ids.get(_KINDS.get(name, "") if name not in ("ID", "Code") else before)
        found = world.ids.get(before) if name in ("Name", "Index") else found
        if found:
            case.path_parameters[name] = chance.choice(found)


def _fill(value: Any, right: Ids, chance: random.Random) -> Any:
    if isinstance(value, list):
        return [_fill(item, right, chance) for item in value]
    if not isinstance(value, dict):
        return value
    return {name: _member(name, item, right, chance) for name, item in value.items()}


def _member(name: str, value: Any, right: Ids, chance: random.Random) -> Any:
    found = right.get(name)
    if not found or chance.random() > _OFTEN:
        return _fill(value, right, chance)
    one = chance.choice(found)
    if isinstance(value, list) and one is not None:
        return [one]
    return one if one is None or type(value) is type(one) else value
