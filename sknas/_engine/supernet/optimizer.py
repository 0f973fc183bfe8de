"""Steps of parts of a supernet: what a batch did not use stays as it is."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from sknas._engine.jobs import OptimizerSettings
from sknas._engine.supernet.network import Block, BlockViews, SupernetWeights


class SupernetOptimizer:
    """Adam, AdamW or gradient descent on the blocks that a pass computed with.

    Weights that a batch did not use are neither moved by their momentum nor decayed:
    else wide and deep parts, which few architectures use, would shrink, and a step of
    a small architecture would cost as much as one of the whole supernet.

    Parameters
    ----------
    weights : SupernetWeights
        What is moved.
    settings : OptimizerSettings
        Of a solver that steps from batch to batch.
    """

    def __init__(self, weights: SupernetWeights, settings: OptimizerSettings) -> None:
        self._weights, self._settings = weights, settings
        self._is_sgd = settings.solver == "sgd"
        self._decouples = settings.solver == "adamw"
        n_moments = 1 if self._is_sgd else 2
        self._moments = [
            weights.views(torch.zeros_like(weights.parameters))
            for _ in range(n_moments)
        ]
        # Views of these, by their blocks.
        self._blocks: dict[Block, list[Tensor]] = {}
        # Each layer counts its own, as a position is not in all architectures.
        self._n_steps = [
            torch.zeros((), dtype=torch.float32, device=weights.parameters.device)
            for _ in weights.layers
        ]

    def restart(self) -> None:
        """Forget all steps."""
        for tensor in itertools.chain(self._n_steps, *self._moments):
            tensor.zero_()

    def step(
        self,
        blocks: Sequence[Block],
        rate: float,
        n_rows: int,
        unit_penalty: float = 0.0,
    ) -> None:
        """Move some blocks along their gradients.

        Parameters
        ----------
        blocks : sequence of Block
            What a pass computed with.
        rate : float
            Learning rate.
        n_rows : int
            Of the batch.
        unit_penalty : float, default=0.0
            Strength of the penalty of hidden units.
        """
        decay = self._settings.weight_decay
        for block in blocks:
            views, moments = self._weights.block(block), self._moments_of(block)
            if decay and self._decouples:
                views.weights.mul_(1 - rate * decay)
            elif decay:
                views.weights_gradient.add_(views.weights, alpha=decay / n_rows)
            if self._is_sgd:
                self._descend(views, moments[0], rate)
            else:
                self._n_steps[block.layer].add_(1)
                self._adapt(views, moments, block.layer, rate)
        if unit_penalty:
            self._penalize(blocks, rate * unit_penalty)

    def _moments_of(self, block: Block) -> list[Tensor]:
        if block not in self._blocks:
            part = slice(0, 1 + block.n_in), slice(0, block.n_out)
            self._blocks[block] = [
                of_all[block.layer][part] for of_all in self._moments
            ]
        return self._blocks[block]

    def _descend(self, views: BlockViews, velocity: Tensor, rate: float) -> None:
        momentum = self._settings.momentum
        parameters, gradients = views.parameters, views.gradients
        gradients.mul_(rate)
        velocity.mul_(momentum).sub_(gradients)
        if self._settings.nesterovs_momentum:
            parameters.add_(velocity, alpha=momentum).sub_(gradients)
        else:
            parameters.add_(velocity)

    def _adapt(
        self, views: BlockViews, moments: Sequence[Tensor], layer: int, rate: float
    ) -> None:
        moved = [views.parameters, *moments]
        # The fused call takes whole buffers: of a narrow block, copies.
        whole = [tensor.contiguous() for tensor in moved]
        settings = self._settings
        torch._fused_adam_(
            [whole[0]],
            [views.gradients.contiguous()],
            [whole[1]],
            [whole[2]],
            [],
            [self._n_steps[layer]],
            lr=rate,
            beta1=settings.beta_1,
            beta2=settings.beta_2,
            weight_decay=0.0,
            eps=settings.epsilon,
            amsgrad=False,
            maximize=False,
        )
        for tensor, copy in zip(moved, whole, strict=True):
            if copy is not tensor:
                tensor.copy_(copy)

    def _penalize(self, blocks: Sequence[Block], strength: float) -> None:
        """Shrink each hidden unit's incoming weights and bias, to zero where small.

        The proximal step of a sum of their norms, each times the parameters that the
        unit costs, relative to the mean.
        """
        # With the outgoing weights in the norms, networks of as many parameters have a
        # higher loss (digits, three layers of 256 units): 0.23 beside 0.17 at 43,000.
        hidden = blocks[:-1]
        costs = [1 + b.n_in + after.n_out for b, after in itertools.pairwise(blocks)]
        n_units = [block.n_out for block in hidden]
        mean = sum(c * n for c, n in zip(costs, n_units, strict=True)) / sum(n_units)
        for block, cost in zip(hidden, costs, strict=True):
            units = self._weights.block(block).parameters
            norms = torch.linalg.vector_norm(units, dim=0)
            lengths = (norms - strength * cost / mean).clamp_min_(0)
            # 0 / 0 is a unit that is gone already.
            units.mul_((lengths / norms).nan_to_num_(0.0))
