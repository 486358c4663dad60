"""What this box itself cannot take, told before anything is wished for."""

from __future__ import annotations

from typing import Any

import pytest

from acsmpd import faults
from acsmpd.decide.environment import check_local

PACKAGE: dict[str, Any] = {"id": "1" * 40, "kind": "artifact", "manifest": {"env": [["MODE", "day"]]}}


def test_declared_names_and_those_open_to_all_are_fine() -> None:
    check_local(PACKAGE, [{"Name": "MODE", "Value": "night"}, {"Name": "LOG_LEVEL", "Value": "info"}])
    check_local({**PACKAGE, "manifest": {}}, [])


@pytest.mark.parametrize(
    ("more", "name", "kind", "words"),
    [
        ({}, "OTHER", faults.InvalidField, r"\$\.Env: OTHER is not declared"),
        ({"manifest": {"env": [["PATH", "/"]]}}, "PATH", faults.InvalidField, "PATH is set by this box"),
    ],
)
def test_the_rest_is_refused_with_words(
    more: dict[str, Any], name: str, kind: type[faults.Fault], words: str
) -> None:
    with pytest.raises(kind, match=words):
        check_local({**PACKAGE, **more}, [{"Name": name, "Value": "x"}])
