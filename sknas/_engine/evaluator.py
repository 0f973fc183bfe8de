"""What a candidate is worth: several networks of it, and their validation."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from sknas._budget import Budget
from sknas._engine.jobs import TrainingJob, TrainingResult
from sknas._engine.trainer import Trainer
from sknas._space import Architecture, Candidate
from sknas._typing import Weights

_UNLIMITED = Budget()


@dataclass(frozen=True)
class Request:
    """A candidate to evaluate.

    Parameters
    ----------
    candidate : Candidate
        Its settings take the place of the trainer's.
    seed : int
        Names the randomness of its networks.
    inherited : sequence or None, default=None
        An entry for each of the networks: its weights, one entry for each layer.
    epochs : int or None, default=None
        Epochs of training. None leaves it to the settings.
    hopeless_below : tuple of float, default=()
        For each epoch the validation score below which a network is not trained on.
    """

    candidate: Candidate
    seed: int
    inherited: Sequence[Sequence[Weights | None]] | None = None
    epochs: int | None = None
    hopeless_below: tuple[float, ...] = ()


@dataclass(frozen=True)
class Evaluation:
    """What became of the networks of a candidate.

    Attributes
    ----------
    candidate : Candidate
        What was evaluated.
    networks : list of TrainingResult
        One for each fold and copy; the copies of a fold follow one another.
    is_complete : bool
        Whether all that were asked for were trained. If not, there is at least one for
        every fold.
    predictions : ndarray of shape (n_validation_rows, n_columns) or None
        Of the validation rows, those of the folds one after another; averages over
        the copies. None where nothing was validated or the evaluation failed.
    loss : float
        Validation loss, the mean of the networks'; NaN without.
    """

    candidate: Candidate
    networks: list[TrainingResult]
    is_complete: bool
    predictions: np.ndarray | None
    loss: float

    @property
    def architecture(self) -> Architecture:
        """That of the candidate."""
        return self.candidate.architecture

    @property
    def error(self) -> str | None:
        """Why the first of the networks that failed did so, if one did."""
        errors = [network.error for network in self.networks]
        return next((error for error in errors if error is not None), None)

    @property
    def failed(self) -> bool:
        """Whether one of the networks failed."""
        return self.error is not None

    @property
    def time(self) -> float:
        """Seconds of training, summed over the networks."""
        return sum(network.time for network in self.networks)

    @property
    def n_iter(self) -> int:
        """Epochs: the most that one of the networks was trained for."""
        return max(network.n_iter for network in self.networks)

    @property
    def is_stopped(self) -> bool:
        """Whether the training of one of the networks was hopeless."""
        return any(network.is_stopped for network in self.networks)

    @property
    def trained(self) -> list[TrainingResult]:
        """The networks that did not fail."""
        return [network for network in self.networks if not network.failed]

    @property
    def best_iter(self) -> int:
        """The best epoch: the median over the networks that did not fail."""
        epochs = [network.best_iter for network in self.trained]
        return round(float(np.median(epochs))) if epochs else 0

    @property
    def weights(self) -> list[list[Weights]]:
        """Weights of each network that did not fail."""
        return [network.weights for network in self.trained]

    @property
    def loss_curve(self) -> list[float]:
        """Training loss of each epoch that all trained networks had, averaged."""
        return _mean_curve([network.loss_curve for network in self.trained])

    @property
    def validation_scores(self) -> list[float]:
        """Validation scores, in the same way."""
        return _mean_curve([network.validation_scores for network in self.trained])


def _mean_curve(curves: Sequence[Sequence[float]]) -> list[float]:
    # Not strict: the shortest curve decides how many epochs there are.
    return [sum(values) / len(values) for values in zip(*curves, strict=False)]


class Evaluator:
    """Trains copies of a candidate on each of a trainer's folds.

    Parameters
    ----------
    trainer : Trainer
        Trains the networks, side by side.
    n_copies : int, default=1
        Networks of a candidate on each fold, which differ in their seeds.
    """

    def __init__(self, trainer: Trainer, n_copies: int = 1) -> None:
        self.trainer = trainer
        self.n_copies = n_copies
        self.n_folds = len(trainer.folds)
        # Of each request.
        self._n_networks = self.n_folds * n_copies
        self._requests: list[Request] = []
        # Networks of the requests that are not yet complete, by their positions.
        self._results: dict[int, dict[int, TrainingResult]] = {}

    def evaluate(
        self, requests: Sequence[Request], budget: Budget = _UNLIMITED
    ) -> Generator[tuple[int, Evaluation], None, None]:
        """Train all networks of each request; yield its position and evaluation.

        A request is evaluated as soon as all of its networks are trained. When the
        budget is used up, requests that have at least one network for every fold are
        yielded; the others are not.

        Parameters
        ----------
        requests : sequence of Request
            What to evaluate.
        budget : Budget, default=unlimited
            For all of them together.
        """
        self._requests, self._results = list(requests), {}
        jobs: list[TrainingJob] = []
        # For each job the position of its request, and which network of that it trains.
        owners: list[tuple[int, int]] = []
        for position, request in enumerate(requests):
            of_request = list(self._jobs(request))
            jobs += of_request
            owners += [(position, number) for number in range(len(of_request))]
        # Closed, so that nothing goes on when this is interrupted or not exhausted.
        with closing(self.trainer.train(jobs, budget)) as results:
            for number, result in results:
                position, network = owners[number]
                # Kept in an attribute, where `partial` finds them after an interrupt.
                networks = self._results.setdefault(position, {})
                networks[network] = result
                if len(networks) == self._n_networks:
                    del self._results[position]
                    yield position, self._merge(requests[position], networks)
        unfinished = self.partial()
        self._results = {}
        yield from unfinished.items()

    def partial(self) -> dict[int, Evaluation]:
        """Return evaluations of requests of which only some networks were trained.

        To be asked for after an interrupt of `evaluate`.

        Returns
        -------
        dict of int to Evaluation
            By their positions: those not yielded of which there is at least one network
            for every fold.
        """
        # Networks are numbered fold by fold, so that number // n_copies is the fold.
        return {
            position: self._merge(self._requests[position], networks)
            for position, networks in sorted(self._results.items())
            if len({number // self.n_copies for number in networks}) == self.n_folds
        }

    def _jobs(self, request: Request) -> Iterator[TrainingJob]:
        """Yield one job for each fold and copy, the copies of a fold in a row."""
        seeds = np.random.SeedSequence(request.seed).generate_state(self._n_networks)
        inherited: Sequence[Sequence[Weights | None] | None]
        inherited = request.inherited or [None] * self._n_networks
        for number, (seed, weights) in enumerate(
            zip(seeds.tolist(), inherited, strict=True)
        ):
            yield TrainingJob(
                request.candidate.architecture,
                seed,
                weights,
                number // self.n_copies,
                request.candidate.settings,
                request.epochs,
                hopeless_below=request.hopeless_below,
            )

    def _merge(
        self, request: Request, networks: Mapping[int, TrainingResult]
    ) -> Evaluation:
        """Average what the networks of each fold predict."""
        in_order = sorted(networks.items())
        results = [result for _, result in in_order]
        # For each fold, what its copies predict: arrays of (n_rows_of_fold, n_columns).
        of_folds: dict[int, list[np.ndarray]] = {}
        for number, result in in_order:
            if result.validation_predictions is not None:
                of_fold = of_folds.setdefault(number // self.n_copies, [])
                of_fold.append(result.validation_predictions)
        given = [p for of_fold in of_folds.values() for p in of_fold]
        predictions: np.ndarray | None = None
        loss = math.nan
        if len(given) == len(results):  # all were validated, and none failed
            # Copies predict the same rows and are averaged; the rows of different folds
            # follow one another.
            averages = [np.mean(of_fold, axis=0) for of_fold in of_folds.values()]
            predictions = np.concatenate(averages)
            # Each loss is a mean over rows, hence the weights: the mean over all rows.
            losses = [result.validation_loss for result in results]
            loss = float(np.average(losses, weights=[len(p) for p in given]))
        return Evaluation(
            request.candidate,
            results,
            len(results) == self._n_networks,
            predictions,
            loss,
        )
