"""`./scripts/demo --image`: the sample algorithm as a container of a real engine."""

from __future__ import annotations

from pathlib import Path

from tests.demo.conftest import Runs
from tests.demo.test_demo import RESULT
from tests.support.container_engines import container_engine


def test_the_same_job_runs_in_a_container(tmp_path: Path) -> None:
    with container_engine("dockerd") as engine:
        own = {
            "ACSMPD_RUNTIME_CONTAINER_SOCKET": str(engine.socket),
            "ACSMPD_RUNTIME_IMAGE_MIN_FREE_BYTES": "1000000",
        }
        code, text = Runs(tmp_path / "var").run("--image", "--once", **own)
        assert code == 0, text
        assert len(RESULT.findall(text)) == 5
        assert f"at {engine.socket}" in text
        assert engine.containers() == []


def test_without_an_engine_it_says_what_is_missing(tmp_path: Path) -> None:
    socket = str(tmp_path / "none.sock")
    code, text = Runs(tmp_path / "var").run("--image", "--once", ACSMPD_RUNTIME_CONTAINER_SOCKET=socket)
    assert code == 1
    assert f"no container engine listens at {socket}" in text
    assert "apt-get install docker.io" in text
