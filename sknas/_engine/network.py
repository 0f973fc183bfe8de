"""Multilayer perceptrons of one depth as one tensor, with analytic gradients.

All tensors carry a leading axis ``n_children``. Hidden layer ``l`` computes, for each
child, ``H[l] = f(X[l] @ W[l] + b[l])``, where ``X[l]`` is ``H[l - 1]`` after dropout,
plus ``X[l - 1]``, or ``X[l - 1] @ P[l - 1]``, if there is a skip connection. What the
logits of the output layer mean, `sknas._tasks.outputs` says.

Logits have the shape (n_children, n_outputs, n_rows), rows last, and the output layer
keeps its weights the other way round: with few outputs, products and softmax along a
last axis of that length take several times as long.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from sknas._engine.layers import (
    ACTIVATIONS,
    HiddenForward,
    OutputForward,
    runs_of,
)
from sknas._engine.skips import IDENTITY, NONE, PROJECTION, Skips
from sknas._engine.sparse import SparseRows, first_layer
from sknas._space import Architecture
from sknas._typing import Weights

# What neighbouring children have in common, and their positions.
Run: TypeAlias = tuple[str, slice]
# A flat buffer's views begin on cache lines: 16 floats of 4 bytes.
_ALIGNMENT = 16
# Rows passed forward at once when nothing is trained: bounds the memory.
_CHUNK = 8192
# Weights from which on a layer's products are worth converting to bfloat16. One
# AVX-512-BF16 core, batch 64, the three products of a layer with the conversions:
# 0.97 of the time with 64 x 512 weights, 0.75 with 256 x 256, 0.58 with 512 x 512.
_BFLOAT16_WEIGHTS = 2**16


class StackedMLP:
    """Architectures of one depth with weights of their own, computed as one.

    Narrower children are padded with units whose weights are zero and stay zero.

    Parameters
    ----------
    architectures : sequence of Architecture
        The hidden layers of each child, the same number of dense ones.
    n_features : int
        Columns of the encoded table.
    n_outputs : int
        Units of the output layer.
    dropout : sequence of float
        For each child, the share of units that a dropout layer silences. Rounded to
        1/256.
    device : torch.device
        Where the tensors live.
    bfloat16 : bool, default=False
        Whether hidden layers that are large in every child multiply in bfloat16.
        Operands and results of these products are rounded; all else has 32 bits.

    Attributes
    ----------
    widths : tuple of int
        Of all layers, from the features to the outputs: those of the widest child.
    dropped : list of Tensor of shape (n_children,), bool
        For each hidden layer, which children drop units after it.
    activation_runs : list of list of (str, slice)
        For each hidden layer, the stretches of neighbouring children that share an
        activation: one call computes a stretch.
    parameters, gradients : Tensor of shape (n_children, n_parameters)
        All weights, those of projections last, then all biases, a row for each child:
        the optimizer moves a whole stack in one call.
    weights, biases : list of Tensor
        Views of ``parameters``, (n_children, n_in, n_out) and (n_children, 1, n_out).
    projections : dict of int to Tensor
        Views of the same shape: the projections around the hidden layers that have one
        in any child.
    padding : Tensor of the shape of ``parameters``, or None
        1 where a child has a parameter, else 0. None where all are equally wide.
    """

    def __init__(
        self,
        architectures: Sequence[Architecture],
        n_features: int,
        n_outputs: int,
        *,
        dropout: Sequence[float],
        device: torch.device,
        bfloat16: bool = False,
    ) -> None:
        self.architectures = list(architectures)
        self.n_children = len(self.architectures)
        self.dropout = list(dropout)
        self.device = device
        self._bfloat16 = bfloat16
        # One list of widths for each child, and the widths that hold them all.
        self._child_widths = [
            (n_features, *architecture.hidden_layer_sizes, n_outputs)
            for architecture in self.architectures
        ]
        # Layer by layer instead of child by child: the widest child decides.
        columns = list(zip(*self._child_widths, strict=True))
        self.widths = tuple(max(column) for column in columns)
        self._shapes = list(itertools.pairwise(self.widths))
        self.dropped = [
            torch.tensor(column, device="cpu")
            for column in zip(
                *(a.dropout_after for a in self.architectures), strict=True
            )
        ]
        self.activation_runs = _runs_by_layer(
            [[name for _, name in a.dense_layers] for a in self.architectures]
        )
        self._kinds = _runs_by_layer(list(map(_kinds_of_skips, self.architectures)))
        # Hidden layers around which a child has a projection.
        projected = {i for a in self.architectures for i in a.projections}
        self._projected = sorted(projected)
        self._n_weights, self._offsets, size = self._layout()
        self.parameters = torch.zeros(
            (self.n_children, size), dtype=torch.float32, device=device
        )
        self.gradients = torch.zeros_like(self.parameters)
        self.dropout_seeds = torch.zeros(
            (self.n_children, 1), dtype=torch.int64, device=device
        )
        self.weights, self.biases = self.views(self.parameters)
        self.projections = self.projection_views(self.parameters)
        # All weights and no bias: what weight decay shrinks.
        self.decayed = self.parameters[:, : self._n_weights]
        self.decayed_gradients = self.gradients[:, : self._n_weights]
        self.bfloat16_layers = self._large_layers() if bfloat16 else []
        self.padding = self._make_padding()

    def _large_layers(self) -> list[int]:
        """Return the hidden layers that are worth multiplying in bfloat16."""
        # By the children's own widths: padding makes no child a large one.
        return [
            layer
            for layer in range(len(self._shapes) - 1)
            if all(
                widths[layer] * widths[layer + 1] >= _BFLOAT16_WEIGHTS
                for widths in self._child_widths
            )
        ]

    def _layout(self) -> tuple[int, list[int], int]:
        """Place all weights before all biases, each at an aligned offset."""
        # Each of the shapes is (n_in, n_out) of a layer, padded to the widest child.
        with_weights = [*self._shapes, *(self._shapes[i] for i in self._projected)]
        sizes = [a * b for a, b in with_weights] + [b for _, b in self._shapes]
        padded = [math.ceil(size / _ALIGNMENT) * _ALIGNMENT for size in sizes]
        ends = list(itertools.accumulate(padded, initial=0))
        # Where the weights end, where each view begins, and the length of a row.
        return ends[len(with_weights)], ends[:-1], ends[-1]

    def views(self, flat: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """View a flat buffer as weights (k, n_in, n_out) and biases (k, 1, n_out)."""
        # The offsets of the weights come first, and those of the biases last.
        weights = [
            flat[:, start : start + a * b].view(-1, a, b)
            for start, (a, b) in zip(self._offsets, self._shapes, strict=False)
        ]
        # In memory, the output layer's weights are (n_out, n_in): see the module.
        a, b = self._shapes[-1]
        weights[-1] = weights[-1].view(-1, b, a).transpose(1, 2)
        biases = [
            flat[:, start : start + b].view(-1, 1, b)
            for start, (_, b) in zip(
                self._offsets[-len(self._shapes) :], self._shapes, strict=True
            )
        ]
        return weights, biases

    def projection_views(self, flat: Tensor) -> dict[int, Tensor]:
        """View a flat buffer as projections (k, n_in, n_out), by their layers."""
        views = {}
        for layer, start in zip(
            self._projected, self._offsets[len(self._shapes) :], strict=False
        ):
            a, b = self._shapes[layer]
            views[layer] = flat[:, start : start + a * b].view(-1, a, b)
        return views

    def skips(self, layer: int, gradients: Tensor | None = None) -> Skips | None:
        """Return the skip connections around a hidden layer, None without any.

        Parameters
        ----------
        layer : int
            Which of the hidden layers, from 0.
        gradients : Tensor, optional
            Where to write those of the projections.
        """
        kinds = self._kinds[layer]
        if all(kind == NONE for kind, _ in kinds):
            return None
        return Skips(kinds, self.projections.get(layer), gradients)

    def _make_padding(self) -> Tensor | None:
        """Return 1 for parameters that a child has and 0 for padding, if needed."""
        if all(widths == self.widths for widths in self._child_widths):
            return None
        padding = torch.zeros_like(self.parameters)
        for child in range(self.n_children):
            for pair in self._corners(padding, child):
                for corner in pair:
                    corner.fill_(1)
        return padding

    def _corners(self, flat: Tensor, child: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield a child's own (weights, bias) of each layer, without the padding.

        Those of its projections come last. Their biases are empty.
        """
        layers = zip(*self.views(flat), strict=True)
        shapes = list(itertools.pairwise(self._child_widths[child]))
        for (weights, biases), (n_in, n_out) in zip(layers, shapes, strict=True):
            yield weights[child, :n_in, :n_out], biases[child, 0, :n_out]
        projected = self.architectures[child].projections
        projections = self.projection_views(flat) if projected else {}
        for layer in projected:
            n_in, n_out = shapes[layer]
            yield projections[layer][child, :n_in, :n_out], flat[child, :0]

    def initialize(
        self, child: int, seed: int, inherited: Sequence[Weights | None] | None = None
    ) -> None:
        """Draw a child's weights, then copy in those it inherits.

        Uniform with the variance of He before rectifiers, of Glorot elsewhere; zero
        biases. All are drawn, so that what is inherited does not shift the draws.

        Parameters
        ----------
        child : int
            Position on the leading axis.
        seed : int
            Decides the weights and the dropout of this child.
        inherited : sequence of (weights, bias) or None, optional
            One entry per layer, then one per projection.
        """
        generator = torch.Generator("cpu").manual_seed(seed)
        names = [name for _, name in self.architectures[child].dense_layers]
        for layer, (weights, biases) in enumerate(
            self._corners(self.parameters, child)
        ):
            n_in, n_out = weights.shape
            rectifies = layer < len(names) and ACTIVATIONS[names[layer]].rectifies
            # A uniform distribution on [-c, c] has the variance c^2 / 3: that of He is
            # 2 / n_in, that of Glorot 2 / (n_in + n_out).
            bound = math.sqrt(6 / n_in) if rectifies else math.sqrt(6 / (n_in + n_out))
            # Drawn on the CPU: the same on every device.
            drawn = self.parameters.new_empty((n_in, n_out), device="cpu")
            drawn.uniform_(-bound, bound, generator=generator)
            given = inherited[layer] if inherited is not None else None
            if given is None:
                weights.copy_(drawn)
                biases.zero_()
            else:
                weights.copy_(torch.from_numpy(given[0]))
                biases.copy_(torch.from_numpy(given[1]))
        dropout_seed = torch.empty(1, dtype=torch.int64, device="cpu")
        dropout_seed.random_(-(2**63), None, generator=generator)
        self.dropout_seeds[child].copy_(dropout_seed)

    def extract(self, child: int, parameters: Tensor | None = None) -> list[Weights]:
        """Copy a child's weights and biases out, as arrays; projections come last.

        Parameters
        ----------
        child : int
            Position on the leading axis.
        parameters : Tensor, optional
            A copy of ``self.parameters`` to read instead.
        """
        if parameters is None:
            parameters = self.parameters
        # In C order, since the output layer's view is a transposed one.
        return [
            (w.cpu().numpy().copy(order="C"), b.cpu().numpy().copy())
            for w, b in self._corners(parameters, child)
        ]

    def insert(self, child: int, arrays: Sequence[Weights], flat: Tensor) -> None:
        """Copy a child's arrays into a buffer of the form of ``self.parameters``.

        Parameters
        ----------
        child : int
            Position on the leading axis.
        arrays : sequence of (weights, bias)
            One entry per layer and projection, as `extract` returns them.
        flat : Tensor of the shape of ``parameters``
            Changed in place.
        """
        for pair, given in zip(self._corners(flat, child), arrays, strict=True):
            for corner, array in zip(pair, given, strict=True):
                corner.copy_(torch.from_numpy(array))

    def select(self, children: Tensor) -> StackedMLP:
        """Return a stack of some of the children, no wider than these need.

        Parameters
        ----------
        children : Tensor of int64
            Positions on the leading axis, on the CPU.
        """
        positions = children.tolist()
        selected = StackedMLP(
            [self.architectures[child] for child in positions],
            self.widths[0],
            self.widths[-1],
            dropout=[self.dropout[child] for child in positions],
            device=self.device,
            bfloat16=self._bfloat16,
        )
        selected.parameters.copy_(self.select_flat(self.parameters, selected, children))
        selected.dropout_seeds.copy_(self.dropout_seeds[children.to(self.device)])
        return selected

    def select_flat(
        self, flat: Tensor, selected: StackedMLP, children: Tensor
    ) -> Tensor:
        """Bring a buffer of this stack into the form of a selection's."""
        result = torch.zeros_like(selected.parameters)
        for position, child in enumerate(children.tolist()):
            corners = zip(
                selected._corners(result, position),
                self._corners(flat, child),
                strict=True,
            )
            for (weights, biases), (old_weights, old_biases) in corners:
                weights.copy_(old_weights)
                biases.copy_(old_biases)
        return result

    def logits(self, X: Tensor | SparseRows) -> Tensor:
        """Compute logits without dropout, with 32 bits, in chunks of bounded size.

        Parameters
        ----------
        X : Tensor or SparseRows of shape (n_rows, n_features)
            Rows, the same for every child.

        Returns
        -------
        Tensor of shape (n_children, n_outputs, n_rows)
            Pre-activations of the output layer.
        """
        if isinstance(X, SparseRows):
            batches = X.batches(_CHUNK)
        else:
            # Copies: products may differ in their last bits with how an array is
            # aligned, and a table that workers share is not aligned like one's own.
            batches = (chunk.clone() for chunk in torch.split(X, _CHUNK))
        skips = [self.skips(layer) for layer in range(len(self.activation_runs))]
        layers = list(
            # Hidden layers only: `activation_runs` is one shorter than the others.
            zip(self.weights, self.biases, self.activation_runs, skips, strict=False)
        )
        chunks = []
        for batch in batches:
            weights, biases, runs, _ = layers[0]
            layer = first_layer(batch, (weights, biases), runs)
            layer.forward()
            for weights, biases, runs, around in layers[1:]:
                layer = HiddenForward(
                    layer.output, (weights, biases), runs, skips=around
                )
                layer.forward()
            last = self.weights[-1], self.biases[-1]
            output_layer = OutputForward(layer.output, last)
            output_layer.forward()
            chunks.append(output_layer.logits)
        return torch.cat(chunks, dim=2)


def _runs_by_layer(of_children: Sequence[Sequence[str]]) -> list[list[Run]]:
    """Return for each hidden layer the stretches of children that are alike there."""
    return [list(runs_of(column)) for column in zip(*of_children, strict=True)]


def _kinds_of_skips(architecture: Architecture) -> list[str]:
    """Return the kind of skip connection around each hidden layer."""
    projected = architecture.projections
    return [
        NONE if not skips else PROJECTION if layer in projected else IDENTITY
        for layer, skips in enumerate(architecture.skip_after)
    ]
