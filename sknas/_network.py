"""Multilayer perceptrons of one shape as one tensor, with analytic gradients.

All tensors carry a leading axis ``n_children``. Layer ``l`` computes, for each child,
``H[l] = f(X[l] @ W[l] + b[l])``, where ``X[l]`` is ``H[l - 1]`` after dropout. The
output and its loss are a canonical pair, so that the gradient at the output's
pre-activation is ``prediction - target`` and one backward pass serves every task.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from sknas._space import Architecture
from sknas._typing import Weights

_aten = torch.ops.aten
# A gradient becomes the gradient one step earlier, in place, given the layer's output.
_ACTIVATIONS: dict[
    str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor, Tensor], Tensor]]
] = {
    "relu": (
        torch.relu_,
        lambda g, h: _aten.threshold_backward.grad_input(g, h, 0, grad_input=g),
    ),
    "elu": (
        torch.nn.functional.elu_,
        lambda g, h: _aten.elu_backward.grad_input(g, 1, 1, 1, True, h, grad_input=g),
    ),
    "tanh": (
        torch.tanh_,
        lambda g, h: _aten.tanh_backward.grad_input(g, h, grad_input=g),
    ),
    "sigmoid": (
        torch.sigmoid_,
        lambda g, h: _aten.sigmoid_backward.grad_input(g, h, grad_input=g),
    ),
}
_RECTIFIERS = ("relu", "elu")

# A flat buffer's views begin on cache lines: 16 floats of 4 bytes.
_ALIGNMENT = 16
# Rows passed forward at once when nothing is trained: bounds the memory.
_CHUNK = 8192


class SigmoidOutput:
    """One unit a target, each a probability of its own; binary log loss."""

    name = "logistic"

    @staticmethod
    def loss(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss summed over rows, a child each, and its gradient."""
        loss = torch.nn.functional.softplus(logits) - targets * logits
        return loss.sum((1, 2)), torch.sigmoid(logits) - targets

    @staticmethod
    def log_probabilities(logits: Tensor) -> Tensor:
        """Return log-probabilities with one column for each of the two classes."""
        return -torch.nn.functional.softplus(torch.cat([logits, -logits], dim=-1))


