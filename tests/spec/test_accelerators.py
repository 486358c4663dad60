"""Cards by any of the spellings in use."""

from __future__ import annotations

import pytest

from acsmpd.spec.accelerators import ACCELERATORS, canonical_card


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("NVIDIA-A2", "NVIDIA-A2"),
        ("NVIDIA_T4", "NVIDIA-T4"),
        ("NVIDIA A2", "NVIDIA-A2"),
        ("nvidia-a100", "NVIDIA-A100"),
        ("atlas 300i pro", "Atlas-300I-Pro"),
        ("MLU-270-S4", "MLU-270-S4"),
        ("MLU-270-F4", "MLU-270-F4"),
        ("MLU-370-S8", "MLU-370-S4/S8"),
        ("ASCEND-310", "ASCEND-310"),
        ("NVIDIA-A1", None),
        ("", None),
    ],
)
def test_canonical_card(name: str, printed: str | None) -> None:
    assert canonical_card(name) == printed


def test_ids_are_unique() -> None:
    ids = [it.id for it in ACCELERATORS]
    assert len(ids) == len(set(ids)) == 47 + 14
