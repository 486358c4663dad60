"""What the tests of the CCP driver share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from acsmpd.security.egress import EgressPolicy
from acsmpd.wire.caller import Wire
from tests.drivers.ccp_setup import Stage
from tests.support.fake_ccp import FakeCcp


@pytest.fixture
def wire() -> Iterator[Wire]:
    made = Wire(EgressPolicy(("127.0.0.1:*",)), "1" * 20, 2.0, 2.0, 1024 * 1024)
    yield made
    made.close()


@pytest.fixture
def ccp() -> Iterator[FakeCcp]:
    with FakeCcp(engines_listen=True) as fake:
        yield fake


@pytest.fixture
def stage(wire: Wire, ccp: FakeCcp) -> Stage:
    return Stage(wire, ccp.url)


@pytest.fixture
def tasked(wire: Wire, ccp: FakeCcp) -> Stage:
    """With task control on the pods."""
    return Stage(wire, ccp.url, "ours")
