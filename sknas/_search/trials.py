"""From proposals to trials: trained, measured, and charged for."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import closing

from sknas._budget import Budget
from sknas._engine.evaluator import Evaluation, Request
from sknas._engine.grouping import epoch_cost
from sknas._engine.jobs import TrainingJob
from sknas._search.extrapolation import hopeless_below
from sknas._search.journal import FAILED, TRAINED, Trial
from sknas._search.problem import Measurement, Problem
from sknas._search.weight_store import BigramWeightStore, ParentStore
from sknas._space import Proposal
from sknas._typing import Weights


class TrialRunner:
    """Trains the proposals of a round and makes trials of them.

    Parameters
    ----------
    problem : Problem
        What trains them, and how they are measured.
    stores : sequence of BigramWeightStore
        Weights that children begin with, a store for each of the first folds; none
        where they share none.
    parents : ParentStore
        Weights of trials, for children of theirs.
    earlier : sequence of Trial, default=()
        All trials of the search, to which those of a round are added at its end.
    n_best : int or None, default=None
        Children that cannot become one of so many best are stopped. None stops none.

    Attributes
    ----------
    errors : Counter of str
        How often children failed, by the reason.
    """

    def __init__(
        self,
        problem: Problem,
        stores: Sequence[BigramWeightStore],
        parents: ParentStore,
        earlier: Sequence[Trial] = (),
        n_best: int | None = None,
    ) -> None:
        self._problem, self._stores, self._parents = problem, stores, parents
        self._earlier, self._n_best = earlier, n_best
        self.errors: Counter[str] = Counter()

    def run(
        self,
        number: int,
        proposals: Sequence[Proposal],
        predicted: Sequence[float],
        budget: Budget,
    ) -> Generator[tuple[int, Trial, Evaluation], None, None]:
        """Train proposals; yield the position, trial and evaluation of each.

        Parameters
        ----------
        number : int
            Of the round.
        proposals : sequence of Proposal
            What to train.
        predicted : sequence of float
            What the strategy expects of each.
        budget : Budget
            Of all of them; what it does not reach is not yielded.
        """
        # Before any is trained: those of a round are ready in no order.
        limits = [self._limits(proposal) for proposal in proposals]
        # Those of one fidelity are trained side by side.
        of_fidelities: dict[tuple[float, int], list[int]] = {}
        for position, proposal in enumerate(proposals):
            fidelity = proposal.rows, proposal.folds
            of_fidelities.setdefault(fidelity, []).append(position)
        for positions in of_fidelities.values():
            measurement = self._problem.measurement(proposals[positions[0]])
            evaluator = measurement.evaluator
            requests = [
                self._request(proposals[i], evaluator.n_folds, limits[i])
                for i in positions
            ]
            # Closed at once if this loop ends early, so that no worker trains on.
            with closing(evaluator.evaluate(requests, budget)) as evaluations:
                for place, evaluation in evaluations:
                    position = positions[place]
                    trial = self._trial(
                        number,
                        proposals[position],
                        measurement,
                        evaluation,
                        predicted[position],
                    )
                    yield position, trial, evaluation

    def _limits(self, proposal: Proposal) -> tuple[float, ...]:
        """Return the score after each epoch below which a child is stopped."""
        # With several objectives, less of a reward may be worth having.
        if self._n_best is None or len(self._problem.objectives) > 1:
            return ()
        max_iter = self._problem.evaluator.trainer.settings.max_iter
        n_best = max(self._n_best, 1)
        return hopeless_below(
            self._earlier, proposal, proposal.epochs or max_iter, n_best
        )

    def _request(
        self, proposal: Proposal, n_folds: int, hopeless_below: tuple[float, ...]
    ) -> Request:
        candidate = proposal.candidate
        return Request(
            candidate,
            self._problem.seed("search", candidate),
            self._inherited(proposal, n_folds),
            epochs=proposal.epochs,
            hopeless_below=hopeless_below,
        )

    def _inherited(
        self, proposal: Proposal, n_folds: int
    ) -> list[Sequence[Weights | None]] | None:
        """Return what a child begins with, one list of weights for each fold."""
        candidate = proposal.candidate
        architecture = candidate.architecture
        seed = self._problem.seed("inheritance", candidate)
        of_parent = self._parents.retrieve(proposal.parent, architecture, seed)
        # A network of the parent's has seen the validation rows of all folds but its
        # own. What the parent does not have is shared, if anything.
        inherited: list[Sequence[Weights | None]] = [*of_parent[:n_folds]]
        shared = self._stores[len(inherited) : n_folds]
        inherited += [store.retrieve(architecture) for store in shared]
        if not inherited:
            return None
        nothing: list[Weights | None] = [None] * len(architecture.bigrams())
        return inherited + [nothing] * (n_folds - len(inherited))

    def _trial(
        self,
        number: int,
        proposal: Proposal,
        measurement: Measurement,
        evaluation: Evaluation,
        predicted: float,
    ) -> Trial:
        """Measure a child; of one that failed, the reward follows with the round."""
        metric = measurement.metric
        score = reward = math.nan
        if evaluation.predictions is not None:
            score = metric.score(evaluation.predictions)
            reward = metric.reward(evaluation.predictions, score)
        # A scorer may give NaN to a network that was trained without an error.
        failed = not math.isfinite(reward)
        if failed:
            self.errors[evaluation.error or "a score that is not finite"] += 1
        trainer = measurement.evaluator.trainer
        # All folds have the same columns.
        data = trainer.folds[0]
        return Trial(
            proposal=proposal,
            round=number,
            status=FAILED if failed else TRAINED,
            score=math.nan if failed else score,
            loss=evaluation.loss,
            predicted_score=predicted,
            reward=reward,
            n_parameters=evaluation.architecture.n_parameters(
                data.X.shape[1], data.output.n_outputs
            ),
            max_iter=proposal.epochs or trainer.settings.max_iter,
            n_iter=evaluation.n_iter,
            cost=_cost(measurement, evaluation),
            time=evaluation.time,
            curve=() if failed else tuple(evaluation.validation_scores),
            is_stopped=evaluation.is_stopped,
        )


def _cost(measurement: Measurement, evaluation: Evaluation) -> float:
    """Return what all networks of a candidate cost by the cost model."""
    evaluator, candidate = measurement.evaluator, evaluation.candidate
    trainer = evaluator.trainer
    job = TrainingJob(candidate.architecture, 0, settings=candidate.settings)
    data = trainer.folds[0]
    n_rows = job.own_settings(trainer.settings).n_batch_rows(data.n_rows)
    n_epochs = sum(network.n_iter for network in evaluation.networks)
    # Folds differ by a row at most.
    return n_epochs * epoch_cost(candidate.architecture, data, n_rows)
