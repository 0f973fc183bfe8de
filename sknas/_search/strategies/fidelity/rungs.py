"""At which fidelities proposals are tried, and which of them rise to the next one."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from sknas._space import Proposal

#: More than anybody wants. A factor of hardly more than 1 would make rungs without end.
MAX_RUNGS = 100

#: What a plain architecture is tried with, by the fields of a `Proposal`.
PLAIN: dict[str, float | None] = {"epochs": None, "rows": 1.0, "folds": 1}


def resources_of_rungs(
    lowest: float | None, highest: float, factor: float, *, are_whole: bool
) -> list[float]:
    """Return the resources of each rung, the lowest first.

    Parameters
    ----------
    lowest : float or None
        No rung has less. None makes two rungs.
    highest : float
        That of the highest rung.
    factor : float
        Between a rung and the next.
    are_whole : bool
        Whether resources are whole numbers.

    Returns
    -------
    list of float
        At least one; rungs that come to the same are one. No more than `MAX_RUNGS` are
        looked for, and one too many says that there are more.
    """
    rungs: list[float] = [int(highest) if are_whole else float(highest)]
    resources = float(highest)
    while len(rungs) <= MAX_RUNGS:
        resources /= factor
        rung = round(resources) if are_whole else resources
        if lowest is None:
            rungs.append(max(rung, 1) if are_whole else rung)
            break
        # A third of a third is a ninth, whatever the rounding errors.
        if rung < max(lowest * (1 - 1e-9), float(are_whole)):
            break
        rungs.append(rung)
    else:
        return rungs[::-1]
    return sorted(set(rungs))


class Ladder:
    """What is known at each rung.

    A candidate begins at some rung. Of those that began at the same one and have come
    to the same rung, the best rise: one in every ``factor``.

    Parameters
    ----------
    resource : str
        The field of a `Proposal` that rises.
    factor : float
        One in so many rises.

    Attributes
    ----------
    values : list of (float or None)
        Of that field at each rung, the lowest first.
    rewards : dict of Proposal to float
        All that was told.
    """

    def __init__(self, resource: str, factor: float) -> None:
        self._resource, self._factor = resource, factor
        self.values: list[float | None] = []
        self.rewards: dict[Proposal, float] = {}
        # At which rung a candidate began, in the order in which they did.
        self._begun: dict[Proposal, int] = {}

    def candidate(self, proposal: Proposal) -> Proposal:
        """Return what a proposal has in common with those at other rungs."""
        return self._with(proposal, PLAIN[self._resource])

    def at(self, candidate: Proposal, rung: int) -> Proposal:
        """Return a candidate at a rung."""
        return self._with(candidate, self.values[rung])

    def _with(self, proposal: Proposal, value: float | None) -> Proposal:
        changes: dict[str, Any] = {self._resource: value}
        return replace(proposal, **changes)

    def rung(self, proposal: Proposal) -> int | None:
        """Return the rung of a proposal, None if it is at none of them."""
        value = getattr(proposal, self._resource)
        return self.values.index(value) if value in self.values else None

    def begin(self, candidate: Proposal, rung: int) -> Proposal:
        """Note where a candidate begins, and return it there."""
        self._begun[candidate] = rung
        return self.at(candidate, rung)

    def record(self, proposal: Proposal, reward: float) -> None:
        """Note a reward; what others proposed begins where it was tried."""
        self.rewards[proposal] = reward
        rung = self.rung(proposal)
        if rung is not None:
            self._begun.setdefault(self.candidate(proposal), rung)

    def promotions(
        self, taken: Container[Proposal], *, are_all_rising: bool = False
    ) -> Iterator[Proposal]:
        """Yield what rises, that of the highest rung first, and of a rung the best.

        Parameters
        ----------
        taken : container of Proposal
            What was tried, or is about to be.
        are_all_rising : bool, default=False
            Whether the others follow the best.
        """
        for rung in reversed(range(len(self.values) - 1)):
            for begun in range(rung + 1):
                best_first = self._best_first(begun, rung)
                share = 1.0 if are_all_rising else self._factor
                # A whole number, whatever the rounding errors of the division.
                n_rising = int(len(best_first) / share + 1e-9)
                for candidate in best_first[:n_rising]:
                    risen = self.at(candidate, rung + 1)
                    if risen not in taken:
                        yield risen

    def _best_first(self, begun: int, rung: int) -> list[Proposal]:
        """Return the candidates of a rung that began at some other one."""
        rewards = {
            candidate: self.rewards[self.at(candidate, rung)]
            for candidate, lowest in self._begun.items()
            if lowest == begun and self.at(candidate, rung) in self.rewards
        }
        return sorted(rewards, key=lambda candidate: -rewards[candidate])

    def shift(self, rung: int | None) -> float | None:
        """Return what a rung adds to rewards, relative to the lowest one.

        The mean differences of what was tried at both of two neighbouring rungs. None
        where there are none yet, or it is no rung.
        """
        if rung is None:
            return None
        total = 0.0
        for below in range(rung):
            gains = [
                self.rewards[self.at(candidate, below + 1)]
                - self.rewards[self.at(candidate, below)]
                for candidate in self._begun
                if self.at(candidate, below) in self.rewards
                and self.at(candidate, below + 1) in self.rewards
            ]
            if not gains:
                return None
            total += float(np.mean(gains))
        return total

    def rough_shift(self, rung: int | None) -> float:
        """Return the difference between the means of a rung and of the lowest one."""
        means = []
        for number in (0, rung):
            rewards = [r for p, r in self.rewards.items() if self.rung(p) == number]
            if not rewards or number is None:
                return 0.0
            means.append(float(np.mean(rewards)))
        return means[1] - means[0]
