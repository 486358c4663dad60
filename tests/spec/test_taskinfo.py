"""The inner parts of a task: checked, and left as they are."""
# ruff: noqa: E501 - one case a line

from __future__ import annotations

from typing import Any

import pytest

from acsmpd.faults import Fault
from acsmpd.spec.messages import instances
from acsmpd.spec.reading import check_task_info, read_strict
from tests.spec.test_reading import TASK, raw


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"RulesParams": []}, 40001, "$.RulesParams: must hold at least one rule"),
        ({"RulesParams": [{"EventID": "A"}, {}]}, 40002, "$.RulesParams[1].EventID: required"),
        ({"RulesParams": [{"EventID": None}]}, 40002, "$.RulesParams[0].EventID: required"),
        ({"RulesParams": [{"EventID": "intrusion"}]}, 40001, "$.RulesParams[0].EventID: must be 1 to 128 of A-Z, 0-9 and _"),
        ({"RulesParams": [{"EventID": "A\n"}]}, 40001, "$.RulesParams[0].EventID: must be 1 to 128 of A-Z, 0-9 and _"),
        ({"RulesParams": [{"EventID": "A" * 129}]}, 40001, "$.RulesParams[0].EventID: longer than 128 characters"),
        ({"RulesParams": [{"EventID": 5}]}, 40001, "$.RulesParams[0].EventID: must be 1 to 128 of A-Z, 0-9 and _, not an integer"),
        ({"RulesParams": [{"EventID": "A", "ResultReceiveUrl": "http://x"}]}, 40001, "$.RulesParams[0].ResultReceiveUrl: must be a list, not a string"),
        ({"RulesParams": [{"EventID": "A", "ResultReceiveUrl": [5]}]}, 40001, "$.RulesParams[0].ResultReceiveUrl[0]: must be a string of at most 1024 characters, not an integer"),
        ({"RulesParams": [{"EventID": "A", "Areas": [{"Points": [{"PointX": 0.5}]}]}]}, 40002, "$.RulesParams[0].Areas[0].Points[0].PointY: required"),
        ({"RulesParams": [{"EventID": "A", "ResultReceiveUrl": [f"http://x/{n}" for n in range(40 * m, 40 * m + 40)]} for m in range(2)]}, 40001, "$.RulesParams: at most 64 addresses in ResultReceiveUrl, not 80"),
        ({"StreamOptions": {"VideoStreamOptions": {"Url": 5}}}, 40001, "$.StreamOptions.VideoStreamOptions.Url: must be a string, not an integer"),
    ],
)  # fmt: skip
def test_check_task_info(change: dict[str, Any], code: int, words: str) -> None:
    message, _ = read_strict(instances.AlgoTaskInfo, raw({**TASK, **change}))
    with pytest.raises(Fault) as fault:
        check_task_info(message)
    assert (fault.value.code, fault.value.message) == (code, words)
    with pytest.raises(Fault, match=r"^\$\.AlgoTaskInfos\[3\]\."):
        check_task_info(message, "$.AlgoTaskInfos[3]")


def test_check_task_info_leaves_what_it_does_not_know() -> None:
    rule = {"EventID": "A", "ResultReceiveUrl": ["http://x"], "Masks": [], "Own": {"x": 1}, "Areas": None}
    message, _ = read_strict(instances.AlgoTaskInfo, raw({**TASK, "RulesParams": [rule]}))
    check_task_info(message)
    assert message.rules_params == [rule]


def test_many_rules_may_have_the_same_receivers() -> None:
    urls = [f"http://x/{number}" for number in range(64)]
    rules = [{"EventID": f"A{number}", "ResultReceiveUrl": urls} for number in range(20)]
    message, _ = read_strict(instances.AlgoTaskInfo, raw({**TASK, "RulesParams": rules}))
    check_task_info(message)
    check_task_info(instances.TaskInstanceUpdateRequest(name="n"))
