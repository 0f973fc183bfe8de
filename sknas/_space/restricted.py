"""The part of a search space whose networks are small enough."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from math import comb
from typing import ClassVar, NamedTuple, TypeAlias

import numpy as np

from sknas._space.architecture import Architecture, Layer
from sknas._space.search_space import SearchSpace

# Different numbers of parameters in ascending order, and how often there is each.
_Counted: TypeAlias = tuple[np.ndarray, np.ndarray]

# Most halves of sequences of widths that are held in memory to count the whole ones.
_MOST_HALVES = 20_000_000


class _Begun(NamedTuple):
    """Beginnings of sequences; each of shape (n_sequences,).

    ``used`` are the parameters so far, ``last`` and ``before`` the positions of the
    width of the last layer and of the one before it, -1 where there is none.
    """

    used: np.ndarray
    before: np.ndarray
    last: np.ndarray


@dataclass(frozen=True)
class RestrictedSpace(SearchSpace):
    """The architectures of a space that have no more than so many parameters.

    ``log_prior`` is that of the whole space, and `allowed` tells which tokens lead to
    a network that is small enough: a draw takes one of these, with probabilities in
    proportion to the prior's.

    Parameters
    ----------
    max_parameters : int
        Most weights and biases. The smallest network of the space must not have more.
    n_inputs : int
        Columns of the encoded table.
    n_outputs : int
        Units of the output layer.
    """

    max_parameters: int = 0
    n_inputs: int = 0
    n_outputs: int = 0

    is_restricted: ClassVar[bool] = True

    @cached_property
    def _widths(self) -> np.ndarray:
        """Widths in the order of the space."""
        is_huge = largest(self, self.n_inputs, self.n_outputs) >= 2**62
        return np.array(self.layer_widths, dtype=object if is_huge else np.int64)

    @cached_property
    def _width_of_token(self) -> np.ndarray:
        """For each token the position of its width, -1 for what is no dense layer."""
        places = {width: place for place, width in enumerate(self.layer_widths)}
        return np.array(
            [
                -1 if isinstance(layer, str) else places[layer[0]]
                for layer in self.vocabulary
            ]
        )

    @cached_property
    def _between(self) -> np.ndarray:
        """What a layer costs, by the position of the width before it and of its own.

        The last row is for the first layer, which reads the encoded table.
        """
        before = np.append(self._widths, self.n_inputs)
        return np.asarray((before + 1)[:, None] * self._widths)

    @cached_property
    def _projections(self) -> np.ndarray:
        """What a skip connection costs; the last row and column are not used."""
        widths = np.append(self._widths, self.n_inputs)
        costs = widths[:, None] * widths
        # Where the widths are equal, nothing is projected.
        return np.asarray(np.where(widths[:, None] == widths, 0, costs))

    @cached_property
    def _cheapest(self) -> list[np.ndarray]:
        """The fewest parameters behind a layer, for each width.

        One array for each number of tokens that may follow, the end included: without
        the end, no layer is the last one.
        """
        to_output = (self._widths + 1) * self.n_outputs
        cheapest = [to_output + self.max_parameters + 1, to_output]
        for _ in range(self.max_layers - 1):
            # A narrow layer may cost less than many outputs.
            through = (self._between[:-1] + cheapest[-1]).min(axis=1)
            cheapest.append(np.minimum(to_output, through))
        return cheapest

    def _fitting(self, begun: _Begun, n_left: int) -> np.ndarray:
        """Tell which tokens may follow, of shape (n_sequences, n_tokens).

        ``n_left`` are the tokens that may follow, the end included.
        """
        limit, used, last = self.max_parameters, begun.used, begun.last
        behind = self._cheapest[n_left - 1]
        dense = used[:, None] + self._between[last] + behind <= limit
        fitting = np.empty((len(used), self.n_tokens), dtype=bool)
        is_dense = self._width_of_token >= 0
        fitting[:, is_dense] = dense[:, self._width_of_token[is_dense]]
        if self.dropout_token is not None:
            fitting[:, self.dropout_token] = used + behind[last] <= limit
        if self.skip_token is not None:
            projection = self._projections[begun.before, last]
            fitting[:, self.skip_token] = used + projection + behind[last] <= limit
        fitting[:, self.end_token] = used + self._cheapest[1][last] <= limit
        return fitting

    def _begin(self, n_sequences: int) -> _Begun:
        nothing = np.full(n_sequences, -1)
        return _Begun(np.zeros(n_sequences, self._widths.dtype), nothing, nothing)

    def _follow(self, begun: _Begun, tokens: np.ndarray) -> _Begun:
        """Return what beginnings are with one more token each."""
        place = self._width_of_token[tokens]
        used = begun.used + np.where(place >= 0, self._between[begun.last, place], 0)
        if self.skip_token is not None:
            projection = self._projections[begun.before, begun.last]
            used = used + np.where(tokens == self.skip_token, projection, 0)
        before = np.where(place >= 0, begun.last, begun.before)
        return _Begun(used, before, np.where(place >= 0, place, begun.last))

    def allowed(self, tokens: np.ndarray) -> np.ndarray:
        """Tell which tokens lead to a network that is small enough.

        Parameters
        ----------
        tokens : ndarray of shape (n_sequences, n_steps)
            Legal sequences, filled up with end tokens.

        Returns
        -------
        ndarray of bool of shape (n_sequences, n_steps + 1, n_tokens)
            For each beginning, of no token up to all of them, what may follow. True
            after the end, and where the beginning has too many parameters already.
        """
        n_sequences, n_steps = tokens.shape
        begun = self._begin(n_sequences)
        ended = np.zeros(n_sequences, dtype=bool)
        allowed = np.ones((n_sequences, n_steps + 1, self.n_tokens), dtype=bool)
        for step in range(min(n_steps + 1, self.max_layers)):
            fitting = self._fitting(begun, self.max_layers - step)
            is_open = ~ended & fitting.any(axis=1)
            allowed[is_open, step] = fitting[is_open]
            if step < n_steps:
                ended |= tokens[:, step] == self.end_token
                begun = self._follow(begun, tokens[:, step])
        return allowed

    def _probabilities(self, tokens: Sequence[int]) -> np.ndarray:
        row = super()._probabilities(tokens)
        begun = self._begin(1)
        for token in tokens:
            begun = self._follow(begun, np.array([token]))
        fitting = self._fitting(begun, self.max_layers - len(tokens))
        row = np.where(fitting[0], row, 0.0)
        return np.asarray(row / row.sum())

    @cached_property
    def n_architectures(self) -> int:
        """How many architectures have no more than `max_parameters`.

        Exact for all but spaces of hundreds of widths: of these, the number without
        the restriction.
        """
        longest = self.max_layers - 1
        n_choices = len(self.layer_widths) * (2 if self.skip else 1)
        if n_choices ** ((longest + 1) // 2 + 1) > _MOST_HALVES:
            return super().n_architectures
        total = 0
        for depth, n_skips, n_fitting in self._n_fitting(longest):
            # Each layer has an activation, and some have dropout after them.
            most = min(depth, longest - depth - n_skips) if self.dropout else 0
            patterns = sum(comb(depth, n_dropouts) for n_dropouts in range(most + 1))
            total += len(self.activations) ** depth * patterns * n_fitting
        return total

    def _n_fitting(self, longest: int) -> Iterator[tuple[int, int, int]]:
        """Yield depths, numbers of skip connections, and how many such networks fit.

        Two halves that share a layer make a sequence of widths, and of each only the
        parameters count: for each first half, those second halves are counted that fit.
        """
        # Sums of 64 bits, or of Python's integers where these are too short.
        one, n_widths = np.ones(1, dtype=np.int64), len(self._widths)
        from_input, between = self._between[-1], self._between[:-1]
        skipped = between + self._projections[:-1, :-1] if self.skip else None
        to_output = self._cheapest[1]
        # By skip connections, and within by the width of the layer that is shared.
        heads = [[(from_input[i : i + 1], one) for i in range(n_widths)]]
        tails = [[[(to_output[i : i + 1], one) for i in range(n_widths)]]]
        for depth in range(1, longest + 1):
            n_head = (depth + 1) // 2
            if depth % 2 and depth > 1:
                heads = _extended(
                    heads, between.T, None if skipped is None else skipped.T
                )
            if len(tails) <= depth - n_head:
                tails.append(_extended(tails[-1], between, skipped))
            of_depth = tails[depth - n_head]
            for (i, head), (j, tail) in itertools.product(
                enumerate(heads), enumerate(of_depth)
            ):
                if depth + i + j <= longest:
                    yield depth, i + j, sum(map(self._n_pairs, head, tail))

    def _n_pairs(self, head: _Counted, tail: _Counted) -> int:
        (sums, counts), (other_sums, other_counts) = head, tail
        left = self.max_parameters - sums
        n_below = np.concatenate([[0], np.cumsum(other_counts)])
        n_below = n_below[np.searchsorted(other_sums, left, side="right")]
        # Python's integers, since there may be more than 2 ** 63.
        return sum(map(operator.mul, counts.tolist(), n_below.tolist()))

    def __contains__(self, architecture: object) -> bool:
        if not super().__contains__(architecture):
            return False
        assert isinstance(architecture, Architecture)
        n_parameters = architecture.n_parameters(self.n_inputs, self.n_outputs)
        return n_parameters <= self.max_parameters

    def __iter__(self) -> Iterator[Architecture]:
        """Every architecture once, short ones first."""
        for n_hidden in range(1, self.max_layers):
            yield from self._longer((), n_hidden)

    def _longer(self, tokens: tuple[int, ...], n_hidden: int) -> Iterator[Architecture]:
        """Yield what begins with these tokens and has so many layers."""
        possible = self._probabilities(tokens) > 0
        if len(tokens) == n_hidden:
            if possible[self.end_token]:
                yield self.decode(tokens)
            return
        for token in np.flatnonzero(possible[: self.end_token]).tolist():
            yield from self._longer((*tokens, token), n_hidden)


def _extended(
    halves: list[list[_Counted]], plain: np.ndarray, skipped: np.ndarray | None
) -> list[list[_Counted]]:
    """Add a layer to halves of sequences, with or without a skip connection around it.

    ``plain`` and ``skipped`` have what it adds, by the new width and the old one.
    """
    extended = [[_merged(half, row) for row in plain] for half in halves]
    if skipped is None:
        return extended
    with_skip = [[_merged(half, row) for row in skipped] for half in halves]
    # With a skip connection more, there are as many as in the next of the others.
    nothing = np.zeros(2, dtype=plain.dtype)
    both = zip(extended[1:], with_skip[:-1], strict=True)
    joined = [
        [_merged([*pair], nothing) for pair in zip(*each, strict=True)] for each in both
    ]
    return [extended[0], *joined, with_skip[-1]]


def _merged(parts: Sequence[_Counted], added: np.ndarray) -> _Counted:
    """Add a number to the sums of each part, and count equal ones together."""
    sums = np.concatenate(
        [sums + number for (sums, _), number in zip(parts, added, strict=True)]
    )
    distinct, which = np.unique(sums, return_inverse=True)
    counts = np.zeros(len(distinct), dtype=np.int64)
    np.add.at(counts, which, np.concatenate([counted for _, counted in parts]))
    return distinct, counts


def smallest(space: SearchSpace, n_inputs: int, n_outputs: int) -> int:
    """Return the fewest weights and biases that a network of a space has."""
    layer: Layer = (min(space.layer_widths), space.activations[0])
    # One layer, since another of any width of the space would only add to it.
    return Architecture(layer).n_parameters(n_inputs, n_outputs)


def largest(space: SearchSpace, n_inputs: int, n_outputs: int) -> int:
    """Return what no network of a space has more of than weights and biases.

    Without skip connections, the largest network has as many.
    """
    widest = max(space.layer_widths)
    layer: Layer = (widest, space.activations[0])
    sizes = []
    for depth in range(1, space.max_layers):
        size = Architecture(*[layer] * depth).n_parameters(n_inputs, n_outputs)
        n_skips = min(depth - 1, space.max_layers - 1 - depth) if space.skip else 0
        sizes.append(size + n_skips * widest**2)
    return max(sizes)


def restricted(
    space: SearchSpace, max_parameters: int, n_inputs: int, n_outputs: int
) -> SearchSpace:
    """Return the part of a space whose networks are small enough.

    Parameters
    ----------
    space : SearchSpace
        The whole space.
    max_parameters : int
        Most weights and biases, at least those of the smallest network.
    n_inputs : int
        Columns of the encoded table.
    n_outputs : int
        Units of the output layer.

    Returns
    -------
    SearchSpace
        The space itself, where all of it is small enough.
    """
    if largest(space, n_inputs, n_outputs) <= max_parameters:
        return space
    given = {field.name: getattr(space, field.name) for field in fields(space)}
    return RestrictedSpace(
        **given, max_parameters=max_parameters, n_inputs=n_inputs, n_outputs=n_outputs
    )
