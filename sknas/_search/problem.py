"""What a search is to solve."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sknas._engine.evaluator import Evaluator
from sknas._random import SeedSource
from sknas._space import Architecture, Candidate, SearchSpace
from sknas._space.candidate import SETTINGS
from sknas._tasks.task import ValidationMetric


@dataclass(frozen=True)
class Problem:
    """What a search is to solve.

    Parameters
    ----------
    space : SearchSpace
        Where architectures come from.
    evaluator : Evaluator
        Trains candidates at the fidelity of the search.
    metric : ValidationMetric
        Scores them on the evaluator's validation rows.
    seeds : SeedSource
        Names every seed.
    incumbent : Architecture or None
        Trial 0, which the others have to beat.
    settings : collection of str, default=all
        Names of the settings that candidates may have: not every estimator has a
        parameter for each.
    """

    space: SearchSpace
    evaluator: Evaluator
    metric: ValidationMetric
    seeds: SeedSource
    incumbent: Architecture | None
    settings: Collection[str] = frozenset(SETTINGS)

    def seed(self, purpose: str, candidate: Candidate) -> int:
        """Return the seed of a candidate's networks, whatever is trained beside it.

        Candidates of one architecture begin with the same weights: what differs between
        them is due to their settings alone.
        """
        return self.seeds.seed(purpose, candidate.architecture)
