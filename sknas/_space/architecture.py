"""The description of a network."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

ACTIVATIONS = ("sigmoid", "tanh", "relu", "elu", "identity")
DROPOUT = "dropout"
INPUT = "input"
OUTPUT = "output"

# A dense layer is a width with an activation. A layer of a bigram may also be the input
# or the output.
DenseLayer: TypeAlias = tuple[int, str]
Layer: TypeAlias = DenseLayer | str
Bigram: TypeAlias = tuple[Layer, Layer]


def canonical_activation(name: object) -> object:
    """Translate scikit-learn's name of an activation to the one used here."""
    return "sigmoid" if name == "logistic" else name


def check_layer(layer: object) -> Layer:
    if isinstance(layer, str) and layer == DROPOUT:
        return DROPOUT
    if isinstance(layer, (tuple, list)) and len(layer) == 2:
        width, activation = layer
        # NumPy's integers count, and bool does not, though it is a subclass of int.
        is_width = isinstance(width, (int, np.integer)) and not isinstance(width, bool)
        activation = canonical_activation(activation)
        if is_width and width >= 1 and activation in ACTIVATIONS:
            return int(width), str(activation)
    raise ValueError(
        "A layer of an Architecture must be 'dropout' or a pair (width, activation) "
        f"with an integer width >= 1 and an activation of {list(ACTIVATIONS)}. "
        f"Got {layer!r} instead."
    )


@dataclass(frozen=True, repr=False)
class Architecture:
    """The hidden layers of a multilayer perceptron, from the input to the output.

    The output layer is not named: its width and activation follow from the targets.
    Instances are immutable, hashable and compare by value.

    Parameters
    ----------
    *layers : tuple of (int, str) or 'dropout'
        Dense layers as ``(width, activation)`` with an activation of ``'sigmoid'``
        (also written ``'logistic'``), ``'tanh'``, ``'relu'``, ``'elu'`` or
        ``'identity'``; ``'dropout'`` drops units of the layer before it. The first
        layer is dense, and no two dropouts follow each other.

    Attributes
    ----------
    layers : tuple
        The layers as given.

    Raises
    ------
    ValueError
        If a layer is malformed or dropout stands first or twice in a row.

    Notes
    -----
    The form of section 5.2 of [1]_, without the final layer.

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
        if not checked or checked[0] == DROPOUT:
            raise ValueError(
                "An Architecture must begin with a dense layer. "
                f"Got {layers!r} instead."
            )
        if any(a == b == DROPOUT for a, b in itertools.pairwise(checked)):
            raise ValueError(
                "An Architecture must not hold 'dropout' twice in a row. "
                f"Got {layers!r} instead."
            )
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
        # Each layer's successor; that of the last one is the output.
        following = (*self.layers[1:], OUTPUT)
        return tuple(
            after == DROPOUT
            for layer, after in zip(self.layers, following, strict=True)
            if layer != DROPOUT
        )

    def bigrams(self) -> tuple[Bigram, ...]:
        """Adjacent dense layers, one pair for each weight matrix.

        Dropout has no weights and is passed over; ``'input'`` and ``'output'`` are
        layers. This pair is the key under which weights are shared.

        Returns
        -------
        tuple of (layer, layer)
            As many pairs as there are weight matrices.
        """
        return tuple(itertools.pairwise((INPUT, *self.dense_layers, OUTPUT)))

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
        # Each of `b` units has `a` weights and one bias.
        return sum((a + 1) * b for a, b in itertools.pairwise(widths))
