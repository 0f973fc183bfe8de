"""Adam and AdamW on the flat buffers of a stack: one fused call a step."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sknas._engine.network import StackedMLP


class StackedAdam:
    """Moves all parameters of a stack at once.

    Everything that changes from step to step is a tensor, so that a step can be
    recorded once and replayed.

    Parameters
    ----------
    network : StackedMLP
        What is trained.
    solver : {'adamw', 'adam'}
        Whether weight decay is decoupled or an L2 term of the loss.
    alpha : float
        Weight decay. As in `MLPClassifier`, an L2 term is divided by the batch size.
    learning_rate : {'cosine', 'constant'}
        Schedule.
    learning_rate_init : float
        Where it begins.
    beta_1, beta_2, epsilon : float
        As in [1]_.

    References
    ----------
    .. [1] D. P. Kingma and J. Ba, "Adam: A Method for Stochastic Optimization", 2015.
    """

    def __init__(
        self,
        network: StackedMLP,
        *,
        solver: str,
        alpha: float,
        learning_rate: str,
        learning_rate_init: float,
        beta_1: float,
        beta_2: float,
        epsilon: float,
    ) -> None:
        self.network = network
        self._decays = solver == "adamw" and alpha > 0
        self._penalizes = solver == "adam" and alpha > 0
        self._alpha = alpha
        self._learning_rate = learning_rate
        self._learning_rate_init = learning_rate_init
        self._beta_1, self._beta_2, self._epsilon = beta_1, beta_2, epsilon
        self.first_moment = torch.zeros_like(network.parameters)
        self.second_moment = torch.zeros_like(network.parameters)
        self._n_steps = network.parameters.new_zeros(())
        self._rate = network.parameters.new_zeros(())
        self._shrinkage = network.parameters.new_ones(())

    def set_progress(self, progress: float) -> None:
        """Set the learning rate of the next step.

        Parameters
        ----------
        progress : float
            How much of the schedule is behind, from 0 to 1.
        """
        rate = self._learning_rate_init
        if self._learning_rate == "cosine":
            rate *= 0.5 * (1 + math.cos(math.pi * progress))
        self._rate.fill_(rate)
        if self._decays:
            self._shrinkage.fill_(1 - rate * self._alpha)

    def step(self, n_rows: int) -> None:
        """Move the parameters along the gradients of a batch of ``n_rows``."""
        network = self.network
        if self._decays:
            network.decayed.mul_(self._shrinkage)
        elif self._penalizes:
            network.decayed_gradients.add_(network.decayed, alpha=self._alpha / n_rows)
        self._n_steps.add_(1)
        # What torch.optim.Adam(fused=True) calls in the end; the way there would cost
        # a small network a tenth of its step.
        torch._fused_adam_(
            [network.parameters],
            [network.gradients],
            [self.first_moment],
            [self.second_moment],
            [],
            [self._n_steps],
            lr=self._rate,
            beta1=self._beta_1,
            beta2=self._beta_2,
            weight_decay=0.0,
            eps=self._epsilon,
            amsgrad=False,
            maximize=False,
        )

    def select(self, network: StackedMLP, children: Tensor) -> None:
        """Go on with some of the children, which ``network`` holds now."""
        moments = (self.first_moment, self.second_moment)
        self.first_moment, self.second_moment = (
            self.network.select_flat(moment, network, children) for moment in moments
        )
        self.network = network
