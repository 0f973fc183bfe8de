"""Adam and AdamW on the flat buffers of a stack: one fused call for equal steps."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from sknas._engine.jobs import OptimizerSettings, OptimizerState
from sknas._engine.network import StackedMLP

_LARGEST = torch.finfo(torch.float32).max


class StackedAdam:
    """Moves all parameters of a stack at once.

    Everything that changes from step to step is a tensor, so that a step can be
    recorded once and replayed. torch's fused Adam takes one learning rate: it is called
    once for each group of neighbouring children with equal settings, on their slice of
    the leading axis. Usually all children have the same, and there is one call.

    Parameters
    ----------
    network : StackedMLP
        What is trained.
    settings : sequence of OptimizerSettings
        One for each child. As in `MLPClassifier`, the L2 term ``alpha`` of ``'adam'``
        is divided by the batch size; with ``'adamw'``, weight decay is decoupled.
    n_steps : int, default=0
        Steps that all children have taken before.

    Attributes
    ----------
    moments : list of Tensor of the shape of the network's parameters
        Averages of the gradients, and of their squares.
    groups : list of Group
        The children that are moved together, in their order.

    References
    ----------
    .. [1] D. P. Kingma and J. Ba, "Adam: A Method for Stochastic Optimization", 2015.
    """

    def __init__(
        self,
        network: StackedMLP,
        settings: Sequence[OptimizerSettings],
        n_steps: int = 0,
    ) -> None:
        self.network = network
        self.moments = [torch.zeros_like(network.parameters) for _ in range(2)]
        # Of shape (), as torch asks for: the children of a stack step together.
        self._n_steps = network.parameters.new_full((), n_steps)
        self._settings = list(settings)
        self._make_groups()

    def _make_groups(self) -> None:
        self.groups: list[Group] = []
        start = 0
        # Only neighbours are grouped: a group has to be one slice of the leading axis.
        for settings, neighbours in itertools.groupby(self._settings):
            children = slice(start, start + len(list(neighbours)))
            self.groups.append(Group(self, children, settings))
            start = children.stop

    def set_progress(self, progress: Sequence[float]) -> None:
        """Set the learning rates of the next step.

        Parameters
        ----------
        progress : sequence of float
            How much of the schedule of each group is behind, from 0 to 1.
        """
        for group, of_group in zip(self.groups, progress, strict=True):
            group.set_progress(of_group)

    def step(self, n_rows: int) -> None:
        """Move the parameters along the gradients of a batch of ``n_rows``."""
        self._n_steps.add_(1)
        for group in self.groups:
            group.step(n_rows, self._n_steps)

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
        self.network = network
        self._settings = [self._settings[child] for child in children.tolist()]
        self._make_groups()


class Group:
    """Neighbouring children with equal settings, and their slice of every buffer.

    Parameters
    ----------
    optimizer : StackedAdam
        Whose moments these are.
    children : slice
        Positions on the leading axis.
    settings : OptimizerSettings
        What these children have in common.
    """

    def __init__(
        self, optimizer: StackedAdam, children: slice, settings: OptimizerSettings
    ) -> None:
        self.settings = settings
        network = optimizer.network
        # Views of shape (n_children, n_parameters), in the lists that torch asks for.
        self._buffers = [
            [flat[children]]
            for flat in (network.parameters, network.gradients, *optimizer.moments)
        ]
        self._decayed = network.decayed[children]
        self._decayed_gradients = network.decayed_gradients[children]
        self._decays = settings.solver == "adamw" and settings.weight_decay > 0
        self._penalizes = settings.solver == "adam" and settings.weight_decay > 0
        self._rate = network.parameters.new_zeros(())
        self._shrinkage = network.parameters.new_ones(())

    def set_progress(self, progress: float) -> None:
        """Set the learning rate for a share of the schedule that is behind."""
        rate = self.settings.learning_rate_init
        if self.settings.learning_rate == "cosine":
            # From the initial rate to 0 along half a cosine.
            rate *= 0.5 * (1 + math.cos(math.pi * progress))
        self._rate.fill_(_within_float32(rate))
        if self._decays:
            self._shrinkage.fill_(
                _within_float32(1 - rate * self.settings.weight_decay)
            )

    def step(self, n_rows: int, n_steps: Tensor) -> None:
        """Move these children; ``n_steps`` counts the steps, this one included."""
        # AdamW: W shrinks by the factor 1 - rate * decay, apart from the gradient.
        if self._decays:
            self._decayed.mul_(self._shrinkage)
        elif self._penalizes:
            # Adam: the gradient of the L2 term alpha / (2 n) |W|^2 is alpha / n W.
            penalty = _within_float32(self.settings.weight_decay / n_rows)
            self._decayed_gradients.add_(self._decayed, alpha=penalty)
        parameters, gradients, first_moment, second_moment = self._buffers
        # What torch.optim.Adam(fused=True) calls in the end; the way there would cost
        # a small network a tenth of its step. The empty list is for AMSGrad; torch's
        # own weight decay would shrink the biases too.
        torch._fused_adam_(
            parameters,
            gradients,
            first_moment,
            second_moment,
            [],
            [n_steps],
            lr=self._rate,
            beta1=self.settings.beta_1,
            beta2=self.settings.beta_2,
            weight_decay=0.0,
            eps=self.settings.epsilon,
            amsgrad=False,
            maximize=False,
        )


def _within_float32(value: float) -> float:
    """Return a value that 32 bits can hold: too large a step fails by its loss."""
    return min(max(value, -_LARGEST), _LARGEST)
