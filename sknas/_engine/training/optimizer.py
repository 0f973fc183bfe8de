"""What all optimizers of a stack share: groups of children that are moved alike."""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from sknas._engine.jobs import OptimizerSettings, OptimizerState
from sknas._engine.network import StackedMLP

_LARGEST = torch.finfo(torch.float32).max
_LARGEST_LOGARITHM = math.log(sys.float_info.max) - 1


class StackedOptimizer:
    """Moves all parameters of a stack at once; a subclass says how.

    As in `MLPClassifier`, the L2 term ``alpha`` is divided by the batch size.
    Everything that changes from step to step is a tensor, so that a step can be
    recorded once and replayed. Neighbouring children with equal settings are a group,
    which is moved by one call on its slice of the leading axis. Usually all children
    have the same, and there is one group.

    Parameters
    ----------
    network : StackedMLP
        What is trained.
    settings : sequence of OptimizerSettings
        One for each child.
    n_steps, n_iter : int, default=0
        Steps and epochs that all children have behind them.

    Attributes
    ----------
    n_iter : int
        The number of the current epoch, to be set before its first step.
    n_steps : Tensor of shape ()
        Steps so far.
    moments : list of Tensor of the shape of the network's parameters
        What is kept of earlier gradients.
    groups : list of Group
        The children that are moved together, in their order.
    """

    n_moments: ClassVar[int]
    group_class: ClassVar[type[Group]]

    def __init__(
        self,
        network: StackedMLP,
        settings: Sequence[OptimizerSettings],
        n_steps: int = 0,
        n_iter: int = 0,
    ) -> None:
        self.network = network
        self.n_iter = n_iter
        parameters = network.parameters
        self.moments = [torch.zeros_like(parameters) for _ in range(self.n_moments)]
        # Of the learning rates where these are adaptive, of shape (n_children, 1).
        self.factors = parameters.new_ones((network.n_children, 1))
        # Of shape (), as torch asks for: the children of a stack step together.
        self.n_steps = parameters.new_full((), n_steps)
        self._settings = list(settings)
        self._make_groups()

    def _make_groups(self) -> None:
        self.groups: list[Group] = []
        start = 0
        # Only neighbours are grouped: a group has to be one slice of the leading axis.
        for settings, neighbours in itertools.groupby(self._settings):
            children = slice(start, start + len(list(neighbours)))
            self.groups.append(self.group_class(self, children, settings))
            start = children.stop

    def set_progress(self, progress: Sequence[float]) -> None:
        """Set the learning rates of the next step.

        Parameters
        ----------
        progress : sequence of float
            How much of the schedule of each group is behind, from 0 to 1.
        """
        for group, of_group in zip(self.groups, progress, strict=True):
            group.set_rate(group.scheduled_rate(of_group, self.n_iter))

    def step(self, n_rows: int) -> None:
        """Move the parameters along the gradients of a batch of ``n_rows``."""
        self.n_steps.add_(1)
        for group in self.groups:
            group.penalize(n_rows)
            group.step()

    def restore(self, child: int, state: OptimizerState) -> None:
        """Let a child go on with the moments of an earlier training."""
        for moment, arrays in zip(self.moments, state.moments, strict=True):
            self.network.insert(child, arrays, moment)

    def select(self, network: StackedMLP, children: Tensor) -> None:
        """Go on with some of the children, which ``network`` holds now."""
        self.moments = [
            self.network.select_flat(moment, network, children)
            for moment in self.moments
        ]
        self.factors = self.factors[children.to(self.factors.device)]
        self.network = network
        self._settings = [self._settings[child] for child in children.tolist()]
        self._make_groups()


class Group:
    """Neighbouring children with equal settings, and their slice of every buffer.

    Parameters
    ----------
    optimizer : StackedOptimizer
        Whose moments these are.
    children : slice
        Positions on the leading axis.
    settings : OptimizerSettings
        What these children have in common.

    Attributes
    ----------
    parameters, gradients : Tensor of shape (n_children, n_parameters)
        Views of the network's.
    moments : list of Tensor of that shape
        Views of the optimizer's.
    factors : Tensor of shape (n_children, 1)
        A view of the optimizer's.
    """

    def __init__(
        self, optimizer: StackedOptimizer, children: slice, settings: OptimizerSettings
    ) -> None:
        self.settings = settings
        network = optimizer.network
        self.parameters = network.parameters[children]
        self.gradients = network.gradients[children]
        self.moments = [moment[children] for moment in optimizer.moments]
        self.factors = optimizer.factors[children]
        self.decayed = network.decayed[children]
        self._decayed_gradients = network.decayed_gradients[children]
        self._is_scaled = (settings.solver, settings.learning_rate) == (
            "sgd",
            "invscaling",
        )
        decay = settings.weight_decay
        self._penalty = decay if settings.solver != "adamw" else 0.0

    def scheduled_rate(self, progress: float, n_iter: int) -> float:
        """Return the learning rate at a share of the schedule, and in an epoch."""
        rate = self.settings.learning_rate_init
        if self.settings.learning_rate == "cosine":
            # From the initial rate to 0 along half a cosine.
            rate *= 0.5 * (1 + math.cos(math.pi * progress))
        # As in `MLPClassifier`, the other schedules are of gradient descent alone. But
        # that counts rows, not epochs, from the second epoch on, where its rate falls
        # to next to nothing.
        elif self._is_scaled:
            power = self.settings.power_t
            # Python raises OverflowError for a float beyond the largest.
            is_finite = power * math.log(n_iter) < _LARGEST_LOGARITHM
            rate = rate / n_iter**power if is_finite else 0.0
        return rate

    def set_rate(self, rate: float) -> None:
        """Set the learning rate of the next step."""
        raise NotImplementedError

    def penalize(self, n_rows: int) -> None:
        """Add the gradient of the L2 term, as in `MLPClassifier`.

        That of ``alpha / (2 n) |W|^2`` for a batch of n rows is ``alpha / n W``.
        """
        if self._penalty:
            penalty = within_float32(self._penalty / n_rows)
            self._decayed_gradients.add_(self.decayed, alpha=penalty)

    def step(self) -> None:
        """Move these children."""
        raise NotImplementedError


def within_float32(value: float) -> float:
    """Return the nearest value of 32 bits; too large a step shows in the loss."""
    return min(max(value, -_LARGEST), _LARGEST)