class SoftmaxOutput:
    """One unit a class, probabilities that sum to 1; multi-class log loss."""

    name = "softmax"

    @staticmethod
    def loss(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss summed over rows, a child each, and its gradient."""
        log_p = torch.log_softmax(logits, dim=-1)
        return -(log_p * targets).sum((1, 2)), log_p.exp() - targets

    @staticmethod
    def log_probabilities(logits: Tensor) -> Tensor:
        """Return log-probabilities with one column for each class."""
        return torch.log_softmax(logits, dim=-1)


Output: TypeAlias = type[SigmoidOutput] | type[SoftmaxOutput]


@dataclass
class _Workspace:
    """Buffers of one batch size, so that a step allocates next to nothing."""

    hidden: list[Tensor]  # f(X W + b), (n_children, batch, width)
    dropped: list[Tensor]  # the same after dropout; the same tensor where there is none
    gradients: list[Tensor]  # with respect to the pre-activations
    random_bytes: list[Tensor]
    masks: list[Tensor | None]


class StackedMLP:
    """Equal architectures with weights of their own, computed as one.

    Parameters
    ----------
    architecture : Architecture
        The hidden layers of every child.
    n_features : int
        Columns of the encoded table.
    n_outputs : int
        Units of the output layer.
    dropout : float
        Share of units that a dropout layer silences. Rounded to 1/256.
    n_children : int
        Length of the leading axis.
    device : torch.device
        Where the tensors live.
    """

    def __init__(
        self,
        architecture: Architecture,
        n_features: int,
        n_outputs: int,
        *,
        dropout: float,
        n_children: int,
        device: torch.device,
    ) -> None:
        self.architecture = architecture
        self.n_children = n_children
        self.device = device
        self._activations = [name for _, name in architecture.dense_layers]
        self._dropout_after = architecture.dropout_after
        # At most 255: something is always kept.
        self._dropped_bytes = min(round(dropout * 256), 255)
        self._keep_scale = 256 / (256 - self._dropped_bytes)
        widths = (n_features, *architecture.hidden_layer_sizes, n_outputs)
        self._shapes = list(itertools.pairwise(widths))
        self._n_weights, self._offsets, size = self._layout()
        self.parameters = torch.zeros(
            (n_children, size), dtype=torch.float32, device=device
        )
        self.gradients = torch.zeros_like(self.parameters)
        self.weights, self.biases = self._views(self.parameters)
        self._weight_gradients, self._bias_gradients = self._views(self.gradients)
        self._workspaces: dict[int, _Workspace] = {}

    def _layout(self) -> tuple[int, list[int], int]:
        """Place all weights before all biases, each at an aligned offset."""
        sizes = [a * b for a, b in self._shapes] + [b for _, b in self._shapes]
        padded = [math.ceil(size / _ALIGNMENT) * _ALIGNMENT for size in sizes]
        ends = list(itertools.accumulate(padded, initial=0))
        return ends[len(self._shapes)], ends[:-1], ends[-1]

    def _views(self, flat: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        n_layers = len(self._shapes)
        weights = [
            flat[:, start : start + a * b].view(-1, a, b)
            for start, (a, b) in zip(self._offsets, self._shapes, strict=False)
        ]
        biases = [
            flat[:, start : start + b].view(-1, 1, b)
            for start, (_, b) in zip(
                self._offsets[n_layers:], self._shapes, strict=True
            )
        ]
        return weights, biases

    @property
    def decayed(self) -> Tensor:
        """All weights and no bias, as one view: what weight decay shrinks."""
        return self.parameters[:, : self._n_weights]

    def initialize(
        self,
        child: int,
        generator: torch.Generator,
        inherited: Sequence[Weights | None] | None = None,
    ) -> None:
        """Draw a child's weights, then copy in those it inherits.

        Uniform with the variance of He before rectifiers, of Glorot elsewhere; zero
        biases. All are drawn, so that what is inherited does not shift the draws.

        Parameters
        ----------
        child : int
            Position on the leading axis.
        generator : torch.Generator
            Source of the draws, on the CPU.
        inherited : sequence of (weights, bias) or None, optional
            One entry a layer.
        """
        for layer, (n_in, n_out) in enumerate(self._shapes):
            is_hidden = layer < len(self._activations)
            rectifies = is_hidden and self._activations[layer] in _RECTIFIERS
            bound = math.sqrt(6 / n_in) if rectifies else math.sqrt(6 / (n_in + n_out))
            drawn = self.parameters.new_empty((n_in, n_out), device="cpu")
            drawn.uniform_(-bound, bound, generator=generator)
            bias = drawn.new_zeros(n_out)
            given = inherited[layer] if inherited is not None else None
            if given is not None:
                drawn, bias = torch.from_numpy(given[0]), torch.from_numpy(given[1])
            self.weights[layer][child].copy_(drawn)
            self.biases[layer][child, 0].copy_(bias)

    def extract(self, child: int, parameters: Tensor | None = None) -> list[Weights]:
        """Copy a child's weights and biases out, as arrays.

        Parameters
        ----------
        child : int
            Position on the leading axis.
        parameters : Tensor, optional
            A copy of ``self.parameters`` to read instead.
        """
        if parameters is None:
            weights, biases = self.weights, self.biases
        else:
            weights, biases = self._views(parameters)
        return [
            (w[child].cpu().numpy().copy(), b[child, 0].cpu().numpy().copy())
            for w, b in zip(weights, biases, strict=True)
        ]

    def _workspace(self, n_rows: int) -> _Workspace:
        if n_rows not in self._workspaces:
            shapes = [(self.n_children, n_rows, width) for _, width in self._shapes]
            hidden = [self.parameters.new_empty(shape) for shape in shapes]
            gradients = [self.parameters.new_empty(shape) for shape in shapes]
            dropped = list(hidden)
            random_bytes: list[Tensor] = []
            masks: list[Tensor | None] = []
            for layer, drops in enumerate(self._dropout_after):
                if not (drops and self._dropped_bytes):
                    masks.append(None)
                    continue
                dropped[layer] = torch.empty_like(hidden[layer])
                masks.append(torch.empty_like(hidden[layer]))
                n_words = math.ceil(n_rows * shapes[layer][2] / 8)
                random_bytes.append(
                    torch.empty(
                        (self.n_children, n_words),
                        dtype=torch.int64,
                        device=self.device,
                    )
                )
            self._workspaces[n_rows] = _Workspace(
                hidden, dropped, gradients, random_bytes, masks
            )
        return self._workspaces[n_rows]

    def draw_masks(self, n_rows: int, generators: Sequence[torch.Generator]) -> None:
        """Draw the dropout masks of the next step, each child from its own generator.

        A random byte decides a unit, eight from one draw: Bernoulli draws would cost
        more than the matrix products of a small network.
        """
        workspace = self._workspace(n_rows)
        masks = [mask for mask in workspace.masks if mask is not None]
        for mask, words in zip(masks, workspace.random_bytes, strict=True):
            for child, generator in enumerate(generators):
                words[child].random_(-(2**63), None, generator=generator)
            random = words.view(torch.uint8)[:, : mask[0].numel()].view(mask.shape)
            torch.ge(random, self._dropped_bytes, out=mask)
            mask.mul_(self._keep_scale)

    def forward(self, X: Tensor) -> Tensor:
        """Compute logits for training, with the masks drawn last.

        Parameters
        ----------
        X : Tensor of shape (n_children or 1, n_rows, n_features)
            One batch.

        Returns
        -------
        Tensor of shape (n_children, n_rows, n_outputs)
            Pre-activations of the output layer: a buffer, overwritten by the next call.
        """
        workspace = self._workspace(X.shape[1])
        layer_input = X.expand(self.n_children, -1, -1)
        last = len(self._shapes) - 1
        for layer, hidden in enumerate(workspace.hidden):
            torch.baddbmm(
                self.biases[layer], layer_input, self.weights[layer], out=hidden
            )
            layer_input = hidden
            if layer < last:
                _ACTIVATIONS[self._activations[layer]][0](hidden)
                mask = workspace.masks[layer]
                if mask is not None:
                    layer_input = torch.mul(hidden, mask, out=workspace.dropped[layer])
        return workspace.hidden[-1]

    def backward(self, X: Tensor, output_gradient: Tensor) -> None:
        """Fill ``self.gradients`` after a forward pass of the same batch.

        Parameters
        ----------
        X : Tensor of shape (n_children or 1, n_rows, n_features)
            The batch of the forward pass.
        output_gradient : Tensor of shape (n_children, n_rows, n_outputs)
            Gradient of the loss with respect to the logits.
        """
        workspace = self._workspace(X.shape[1])
        gradient = output_gradient
        for layer in reversed(range(len(self._shapes))):
            layer_input = (
                workspace.dropped[layer - 1]
                if layer
                else X.expand(self.n_children, -1, -1)
            )
            torch.bmm(
                layer_input.transpose(1, 2), gradient, out=self._weight_gradients[layer]
            )
            torch.sum(gradient, 1, keepdim=True, out=self._bias_gradients[layer])
            if not layer:
                break
            gradient = torch.bmm(
                gradient,
                self.weights[layer].transpose(1, 2),
                out=workspace.gradients[layer - 1],
            )
            mask = workspace.masks[layer - 1]
            if mask is not None:
                gradient.mul_(mask)
            _ACTIVATIONS[self._activations[layer - 1]][1](
                gradient, workspace.hidden[layer - 1]
            )

    def logits(self, X: Tensor) -> Tensor:
        """Compute logits without dropout, in chunks of bounded size.

        Parameters
        ----------
        X : Tensor of shape (n_rows, n_features)
            Rows, the same for every child.

        Returns
        -------
        Tensor of shape (n_children, n_rows, n_outputs)
            Pre-activations of the output layer.
        """
        chunks = []
        for chunk in torch.split(X, _CHUNK):
            hidden = chunk.expand(self.n_children, -1, -1)
            for layer, (weights, biases) in enumerate(
                zip(self.weights, self.biases, strict=True)
            ):
                hidden = torch.baddbmm(biases, hidden, weights)
                if layer < len(self._activations):
                    _ACTIVATIONS[self._activations[layer]][0](hidden)
            chunks.append(hidden)
        return torch.cat(chunks, dim=1)
