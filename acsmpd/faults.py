"""The one tree of faults. A fault knows its Code; the HTTP status is Code // 100 (conventions section 1).

Raised where the reason is known, converted once in api/bind (incoming) and once in wire (outgoing).
Numbers are never reused. The documentation and `acsmpd openapi` list this table.
"""

from __future__ import annotations

from typing import ClassVar


class Fault(Exception):
    """Something a caller has to be told: a clear sentence and one Code of the list."""

    code: ClassVar[int] = 50000
    title: ClassVar[str] = "internal fault"

    def __init__(self, message: str, *, retry_after_seconds: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after_seconds = retry_after_seconds

    @property
    def status(self) -> int:
        return self.code // 100


class MalformedJson(Fault):
    code, title = 40000, "malformed JSON"


class InvalidField(Fault):
    code, title = 40001, "a field violates its type, length, range or enumeration"


class MissingField(Fault):
    code, title = 40002, "a required field is missing"


class NoToken(Fault):
    code, title = 40101, "no or bad token"


class BadCredentials(Fault):
    """One wording for an unknown user, a wrong password and a ciphertext that does not open."""

    code, title = 40102, "bad username or password"

    def __init__(self, message: str = "the username or the password is wrong") -> None:
        super().__init__(message)


class TokenExpired(Fault):
    code, title = 40103, "token expired"


class NotAllowed(Fault):
    code, title = 40301, "not allowed"


class AwaitingApproval(Fault):
    code, title = 40302, "awaiting approval"


class NotRegistered(Fault):
    """Of the served /CAP face: the platform that calls has to know this site first."""

    code, title = 40303, "not registered with the platform that calls"


class NotFound(Fault):
    code, title = 40401, "not found"


class MethodNotAllowed(Fault):
    code, title = 40501, "method not allowed"

    def __init__(self, message: str, allowed: str = "") -> None:
        super().__init__(message)
        self.allowed = allowed


class Conflict(Fault):
    code, title = 40901, "conflict"


class Duplicate(Fault):
    code, title = 40902, "duplicate"


class ReplicasNotPossible(Fault):
    code, title = 40903, "replicas not possible on this device"


class NoServicesHere(Fault):
    code, title = 40904, "this device takes no services"


class FederationLoop(Fault):
    code, title = 40905, "federation loop"


class LengthRequired(Fault):
    code, title = 41101, "a Content-Length is required"


class TooLarge(Fault):
    code, title = 41301, "too large"


class UnsupportedMedia(Fault):
    code, title = 41501, "unsupported content type"


class ChecksumMismatch(Fault):
    code, title = 42201, "checksum mismatch"


class InvalidPackage(Fault):
    code, title = 42202, "not a valid package"


class SlowDown(Fault):
    code, title = 42901, "slow down"


class Internal(Fault):
    code, title = 50000, "internal fault"


class Planned(Fault):
    code, title = 50100, "planned, not served yet"


class NotSupported(Fault):
    code, title = 50101, "not supported by this facility"


class FacilityRefused(Fault):
    code, title = 50201, "the facility refused"


class NoAnswerInTime(Fault):
    code, title = 50401, "no answer in time"


class NoSpace(Fault):
    code, title = 50701, "no space left"


class StepFault(Exception):
    """How a step on a facility can fail; the engine decides by the class, never by the text."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Temporary(StepFault):
    """It did not happen and may work later: back off."""


class Permanent(StepFault):
    """It did not happen and will not: ERROR with this reason until the wish changes."""


class Unknown(StepFault):
    """It may have happened (time-out, line cut after sending): look before repeating."""


NO_RIGHT = (NotAllowed.code, BadCredentials.code)
"""What somebody is told again and again whom it costs nothing to try; holders of a key or a session too."""


def _walk(kind: type[Fault]) -> list[type[Fault]]:
    return [kind, *(found for child in kind.__subclasses__() for found in _walk(child))]


def catalogue() -> list[tuple[int, str]]:
    """(Code, title) of every fault, ascending."""
    return sorted({(kind.code, kind.title) for kind in _walk(Fault)})


def of_code(code: int, message: str) -> Fault:
    """The fault a stored Code stands for, with its message; Internal for a Code not of the list."""
    kind = next((kind for kind in _walk(Fault) if kind.code == code), Internal)
    return kind(message)
