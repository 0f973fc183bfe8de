"""The description of a network."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

ACTIVATIONS = ("sigmoid", "tanh", "relu", "elu", "identity")
DROPOUT = "dropout"
SKIP = "skip"
PROJECTION = "projection"
INPUT = "input"
OUTPUT = "output"

# A dense layer is a width with an activation. A layer of a bigram may also be the input
# or the output, and has a third entry where there is a skip connection.
DenseLayer: TypeAlias = tuple[int, str]
Layer: TypeAlias = DenseLayer | str
BigramLayer: TypeAlias = Layer | tuple[int, str, str]
Bigram: TypeAlias = tuple[BigramLayer, BigramLayer]


def canonical_activation(name: object) -> object:
    """Translate scikit-learn's name of an activation to the one used here."""
    return "sigmoid" if name == "logistic" else name


def check_layer(layer: object) -> Layer:
    if isinstance(layer, str) and layer in (DROPOUT, SKIP):
        return str(layer)
    if isinstance(layer, (tuple, list)) and len(layer) == 2:
        width, activation = layer
        # NumPy's integers count, and bool does not, though it is a subclass of int.
        is_width = isinstance(width, (int, np.integer)) and not isinstance(width, bool)
        activation = canonical_activation(activation)
        if is_width and width >= 1 and activation in ACTIVATIONS:
            return int(width), str(activation)
    raise ValueError(
        "A layer of an Architecture must be 'dropout', 'skip' or a pair (width, "
        "activation) with an integer width >= 1 and an activation of "
        f"{list(ACTIVATIONS)}. Got {layer!r} instead."
    )


def _check_order(layers: Sequence[Layer]) -> None:
    """Check that every layer may stand where it does; each is one alone."""
    rule = None
    if not layers or isinstance(layers[0], str):
        rule = "begin with a dense layer"
    n_dense = 0
    for before, layer in itertools.pairwise((None, *layers)):
        n_dense += not isinstance(layer, str)
        if before == layer == DROPOUT:
            rule = rule or "not hold 'dropout' twice in a row"
        elif before == SKIP and isinstance(layer, str):
            rule = rule or f"not hold {layer!r} right after 'skip'"
        elif layer == SKIP and n_dense < 2:
            rule = rule or "not hold 'skip' before its second dense layer"
    if rule is not None:
        raise ValueError(f"An Architecture must {rule}. Got {tuple(layers)!r} instead.")


@dataclass(frozen=True, repr=False)
class Architecture:
    """The hidden layers of a multilayer perceptron, from the input to the output.

    The output layer is not named: its width and activation follow from the targets.
    Instances are immutable, hashable and compare by value.

    Parameters
    ----------
    *layers : tuple of (int, str), 'dropout' or 'skip'
        Dense layers as ``(width, activation)`` with an activation of ``'sigmoid'``
        (also written ``'logistic'``), ``'tanh'``, ``'relu'``, ``'elu'`` or
        ``'identity'``; ``'dropout'`` drops units of the layer before it. The first
        layer is dense, and no two dropouts follow each other. ``'skip'``, after a dense
        layer or its dropout, is a skip connection: what the layer reads is added to
        what it gives. The first layer has none.

    Attributes
    ----------
    layers : tuple
        The layers as given.

    Raises
    ------
    ValueError
        If a layer is malformed or one of these rules is broken.

    Notes
    -----
    The form of section 5.2 of [1]_, without the final layer. Skip connections are those
    of its section 2.1. Where the layer's width is not that of the layer before it, what
    is added is multiplied by a matrix, a projection, that is trained with the others.

    References
    ----------
    .. [1] F. Minutoli and M. Ciranni, "Neural Architecture Search: An overview".

    Examples
    --------
    >>> from sknas import Architecture
    >>> architecture = Architecture((256, "elu"), "dropout", (64, "relu"))
    >>> architecture
    Architecture((256, 'elu'), 'dropout', (64, 'relu'))
    >>> architecture.hidden_layer_sizes
    (256, 64)
    """

    layers: tuple[Layer, ...]

    def __init__(self, *layers: Layer) -> None:
        checked = tuple(check_layer(layer) for layer in layers)
        _check_order(checked)
        # A frozen instance refuses ordinary assignment.
        object.__setattr__(self, "layers", checked)

    def __repr__(self) -> str:
        return f"Architecture({', '.join(map(repr, self.layers))})"

    @property
    def dense_layers(self) -> tuple[DenseLayer, ...]:
        """The dense layers alone, as (width, activation) pairs."""
        return tuple(layer for layer in self.layers if not isinstance(layer, str))

    @property
    def hidden_layer_sizes(self) -> tuple[int, ...]:
        """The widths, in the form of the parameter of ``MLPClassifier``."""
        return tuple(width for width, _ in self.dense_layers)

    @property
    def dropout_after(self) -> tuple[bool, ...]:
        """For each dense layer, whether dropout follows it."""
        return self._are_followed_by(DROPOUT)

    @property
    def skip_after(self) -> tuple[bool, ...]:
        """For each dense layer, whether a skip connection leads around it."""
        return self._are_followed_by(SKIP)

    def _are_followed_by(self, token: str) -> tuple[bool, ...]:
        """Tell for each dense layer if a token stands before the next one."""
        are_followed: list[bool] = []
        for layer in self.layers:
            if not isinstance(layer, str):
                are_followed.append(False)
            elif layer == token:
                are_followed[-1] = True
        return tuple(are_followed)

    @property
    def projections(self) -> tuple[int, ...]:
        """Which dense layers, counted from 0, have a skip connection with weights."""
        sizes = self.hidden_layer_sizes
        return tuple(
            layer
            for layer, skips in enumerate(self.skip_after)
            if skips and sizes[layer] != sizes[layer - 1]
        )

    def bigrams(self) -> tuple[Bigram, ...]:
        """Adjacent dense layers, one pair for each weight matrix.

        Dropout has no weights and is passed over; ``'input'`` and ``'output'`` are
        layers. A layer with a skip connection is ``(width, activation, 'skip')``, since
        its weights, and those that read it, mean something else. Pairs of projections
        come last, and end in ``(width, activation, 'projection')``. A pair is the key
        under which weights are shared.

        Returns
        -------
        tuple of (layer, layer)
            As many pairs as there are weight matrices.
        """
        dense = self.dense_layers
        layers: list[BigramLayer] = [
            (*layer, SKIP) if skips else layer
            for layer, skips in zip(dense, self.skip_after, strict=True)
        ]
        projected: list[Bigram] = [
            (layers[position - 1], (*dense[position], PROJECTION))
            for position in self.projections
        ]
        return (*itertools.pairwise((INPUT, *layers, OUTPUT)), *projected)

    def n_parameters(self, n_inputs: int, n_outputs: int) -> int:
        """Count weights and biases.

        Parameters
        ----------
        n_inputs : int
            Columns of the encoded table.
        n_outputs : int
            Units of the output layer.

        Returns
        -------
        int
            The number of trainable parameters.
        """
        widths = (n_inputs, *self.hidden_layer_sizes, n_outputs)
        # Each of `b` units has `a` weights and one bias. Projections have no bias.
        n_of_layers = sum((a + 1) * b for a, b in itertools.pairwise(widths))
        return n_of_layers + sum(
            widths[layer] * widths[layer + 1] for layer in self.projections
        )
