"""DARTS: choices as gates between 0 and 1, found by gradient descent (3.1)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from scipy.special import expit, log_expit, log_softmax, softmax

from sknas._search.strategies.one_shot.base import OneShotStrategy, TrainableSupernet
from sknas._sklearn import Interval
from sknas._space import Architecture, Gates, SearchSpace
from sknas._space.architecture import DROPOUT, Layer

# Of Adam, as in [2]_ of the strategy but for the rates, which the caller chooses.
_BETAS = 0.5, 0.999
_EPSILON = 1e-8
# Draws for each candidate that is wanted, of which some are equal.
_MAX_DRAWS = 3


class DartsStrategy(OneShotStrategy):
    """Finds activations, widths and depth by the gradient of the validation loss.

    The method of section 3.1 and algorithm 1 of the paper [1]_, after [2]_. At each
    position of a supernet all activations, all widths and an identity are computed and
    added, with weights between 0 and 1, the gates: softmaxes of parameters alpha for
    the activation and for the width, and a sigmoid for skipping the position. Epochs of
    the shared weights on the training rows take turns with steps of alpha on batches of
    the validation rows. Architectures are then drawn from the gates as from
    probabilities, and the most probable ones are trained from scratch. This is
    ``search_strategy='darts'``.

    Read more in the :ref:`user guide <one_shot>`.

    Parameters
    ----------
    supernet_share : float, default=0.15
        Share of the search, in units of its cost, that the supernet may take. As many
        children are left out.

    warm_up : float, default=0.25
        Share of that before alpha is moved at all: weights that were just drawn say
        little of what can be learned.

    learning_rate : float, default=0.05
        Step size of alpha's Adam.

    unrolled : bool, default=False
        Whether alpha follows the loss after a step of the weights, as in algorithm 1,
        which costs some four times as much. False is the first-order approximation.

    width_penalty : float, default=0.0
        What the loss is raised by where all positions have the greatest width, and in
        proportion where they have less of it. Without it, units that are of no use do
        no harm.

    n_candidates : int, default=100
        Architectures drawn from the gates, of which the most probable are trained.

    Attributes
    ----------
    space_ : SearchSpace
        Where architectures come from.

    generator_ : numpy.random.Generator
        Source of the draws.

    See Also
    --------
    EnasStrategy : Trains a policy with the shared weights.

    Notes
    -----
    Differences from [2]_: there are no cells, since each position has gates of its own;
    epochs take turns, not batches; and not only the most probable architecture is
    derived, since a mixture says little of its parts.

    Gates cannot choose dropout, which is off where the validation loss is computed. The
    supernet is trained without it. Half of the architectures that are drawn have none,
    and the others have it after each layer, as far as `max_layers` goes; which of the
    two is better, the rewards of those that are trained from scratch say.

    Without a supernet, in a loop of ``ask`` and ``tell``, all gates stay equal.

    References
    ----------
    .. [1] F. Minutoli and M. Ciranni, "Neural Architecture Search: An overview".
    .. [2] H. Liu, K. Simonyan and Y. Yang, "DARTS: Differentiable Architecture
       Search", ICLR 2019.

    Examples
    --------
    >>> from sknas import DartsStrategy, NASMLPClassifier
    >>> classifier = NASMLPClassifier(search_strategy=DartsStrategy(unrolled=True))
    >>> classifier.get_params()["search_strategy__unrolled"]
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "supernet_share": [Interval(Real, 0, 1, closed="neither")],
        "warm_up": [Interval(Real, 0, 1, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "unrolled": ["boolean"],
        "width_penalty": [Interval(Real, 0, None, closed="left")],
        "n_candidates": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        *,
        supernet_share: float = 0.15,
        warm_up: float = 0.25,
        learning_rate: float = 0.05,
        unrolled: bool = False,
        width_penalty: float = 0.0,
        n_candidates: int = 100,
    ) -> None:
        self.supernet_share = supernet_share
        self.warm_up = warm_up
        self.learning_rate = learning_rate
        self.unrolled = unrolled
        self.width_penalty = width_penalty
        self.n_candidates = n_candidates

    def begin(self) -> None:
        """Begin with equal gates."""
        super().begin()
        self._alpha = Alpha(self.space_)

    def explore(self, supernet: TrainableSupernet) -> None:
        """Train shared weights and gates in turn, then draw from the gates.

        Parameters
        ----------
        supernet : TrainableSupernet
            Of `space_`, not yet trained.

        Raises
        ------
        ValueError
            If the space has a single activation and a single width.
        """
        if len(self.space_.activations) == len(self.space_.layer_widths) == 1:
            raise ValueError(
                "DartsStrategy must have two activations or two layer_widths to choose "
                f"from. Got {self.space_!r} instead."
            )
        while supernet.progress < 1:
            if supernet.progress >= self.warm_up:
                self._descend(supernet)
            supernet.train([self._alpha.gates()])
        drawn = self.sample(_MAX_DRAWS * int(self.n_candidates))
        candidates = list(dict.fromkeys(drawn))[: int(self.n_candidates)]
        self.rank(candidates, [self._alpha.log_probability(c) for c in candidates])

    def _descend(self, supernet: TrainableSupernet) -> None:
        """Take a step of alpha on each validation batch, but no more than of weights.

        The weights stay as they are meanwhile.
        """
        n_batches = supernet.n_validation_batches
        for batch in self.generator_.permutation(n_batches)[: supernet.n_batches]:
            gradient = supernet.gate_gradient(
                self._alpha.gates(), int(batch), unrolled=bool(self.unrolled)
            )
            self._alpha.step(
                gradient, float(self.learning_rate), float(self.width_penalty)
            )

    def sample(self, n: int) -> list[Architecture]:
        """Draw architectures from the gates.

        Parameters
        ----------
        n : int
            How many.

        Returns
        -------
        list of Architecture
            Independent draws; fewer than ``n`` where most are too large for the space.
        """
        drawn = (self._alpha.sample(self.generator_) for _ in range(_MAX_DRAWS * n))
        # Gates know nothing of a greatest number of parameters.
        small = (each for each in drawn if each in self.space_)
        return list(itertools.islice(small, n))


class Alpha:
    """The parameters of all gates, and Adam's moments.

    Parameters
    ----------
    space : SearchSpace
        What the gates choose from.
    """

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._widths = sorted(space.layer_widths)
        n_layers = Gates.n_layers_of(space)
        # Logits of the activations, of the widths and of skipping, side by side.
        n_activations, n_widths = len(space.activations), len(self._widths)
        self._ends = n_activations, n_activations + n_widths
        self.logits = np.zeros((n_layers, self._ends[1] + 1))
        # What all units of a position cost, relative to the greatest width.
        self._costs = np.array(self._widths) / (self._widths[-1] * n_layers)
        self._moments = np.zeros((2, *self.logits.shape))
        self._n_steps = 0

    def _parts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return logits of activations and widths, and those of skipping."""
        activation, width, skip = np.split(self.logits, self._ends, axis=1)
        return activation, width, skip[:, 0]

    def gates(self) -> Gates:
        """Return the gates; dropout is off."""
        activation, width, skip = self._parts()
        skip = expit(skip)
        # The features are not what a layer gives.
        skip[0] = 0.0
        return Gates(
            softmax(activation, axis=1),
            softmax(width, axis=1),
            skip,
            np.zeros(len(skip), dtype=bool),
        )

    def step(self, gradient: Gates, rate: float, width_penalty: float) -> None:
        """Descend the loss by a step of Adam.

        Parameters
        ----------
        gradient : Gates
            Of the loss with respect to the gates.
        rate : float
            Step size.
        width_penalty : float
            Weight of the share of the greatest width that the gates come to.
        """
        gates = self.gates()
        kept = width_penalty * (1 - gates.skip)
        of_width = gradient.width + kept[:, None] * self._costs
        of_skip = gradient.skip - width_penalty * gates.width @ self._costs
        of_skip = of_skip * gates.skip * (1 - gates.skip)
        logit_gradient = np.column_stack(
            [
                _through_softmax(gates.activation, gradient.activation),
                _through_softmax(gates.width, of_width),
                of_skip,
            ]
        )
        # What is not finite came of weights that are lost: it moves nothing.
        if not np.isfinite(logit_gradient).all():
            return
        self._n_steps += 1
        powers = logit_gradient, logit_gradient**2
        moments = []
        for moment, power, beta in zip(self._moments, powers, _BETAS, strict=True):
            moment *= beta
            moment += (1 - beta) * power
            moments.append(moment / (1 - beta**self._n_steps))
        self.logits -= rate * moments[0] / (np.sqrt(moments[1]) + _EPSILON)

    def sample(self, generator: np.random.Generator) -> Architecture:
        """Draw one architecture; half of the draws have dropout.

        Parameters
        ----------
        generator : numpy.random.Generator
            Source of the draw.
        """
        gates = self.gates()
        kept = np.flatnonzero(generator.random(len(gates.skip)) >= gates.skip)
        layers: list[Layer] = []
        # How many dropouts there is room for.
        n_dropouts = len(gates.skip) - len(kept) if generator.random() < 0.5 else 0
        if not self._space.dropout:
            n_dropouts = 0
        for number, position in enumerate(kept):
            name = generator.choice(
                len(self._space.activations), p=gates.activation[position]
            )
            width = generator.choice(len(self._widths), p=gates.width[position])
            layers.append((self._widths[width], self._space.activations[name]))
            layers += [DROPOUT] * (number < n_dropouts)
        return Architecture(*layers)

    def log_probability(self, architecture: Architecture) -> float:
        """Return the logarithm of how probable the dense layers are, as they are drawn.

        Parameters
        ----------
        architecture : Architecture
            Of the space.
        """
        # totals[d]: that the first d layers stand at the positions so far, whichever
        # are skipped.
        n_layers = len(architecture.dense_layers)
        totals = np.full(n_layers + 1, -np.inf)
        totals[0] = 0.0
        for skipped, kept in self._log_probabilities(architecture):
            moved = np.append(-np.inf, totals[:-1] + kept)
            totals = np.logaddexp(totals + skipped, moved)
        return float(totals[-1])

    def _log_probabilities(
        self, architecture: Architecture
    ) -> Iterator[tuple[float, np.ndarray]]:
        """Yield, for each position, that of skipping it and those of the layers."""
        activation, width, skip = self._parts()
        dense = architecture.dense_layers
        names = [self._space.activations.index(name) for _, name in dense]
        widths = [self._widths.index(n_units) for n_units, _ in dense]
        of_layers = log_softmax(activation, axis=1)[:, names]
        of_layers = of_layers + log_softmax(width, axis=1)[:, widths]
        for position, of_layer in enumerate(of_layers):
            if position == 0:
                yield -np.inf, of_layer
            else:
                kept = log_expit(-skip[position])
                yield float(log_expit(skip[position])), kept + of_layer


def _through_softmax(gates: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Turn a gradient for softmaxes, one per row, to one for their logits."""
    mean = (gates * gradient).sum(axis=1, keepdims=True)
    return np.asarray(gates * (gradient - mean))
