"""The latest state of the machine and its cards, always at hand: nobody who asks ever waits for hardware."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from pathlib import Path

import psutil
from msgspec import structs

from acsmpd.clock import Clock
from acsmpd.probes.history import History
from acsmpd.probes.host import HostProbe
from acsmpd.probes.probe import Card, Sample
from acsmpd.probes.trends import record_sample
from acsmpd.probes.watch import CardWatch, Pace

log = logging.getLogger(__name__)

STOP_SECONDS = 5.0


class Sampler:
    """Two threads keep a Sample fresh: one samples the host, one asks the cards' child process.

    `environment` is added to the child's, for drivers in unusual places. A machine without a driver library
    keeps neither the child nor its thread.
    """

    def __init__(
        self,
        clock: Clock,
        data_dir: Path,
        *,
        pace: Pace | None = None,
        history: History | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._clock = clock
        self._pace = pace or Pace()
        self.history = history or History()
        self._host = HostProbe(clock, data_dir)
        self._lock = threading.Lock()
        self._sample: Sample | None = None
        self._sampled_mono = 0.0
        self._cards: tuple[Card, ...] = ()
        self._cards_known = False
        self._card_faults: tuple[str, ...] = ()
        self._host_faults: tuple[str, ...] = ()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._watch = CardWatch(clock, self._pace, self._publish_cards, environment)

    @property
    def child_pid(self) -> int | None:
        """The card child's process id, for those who look after processes; None when there is none."""
        return self._watch.child_pid

    def start(self) -> None:
        """Take a first sample of the host and begin. A sampler is started and stopped once."""
        self._look_at_host()
        for name, target in (("probe-host", self._run_host), ("probe-cards", self._run_cards)):
            # Daemon threads: one stuck in the kernel must not keep the process alive.
            thread = threading.Thread(target=target, name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """End the threads and the child. Returns within a few seconds whatever the hardware does."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._watch.interrupt()
        for thread in self._threads:
            thread.join(STOP_SECONDS)
            if thread.is_alive():
                log.warning("the thread %s hangs in a call to the system and is left behind", thread.name)
        if not any(thread.is_alive() for thread in self._threads):
            self._watch.close()

    def latest(self) -> Sample:
        """The last known state, at once and from memory. Needs `start` to have been called."""
        now = self._clock.now().mono
        with self._lock:
            if self._sample is None:
                raise RuntimeError("cannot give a sample: the sampler was not started")
            return structs.replace(
                self._sample,
                cards=self._cards,
                cards_known=self._cards_known,
                faults=self._host_faults + self._card_faults,
                age_seconds=max(now - self._sampled_mono, 0.0),
            )

    def _run_host(self) -> None:
        while not self._stopping.wait(self._pace.interval_seconds):
            try:
                self._look_at_host()
            except (OSError, psutil.Error) as error:
                self._host_faults = (f"cannot read the state of this machine: {error}",)
            record_sample(self.history, self.latest())

    def _look_at_host(self) -> None:
        host = self._host.sample()
        now = self._clock.now()
        with self._lock:
            self._sample = Sample(wall_ms=now.wall_ms, host=host)
            self._sampled_mono = now.mono
            self._host_faults = ()

    def _run_cards(self) -> None:
        pause: float | None = 0.0
        while pause is not None and not self._stopping.wait(pause):
            pause = self._watch.round()

    def _publish_cards(self, cards: tuple[Card, ...], faults: tuple[str, ...]) -> None:
        with self._lock:
            self._cards, self._card_faults, self._cards_known = cards, faults, True
