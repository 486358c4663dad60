"""Listings of a facility, page by page: whole, or Temporary. Never "empty" because something was left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from acsmpd.clock import Clock
from acsmpd.faults import Temporary

PAGE_SIZE = 100
MAX_PAGES = 200
MAX_THINGS = PAGE_SIZE * MAX_PAGES
MAX_DETAILS = 200
"""Things of one listing that are asked for one by one."""
LISTING_SECONDS = 60.0
CALL_SECONDS = 15.0
"""With less than this left for a listing, the next call gets no more than what is left."""

T = TypeVar("T")
Page = tuple[list[Any], int | None]
"""Records and the TotalSize that was told."""


class Budget:
    """What one listing may still take: time, things, details. Spending more is Temporary.

    `what` names the listing, `things` what is in it.
    """

    def __init__(
        self,
        what: str,
        clock: Clock,
        seconds: float = LISTING_SECONDS,
        *,
        things: str = "tasks",
        details: int = MAX_DETAILS,
    ) -> None:
        self.what, self._clock, self._seconds, self._things = what, clock, seconds, things
        self._until = clock.now().mono + seconds
        self._most_details = self._details = details

    def timeout(self) -> float | None:
        """For the next call; None is the usual one."""
        left = self._until - self._clock.now().mono
        if left <= 0:
            raise Temporary(f"{self.what} did not come within {self._seconds:g} s")
        return left if left < CALL_SECONDS else None

    def spend_detail(self) -> None:
        if not self._details:
            raise Temporary(
                f"{self.what} leaves more than {self._most_details} {self._things} to be asked for one by one"
            )
        self._details -= 1

    def check(self, page: int, found: int) -> None:
        if page > PAGE_SIZE * 10:
            raise Temporary(f"{self.what} holds a page of {page} {self._things}; {PAGE_SIZE} were asked for")
        if found > MAX_THINGS:
            raise Temporary(f"{self.what} holds more than {MAX_THINGS} {self._things}")

    def adds_up(self, found: int, total: int | None) -> None:
        if total is not None and found != total:
            raise Temporary(f"{self.what} does not add up: {found} {self._things} of a TotalSize of {total}")


def whole(
    budget: Budget,
    ask: Callable[[int, float | None], Page],
    take: Callable[[list[Any]], Iterable[tuple[str, T]]],
) -> dict[str, T]:
    """Everything listed, by its id. `ask` gets one page by its number, within so many seconds; `take` reads it.

    Without a TotalSize only a page that brings nothing new is the end.
    """
    found: dict[str, T] = {}
    total: int | None = None
    for number in range(1, MAX_PAGES + 1):
        records, said = ask(number, budget.timeout())
        budget.check(len(records), len(found) + len(records))
        if said is not None and total not in (None, said):
            raise Temporary(f"{budget.what} changed while it was read")
        total = total if said is None else said
        before = len(found)
        found.update(take(records))
        if len(found) == before or (total is not None and len(found) >= total):
            break
    else:
        raise Temporary(f"{budget.what} is longer than {MAX_PAGES} pages")
    budget.adds_up(len(found), total)
    return found


def page_of(what: str, data: Any) -> Page:
    """Records and TotalSize of an answer's Data; Temporary where there are none."""
    if data is None:
        raise Temporary(f"{what} holds no Data")
    if data.records is None:
        raise Temporary(f"{what} holds no Records")
    return data.records, data.total_size
