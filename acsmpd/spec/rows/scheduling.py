"""Our extensions that say how work is spread: roll-outs, schedule policies, pipelines (conventions section 10)."""

from __future__ import annotations

from acsmpd.spec.messages import pipelines, policies, rollouts
from acsmpd.spec.messages.paging import EmptyResponse
from acsmpd.spec.operation import Access, Operation
from acsmpd.spec.rows.extensions import read, row
from acsmpd.spec.scalars import PathName, PlanID

_ROLLOUT = {"path": {"ID": PlanID}}

ROLLOUTS: tuple[Operation, ...] = (
    read("list_rollouts", "GET", "Rollouts", None, rollouts.RolloutListResponse, "List rollouts"),
    row(
        "create_rollout",
        "POST",
        "Rollouts",
        rollouts.RolloutRequest,
        rollouts.RolloutCreateResponse,
        Access.OPERATE,
        "Bring a package to many devices, in waves",
        wait=True,
        note="The next wave begins when every member of the present one is done or has failed. A device that has "
        "the package (with Load: a service of it) already is done without a step.",
    ),
    read(
        "get_rollout",
        "GET",
        "Rollouts/<ID>",
        None,
        rollouts.RolloutResponse,
        "One rollout and its members",
        **_ROLLOUT,
    ),
    row(
        "delete_rollout",
        "DELETE",
        "Rollouts/<ID>",
        None,
        EmptyResponse,
        Access.OPERATE,
        "Stop a rollout and forget it",
        **_ROLLOUT,
        note="What has left for a device stays there; what has not is withdrawn.",
    ),
    row(
        "pause_rollout",
        "POST",
        "Rollouts/<ID>/Pause",
        None,
        EmptyResponse,
        Access.OPERATE,
        "Begin no further members of a rollout",
        **_ROLLOUT,
        note="Members in progress are carried through.",
    ),
    row(
        "resume_rollout",
        "POST",
        "Rollouts/<ID>/Resume",
        None,
        EmptyResponse,
        Access.OPERATE,
        "Go on with a rollout",
        **_ROLLOUT,
        note="?Force=true goes on at once and drops its DispatchWindow.",
    ),
)

POLICIES: tuple[Operation, ...] = (
    read(
        "list_schedule_policies",
        "GET",
        "SchedulePolicies",
        None,
        policies.SchedulePolicyListResponse,
        "List schedule policies, the global one first",
    ),
    row(
        "create_schedule_policy",
        "POST",
        "SchedulePolicies",
        policies.SchedulePolicyRequest,
        policies.SchedulePolicyResponse,
        Access.OPERATE,
        "Say how the work of a capability, or all work, is placed and moved",
        note="One policy for a capability, one without AlgoDefCode for all others.",
    ),
    row(
        "update_schedule_policy",
        "PUT",
        "SchedulePolicies/<ID>",
        policies.SchedulePolicyUpdateRequest,
        policies.SchedulePolicyResponse,
        Access.OPERATE,
        "Change a schedule policy",
        path={"ID": PathName},
    ),
    row(
        "delete_schedule_policy",
        "DELETE",
        "SchedulePolicies/<ID>",
        None,
        EmptyResponse,
        Access.OPERATE,
        "Delete a schedule policy; what is placed stays where it is",
        path={"ID": PathName},
    ),
)

PIPELINES: tuple[Operation, ...] = (
    read("list_pipelines", "GET", "Pipelines", None, pipelines.PipelineListResponse, "List pipelines"),
    row(
        "create_pipeline",
        "POST",
        "Pipelines",
        pipelines.PipelineRequest,
        pipelines.PipelineResponse,
        Access.OPERATE,
        "Have results of one capability set work of another going",
        note="Action TASK starts a task on the stream of the result; Action PICTURE hands its picture on as an "
        "IMAGE_REALTIME task. Pipelines that would feed themselves are refused.",
    ),
    read(
        "get_pipeline",
        "GET",
        "Pipelines/<ID>",
        None,
        pipelines.PipelineResponse,
        "One pipeline",
        path={"ID": PathName},
    ),
    row(
        "update_pipeline",
        "PUT",
        "Pipelines/<ID>",
        pipelines.PipelineUpdateRequest,
        pipelines.PipelineResponse,
        Access.OPERATE,
        "Change a pipeline, switch it on or off",
        path={"ID": PathName},
        note="Switched off, it ends its runs. On again, it looks at the results that come from then on.",
    ),
    row(
        "delete_pipeline",
        "DELETE",
        "Pipelines/<ID>",
        None,
        EmptyResponse,
        Access.OPERATE,
        "Delete a pipeline and end its runs",
        path={"ID": PathName},
    ),
    read(
        "search_pipeline_runs",
        "POST",
        "Pipelines/Runs/Search",
        pipelines.PipelineRunSearchRequest,
        pipelines.PipelineRunSearchResponse,
        "Search the runs of pipelines, the newest first",
    ),
)
