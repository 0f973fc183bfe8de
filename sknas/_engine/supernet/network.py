"""The shared weights of all architectures of a space, and the slices that are these."""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sknas._engine.layers import ACTIVATIONS
from sknas._space import Architecture, Gates, SearchSpace
from sknas._typing import Weights

# A layer's view of the flat buffer begins on a cache line.
_ALIGNMENT = 16


class Block(NamedTuple):
    """The first inputs and the first units of a layer: what is computed with."""

    layer: int
    n_in: int
    n_out: int


class BlockViews(NamedTuple):
    """A block of the layers' tensors and of their gradients, and both without a bias.

    The first row of ``parameters`` is the bias.
    """

    parameters: Tensor
    gradients: Tensor
    bias: Tensor
    weights: Tensor
    bias_gradient: Tensor
    weights_gradient: Tensor


class SupernetWeights:
    """Weights of the deepest network of a space, all layers of the greatest width.

    A narrower layer is the first units of a wide one, and a network of fewer layers the
    first positions of a deep one, so that architectures share what they have in common.

    Parameters
    ----------
    space : SearchSpace
        Whose architectures are slices of the network.
    n_features : int
        Columns of the encoded table.
    n_outputs : int
        Units of the output layer.
    device : torch.device
        Where the tensors live.
    dtype : torch.dtype, default=torch.float32
        Of all tensors.
    separates_first : bool, default=False
        Whether the first position has weights of its own for each activation. Then
        only one of them may be open there.

    Attributes
    ----------
    n_layers : int
        Positions of hidden layers.
    widths : tuple of int
        Those of the space, in increasing order.
    last_units : Tensor of shape (n_widths,), int64
        Position of the last unit of each width.
    parameters, gradients : Tensor of shape (n_parameters,)
        All weights and biases, and room for the gradient with respect to them.
    layers, layer_gradients : list of Tensor of shape (1 + n_in, n_out)
        Views of these, one for each position and the output layer last; where the first
        position is separated, one for each of its activations. The first row is the
        bias.
    """

    def __init__(
        self,
        space: SearchSpace,
        n_features: int,
        n_outputs: int,
        *,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        separates_first: bool = False,
    ) -> None:
        self.space, self.separates_first = space, separates_first
        self.n_layers = Gates.n_layers_of(space)
        self.widths = tuple(sorted(set(space.layer_widths)))
        self.last_units = torch.tensor(self.widths, device=device) - 1
        self.n_features, self.n_outputs = n_features, n_outputs
        width = self.widths[-1]
        self._n_firsts = len(space.activations) if separates_first else 1
        sizes = [width] * self.n_layers
        self._shapes = [(1 + n_features, width)] * self._n_firsts
        self._shapes += [(1 + a, b) for a, b in itertools.pairwise((*sizes, n_outputs))]
        lengths = [math.ceil(a * b / _ALIGNMENT) * _ALIGNMENT for a, b in self._shapes]
        self._offsets = list(itertools.accumulate(lengths, initial=0))
        self.parameters = torch.zeros(self._offsets[-1], dtype=dtype, device=device)
        self.gradients = torch.zeros_like(self.parameters)
        self.layers = self.views(self.parameters)
        self.layer_gradients = self.views(self.gradients)
        # A view costs a microsecond, and a step needs many of the same ones.
        self._blocks: dict[Block, BlockViews] = {}

    def layer_at(self, position: int, activation: int) -> int:
        """Return which of the layers a position has; the last is that of the output.

        Parameters
        ----------
        position : int
            From 0 to ``n_layers``.
        activation : int
            The one that is open, which matters where the first position is separated.
        """
        if position:
            return position + self._n_firsts - 1
        return activation if self.separates_first else 0

    def views(self, flat: Tensor) -> list[Tensor]:
        """View a buffer of the form of ``parameters`` as its layers."""
        return [
            flat[start : start + a * b].view(a, b)
            for start, (a, b) in zip(self._offsets, self._shapes, strict=False)
        ]

    def block(self, block: Block) -> BlockViews:
        """View a block of a layer and of its gradient."""
        if block not in self._blocks:
            part = slice(0, 1 + block.n_in), slice(0, block.n_out)
            both = [
                layers[block.layer][part]
                for layers in (self.layers, self.layer_gradients)
            ]
            apart = [view for whole in both for view in (whole[0], whole[1:])]
            self._blocks[block] = BlockViews(*both, *apart)
        return self._blocks[block]

    def initialize(self, seed: int) -> None:
        """Draw all weights; biases are zero.

        Uniform with the variance of He where the space has a rectifier, else of Glorot.

        Parameters
        ----------
        seed : int
            Decides the weights.
        """
        # Drawn on the CPU: the same on every device.
        generator = torch.Generator("cpu").manual_seed(seed)
        rectifies = any(ACTIVATIONS[name].rectifies for name in self.space.activations)
        for position, layer in enumerate(self.layers):
            n_in, n_out = len(layer) - 1, layer.shape[1]
            is_rectified = rectifies and position < len(self.layers) - 1
            bound = math.sqrt(6 / n_in if is_rectified else 6 / (n_in + n_out))
            drawn = torch.empty((n_in, n_out), dtype=torch.float32, device="cpu")
            drawn.uniform_(-bound, bound, generator=generator)
            layer[0].zero_()
            layer[1:].copy_(drawn)

    def extract(self, architecture: Architecture) -> list[Weights]:
        """Copy an architecture's weights out, as arrays.

        Parameters
        ----------
        architecture : Architecture
            An architecture of the space.

        Returns
        -------
        list of (ndarray, ndarray)
            Weights of shape (n_in, n_out) and biases of shape (n_out,), one pair for
            each layer and the output layer last.
        """
        hidden = architecture.hidden_layer_sizes
        widths = (self.n_features, *hidden, self.n_outputs)
        _, activation = architecture.dense_layers[0]
        first = self.space.activations.index(activation)
        positions = [*range(len(hidden)), self.n_layers]
        used = [self.layers[self.layer_at(each, first)] for each in positions]
        return [
            (_array(layer[1 : 1 + a, :b]), _array(layer[0, :b]))
            for layer, (a, b) in zip(used, itertools.pairwise(widths), strict=True)
        ]

    def unit_norms(self) -> list[np.ndarray]:
        """Return the norm of each hidden unit's incoming weights and its bias."""
        return [
            _array(torch.linalg.vector_norm(layer, dim=0)) for layer in self.layers[:-1]
        ]


def _array(tensor: Tensor) -> np.ndarray:
    array: np.ndarray = tensor.cpu().numpy().copy(order="C")
    return array
