"""What the schema of an AlgoTaskInfo cannot say, because its inner parts are kept verbatim."""

from __future__ import annotations

from acsmpd.faults import InvalidField, MissingField
from acsmpd.spec.checking import convert
from acsmpd.spec.messages.instances import (
    AlgoTaskInfo,
    RulesParams,
    StreamOptions,
    TaskInstanceUpdateRequest,
)

MOST_RECEIVERS = 64
"""Addresses of one task: each result is put into the outbox for every one."""


def check_task_info(info: AlgoTaskInfo | TaskInstanceUpdateRequest, path: str = "$") -> None:
    """Check rules and stream of a task against their structs without changing them.

    Every rule names an event, and all rules together so many receivers; what we do not know in a rule or a stream is nobody's fault.
    """
    if info.rules_params is not None:
        if not info.rules_params:
            raise InvalidField(f"{path}.RulesParams: must hold at least one rule")
        for at, rule in enumerate(info.rules_params):
            convert(rule, RulesParams, at=f"{path}.RulesParams[{at}]")
            if rule.get("EventID") is None:
                raise MissingField(f"{path}.RulesParams[{at}].EventID: required")
        urls = {url for rule in info.rules_params for url in rule.get("ResultReceiveUrl") or ()}
        if len(urls) > MOST_RECEIVERS:
            raise InvalidField(
                f"{path}.RulesParams: at most {MOST_RECEIVERS} addresses in ResultReceiveUrl, not {len(urls)}"
            )
    if info.stream_options is not None:
        convert(info.stream_options, StreamOptions, at=f"{path}.StreamOptions")
