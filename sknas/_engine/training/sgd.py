"""Gradient descent with momentum on the flat buffers of a stack."""

from __future__ import annotations

import torch

from sknas._engine.jobs import OptimizerSettings
from sknas._engine.training.optimizer import Group, StackedOptimizer, within_float32


class _SGDGroup(Group):
    """Every child may have a learning rate of its own."""

    def __init__(
        self, optimizer: StackedOptimizer, children: slice, settings: OptimizerSettings
    ) -> None:
        super().__init__(optimizer, children, settings)
        # Of shape (n_children, 1).
        self._rates = torch.zeros_like(self.factors)

    def set_rate(self, rate: float) -> None:
        """Set the learning rate of each child."""
        torch.mul(self.factors, within_float32(rate), out=self._rates)

    def step(self) -> None:
        """Move these children: v becomes m v - rate g, and W moves by v.

        With Nesterov's momentum, W moves by m v - rate g of the new v.
        """
        momentum = self.settings.momentum
        (velocity,) = self.moments
        # The gradients are needed no more.
        self.gradients.mul_(self._rates)
        velocity.mul_(momentum).sub_(self.gradients)
        if self.settings.nesterovs_momentum:
            self.parameters.add_(velocity, alpha=momentum).sub_(self.gradients)
        else:
            self.parameters.add_(velocity)


class StackedSGD(StackedOptimizer):
    """Follows the gradients, with momentum, as ``solver='sgd'`` of `MLPClassifier`."""

    n_moments = 1
    group_class = _SGDGroup
