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
    SKIP,
    Architecture,
    Layer,
    canonical_activation,
    check_layer,
)


@dataclass(frozen=True)
class SearchSpace:
    """All architectures that can be written with a vocabulary of layers.

    A sequence of tokens is at least one dense layer, has no dropout first or twice in
    a row, no skip connection around the first layer and nothing but a dense layer after
    one, and ends with the output layer, which counts towards ``max_layers``.

    Parameters
    ----------
    layer_widths : tuple of int
        Widths of dense layers.
    activations : tuple of str
        Activations of dense layers.
    max_layers : int
        Longest sequence of tokens, dropouts, skip connections and the output layer
        counted.
    dropout : bool, default=True
        Whether dropout is in the vocabulary.
    skip : bool, default=False
        Whether skip connections are.

    Attributes
    ----------
    vocabulary : tuple
        One entry per token: every (width, activation) pair, then ``'dropout'`` and
        ``'skip'`` if they are in the space, last ``'output'``, the token that ends a
        sequence.
    token_states : ndarray of shape (n_tokens + 1,)
        What a token leaves behind: 0 for a dense layer, 1 for dropout, 2 for a skip
        connection. The last entry, also 0, is for no token yet.
    log_prior : ndarray of shape (max_layers, n_states, n_tokens)
        Log-probability of each next token, given how many tokens there are and the
        state that the last one left behind; there are 3 states if ``skip``, else 2.
        Every depth that is allowed is equally likely, and among the layers every token.
        Illegal tokens have ``-inf``. A random search draws from it; an untrained
        controller nearly does.
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
    skip: bool = False

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
        optional = ((DROPOUT, self.dropout), (SKIP, self.skip))
        return (*dense, *(token for token, is_in in optional if is_in), OUTPUT)

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
        return self._token_of.get(DROPOUT)

    @property
    def skip_token(self) -> int | None:
        """The token of a skip connection, None where the space has none."""
        return self._token_of.get(SKIP)

    @cached_property
    def token_states(self) -> np.ndarray:
        states = {DROPOUT: 1, SKIP: 2}
        # Layers are pairs, which are no keys of these.
        return np.array([*(states.get(str(t), 0) for t in self.vocabulary), 0])

    def _is_legal(self, layer: Layer, n_before: int, state: int) -> bool:
        """Tell if a layer may stand after so many tokens of which the last left that.

        The second token follows the first dense layer, and the third, after dropout,
        the dropout of that: neither may be a skip connection.
        """
        if layer == DROPOUT:
            return n_before > 0 and state == 0
        if layer == SKIP:
            return state < 2 and n_before > 1 + state
        return True

    @cached_property
    def log_prior(self) -> np.ndarray:
        n_states = 3 if self.skip else 2
        prior = np.zeros((self.max_layers, n_states, self.n_tokens))
        for n_before, state in itertools.product(
            range(self.max_layers), range(n_states)
        ):
            row = prior[n_before, state]
            # Of the hidden depths still possible, 1/(max_layers - n_before) each.
            end = 1 / (self.max_layers - n_before) if n_before else 0.0
            # Whatever does not end the sequence is equally likely, where it is legal.
            # At the last position the end has probability 1, and all else 0.
            layers = self.vocabulary[:-1]
            row[:-1] = [self._is_legal(layer, n_before, state) for layer in layers]
            row *= (1 - end) / row.sum()
            row[self.end_token] = end
        # An illegal token has the logarithm of 0, -inf, without a warning.
        with np.errstate(divide="ignore"):
            return np.log(prior)

    def next_layers(self, tokens: Sequence[int]) -> list[int]:
        """Return the tokens of all layers that may follow a sequence without an end.

        Parameters
        ----------
        tokens : sequence of int
            A legal sequence of fewer than ``max_layers - 1`` tokens, which may be
            empty.

        Returns
        -------
        list of int
            In the order of the vocabulary.
        """
        state = int(self.token_states[tokens[-1] if tokens else -1])
        return [
            token
            for token, layer in enumerate(self.vocabulary[:-1])
            if self._is_legal(layer, len(tokens), state)
        ]

    @cached_property
    def _prior(self) -> np.ndarray:
        return np.asarray(np.exp(self.log_prior))

    @cached_property
    def n_architectures(self) -> int:
        """How many different architectures the space holds."""
        n_dense = len(self.layer_widths) * len(self.activations)
        # Count sequences of each length by the state that they end in.
        total, dense, dropout, skip = 0, n_dense, 0, 0
        for n_before in range(1, self.max_layers):
            n_ending = [dense, dropout, skip]
            total += sum(n_ending)
            dense, dropout, skip = n_dense * sum(n_ending), 0, 0
            for state, n in enumerate(n_ending):
                if self.dropout and self._is_legal(DROPOUT, n_before, state):
                    dropout += n
                if self.skip and self._is_legal(SKIP, n_before, state):
                    skip += n
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
                except ValueError:  # not in a legal order
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
        state = self.token_states[tokens[-1] if tokens else -1]
        return np.asarray(self._prior[len(tokens), state])

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
