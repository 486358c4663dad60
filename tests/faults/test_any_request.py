"""Whatever the document allows, and much that it forbids: answered as the document says, and nothing breaks.

schemathesis makes the requests from /openapi.json: the edges of every member's type, and random ones.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import pytest
from hypothesis import settings
from schemathesis import GenerationMode

from tests.api.published import operations
from tests.support.generated import ANYHOW, Campaign
from tests.support.world import world

MODES = list(GenerationMode)
OPERATIONS = {f"{method.upper()} {path}": found for path, method, found in operations()}
EDGES = {GenerationMode.POSITIVE: 8, GenerationMode.NEGATIVE: 4}
EXAMPLES = 12
NOBODY_WORKED = {401, 403, 405, 429}


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campaign]:
    with world(tmp_path_factory.mktemp("campaign")) as one, Campaign(one) as campaign:
        yield campaign
        assert "Traceback" not in one.box.log.read_text()


@pytest.fixture(scope="module")
def number() -> int:
    """The seed of what is random: REQUESTS_SEED, or a fresh one."""
    return int(os.environ.get("REQUESTS_SEED", "0")) or random.SystemRandom().randrange(1, 2**31)


def test_the_campaign_has_every_operation_of_the_document(campaign: Campaign) -> None:
    assert sorted(campaign.operations) == sorted(OPERATIONS)
    assert len(OPERATIONS) == sum(1 for _ in operations()) > 150


@pytest.mark.parametrize("label", OPERATIONS)
def test_requests_are_answered_as_described(campaign: Campaign, label: str) -> None:
    """Some edges, the same in every run; of what is planned one is enough."""
    for mode, wanted in EDGES.items() if "x-planned" not in OPERATIONS[label] else [(MODES[0], 1)]:
        edges = campaign.edges(label, mode)
        for case in edges[:: max(1, len(edges) // wanted)]:
            campaign.send(case)
    assert set(campaign.answers[label]) - NOBODY_WORKED, campaign.answers[label]


@pytest.mark.long
@pytest.mark.parametrize("label", OPERATIONS)
def test_many_requests_are_answered_as_described(campaign: Campaign, label: str, number: int) -> None:
    """Every edge, and random requests, which are others in every run."""
    print(f"REQUESTS_SEED={number}")
    for mode in MODES:
        for case in campaign.edges(label, mode):
            campaign.send(case)
        if "x-planned" not in OPERATIONS[label]:
            for case in campaign.drawn(label, mode, settings(ANYHOW, max_examples=EXAMPLES), number):
                campaign.send(case)
    assert set(campaign.answers[label]) - NOBODY_WORKED, campaign.answers[label]
