"""A batch on its way through a stack, and its gradients on their way back."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from sknas._engine.dropout import DropoutMasks
from sknas._engine.layers import (
    BFloat16HiddenLayer,
    HiddenLayer,
    OutputLayer,
)
from sknas._engine.network import StackedMLP
from sknas._engine.sparse import (
    SparseBatch,
    SparseHiddenLayer,
)

# Weights from which on a layer's products are worth converting to bfloat16. One
# AVX-512-BF16 core, batch 64, the three products of a layer with the conversions:
# 0.97 of the time with 64 x 512 weights, 0.75 with 256 x 256, 0.58 with 512 x 512.
_BFLOAT16_WEIGHTS = 2**16


class Batch:
    """Buffers of one batch size, so that a step allocates next to nothing.

    Parameters
    ----------
    network : StackedMLP
        Whose parameters are read, and whose gradients are written.
    n_rows : int
        Rows of a batch.
    is_sparse : bool, default=False
        Whether the first layer reads a `SparseBatch`.

    Attributes
    ----------
    X : Tensor of shape (1, n_rows, n_features), or SparseBatch
        The batch itself, to be filled; every child sees the same.
    masks : DropoutMasks
        Of the hidden layers.
    """

    def __init__(
        self, network: StackedMLP, n_rows: int, *, is_sparse: bool = False
    ) -> None:
        widths = network.widths
        self.n_rows = n_rows
        self._gradients, self._padding = network.gradients, network.padding
        self.X: Tensor | SparseBatch
        if is_sparse:
            self.X = SparseBatch(n_rows)
        else:
            self.X = network.parameters.new_empty((1, n_rows, widths[0]))
        self.masks = DropoutMasks(
            network.dropout_seeds,
            widths[1:-1],
            network.dropped,
            n_rows=n_rows,
            dropout=network.dropout,
        )
        weights = list(zip(network.weights, network.biases, strict=True))
        gradients = list(zip(*network.views(network.gradients), strict=True))
        self._hidden_layers = self._make_hidden_layers(network, weights, gradients)
        last = self._hidden_layers[-1]
        self._output_layer = OutputLayer(
            last.output,
            weights[-1],
            input_gradient=last.gradient,
            gradients=gradients[-1],
        )

    def _make_hidden_layers(
        self,
        network: StackedMLP,
        weights: Sequence[tuple[Tensor, Tensor]],
        gradients: Sequence[tuple[Tensor, Tensor]],
    ) -> list[HiddenLayer]:
        # Each layer reads the output of the layer before it, and writes the loss's
        # gradient with respect to that output into a buffer of that layer. The first
        # layer reads the batch, (n_children, n_rows, n_features) without copies, and
        # needs no such gradient.
        layers: list[HiddenLayer] = []
        projection_gradients = network.projection_views(network.gradients)
        for layer, activations in enumerate(network.activation_runs):
            buffers = weights[layer], activations, self.masks[layer]
            if not layers and isinstance(self.X, SparseBatch):
                first = SparseHiddenLayer(self.X, *buffers, gradients=gradients[0])
                layers.append(first)
                continue
            multiplies_rounded = layer in network.bfloat16_layers
            layer_class = BFloat16HiddenLayer if multiplies_rounded else HiddenLayer
            hidden_layer = layer_class(
                layers[-1].output if layers else self._expanded(network),
                *buffers,
                network.skips(layer, projection_gradients.get(layer)),
                input_gradient=layers[-1].gradient if layers else None,
                gradients=gradients[layer],
            )
            layers.append(hidden_layer)
        return layers

    def _expanded(self, network: StackedMLP) -> Tensor:
        assert isinstance(self.X, Tensor)
        return self.X.expand(network.n_children, -1, -1)

    @property
    def logits(self) -> Tensor:
        """What `forward` computes, of shape (n_children, n_outputs, n_rows)."""
        return self._output_layer.logits

    def forward(self) -> Tensor:
        """Compute ``logits`` from ``X``, with dropout."""
        self.masks.draw()
        for layer in self._hidden_layers:
            layer.forward()
        self._output_layer.forward()
        return self.logits

    def backward(self, gradient: Tensor) -> None:
        """Fill the network's gradients, after `forward`.

        Parameters
        ----------
        gradient : Tensor of shape (n_children, n_outputs, n_rows)
            Of the loss with respect to the logits.
        """
        self._output_layer.backward(gradient)
        for layer in reversed(self._hidden_layers):
            layer.backward()
        # A padded sigmoid unit is 0.5, so that the weights of its outgoing connections
        # have gradients. Without them, Adam leaves what is zero at zero.
        if self._padding is not None:
            self._gradients.mul_(self._padding)
