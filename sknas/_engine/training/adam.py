"""Adam and AdamW on the flat buffers of a stack: one fused call for equal steps."""

from __future__ import annotations

import torch

from sknas._engine.jobs import OptimizerSettings
from sknas._engine.training.optimizer import Group, StackedOptimizer, within_float32


class _AdamGroup(Group):
    """torch's fused Adam takes one learning rate: it is called for each group."""

    def __init__(
        self, optimizer: StackedOptimizer, children: slice, settings: OptimizerSettings
    ) -> None:
        super().__init__(optimizer, children, settings)
        self._n_steps = optimizer.n_steps
        # In the lists that torch asks for.
        buffers = (self.parameters, self.gradients, *self.moments)
        self._buffers = [[buffer] for buffer in buffers]
        self._decays = settings.solver == "adamw" and settings.weight_decay > 0
        self._rate = self.parameters.new_zeros(())
        self._shrinkage = self.parameters.new_ones(())

    def set_rate(self, rate: float) -> None:
        """Set the learning rate, and what weight decay leaves of the weights."""
        self._rate.fill_(within_float32(rate))
        if self._decays:
            self._shrinkage.fill_(within_float32(1 - rate * self.settings.weight_decay))

    def step(self) -> None:
        """Move these children."""
        # AdamW: W shrinks by the factor 1 - rate * decay, apart from the gradient.
        if self._decays:
            self.decayed.mul_(self._shrinkage)
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
            [self._n_steps],
            lr=self._rate,
            beta1=self.settings.beta_1,
            beta2=self.settings.beta_2,
            weight_decay=0.0,
            eps=self.settings.epsilon,
            amsgrad=False,
            maximize=False,
        )


class StackedAdam(StackedOptimizer):
    """Divides averages of the gradients by the roots of those of their squares.

    With ``'adam'``, ``alpha`` is the factor of an L2 term, divided by the batch size;
    with ``'adamw'``, weight decay is decoupled.

    References
    ----------
    .. [1] D. P. Kingma and J. Ba, "Adam: A Method for Stochastic Optimization", 2015.
    """

    n_moments = 2
    group_class = _AdamGroup
