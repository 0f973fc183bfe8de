"""Networks that learn on from further rows, batch by batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from sknas._budget import Budget
from sknas._engine.jobs import (
    OptimizerState,
    TrainingData,
    TrainingJob,
    TrainingResult,
)
from sknas._model.ensemble import FittedEnsemble
from sknas._random import SeedSource
from sknas._sklearn import safe_indexing
from sknas._space.candidate import Setting
from sknas._warnings import warn

# Estimators hold what is defined here, and are read without torch.
if TYPE_CHECKING:
    from sknas._engine.evaluator import Evaluation
    from sknas._fit.settings import FitSettings
    from sknas._tasks.outputs import OutputLoss

# Networks that see the rows of a batch alone forget the others. After ten batches of
# 1,200 digits of MNIST (one fit to all: 0.971 of the test rows are right), networks are
# right in 0.970 with 10,000 earlier rows kept, in 0.966 with 5,000 and in 0.963 with
# 2,500 (tests/benchmarks/bench_partial_fit.py --kept 10000 5000 2500).
_EPOCHS = 5
_REPLAYED = 9
# What is kept of earlier rows, encoded with 32 bits.
_MAX_KEPT_ROWS = 10_000
_MAX_KEPT_BYTES = 2**26


@dataclass(frozen=True)
class EncodedRows:
    """Encoded rows with their targets.

    X : float32 array or CSR matrix of shape (n_rows, n_features)
    y : array whose first axis is the rows
    sample_weight : array of shape (n_rows,)
        On the scale of all batches, not relative to the largest of this one.
    """

    X: Any
    y: np.ndarray
    sample_weight: np.ndarray

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: np.ndarray) -> EncodedRows:
        """Return some of the rows."""
        return EncodedRows(
            safe_indexing(self.X, rows), self.y[rows], self.sample_weight[rows]
        )

    def followed_by(self, other: EncodedRows) -> EncodedRows:
        """Return these rows and those of another batch."""
        if sparse.issparse(self.X):
            X = sparse.vstack([self.X, other.X], format="csr")
        else:
            X = np.concatenate([self.X, other.X])
        return EncodedRows(
            X,
            np.concatenate([self.y, other.y]),
            np.concatenate([self.sample_weight, other.sample_weight]),
        )

    def replaced(self, places: np.ndarray, other: EncodedRows) -> EncodedRows:
        """Return these rows, with some of another batch in their place or after them.

        ``places`` are positions in both, one after the other: each is its own, or that
        of a row of ``other``.
        """
        if sparse.issparse(self.X):
            return self.followed_by(other).take(places)
        n_rows = len(self)
        is_new = places >= n_rows
        new = other.take(places[is_new] - n_rows)

        def filled(old: np.ndarray, values: np.ndarray) -> np.ndarray:
            # One copy: the rows that are kept may take many megabytes.
            both = np.empty((len(places), *old.shape[1:]), dtype=old.dtype)
            both[:n_rows] = old
            both[is_new] = values
            return both

        return EncodedRows(
            filled(self.X, new.X),
            filled(self.y, new.y),
            filled(self.sample_weight, new.sample_weight),
        )

    def data(self, output: OutputLoss) -> TrainingData:
        """Return the rows in the engine's form; equal weights are none."""
        weight = self.sample_weight
        is_equal = bool((weight == weight[0]).all())
        return TrainingData(
            self.X, self.y, output, sample_weight=None if is_equal else weight
        )


