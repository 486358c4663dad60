"""The list of faults: numbers that are unique, that say their HTTP status, and that stand for themselves."""

from __future__ import annotations

import pytest

from acsmpd import faults

LISTED = {
    40000, 40001, 40002, 40101, 40102, 40103, 40301, 40302, 40401, 40901, 40902, 40903, 40904, 40905, 41301,
    42201, 42202, 42901, 50000, 50100, 50101, 50201, 50401, 50701,
}  # fmt: skip
"""Those the conventions fix; a number is never reused or dropped."""


def kinds() -> list[type[faults.Fault]]:
    """Every class of the tree except its root."""
    found, todo = [], [faults.Fault]
    while todo:
        below = todo.pop().__subclasses__()
        found += below
        todo += below
    return [kind for kind in found if kind.__module__ == "acsmpd.faults"]


def test_every_number_of_the_conventions_is_there() -> None:
    assert {code for code, _ in faults.catalogue()} >= LISTED


def test_no_number_stands_for_two_faults() -> None:
    codes = [kind.code for kind in kinds()]
    assert len(set(codes)) == len(codes)
    titles = [kind.title for kind in kinds()]
    assert len(set(titles)) == len(titles)


def test_the_catalogue_is_ascending_and_whole() -> None:
    listed = faults.catalogue()
    assert listed == sorted(listed)
    assert {kind.code for kind in kinds()} == {code for code, _ in listed}


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: str(kind.code))
def test_a_number_says_its_http_status(kind: type[faults.Fault]) -> None:
    fault = kind("cannot do it: reason")
    assert fault.status == kind.code // 100
    assert 400 <= fault.status < 600


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: str(kind.code))
def test_a_stored_number_gives_the_fault_back(kind: type[faults.Fault]) -> None:
    fault = faults.of_code(kind.code, "cannot do it: reason")
    assert fault.code == kind.code
    assert type(fault) is kind or kind is faults.Internal
    assert (fault.message, str(fault)) == ("cannot do it: reason", "cannot do it: reason")


@pytest.mark.parametrize("code", [0, -1, 40099, 99999])
def test_a_number_nobody_knows_is_internal(code: int) -> None:
    fault = faults.of_code(code, "what was stored")
    assert (fault.code, fault.message) == (50000, "what was stored")


def test_every_wrong_credential_has_one_wording() -> None:
    assert str(faults.BadCredentials()) == "the username or the password is wrong"


def test_a_fault_may_say_when_to_come_again() -> None:
    assert faults.SlowDown("later", retry_after_seconds=8).retry_after_seconds == 8
    assert faults.SlowDown("later").retry_after_seconds is None


@pytest.mark.parametrize("kind", [faults.Temporary, faults.Permanent, faults.Unknown])
def test_a_step_fault_is_told_by_its_class_and_is_no_answer_to_a_caller(kind: type[faults.StepFault]) -> None:
    fault = kind("the device said no")
    assert (fault.message, str(fault)) == ("the device said no", "the device said no")
    assert not isinstance(fault, faults.Fault)
    others = {faults.Temporary, faults.Permanent, faults.Unknown} - {kind}
    assert not any(isinstance(fault, other) for other in others)
