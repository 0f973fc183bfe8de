"""The record of a search: one row a trial, one row a round, only ever appended to."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from scipy.stats import rankdata

from sknas._space import Architecture

TRAINED = "trained"
FAILED = "failed"


@dataclass(frozen=True)
class Trial:
    """One architecture that was tried, and everything measured about it.

    What could not be measured is NaN: all of a failed child but its cost, and
    ``predicted_score`` where nothing predicts.
    """

    architecture: Architecture
    round: int
    status: str
    score: float
    loss: float
    predicted_score: float
    reward: float
    n_parameters: int
    n_iter: int
    time: float


def columns_of(rows: list[Mapping[str, object]]) -> dict[str, np.ndarray]:
    """Turn rows into arrays of equal length; what a row lacks is NaN."""
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {}
    for name in names:
        values = [row.get(name, math.nan) for row in rows]
        if isinstance(values[0], Architecture):
            # np.asarray would try to look inside.
            column = np.empty(len(values), dtype=object)
            column[:] = values
        else:
            column = np.asarray(values)
        columns[name] = column
    return columns


class SearchHistory:
    """All trials in the order in which they were told to the strategy."""

    def __init__(self) -> None:
        self.trials: list[Trial] = []
        self.rounds: list[Mapping[str, object]] = []

    def __len__(self) -> int:
        return len(self.trials)

    def record(self, trial: Trial) -> None:
        """Append a trial."""
        self.trials.append(trial)

    def record_round(self, **figures: object) -> None:
        """Append a row about a whole round."""
        self.rounds.append(figures)

    def trained(self) -> list[int]:
        """Return the indices of the trials that did not fail."""
        return [i for i, trial in enumerate(self.trials) if trial.status == TRAINED]

    def best_first(self) -> list[int]:
        """Return the trained trials by reward; of equal ones the smallest first."""
        return sorted(
            self.trained(),
            key=lambda i: (-self.trials[i].reward, self.trials[i].n_parameters, i),
        )

    def to_dict(self) -> dict[str, np.ndarray]:
        """Return the trials as arrays, with a ``rank_score`` from 1 for the best.

        Failed trials share the last rank.
        """
        names = [field.name for field in fields(Trial)]
        columns = columns_of(
            [{name: getattr(trial, name) for name in names} for trial in self.trials]
        )
        scores = np.nan_to_num(columns["score"], nan=-np.inf)
        columns["rank_score"] = rankdata(-scores, method="min").astype(int)
        return columns

    def rounds_to_dict(self) -> dict[str, np.ndarray]:
        """Return the rows of the rounds as arrays."""
        return columns_of(self.rounds)
