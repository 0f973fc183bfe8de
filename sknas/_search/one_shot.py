"""A search that trains a supernet first, and then fewer children from scratch."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sknas._budget import Budget
from sknas._engine.grouping import epoch_cost
from sknas._engine.supernet.training import Supernet
from sknas._search.problem import Problem
from sknas._search.searcher import AskTellSearcher
from sknas._search.strategies.one_shot.base import OneShotStrategy
from sknas._space import Architecture, Gates, Proposed, as_proposal

# Architectures drawn from the prior to find out what a child costs on average: to
# within a tenth, as their costs differ by a factor of three.
_N_PRICED = 200
# The engine counts microseconds, and the record of the trials seconds.
_SECONDS = 1e-6


class SupernetSearcher(AskTellSearcher):
    """Rounds of a one-shot strategy, after it has explored a supernet.

    By the cost model, the search costs about as much as one without a supernet: as many
    children are left out as the supernet cost, in units of what one costs on average
    under the prior of the space. A search of a single trial has nothing to compare, and
    trains no supernet. Nor does one that goes on with the state of an earlier one.
    """

    strategy: OneShotStrategy
    # How many trials there may be; None in a search that goes on.
    _n_allowed: int | None = None

    def _set_up(self, problem: Problem, budget: Budget) -> None:
        """Train the supernet on the first fold, once the strategy knows the space."""
        super()._set_up(problem, budget)
        if self.settings.n_trials == 1:
            return
        self._check_objectives(problem)
        self._check_a_draw()
        child_cost = mean_child_cost(problem)
        n_children = self.settings.n_trials
        share = float(self.strategy.supernet_share)
        supernet = BudgetedSupernet(
            problem,
            share * n_children * child_cost,
            budget.share(share),
            separates_first=self.strategy.separates_first,
        )
        self.strategy.explore(supernet)
        # Trial 0 is trained in any case, and one that the strategy proposes.
        n_left = max(n_children - round(supernet.cost / child_cost), 2)
        n_left = min(n_left, n_children)
        size = self.settings.n_architectures
        self.settings = replace(self.settings, n_rounds=math.ceil(n_left / size))
        self._n_allowed = n_left
        self.progress.expect(n_left)
        self.progress.note(
            f"the supernet was trained for {supernet.n_epochs} epochs in place of "
            f"{n_children - n_left} of {n_children} architectures"
        )

    def _check_objectives(self, problem: Problem) -> None:
        """Refuse objectives that a supernet knows nothing of."""
        if len(problem.objectives) > 1 and not self.strategy.seeks_size:
            raise ValueError(
                f"{type(self.strategy).__name__} must have objectives=('score',), "
                "since it compares architectures by the predictions of a supernet "
                f"alone. Got {problem.objectives!r} instead."
            )

    def _check_a_draw(self) -> None:
        """Refuse settings before the supernet is trained, as far as a draw has them."""
        try:
            # A copy, so that the draws of the search stay what they are.
            drawn: Sequence[Proposed] = copy.deepcopy(self.strategy).ask(1)
        except Exception:  # noqa: BLE001 (no copies, or nothing before it explored)
            return
        self._check_settings(drawn, 1)

    def _propose(self, *, is_first: bool) -> list[Proposed]:
        if self._n_allowed is not None:
            # The last round is a part of one, so that all cost what they may.
            n_left = max(self._n_allowed - len(self.history), 1)
            size = min(self.settings.n_architectures, n_left)
            self.settings = replace(self.settings, n_architectures=size)
        return super()._propose(is_first=is_first)

    def _check_asked(self, asked: object, n: int) -> None:
        super()._check_asked(asked, n)
        assert isinstance(asked, (list, tuple))
        self._check_settings(asked, n)

    def _check_settings(self, asked: Sequence[Proposed], n: int) -> None:
        for each in asked:
            if as_proposal(each).candidate.settings:
                raise ValueError(
                    f"ask({n}) of {type(self.strategy).__name__} must return "
                    "candidates without settings, since a supernet has one value of "
                    f"each. Got {each!r} instead."
                )


class BudgetedSupernet:
    """A supernet that knows how much it may cost, and steps accordingly.

    The learning rate follows what is used up, whatever an epoch costs: epochs of gates
    that are all open cost more than those of single architectures.

    Parameters
    ----------
    problem : Problem
        Of which the first fold is trained on.
    allowance : float
        What the supernet may cost, in seconds of the cost model.
    budget : Budget
        What it may take.
    separates_first : bool, default=False
        Whether the first position has weights of its own for each activation.

    Attributes
    ----------
    n_epochs : int
        How many there were.
    """

    def __init__(
        self,
        problem: Problem,
        allowance: float,
        budget: Budget,
        *,
        separates_first: bool = False,
    ) -> None:
        trainer = problem.evaluator.trainer
        self.space = problem.space
        self.n_epochs = 0
        self._allowance, self._budget = allowance, budget
        self._began, self._seconds = time.monotonic(), budget.seconds_left()
        self._settings = trainer.settings
        self._supernet = Supernet(
            trainer.folds[0],
            problem.space,
            trainer.settings,
            seed=problem.seeds.seed("supernet"),
            device=trainer.device,
            n_epochs=trainer.settings.max_iter,
            metric=problem.metric,
            separates_first=separates_first,
            budget=budget,
        )
        self.n_batches = self._supernet.n_batches
        self.n_validation_batches = self._supernet.n_validation_batches
        data = trainer.folds[0]
        self.n_inputs, self.n_outputs = int(data.X.shape[1]), data.output.n_outputs

    @property
    def cost(self) -> float:
        """Of all that was computed so far, in seconds of the cost model."""
        return self._supernet.cost * _SECONDS

    @property
    def progress(self) -> float:
        """Share of what it may cost, or of its time, that is used up."""
        if self._supernet.is_over or self._budget.is_over():
            return math.inf
        # Without a limit, no time is a share of it.
        used = (time.monotonic() - self._began) / self._seconds
        return max(self.cost / self._allowance, used)

    def train(
        self,
        gates: Sequence[Gates],
        *,
        unit_penalty: float = 0.0,
        learning_rate: float | None = None,
    ) -> float:
        """Train for an epoch, at the learning rate of this stage if none is given."""
        rate = self._settings.learning_rate_init
        if self._settings.learning_rate == "cosine":
            rate *= 0.5 * (1 + math.cos(math.pi * min(self.progress, 1.0)))
        self.n_epochs += 1
        return self._supernet.train(
            gates,
            unit_penalty=unit_penalty,
            learning_rate=rate if learning_rate is None else learning_rate,
        )

    def restart(self) -> None:
        """Draw all weights anew; what is used up stays used up."""
        self._supernet.restart()

    def rewards(
        self, architectures: Sequence[Architecture], batch: int | None = None
    ) -> np.ndarray:
        """Return rewards with the shared weights, on a validation batch or on all."""
        return self._supernet.rewards(architectures, batch)

    def losses(self, gates: Sequence[Gates], batch: int | None = None) -> np.ndarray:
        """Return the loss of each gates on a validation batch, or on all."""
        return self._supernet.losses(gates, batch)

    def gate_gradient(
        self,
        gates: Gates,
        batch: int,
        *,
        training_batch: int | None = None,
        unrolled: bool = False,
    ) -> Gates:
        """Return the gradient of the loss of a validation batch for all gates."""
        return self._supernet.gate_gradient(
            gates, batch, training_batch=training_batch, unrolled=unrolled
        )

    def unit_norms(self) -> list[np.ndarray]:
        """Return the norms of the hidden units of each position."""
        return self._supernet.unit_norms()


def mean_child_cost(problem: Problem) -> float:
    """Return what the training of a child costs on average, in seconds of the model.

    Parameters
    ----------
    problem : Problem
        Whose prior is averaged over, for all epochs of the search.
    """
    generator = np.random.default_rng(problem.seeds.seed("cost of a child"))
    trainer = problem.evaluator.trainer
    data, settings = trainer.folds[0], trainer.settings
    n_rows = settings.n_batch_rows(data.n_rows)
    costs = [
        epoch_cost(problem.space.sample(generator), data, n_rows)
        for _ in range(_N_PRICED)
    ]
    return settings.max_iter * float(np.mean(costs))
