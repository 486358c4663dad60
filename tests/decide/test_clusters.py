"""Names, states and wishes on a computing platform."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acsmpd.decide import clusters
from acsmpd.decide.clusters import Pod
from acsmpd.model import Family, image_trouble

LOAD = "76079e21-1b8b-4151-b904-6c56a4635d58"


@given(st.uuids())
def test_a_name_is_lawful_and_leads_back_to_its_load(load_id: object) -> None:
    name = clusters.workload_name(str(load_id))
    assert re.fullmatch("[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", name)
    assert clusters.load_of_name(name) == clusters.load_of_name(f"{name}-deployment-dxxds") == str(load_id)


@pytest.mark.parametrize(
    "name",
    ["", "acsmp-", "acsmp-76079e21", f"acsmp-{LOAD}", f"x-acsmp-{'a' * 32}", f"acsmp-{'a' * 33}", f"acsmp-{'G' * 32}"],
)  # fmt: skip
def test_a_name_like_ours_is_not_ours(name: str) -> None:
    assert clusters.load_of_name(name) == ""


@given(st.text(max_size=300), st.text(max_size=300))
def test_what_others_run_can_be_named(image: str, name: str) -> None:
    assert re.fullmatch("[0-9A-Za-z._-]{1,40}", clusters.shown_as(image, name))


def pod(name: str = "p", **more: object) -> Pod:
    return Pod(name=name, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("pods", "replicas", "state"),
    [
        ([], 1, "INIT"),
        ([pod()], 1, "INIT"),
        ([pod(ready=True)], 1, "RUNNING"),
        ([pod(ready=True), pod(status="Failed")], 2, "RUNNING"),
        ([pod(status="Failed")], 1, "ERROR"),
        ([pod(restarts=3)], 1, "ERROR"),
        ([pod(restarts=3, ready=True)], 1, "RUNNING"),
        ([], 0, "INIT"),
    ],
)
def test_the_state_of_a_service_is_that_of_its_pods(pods: list[Pod], replicas: int, state: str) -> None:
    assert clusters.state_of(pods, replicas)[0] == state


@pytest.mark.parametrize(
    ("wishes", "card", "cards"),
    [
        ([], "NVIDIA_T4", 0.0),
        ([{"quota": 0.25}], "", 0.3),
        ([{"quota": 0.2}], "NVIDIA_T4", 0.2),
        ([{"quota": 1}], "", 1.0),
        (
            [{"quota": 0.5, "accelerator": "NVIDIA-A2"}, {"quota": 0.1, "accelerator": "NVIDIA-T4"}],
            "NVIDIA_T4",
            0.1,
        ),
        ([{"quota": None}], "", 1.0),
    ],
)
def test_cards_are_asked_for_with_one_decimal(
    wishes: list[dict[str, object]], card: str, cards: float
) -> None:
    assert clusters.cards_wanted(wishes, card) == cards


@pytest.mark.parametrize(
    ("manifest", "fine"),
    [
        ({"kind": "image", "remote_uri": "registry:5000/provider-human:1.0.0"}, True),
        ({"kind": "image", "remote_uri": "r/a@sha256:" + "a" * 64}, True),
        ({"kind": "image", "remote_uri": ""}, False),
        ({"kind": "artifact", "remote_uri": "r/a:1"}, False),
        ({"kind": "image", "remote_uri": "r/a:1 --privileged"}, False),
        ({"kind": "image", "remote_uri": "-v"}, False),
        ({"kind": "image", "remote_uri": "r/" + "a" * 255}, False),
    ],
)
def test_only_an_image_with_an_address_can_be_pulled(manifest: dict[str, str], fine: bool) -> None:
    assert (image_trouble(manifest) == "") is fine


def test_tasks_are_refused_where_nobody_controls_them() -> None:
    assert clusters.tasks_refused(Family.CCP, "none")
    assert clusters.tasks_refused(Family.CCP, "ours") == clusters.tasks_refused(Family.CAD, "none") == ""
