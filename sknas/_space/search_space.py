"""The set of all architectures that a search may visit."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from sknas._space.architecture import (
    DROPOUT,
    OUTPUT,
    Architecture,
    Layer,
    canonical_activation,
    check_layer,
)


@dataclass(frozen=True)
class SearchSpace:
    """All architectures that can be written with a vocabulary of layers.

    A sequence of tokens is at least one dense layer, has no dropout first or twice in
    a row, and ends with the output layer, which counts towards ``max_layers``.

    Parameters
    ----------
    layer_widths : tuple of int
        Widths of dense layers.
    activations : tuple of str
        Activations of dense layers.
    max_layers : int
        Longest sequence of tokens, dropout and the output layer counted.
    dropout : bool, default=True
        Whether dropout is in the vocabulary.

    Attributes
    ----------
    vocabulary : tuple
        One entry per token: every (width, activation) pair, then ``'dropout'`` if it
        is in the space, last ``'output'``, the token that ends a sequence.
    log_prior : ndarray of shape (max_layers, 2, n_tokens)
        Log-probability of each next token, given how many tokens there are and
        whether the last one is dropout (1) or not (0). Every depth that is allowed is
        equally likely, and among the layers every token. Illegal tokens have
        ``-inf``. A random search draws from it; an untrained controller nearly does.
    is_restricted : bool
        Whether only networks of a certain size are in the space. Then `allowed` tells
        which of the tokens that the prior allows lead to one.

    Notes
    -----
    Section 5.1 of the paper: widths 8 to 512, four activations, ten layers.

    Examples
    --------
    >>> from sknas import Architecture, SearchSpace
    >>> space = SearchSpace((8, 16), ("relu",), max_layers=3)
    >>> space.n_architectures
    8
    >>> space.encode(Architecture((16, "relu"), "dropout"))
    (1, 2, 3)
    >>> space.decode((1, 3))
    Architecture((16, 'relu'))
    """

    layer_widths: tuple[int, ...]
    activations: tuple[str, ...]
    max_layers: int
    dropout: bool = True

    is_restricted: ClassVar[bool] = False

    def __post_init__(self) -> None:
        # Lists become tuples, so that instances can be hashed. A frozen instance
        # refuses ordinary assignment.
        names = tuple(str(canonical_activation(name)) for name in self.activations)
        object.__setattr__(self, "layer_widths", tuple(self.layer_widths))
        object.__setattr__(self, "activations", names)
        if not self.layer_widths or not names or self.max_layers < 2:
            raise ValueError(
                "A SearchSpace must have a width, an activation and max_layers >= 2. "
                f"Got {self!r} instead."
            )
        for width, name in itertools.product(self.layer_widths, names):
            check_layer((width, name))

    @cached_property
    def vocabulary(self) -> tuple[Layer, ...]:
        dense = itertools.product(self.layer_widths, self.activations)
        return (*dense, *([DROPOUT] if self.dropout else []), OUTPUT)

    @cached_property
    def _token_of(self) -> dict[Layer, int]:
        return {layer: token for token, layer in enumerate(self.vocabulary)}

    @property
    def n_tokens(self) -> int:
        """Size of the vocabulary."""
        return len(self.vocabulary)

    @property
    def end_token(self) -> int:
        """The token of the output layer."""
        return self.n_tokens - 1

    @property
    def dropout_token(self) -> int | None:
        """The token of dropout, None where the space has none."""
        return self.n_tokens - 2 if self.dropout else None

    @cached_property
    def log_prior(self) -> np.ndarray:
        n_dense = len(self.layer_widths) * len(self.activations)
        prior = np.zeros((self.max_layers, 2, self.n_tokens))
        for n_before, after_dropout in itertools.product(
            range(self.max_layers), (0, 1)
        ):
            row = prior[n_before, after_dropout]
            # Of the hidden depths still possible, 1/(max_layers - n_before) each.
            end = 1 / (self.max_layers - n_before) if n_before else 0.0
            # Whatever does not end the sequence is equally likely, where it is legal.
            # At the last position the end has probability 1, and all else 0.
            row[:n_dense] = 1
            if self.dropout_token is not None and n_before and not after_dropout:
                row[self.dropout_token] = 1
            row *= (1 - end) / row.sum()
            row[self.end_token] = end
        # An illegal token has the logarithm of 0, -inf, without a warning.
        with np.errstate(divide="ignore"):
            return np.log(prior)

    @cached_property
    def _prior(self) -> np.ndarray:
        return np.asarray(np.exp(self.log_prior))

    @cached_property
    def n_architectures(self) -> int:
        """How many different architectures the space holds."""
        n_dense = len(self.layer_widths) * len(self.activations)
        # Count sequences of each length by what they end with: a dense layer may follow
        # anything, dropout only a dense layer.
        total, ending_dense, ending_dropout = 0, n_dense, 0
        for _ in range(self.max_layers - 1):
            total += ending_dense + ending_dropout
            ending_dense, ending_dropout = (
                n_dense * (ending_dense + ending_dropout),
                ending_dense if self.dropout else 0,
            )
        return total

    def __contains__(self, architecture: object) -> bool:
        return (
            isinstance(architecture, Architecture)
            and len(architecture.layers) < self.max_layers
            and all(layer in self._token_of for layer in architecture.layers)
        )

    def __iter__(self) -> Iterator[Architecture]:
        """Every architecture once, short ones first."""
        for n_hidden in range(1, self.max_layers):
            for layers in itertools.product(self.vocabulary[:-1], repeat=n_hidden):
                try:
                    yield Architecture(*layers)
                except ValueError:  # dropout first or twice in a row
                    continue

    def encode(self, architecture: Architecture) -> tuple[int, ...]:
        """Write an architecture as tokens, the end token last.

        Parameters
        ----------
        architecture : Architecture
            An architecture of this space.

        Returns
        -------
        tuple of int
            One token per layer, and the end token.

        Raises
        ------
        ValueError
            If the architecture is not in the space.
        """
        if architecture not in self:
            raise ValueError(f"{architecture!r} is not in {self!r}.")
        return (
            *(self._token_of[layer] for layer in architecture.layers),
            self.end_token,
        )

    def decode(self, tokens: Sequence[int]) -> Architecture:
        """Read tokens up to the first end token.

        Parameters
        ----------
        tokens : sequence of int
            A legal sequence, with or without end token.

        Returns
        -------
        Architecture
            What the tokens describe.
        """
        # Sequences of a batch are filled up to one length with end tokens.
        hidden = itertools.takewhile(lambda token: token != self.end_token, tokens)
        return Architecture(*(self.vocabulary[token] for token in hidden))

    def allowed(self, tokens: np.ndarray) -> np.ndarray | None:
        """Tell which tokens may follow, where the prior does not forbid them.

        Parameters
        ----------
        tokens : ndarray of shape (n_sequences, n_steps)
            Legal sequences, filled up with end tokens.

        Returns
        -------
        ndarray of bool of shape (n_sequences, n_steps + 1, n_tokens) or None
            For each beginning, of no token up to all of them, what may follow. None
            stands for all that has a probability in ``log_prior``; in a restricted
            space, where that depends on the whole beginning, there is an array.
        """
        del tokens
        return None

    def sample(self, generator: np.random.Generator) -> Architecture:
        """Draw one architecture from the prior.

        Parameters
        ----------
        generator : numpy.random.Generator
            Source of the draw.

        Returns
        -------
        Architecture
            An architecture of the space.
        """
        tokens: list[int] = []
        while not tokens or tokens[-1] != self.end_token:
            row = self._probabilities(tokens)
            tokens.append(int(generator.choice(self.n_tokens, p=row)))
        return self.decode(tokens)

    def _probabilities(self, tokens: Sequence[int]) -> np.ndarray:
        """Return those of the next token, of shape (n_tokens,)."""
        after_dropout = bool(tokens) and tokens[-1] == self.dropout_token
        return np.asarray(self._prior[len(tokens), int(after_dropout)])

    def strong_architecture(self) -> Architecture:
        """Build what a practitioner would try first.

        Three layers of 256 rectified units, each followed by dropout, or the closest
        that the space contains: the nearest width, its first activation where there is
        no ``'relu'``, fewer layers where ``max_layers`` is short, and one of sigmoids,
        which hardly learn in depth. Where that has too many parameters, the layers are
        narrower, and fewer only if even the narrowest are too wide.

        Returns
        -------
        Architecture
            An architecture of the space.
        """
        activation = "relu" if "relu" in self.activations else self.activations[0]
        after: tuple[Layer, ...] = (DROPOUT,) if self.dropout else ()
        nearest = sorted(self.layer_widths, key=lambda width: abs(width - 256))
        deepest = 1 if activation == "sigmoid" else 3
        # The output layer takes one of `max_layers` places.
        return next(
            architecture
            for depth in range(deepest, 0, -1)
            for width in nearest
            for layers in [(((width, activation), *after) * depth)]
            if (architecture := Architecture(*layers[: self.max_layers - 1])) in self
        )
