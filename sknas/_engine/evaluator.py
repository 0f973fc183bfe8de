"""What an architecture is worth: several networks of it, and their validation."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from sknas._engine.stack import TrainingJob, TrainingResult
from sknas._engine.trainer import Trainer
from sknas._space import Architecture
from sknas._typing import Weights


@dataclass(frozen=True)
class Candidate:
    """An architecture to evaluate.

    ``inherited`` has an entry for each of the networks: its weights,
    one entry a layer.
    """

    architecture: Architecture
    seed: int
    inherited: Sequence[Sequence[Weights | None]] | None = None


@dataclass(frozen=True)
class Evaluation:
    """What became of the networks of an architecture.

    Attributes
    ----------
    architecture : Architecture
        What was evaluated.
    networks : list of TrainingResult
        One for each fold and copy; the copies of a fold follow one another.
    failed : bool
        Whether one of them failed.
    probabilities : ndarray of shape (n_validation_rows, n_classes) or None
        Of the validation rows, those of the folds one after another; averages over
        the copies. None where nothing was validated or the evaluation failed.
    loss : float
        Validation log loss, the mean of the networks'; NaN without.
    """

    architecture: Architecture
    networks: list[TrainingResult]
    failed: bool
    probabilities: np.ndarray | None
    loss: float

    @property
    def time(self) -> float:
        """Seconds of training, summed over the networks."""
        return sum(network.time for network in self.networks)

    @property
    def n_iter(self) -> int:
        """Epochs: the most that one of the networks was trained for."""
        return max(network.n_iter for network in self.networks)

    @property
    def best_iter(self) -> int:
        """The best epoch: the median over the networks."""
        return round(float(np.median([n.best_iter for n in self.networks])))

    @property
    def weights(self) -> list[list[Weights]]:
        """Weights of each network that did not fail."""
        return [network.weights for network in self.networks if not network.failed]

    @property
    def loss_curve(self) -> list[float]:
        """Training loss of each epoch that all networks had, averaged over them."""
        return _mean_curve([network.loss_curve for network in self.networks])

    @property
    def validation_scores(self) -> list[float]:
        """Validation accuracies, in the same way."""
        return _mean_curve([network.validation_scores for network in self.networks])


def _mean_curve(curves: Sequence[Sequence[float]]) -> list[float]:
    return [sum(values) / len(values) for values in zip(*curves, strict=False)]


class Evaluator:
    """Trains copies of an architecture on each of a trainer's folds.

    Parameters
    ----------
    trainer : Trainer
        Trains the networks, side by side.
    n_copies : int, default=1
        Networks of an architecture on each fold, which differ in their seeds.
    """

    def __init__(self, trainer: Trainer, n_copies: int = 1) -> None:
        self.trainer = trainer
        self.n_copies = n_copies
        self.n_folds = len(trainer.folds)

    def evaluate(
        self, candidates: Sequence[Candidate], max_time: float = math.inf
    ) -> Iterator[tuple[int, Evaluation]]:
        """Train all networks of each candidate; yield its position and evaluation.

        Parameters
        ----------
        candidates : sequence of Candidate
            What to evaluate.
        max_time : float, default=math.inf
            Seconds for all of them together. Those that nothing was left for are not
            yielded.
        """
        n_each = self.n_folds * self.n_copies
        jobs = [job for candidate in candidates for job in self._jobs(candidate)]
        results: dict[int, dict[int, TrainingResult]] = {}
        for number, result in self.trainer.train(jobs, max_time):
            position, network = divmod(number, n_each)
            of_candidate = results.setdefault(position, {})
            of_candidate[network] = result
            if len(of_candidate) == n_each:
                del results[position]
                networks = [of_candidate[i] for i in range(n_each)]
                yield position, self._merge(networks)

    def _jobs(self, candidate: Candidate) -> Iterator[TrainingJob]:
        n_each = self.n_folds * self.n_copies
        seeds = np.random.SeedSequence(candidate.seed).generate_state(n_each)
        for number, seed in enumerate(seeds.tolist()):
            inherited = None
            if candidate.inherited is not None:
                inherited = candidate.inherited[number]
            fold = number // self.n_copies
            yield TrainingJob(candidate.architecture, seed, inherited, fold)

    def _merge(self, networks: list[TrainingResult]) -> Evaluation:
        failed = any(network.failed for network in networks)
        given = [network.validation_probabilities for network in networks]
        of_networks = [p for p in given if p is not None]
        probabilities, loss = None, math.nan
        if len(of_networks) == len(networks) and not failed:
            folds = [
                np.mean(of_networks[start : start + self.n_copies], axis=0)
                for start in range(0, len(networks), self.n_copies)
            ]
            probabilities = np.concatenate(folds)
            sizes = [len(p) for p in of_networks]
            losses = [network.validation_loss for network in networks]
            loss = float(np.average(losses, weights=sizes))
        return Evaluation(
            networks[0].architecture, networks, failed, probabilities, loss
        )
