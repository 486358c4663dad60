"""The cards a device was seen with against those a package asks for."""

from __future__ import annotations

from typing import Any

import pytest

from acsmpd.decide.fitting import cards_in, misfit, streams


def seen(*cards: Any) -> list[dict[str, Any]]:
    return [{"DeviceID": "d", "XpuMonitors": [{"XpuType": card} for card in cards]}]


@pytest.mark.parametrize(
    ("infos", "cards"),
    [
        ([], None),
        ([{}], None),
        ([{"XpuMonitors": None}], None),
        (seen(), None),
        (seen("nvidia_t4", "NVIDIA A2", "NVIDIA-T4"), ("NVIDIA-A2", "NVIDIA-T4")),
        (seen("NVIDIA-T4", "a card of next year"), None),
        (seen(None), None),
        (seen("NVIDIA-T4") + seen("MLU 370 S4"), ("MLU-370-S4/S8", "NVIDIA-T4")),
    ],
)
def test_only_cards_of_the_tables_are_known(infos: Any, cards: Any) -> None:
    assert cards_in(infos) == cards


@pytest.mark.parametrize(
    ("wishes", "cards", "fits"),
    [
        ([], ("NVIDIA-T4",), True),
        ([{"accelerator": "NVIDIA-A2"}], None, True),
        ([{"quota": 1}], ("NVIDIA-T4",), True),
        ([{"accelerator": "nvidia t4"}], ("NVIDIA-T4",), True),
        ([{"accelerator": "NVIDIA-A2"}], ("NVIDIA-T4",), False),
        ([{"vendor": "NVIDIA"}], ("NVIDIA-T4",), True),
        ([{"vendor": "MLU"}], ("NVIDIA-T4",), False),
        ([{"vendor": "Atlas"}], ("ASCEND-310",), True),  # the print's brand of that chip
        ([{"vendor": "ascend"}], ("ASCEND-310",), True),
        ([{"vendor": "MLU", "accelerator": "NVIDIA-T4"}], ("NVIDIA-T4",), False),
        ([{"vendor": "MLU"}, {"vendor": "NVIDIA"}], ("NVIDIA-T4",), True),
        ([{"accelerator": "MLU_370_S8"}], ("MLU-370-S4/S8",), True),
    ],
)
def test_one_card_for_one_wish_is_enough(wishes: Any, cards: Any, fits: bool) -> None:
    assert (misfit(wishes, cards) == "") is fits


def test_a_misfit_says_what_is_asked_and_what_is_there() -> None:
    said = misfit(
        [{"accelerator": "NVIDIA-A2", "vendor": "NVIDIA"}, {"vendor": "MLU"}], ("NVIDIA-T4", "AMD-MI300A")
    )
    assert said == "its package asks for a card NVIDIA-A2 or MLU, the device has NVIDIA-T4, AMD-MI300A"


def told(accelerator: str, number: int, **more: Any) -> dict[str, Any]:
    return {"vendor": "NVIDIA", "accelerator": accelerator, "stream_video_quota": number, **more}


BIG, SMALL = told("NVIDIA-A100", 20), told("NVIDIA-A2", 2)


@pytest.mark.parametrize(
    ("wishes", "given", "cards", "number"),
    [
        ([], "", ("NVIDIA-A2",), None),
        ([{"vendor": "NVIDIA"}], "", ("NVIDIA-A2",), None),
        ([BIG, SMALL], "", ("NVIDIA-A2",), 2),
        ([BIG, SMALL], "", ("NVIDIA-A100",), 20),
        ([SMALL, BIG], "", ("NVIDIA-A100",), 20),
        ([BIG, SMALL], "", ("NVIDIA-A100", "NVIDIA-A2"), 2),
        ([BIG, SMALL], "nvidia a100", ("NVIDIA-A100", "NVIDIA-A2"), 20),
        ([BIG, SMALL], "a card of next year", ("NVIDIA-A100",), 20),
        ([BIG, SMALL], "", None, 2),
        ([BIG, SMALL], "", ("NVIDIA-T4",), 2),  # a misfit takes nothing anyway
        ([BIG, told("NVIDIA-A100", 5, resolution="PIXELS_800W")], "", ("NVIDIA-A100",), 20),
        ([told("NVIDIA-A100", 0), SMALL], "", ("NVIDIA-A2",), 2),
        ([told("", 6)], "", ("NVIDIA-T4",), 6),
        ([told("", 6)], "", None, 6),
    ],
)
def test_a_service_carries_what_its_card_carries(wishes: Any, given: str, cards: Any, number: Any) -> None:
    assert streams(wishes, given, cards) == number
