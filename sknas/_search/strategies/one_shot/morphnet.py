"""MorphNet: shrink a network to the units that it needs, widen it, again (2.2.4)."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np

from sknas._search.strategies.one_shot.base import OneShotStrategy, TrainableSupernet
from sknas._sklearn import Interval, InvalidParameterError
from sknas._space import Architecture, Gates
from sknas._space.restricted import smallest

# The strengths of the penalty, from the first epoch of an iteration to the last, in
# units of the root of the number of weights that a unit has: no step of Adam is longer,
# so that the strongest penalty leaves hardly any unit.
_WEAKEST, _STRONGEST = 0.05, 4.0
# A unit lives if its weights are no less than this share of the largest in its layer:
# Adam moves those that are of no use a little, too.
_ALIVE = 0.05
# The penalty itself costs some loss, which a training without it does not. A network is
# still good at this share of the way from the least loss to the greatest one, which is
# that of a network with hardly any units.
_TOLERATED = 0.1
# Widening, from one step to the next.
_FACTOR = math.sqrt(2)
# How often to draw for a network within the budget.
_MAX_DRAWS = 20


@dataclass(frozen=True)
class _Shrunk:
    """A network at some strength of the penalty: its living units and its loss."""

    n_living: tuple[int, ...]
    loss: float


class MorphNetStrategy(OneShotStrategy):
    """Shrinks a wide network to the units that it needs, and widens what is left.

    The method of MorphNet [1]_, which section 2.2.4 of the paper [2]_ describes. A wide
    network is trained with a penalty on the norm of each hidden unit's weights, in
    proportion to the parameters that the unit costs. It grows in the course of the
    training, and units that contribute less than it die. So there is a network for each
    strength of the penalty, from the whole one to a few units. That with the fewest
    units whose validation loss is still nearly the least is widened, all layers by the
    same factor, up to the budget, and where `n_iterations` is more than 1, shrunk
    again. This is ``search_strategy='morphnet'``.

    Candidates are these networks, with widths rounded up to those of the space, and
    widened ones, or narrowed ones where they are beyond the budget. They are trained
    from scratch, those near the network that was last chosen first. All have the layers
    of the first network, in other widths.

    Parameters
    ----------
    first_architecture : Architecture or None, default=None
        The network to begin with, which may have more parameters than the space allows.
        None is `SearchSpace.strong_architecture` with all layers of the greatest width.

    budget : float, default=1.0
        Most parameters of a candidate, as a share of those of the first network. What
        is drawn from the prior after the candidates may have more, where a few draws
        find nothing within the budget; `max_parameters` holds for all.

    n_iterations : int, default=1
        How often to shrink the network. Each time has an equal share of the training,
        which is then shorter.

    learning_rate : float, default=0.01
        That of the training with the penalty, constant.

    supernet_share : float, default=0.3
        Share of the cost of the search that this training may take. As many children
        are left out.

    Attributes
    ----------
    space_ : SearchSpace
        Where architectures come from.

    generator_ : numpy.random.Generator
        Source of the draws.

    See Also
    --------
    EnasStrategy : Learns which slices of a network with shared weights are good.

    Notes
    -----
    The resource of [1]_ is parameters here. When all candidates have been tried, and
    without a supernet, as in a loop of your own, architectures are drawn from the prior
    of the space.

    References
    ----------
    .. [1] A. Gordon, E. Eban, O. Nachum, B. Chen, H. Wu, T.-J. Yang and E. Choi,
       "MorphNet: Fast & Simple Resource-Constrained Structure Learning of Deep
       Networks", CVPR 2018.
    .. [2] F. Minutoli and M. Ciranni, "Neural Architecture Search: An overview".

    Examples
    --------
    >>> from sknas import MorphNetStrategy, NASMLPClassifier
    >>> strategy = MorphNetStrategy(n_iterations=1)
    >>> classifier = NASMLPClassifier(search_strategy=strategy)
    """

    seeks_size: ClassVar[bool] = True
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "first_architecture": [Architecture, None],
        "budget": [Interval(Real, 0, 1, closed="right")],
        "n_iterations": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "supernet_share": [Interval(Real, 0, 1, closed="neither")],
    }

    def __init__(
        self,
        *,
        first_architecture: Architecture | None = None,
        budget: float = 1.0,
        n_iterations: int = 1,
        learning_rate: float = 0.01,
        supernet_share: float = 0.3,
    ) -> None:
        self.first_architecture = first_architecture
        self.budget = budget
        self.n_iterations = n_iterations
        self.learning_rate = learning_rate
        self.supernet_share = supernet_share

    def begin(self) -> None:
        """Begin without a supernet."""
        super().begin()
        self._first = self._check_first()
        # Known with the supernet: numbers of columns and outputs, and the budget.
        self._shape: tuple[int, int] | None = None
        self._max_parameters = math.inf

    def explore(self, supernet: TrainableSupernet) -> None:
        """Shrink and widen as often as asked for, then rank what came of it.

        Parameters
        ----------
        supernet : TrainableSupernet
            Of `space_`, not yet trained.
        """
        self._shape = supernet.n_inputs, supernet.n_outputs
        self._max_parameters = self._check_budget(*self._shape)
        current = self._first
        candidates: dict[Architecture, None] = {}
        n_iterations = int(self.n_iterations)
        for number in range(n_iterations):
            if number:
                supernet.restart()
            end = (number + 1) / n_iterations
            shrunk = list(self._shrink(supernet, current, end))
            if not shrunk:
                break
            needed = _needed(shrunk)
            # Those of the last iteration stand first.
            found = self._candidates([each.n_living for each in shrunk], needed)
            candidates = dict.fromkeys([*found, *candidates])
            current = self._widened(shrunk[needed].n_living)[-1]
        if candidates:
            self.rank(list(candidates), list(range(len(candidates), 0, -1)))

    def sample(self, n: int) -> list[Architecture]:
        """Draw from the prior of the space, within the budget as far as that is easy.

        Parameters
        ----------
        n : int
            How many.

        Returns
        -------
        list of Architecture
            Independent draws.
        """
        drawn = []
        for _ in range(n):
            tries = (self.space_.sample(self.generator_) for _ in range(_MAX_DRAWS))
            drawn.append(next(filter(self._is_affordable, tries), None))
        return [each or self.space_.sample(self.generator_) for each in drawn]

    def _check_first(self) -> Architecture:
        """Return what the first iteration shrinks."""
        space, first = self.space_, self.first_architecture
        if first is None:
            strong = space.strong_architecture()
            widest = max(space.layer_widths)
            return _resized(strong, [widest] * len(strong.hidden_layer_sizes))
        is_known = set(first.layers) <= set(space.vocabulary)
        if not is_known or len(first.layers) >= space.max_layers:
            raise ValueError(
                f"The 'first_architecture' parameter of {type(self).__name__} must be "
                f"an architecture of the search space. Got {first!r} instead."
            )
        return first

    def _check_budget(self, n_inputs: int, n_outputs: int) -> float:
        """Return the most parameters of a candidate; the smallest must keep to it."""
        n_first = self._first.n_parameters(n_inputs, n_outputs)
        fewest = smallest(self.space_, n_inputs, n_outputs)
        if self.budget * n_first < fewest:
            raise InvalidParameterError(
                f"The 'budget' parameter of {type(self).__name__} must be at least "
                f"{fewest} / {n_first}, since the smallest network of the search space "
                f"has {fewest} parameters and the first one {n_first}. Got "
                f"{self.budget!r} instead."
            )
        return self.budget * n_first

    def _shrink(
        self, supernet: TrainableSupernet, architecture: Architecture, end: float
    ) -> Iterator[_Shrunk]:
        """Train under a growing penalty; yield what lives after each epoch."""
        gates = Gates.of(architecture, self.space_)
        sizes = architecture.hidden_layer_sizes
        n_parameters = architecture.n_parameters(supernet.n_inputs, supernet.n_outputs)
        unit = math.sqrt(n_parameters / sum(sizes))
        begin = supernet.progress
        while supernet.progress < end:
            done = (supernet.progress - begin) / (end - begin)
            supernet.train(
                [gates],
                unit_penalty=unit * _WEAKEST * (_STRONGEST / _WEAKEST) ** done,
                learning_rate=float(self.learning_rate),
            )
            norms = [
                of_layer[:size]
                for of_layer, size in zip(supernet.unit_norms(), sizes, strict=False)
            ]
            living = tuple(int(np.sum(n > _ALIVE * n.max())) for n in norms)
            loss = float(supernet.losses([gates])[0])
            # Through a layer without a unit nothing passes.
            if not all(living) or not math.isfinite(loss):
                return
            yield _Shrunk(living, loss)

    def _candidates(
        self, n_living: Sequence[Sequence[int]], needed: int
    ) -> list[Architecture]:
        """Return networks of all strengths of the penalty, those to try first first."""
        shrunk = [self._rounded(each) for each in n_living]
        # Different ones only: in a long training many are the same.
        places = {each: place for place, each in enumerate(dict.fromkeys(shrunk))}
        middle = places[shrunk[needed]]
        ranked: dict[Architecture, int] = {}
        for each, small in zip(n_living, shrunk, strict=True):
            first, *wider = self._widened(each)
            # The shrunk network, then the widest one, then those between.
            for step, found in enumerate([first, *wider[-1:], *wider[:-1]]):
                rank = abs(places[small] - middle) + step
                ranked[found] = min(ranked.get(found, rank), rank)
        affordable = filter(self._is_affordable, ranked)
        return sorted(affordable, key=ranked.__getitem__)

    def _widened(self, n_living: Sequence[int]) -> list[Architecture]:
        """Return a network of so many units, and wider ones within the budget.

        The widest is the last. One that is too large is narrowed, again all layers by
        the same factor; if that does not help, it stands as it is.
        """
        found = [self._rounded(n_living)]
        if not self._is_affordable(found[0]):
            return [self._narrowed(n_living) or found[0]]
        widest = max(self.space_.layer_widths)
        factor = 1.0
        # Beyond the widest layer of the space there is nothing.
        while factor * min(n_living) < widest:
            factor *= _FACTOR
            sizes = [min(math.ceil(factor * n), widest) for n in n_living]
            wider = self._rounded(sizes)
            if not self._is_affordable(wider):
                break
            if wider != found[-1]:
                found.append(wider)
        return found

    def _narrowed(self, n_living: Sequence[int]) -> Architecture | None:
        """Return the largest network of this shape within the budget, if there is."""
        factor = 1.0
        while factor * max(n_living) > min(self.space_.layer_widths):
            factor /= _FACTOR
            narrower = self._rounded([math.ceil(factor * n) for n in n_living])
            if self._is_affordable(narrower):
                return narrower
        return None

    def _is_affordable(self, architecture: Architecture) -> bool:
        if self._shape is None:
            return architecture in self.space_
        n_parameters = architecture.n_parameters(*self._shape)
        return architecture in self.space_ and n_parameters <= self._max_parameters

    def _rounded(self, sizes: Sequence[int]) -> Architecture:
        """Return the first network in other sizes, rounded up to those of the space."""
        widths = sorted(self.space_.layer_widths)
        rounded = [widths[bisect.bisect_left(widths, size)] for size in sizes]
        return _resized(self._first, rounded)


def _resized(architecture: Architecture, sizes: Sequence[int]) -> Architecture:
    """Return an architecture whose dense layers have other sizes."""
    left = iter(sizes)
    return Architecture(
        *(
            layer if isinstance(layer, str) else (next(left), layer[1])
            for layer in architecture.layers
        )
    )


def _needed(shrunk: Sequence[_Shrunk]) -> int:
    """Return the position of the smallest network whose loss is nearly the least."""
    losses = [each.loss for each in shrunk]
    limit = min(losses) + _TOLERATED * (max(losses) - min(losses))
    return max(i for i, loss in enumerate(losses) if loss <= limit)
