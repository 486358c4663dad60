"""Accelerator cards and chips: tables H.1 and H.2 of Part 5 as data.

Row 34 of H.1 repeats the id of row 33 although its model is the 270-F4: MLU-270-F4 is added for it.
"""

from __future__ import annotations

from typing import NamedTuple


class Accelerator(NamedTuple):
    """One card or chip: its printed id, brand and name."""

    id: str
    vendor: str
    name: str


# Table H.1; names with a misprinted character are repaired.
CARDS: tuple[Accelerator, ...] = (
    Accelerator("NVIDIA-T4", "NVIDIA", "英伟达-T4"),
    Accelerator("NVIDIA-P4", "NVIDIA", "英伟达-P4"),
    Accelerator("NVIDIA-3080", "NVIDIA", "英伟达-3080"),
    Accelerator("NVIDIA-3090", "NVIDIA", "英伟达-3090"),
    Accelerator("NVIDIA-4080", "NVIDIA", "英伟达-4080"),
    Accelerator("NVIDIA-4090", "NVIDIA", "英伟达-4090"),
    Accelerator("NVIDIA-5080", "NVIDIA", "英伟达-5080"),
    Accelerator("NVIDIA-5090", "NVIDIA", "英伟达-5090"),
    Accelerator("NVIDIA-A2", "NVIDIA", "英伟达-A2"),
    Accelerator("NVIDIA-A10", "NVIDIA", "英伟达-A10"),
    Accelerator("NVIDIA-A16", "NVIDIA", "英伟达-A16"),
    Accelerator("NVIDIA-A30", "NVIDIA", "英伟达-A30"),
    Accelerator("NVIDIA-A40", "NVIDIA", "英伟达-A40"),
    Accelerator("NVIDIA-A100", "NVIDIA", "英伟达-A100"),
    Accelerator("NVIDIA-A800", "NVIDIA", "英伟达-A800"),
    Accelerator("NVIDIA-H100", "NVIDIA", "英伟达-H100"),
    Accelerator("NVIDIA-H200", "NVIDIA", "英伟达-H200"),
    Accelerator("NVIDIA-H800", "NVIDIA", "英伟达-H800"),
    Accelerator("NVIDIA-V100", "NVIDIA", "英伟达-V100"),
    Accelerator("AMD-MI300A", "AMD", "AMD-MI300A"),
    Accelerator("AMD-MI300X", "AMD", "AMD-MI300X"),
    Accelerator("AMD-MI325X", "AMD", "AMD-MI325X"),
    Accelerator("AMD-MI350X", "AMD", "AMD-MI350X"),
    Accelerator("AXERA-AX620u", "AXERA", "爱芯-AX620u"),
    Accelerator("AXERA-AX630", "AXERA", "爱芯-AX630"),
    Accelerator("AXERA-AX650", "AXERA", "爱芯-AX650"),
    Accelerator("BITMAIN-SC3", "BITMAIN", "比特大陆算丰 SC3"),
    Accelerator("BITMAIN-SC5", "BITMAIN", "比特大陆算丰 SC5"),
    Accelerator("MLU-370-S4/S8", "MLU", "寒武纪思元-370-S4/S8"),
    Accelerator("MLU-370-X4", "MLU", "寒武纪思元-370-X4"),
    Accelerator("MLU-370-X8", "MLU", "寒武纪思元-370-X8"),
    Accelerator("MLU-290-M5", "MLU", "寒武纪思元-290-M5"),
    Accelerator("MLU-270-S4", "MLU", "寒武纪思元-270-S4"),
    Accelerator("MLU-270-F4", "MLU", "寒武纪思元-270-F4"),
    Accelerator("Atlas-300I-Pro", "Atlas", "Atlas-300I-Pro"),
    Accelerator("Atlas-300I-Duo", "Atlas", "Atlas-300I-Duo"),
    Accelerator("Atlas-300V", "Atlas", "Atlas-300V"),
    Accelerator("Atlas-300V-Pro", "Atlas", "Atlas-300V-Pro"),
    Accelerator("KUNLUN-K200", "KUNLUN", "昆仑-K200"),
    Accelerator("KUNLUN-R200", "KUNLUN", "昆仑-R200"),
    Accelerator("KUNLUN-R300", "KUNLUN", "昆仑-R300"),
    Accelerator("KUNLUN-P800", "KUNLUN", "昆仑-P800"),
    Accelerator("KUNLUN-RG800", "KUNLUN", "昆仑-RG800"),
    Accelerator("CLOUDBLAZER-I10", "CLOUDBLAZER", "燧原-i10"),
    Accelerator("HAIGUANG-DCU1", "HAIGUANG", "海光-DCU 一号"),
    Accelerator("SOPHGO-SC7-HP75", "SOPHGO", "算能-SC7-HP75"),
    Accelerator("SOPHGO-SC11-FP300", "SOPHGO", "算能-SC11-FP300"),
)

# Table H.2.
CHIPS: tuple[Accelerator, ...] = (
    Accelerator("BITMAIN-1682", "BITMAIN", "比特大陆-1682"),
    Accelerator("BITMAIN-1684", "BITMAIN", "比特大陆-1684"),
    Accelerator("ASCEND-310", "Atlas", "昇腾-310"),
    Accelerator("ASCEND-910", "Atlas", "昇腾-910"),
    Accelerator("MLU-220-SOM", "MLU", "寒武纪思元-220-SOM"),
    Accelerator("MLU-220-M.2", "MLU", "寒武纪思元-220-M.2"),
    Accelerator("SOPHGO-SM9-16-ENC-28", "SOPHGO", "算能-SM9-16-ENC-28"),
    Accelerator("SOPHGO-SM9-16-ENC-A8", "SOPHGO", "算能-SM9-16-ENC-A8"),
    Accelerator("SOPHGO-SM9-16-ENC-28-S", "SOPHGO", "算能-SM9-16-ENC-28-S"),
    Accelerator("SOPHGO-SM9-8-ENC-A8", "SOPHGO", "算能-SM9-8-ENC-A8"),
    Accelerator("SOPHGO-SM9-8-ENC-B8", "SOPHGO", "算能-SM9-8-ENC-B8"),
    Accelerator("SOPHGO-SM9-8-ENC-A8-S", "SOPHGO", "算能-SM9-8-ENC-A8-S"),
    Accelerator("SOPHGO-SM7-32-EP4-22", "SOPHGO", "算能-SM7-32-EP4-22"),
    Accelerator("SOPHGO-SM7-32-EN4-23-HX", "SOPHGO", "算能-SM7-32-EN4-23-HX"),
)

ACCELERATORS: tuple[Accelerator, ...] = (*CARDS, *CHIPS)


def folded(name: str) -> str:
    """The key two spellings of one card share: case, `-`, `_` and blanks make no difference."""
    return name.upper().replace("-", "").replace("_", "").replace(" ", "")


_BY_KEY = {folded(card.id): card.id for card in ACCELERATORS}
_BY_KEY |= {
    folded("MLU-370-S4"): "MLU-370-S4/S8",
    folded("MLU-370-S8"): "MLU-370-S4/S8",
}  # one id for two cards


def canonical_card(name: str) -> str | None:
    """The printed id that `name` means (NVIDIA_T4, "NVIDIA A2" and NVIDIA-T4 alike), None for a stranger."""
    return _BY_KEY.get(folded(name))
