"""What a search is to solve."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from sknas._engine.evaluator import Evaluator
from sknas._random import SeedSource
from sknas._space import Architecture, Candidate, Proposal, SearchSpace
from sknas._space.candidate import SETTINGS
from sknas._tasks.task import ValidationMetric


@dataclass(frozen=True)
class Measurement:
    """What trains candidates on some rows, and scores them.

    Parameters
    ----------
    evaluator : Evaluator
        Trains candidates.
    metric : ValidationMetric
        Scores them on the evaluator's validation rows.
    """

    evaluator: Evaluator
    metric: ValidationMetric


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
    make_measurement : callable or None, default=None
        Takes a share of the training rows and a number of folds, and returns what
        measures on these. None measures on all rows of the evaluator's folds.
    objectives : tuple of str, default=('score',)
        What is sought, the score first.
    n_folds : int, default=1
        How many there are to measure on.
    """

    space: SearchSpace
    evaluator: Evaluator
    metric: ValidationMetric
    seeds: SeedSource
    incumbent: Architecture | None
    settings: Collection[str] = frozenset(SETTINGS)
    make_measurement: Callable[[float, int], Measurement] | None = None
    objectives: tuple[str, ...] = ("score",)
    n_folds: int = 1
    # Those made so far, by share and folds.
    _made: dict[tuple[float, int], Measurement] = field(default_factory=dict)

    def seed(self, purpose: str, candidate: Candidate) -> int:
        """Return the seed of a candidate's networks, whatever is trained beside it.

        Candidates of one architecture begin with the same weights: what differs between
        them is due to their settings alone.
        """
        return self.seeds.seed(purpose, candidate.architecture)

    def measurement(self, proposal: Proposal) -> Measurement:
        """Return what measures a proposal; those of one fidelity have the same."""
        fidelity = proposal.rows, proposal.folds
        if fidelity == (1.0, 1) or self.make_measurement is None:
            return Measurement(self.evaluator, self.metric)
        if fidelity not in self._made:
            self._made[fidelity] = self.make_measurement(*fidelity)
        return self._made[fidelity]

    @property
    def seconds(self) -> float:
        """How long the search has waited for trainings."""
        made = [measurement.evaluator for measurement in self._made.values()]
        return sum(evaluator.trainer.seconds for evaluator in [self.evaluator, *made])