@dataclass(frozen=True)
class Continuation:
    """What networks know besides their weights, in order to learn on.

    Holds arrays only: it is stored with the estimator, and read without torch.

    Parameters
    ----------
    seeds : SeedSource
        Of the first fit.
    settings : tuple of (str, float or str)
        Those of the candidate that was chosen.
    states : list of OptimizerState or None
        Where the optimiser of each member stands; None where it begins anew.
    kept : EncodedRows or None
        Some of the rows seen so far, each as likely as any other.
    n_seen : int
        Rows seen so far.
    """

    seeds: SeedSource
    settings: tuple[Setting, ...]
    states: Sequence[OptimizerState | None]
    kept: EncodedRows | None = None
    n_seen: int = 0

    @classmethod
    def begin(
        cls, networks: Evaluation, batch: EncodedRows, seeds: SeedSource
    ) -> Continuation:
        """Return that of networks trained in a fit on this batch."""
        states = [network.state for network in networks.trained]
        new = cls(seeds, networks.candidate.settings, states)
        return new.having_seen(batch, states)

    def having_seen(
        self, batch: EncodedRows, states: Sequence[OptimizerState | None]
    ) -> Continuation:
        """Return what follows from training on a batch.

        The rows kept are a uniform sample of all: a new row takes the place of a random
        one with the probability that it would have had in one draw from all rows
        (J. S. Vitter, "Random Sampling with a Reservoir", 1985, algorithm R).
        """
        row_bytes = max(batch.X.shape[1] * 4, 1)
        n_places = max(min(_MAX_KEPT_ROWS, _MAX_KEPT_BYTES // row_bytes), 1)
        kept = batch.take(np.arange(0)) if self.kept is None else self.kept
        n_kept = len(kept)
        generator = self._generator("kept rows")
        # Positions of what is kept, in these rows and then in the batch.
        places = list(range(n_kept))
        for number in range(len(batch)):
            if len(places) < n_places:
                places.append(n_kept + number)
                continue
            place = int(generator.integers(self.n_seen + number + 1))
            if place < n_places:
                places[place] = n_kept + number
        return replace(
            self,
            states=states,
            kept=kept.replaced(np.array(places, dtype=np.intp), batch),
            n_seen=self.n_seen + len(batch),
        )

    def rehearsed(self, batch: EncodedRows) -> EncodedRows:
        """Return a batch followed by some of the rows that were kept."""
        if self.kept is None:
            return batch
        n_replayed = min(_REPLAYED * len(batch), len(self.kept))
        generator = self._generator("replayed rows")
        rows = generator.choice(len(self.kept), n_replayed, replace=False)
        return batch.followed_by(self.kept.take(rows))

    def _generator(self, purpose: str) -> np.random.Generator:
        return np.random.default_rng(self.seed(purpose))

    def seed(self, *key: object) -> int:
        """Return a seed that no other call of `partial_fit` has."""
        return self.seeds.seed("continuation", self.n_seen, *key)


@dataclass(frozen=True)
class Lesson:
    """What came of a further batch.

    loss_curve : list of float
        Training loss of each epoch, averaged over the members.
    n_rows : int
        Rows that were trained on, earlier ones included.
    """

    ensemble: FittedEnsemble
    continuation: Continuation
    loss_curve: list[float]
    n_rows: int


def learn_on(
    ensemble: FittedEnsemble,
    continuation: Continuation,
    batch: EncodedRows,
    output: OutputLoss,
    settings: FitSettings,
    budget: Budget,
) -> Lesson:
    """Train all members of an ensemble for some epochs on a batch and on earlier rows.

    Parameters
    ----------
    ensemble : FittedEnsemble
        Stays as it is.
    continuation : Continuation
        What is known besides.
    batch : EncodedRows
        At least one row.
    output : OutputLoss
        That of the ensemble's networks.
    settings : FitSettings
        How to train: with the schedule and the solver of a fit, for five epochs or for
        ``max_iter``, whichever is less.
    budget : Budget
        A member that there is no time for stays as it is.

    Raises
    ------
    ValueError
        If the losses of all members became infinite or NaN.
    """
    rows = continuation.rehearsed(batch)
    n_rows = len(rows)
    results = _train(ensemble, continuation, rows.data(output), settings, budget)
    # They are as large as all that is kept.
    del rows
    trained = {i: result for i, result in results.items() if not result.failed}
    _check_trained(results, trained)
    members, states = ensemble.members, list(continuation.states)
    for position, result in trained.items():
        members[position] = replace(members[position], layers=result.weights)
        states[position] = result.state
    curves = [result.loss_curve for result in trained.values()]
    return Lesson(
        FittedEnsemble(members, ensemble.out_activation, ensemble.temperature),
        continuation.having_seen(batch, states),
        [sum(losses) / len(losses) for losses in zip(*curves, strict=False)],
        n_rows,
    )


def _train(
    ensemble: FittedEnsemble,
    continuation: Continuation,
    data: TrainingData,
    settings: FitSettings,
    budget: Budget,
) -> dict[int, TrainingResult]:
    """Train the members of an ensemble on; return results by their positions."""
    epochs = min(_EPOCHS, settings.training.max_iter)
    training = replace(settings.training.whole(epochs, epochs), keeps_state=True)
    trainer = settings.make_trainer(
        [data], training, seed=continuation.seed("order of rows")
    )
    solver = dict(continuation.settings).get("solver", training.solver)
    jobs = [
        TrainingJob(
            member.architecture,
            continuation.seed("dropout", position),
            member.layers,
            settings=continuation.settings,
            # Where the user has chosen another solver since, it begins anew.
            state=state if state is not None and state.solver == solver else None,
        )
        for position, (member, state) in enumerate(
            zip(ensemble.members, continuation.states, strict=True)
        )
    ]
    return dict(trainer.train(jobs, budget))


def _check_trained(
    results: dict[int, TrainingResult], trained: dict[int, TrainingResult]
) -> None:
    failed = [result.error for result in results.values() if result.failed]
    if failed and not trained:
        raise ValueError(
            f"No network could learn on ({failed[0]}); all are what they were before "
            "this call. If losses became NaN or infinite, decrease learning_rate_init."
        )
    if failed:
        warn(
            f"{len(failed)} of {len(results)} networks could not learn on "
            f"({failed[0]}) and are what they were before this call."
        )
