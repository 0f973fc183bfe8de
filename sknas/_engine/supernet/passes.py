"""Batches on their way through a supernet with gates, and gradients on their way back.

What a position computes, `sknas._space.gates` says. Only what the gates let through is
computed: the units of the widest open width, and the activations that are open. With
gates of 0 and 1 that is the architecture itself, at its own cost. Gradients with
respect to the gates ask for everything.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from sknas._engine.layers import ACTIVATIONS
from sknas._engine.sparse import SparseBatch
from sknas._engine.supernet.network import Block, SupernetWeights
from sknas._space import Gates


class SupernetPass:
    """A supernet with some gates: forward, and backward.

    Parameters
    ----------
    weights : SupernetWeights
        What is read, and whose gradients are written.
    gates : Gates
        What is open, and how far.
    wants_gates : bool, default=False
        Whether `backward` computes the gradients with respect to the gates.
    dropout : float, default=0.0
        Share of the units that are dropped where the gates say so.
    generator : torch.Generator, optional
        Draws what is dropped; on the device of the weights.

    Attributes
    ----------
    blocks : list of Block
        The parts of the layers that are computed with.
    """

    def __init__(
        self,
        weights: SupernetWeights,
        gates: Gates,
        *,
        wants_gates: bool = False,
        dropout: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        self._gates = gates
        self._wants_gates = wants_gates
        self._positions: list[_Position] = []
        self.blocks: list[Block] = []
        n_in = weights.n_features
        for layer in range(weights.n_layers):
            # The features are nothing that a layer gives.
            skip = float(gates.skip[layer]) if layer else 0.0
            if skip == 1 and not wants_gates:
                continue
            position = _Position(
                weights,
                gates,
                layer,
                n_in,
                skip,
                wants_gates=wants_gates,
                dropout=dropout if gates.dropout[layer] else 0.0,
                generator=generator,
            )
            self._positions.append(position)
            self.blocks.append(position.block)
            n_in = max(n_in, position.n_units) if skip else position.n_units
        output = weights.layer_at(weights.n_layers, 0)
        self.blocks.append(Block(output, n_in, weights.n_outputs))
        self._output = weights.block(self.blocks[-1])

    @property
    def hidden_widths(self) -> tuple[int, ...]:
        """How many units are computed in each layer that is."""
        return tuple(n_units for _, _, n_units in self.blocks[:-1])

    @property
    def n_activations(self) -> int:
        """How many activations are computed in all layers together."""
        return sum(position.n_activations for position in self._positions)

    def forward(self, X: Tensor | SparseBatch) -> Tensor:
        """Compute logits.

        Parameters
        ----------
        X : Tensor of shape (n_rows, n_features), or SparseBatch
            Rows.

        Returns
        -------
        Tensor of shape (1, n_outputs, n_rows)
            In the form that an `OutputLoss` takes.
        """
        first, *others = self._positions
        hidden = first.forward(X)
        for position in others:
            hidden = position.forward(hidden)
        self._last = hidden
        bias, weights = self._output.bias, self._output.weights
        return torch.addmm(bias[:, None], weights.T, hidden.T)[None]

    def backward(self, gradient: Tensor) -> None:
        """Fill the gradients of the blocks, after `forward`.

        Parameters
        ----------
        gradient : Tensor of shape (1, n_outputs, n_rows)
            Of the loss with respect to the logits.
        """
        of_logits = gradient[0]
        torch.sum(of_logits, 1, out=self._output.bias_gradient)
        torch.mm(self._last.T, of_logits.T, out=self._output.weights_gradient)
        of_hidden = torch.mm(of_logits.T, self._output.weights.T)
        for position in reversed(self._positions):
            of_hidden = position.backward(of_hidden)

    def gate_gradients(self) -> Gates:
        """Return the gradients with respect to the gates, after `backward`."""
        positions = self._positions
        activation = torch.stack([p.activation_gradient for p in positions])
        width = torch.stack([p.width_gradient for p in positions])
        skip = torch.stack([p.skip_gradient for p in positions])
        return Gates(
            _float64(activation),
            _float64(width),
            _float64(skip),
            np.zeros_like(self._gates.dropout),
        )


class _Position:
    """One position of a supernet, with the gates that it has."""

    def __init__(
        self,
        weights: SupernetWeights,
        gates: Gates,
        layer: int,
        n_in: int,
        skip: float,
        *,
        wants_gates: bool,
        dropout: float,
        generator: torch.Generator | None,
    ) -> None:
        self._is_first, self._n_in = layer == 0, n_in
        self._skip, self._wants_gates = skip, wants_gates
        self._dropout, self._generator = dropout, generator
        names, opened = weights.space.activations, gates.activation[layer].tolist()
        self._activations = [
            (ACTIVATIONS[name], gate)
            for name, gate in zip(names, opened, strict=True)
            if wants_gates or gate != 0
        ]
        # With one open activation nothing is mixed, and its buffer is overwritten.
        self._is_single = not wants_gates and [g for _, g in self._activations] == [1]
        self._last_units = weights.last_units
        self.n_units, scale = self._open_units(weights.widths, gates.width[layer])
        if weights.separates_first and not layer and not self._is_single:
            raise ValueError(
                "A supernet with weights of their own for the activations of the first "
                f"position must have one of these open. Got {gates!r} instead."
            )
        activation = int(np.argmax(opened))
        own = weights.layer_at(layer, activation)
        self.block = Block(own, n_in, self.n_units)
        self._views = weights.block(self.block)
        self._scale = None if scale is None else self._views.bias.new_tensor(scale)
        self._kept: Tensor | None = None

    def _open_units(
        self, widths: tuple[int, ...], opened: np.ndarray
    ) -> tuple[int, np.ndarray | None]:
        """Return how many units are computed, and the factor of each unless 1."""
        n_open = len(opened)
        if not self._wants_gates:
            n_open = 1 + int(np.flatnonzero(opened)[-1])
            if opened[n_open - 1] == 1 == opened.sum():
                return widths[n_open - 1], None
        # Units of the narrowest width are in all masks, the last ones in one.
        shares = np.cumsum(opened[:n_open][::-1])[::-1]
        counts = np.diff(widths[:n_open], prepend=0)
        return widths[n_open - 1], np.repeat(shares, counts)

    @property
    def n_activations(self) -> int:
        return len(self._activations)

    def forward(self, hidden: Tensor | SparseBatch) -> Tensor:
        """Return what the position gives, (n_rows, n_units) or wider."""
        self._input = hidden
        z = self._multiply()
        if self._is_single:
            ((activation, _),) = self._activations
            self._activated = [activation.forward(z)]
            self._mixed = self._activated[0]
        else:
            # Activations overwrite what they are given.
            self._activated = [a.forward(z.clone()) for a, _ in self._activations]
            self._mixed = torch.zeros_like(z)
            for (_, gate), activated in zip(
                self._activations, self._activated, strict=True
            ):
                self._mixed.add_(activated, alpha=gate)
        computed = self._mixed if self._scale is None else self._mixed * self._scale
        if self._dropout:
            kept = 1 - self._dropout
            self._kept = torch.empty_like(computed)
            self._kept.bernoulli_(kept, generator=self._generator).div_(kept)
            computed = computed * self._kept
        self._computed = computed
        if not self._skip:
            return computed
        assert isinstance(hidden, Tensor)
        n_in = self._n_in
        blended = z.new_zeros((len(z), max(n_in, self.n_units)))
        blended[:, : self.n_units].add_(computed, alpha=1 - self._skip)
        blended[:, :n_in].add_(hidden, alpha=self._skip)
        return blended

    def backward(self, gradient: Tensor) -> Tensor:
        """Turn the gradient of what the position gives, overwritten, into the input's.

        The first position returns its own, since the features need none.
        """
        n_in, n_units = self._n_in, self.n_units
        # Of what the position computes, and of what it passes on.
        of_computed, passed = gradient, None
        if self._wants_gates:
            self.skip_gradient = self._of_skip(gradient)
        if self._skip:
            passed = gradient[:, :n_in] * self._skip
            of_computed = gradient[:, :n_units] * (1 - self._skip)
        if self._kept is not None:
            of_computed.mul_(self._kept)
        if self._wants_gates:
            of_units = (of_computed * self._mixed).sum(0)
            # A width opens all units before its end.
            self.width_gradient = of_units.cumsum(0)[self._last_units]
        if self._scale is not None:
            of_computed.mul_(self._scale)
        of_z = self._of_activations(of_computed)
        self._multiply_transposed(of_z)
        if self._is_first:
            return of_z
        of_input = torch.mm(of_z, self._views.weights.T)
        return of_input if passed is None else of_input.add_(passed)

    def _multiply(self) -> Tensor:
        """Return pre-activations."""
        bias, weights = self._views.bias, self._views.weights
        if isinstance(self._input, Tensor):
            return torch.addmm(bias, self._input, weights)
        z = bias.new_empty((self._input.n_rows, self.n_units))
        # It takes weights of several networks, along a leading axis.
        self._input.multiply(weights[None], bias[None, None], out=z[None])
        return z

    def _multiply_transposed(self, of_z: Tensor) -> None:
        """Fill the gradients of weights and bias."""
        of_weights = self._views.weights_gradient
        torch.sum(of_z, 0, out=self._views.bias_gradient)
        if isinstance(self._input, Tensor):
            torch.mm(self._input.T, of_z, out=of_weights)
        else:
            self._input.multiply_transposed(of_z[None], out=of_weights[None])

    def _of_skip(self, gradient: Tensor) -> Tensor:
        if not isinstance(self._input, Tensor) or self._is_first:
            return gradient.new_zeros(())
        passed = (gradient[:, : self._n_in] * self._input).sum()
        return passed - (gradient[:, : self.n_units] * self._computed).sum()

    def _of_activations(self, gradient: Tensor) -> Tensor:
        """Turn the gradient of the mixture into that of the pre-activations."""
        if self._is_single:
            ((activation, _),) = self._activations
            return activation.backward(gradient, self._activated[0])
        of_z = torch.zeros_like(gradient)
        of_gates = []
        for (activation, gate), activated in zip(
            self._activations, self._activated, strict=True
        ):
            if self._wants_gates:
                of_gates.append((gradient * activated).sum())
            if gate:
                of_z.add_(activation.backward(gradient * gate, activated))
        if self._wants_gates:
            self.activation_gradient = torch.stack(of_gates)
        return of_z


def _float64(tensor: Tensor) -> np.ndarray:
    array: np.ndarray = tensor.double().cpu().numpy()
    return array
