"""NVIDIA cards through NVML. Belongs in the sampler's child process: any call into the driver may hang.

Every number is optional, since MIG, Jetson and older boards answer "Not Supported" to some of them, and
older drivers lack whole functions. One lost card takes nothing away from the others.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable
from typing import Any

from acsmpd.probes.probe import Card, CardProcess, CardState, Reading
from acsmpd.spec.accelerators import canonical_card

LIBRARY = "libnvidia-ml.so.1"
VENDOR = "NVIDIA"
MAX_CARDS = 64
MAX_PROCESSES = 256

# Words of an NVML name that tell the brand, and words that tell the board's form but not the model.
# "Ti", "SUPER", "Laptop", "D" are not among them: those are other cards than the one of table H.1.
_BRAND = frozenset({"NVIDIA", "TESLA", "GEFORCE", "RTX"})
_FORM = re.compile(r"SXM\d?|PCIE|NVL|HBM\d?E?|\d+GB|ACTIVE")


def library_present() -> bool:
    """Whether the driver's library can be loaded. Nothing in it is called."""
    try:
        ctypes.CDLL(LIBRARY)
    except OSError:
        return False
    return True


def card_type(name: str) -> str:
    """The H.1 identifier of an NVML name ("Tesla T4", "NVIDIA A100-SXM4-40GB"); unknown: the name itself."""
    words = [word for word in re.split(r"[\s_-]+", name.upper()) if word and word not in _BRAND]
    if not words:
        return name or VENDOR
    model, form = words[0], words[1:]
    known = canonical_card(f"{VENDOR}-{model}") if all(_FORM.fullmatch(word) for word in form) else None
    return known or name


class NvidiaProbe:
    """The Probe of NVIDIA cards."""

    def __init__(self) -> None:
        import pynvml  # only the child ever pays for this import

        self._nvml: Any = pynvml
        self._open = False
        self._cannot_tell = (
            pynvml.NVMLError_NotSupported,
            pynvml.NVMLError_FunctionNotFound,
            pynvml.NVMLError_NoPermission,
            pynvml.NVMLError_NotFound,
            pynvml.NVMLError_NoData,
        )

    def read(self) -> Reading:
        nvml = self._nvml
        try:
            if not self._open:
                nvml.nvmlInit()
                self._open = True
            count = nvml.nvmlDeviceGetCount()
        except nvml.NVMLError as error:
            self.close()
            # A driver was replaced under the loaded library: only a new process can load the new one.
            spent = isinstance(error, nvml.NVMLError_LibRmVersionMismatch)
            return Reading(faults=(f"cannot read NVIDIA cards: {error}",), spent=spent)
        cards = tuple(self._card(index) for index in range(min(count, MAX_CARDS)))
        if any(card.state == "lost" for card in cards):
            self.close()  # NVML lists its cards when it is opened: one that came back is seen only then
        return Reading(cards=cards)

    def close(self) -> None:
        if not self._open:
            return
        self._open = False
        try:
            self._nvml.nvmlShutdown()
        except self._nvml.NVMLError:
            return  # it was gone already

    def _card(self, index: int) -> Card:
        nvml = self._nvml
        name = uuid = ""
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            name = self._ask(nvml.nvmlDeviceGetName, handle) or ""
            uuid = self._ask(nvml.nvmlDeviceGetUUID, handle) or ""
            return self._measured(index, uuid, name, handle)
        except nvml.NVMLError as error:
            state: CardState = "lost" if isinstance(error, nvml.NVMLError_GpuIsLost) else "fault"
            return Card(
                index=index,
                uuid=uuid,
                vendor=VENDOR,
                type=card_type(name),
                name_raw=name,
                state=state,
                error=str(error),
            )

    def _measured(self, index: int, uuid: str, name: str, handle: Any) -> Card:
        nvml = self._nvml
        memory = self._ask(nvml.nvmlDeviceGetMemoryInfo, handle)
        rates = self._ask(nvml.nvmlDeviceGetUtilizationRates, handle)
        celsius = self._ask(nvml.nvmlDeviceGetTemperature, handle, nvml.NVML_TEMPERATURE_GPU)
        milliwatts = self._ask(nvml.nvmlDeviceGetPowerUsage, handle)
        return Card(
            index=index,
            uuid=uuid,
            vendor=VENDOR,
            type=card_type(name),
            name_raw=name,
            memory_bytes=None if memory is None else int(memory.total),
            memory_used_bytes=None if memory is None else int(memory.used),
            utilization=None if rates is None else _fraction(rates.gpu),
            temperature_celsius=None if celsius is None else float(celsius),
            power_watts=None if milliwatts is None else milliwatts / 1000,
            processes=self._processes(handle),
        )

    def _processes(self, handle: Any) -> tuple[CardProcess, ...]:
        nvml = self._nvml
        found = self._ask(nvml.nvmlDeviceGetComputeRunningProcesses_v3, handle)
        if found is None:
            found = self._ask(nvml.nvmlDeviceGetComputeRunningProcesses_v2, handle) or ()
        if not found:
            return ()
        samples = self._ask(nvml.nvmlDeviceGetProcessUtilization, handle, 0) or ()
        newest = {int(s.pid): s for s in sorted(samples, key=lambda sample: int(sample.timeStamp))}
        return tuple(
            CardProcess(
                pid=int(process.pid),
                memory_used_bytes=process.usedGpuMemory,
                utilization=_fraction(newest[process.pid].smUtil) if process.pid in newest else None,
            )
            for process in found[:MAX_PROCESSES]
        )

    def _ask(self, question: Callable[..., Any], *arguments: Any) -> Any:
        """The driver's answer, or None where this card or this driver cannot tell."""
        try:
            return question(*arguments)
        except self._cannot_tell:
            return None
        except self._nvml.NVMLError as error:
            if error.value == self._nvml.NVML_SUCCESS:
                return None  # pynvml raises "success" for an empty list of samples
            raise


def _fraction(percent: int) -> float:
    return min(max(percent / 100, 0.0), 1.0)
