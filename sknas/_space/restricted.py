"""The part of a search space whose networks are small enough."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from math import comb
from typing import ClassVar, TypeAlias

import numpy as np

from sknas._space.architecture import Architecture, Layer
from sknas._space.search_space import SearchSpace

# Different numbers of parameters in ascending order, and how often there is each.
_Counted: TypeAlias = tuple[np.ndarray, np.ndarray]

# Most halves of sequences of widths that are held in memory to count the whole ones.
_MOST_HALVES = 20_000_000


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
    def _cheapest(self) -> list[np.ndarray]:
        """The fewest parameters behind a layer, for each width.

        One array for each number of tokens that may follow, the end included: without
        the end, no layer is the last one.
        """
        to_output = (self._widths + 1) * self.n_outputs
        cheapest = [to_output + self.max_parameters + 1, to_output]
        # (before, behind): a narrow layer may cost less than many outputs.
        between = (self._widths + 1)[:, None] * self._widths
        for _ in range(self.max_layers - 1):
            through = (between + cheapest[-1]).min(axis=1)
            cheapest.append(np.minimum(to_output, through))
        return cheapest

    def _fitting(
        self, used: np.ndarray, last: np.ndarray, projected: np.ndarray, n_left: int
    ) -> np.ndarray:
        """Tell which tokens may follow, of shape (n_sequences, n_tokens).

        ``used`` are the parameters so far, ``last`` positions of the last widths, -1
        before the first, ``projected`` the parameters of a skip connection around the
        last layer, and ``n_left`` the tokens that may follow.
        """
        limit, widths = self.max_parameters, self._widths
        before = np.where(last < 0, self.n_inputs, widths[last])
        behind = self._cheapest[n_left - 1]
        dense = used[:, None] + (before + 1)[:, None] * widths + behind <= limit
        fitting = np.empty((len(used), self.n_tokens), dtype=bool)
        is_dense = self._width_of_token >= 0
        fitting[:, is_dense] = dense[:, self._width_of_token[is_dense]]
        if self.dropout_token is not None:
            fitting[:, self.dropout_token] = used + behind[last] <= limit
        if self.skip_token is not None:
            fitting[:, self.skip_token] = used + projected + behind[last] <= limit
        fitting[:, self.end_token] = used + self._cheapest[1][last] <= limit
        return fitting

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
        used = np.zeros(n_sequences, dtype=self._widths.dtype)
        last = np.full(n_sequences, -1)
        projected = np.zeros_like(used)
        ended = np.zeros(n_sequences, dtype=bool)
        allowed = np.ones((n_sequences, n_steps + 1, self.n_tokens), dtype=bool)
        for step in range(min(n_steps + 1, self.max_layers)):
            fitting = self._fitting(used, last, projected, self.max_layers - step)
            is_open = ~ended & fitting.any(axis=1)
            allowed[is_open, step] = fitting[is_open]
            if step == n_steps:
                break
            place = self._width_of_token[tokens[:, step]]
            ended |= tokens[:, step] == self.end_token
            added = (place >= 0) & ~ended
            before = np.where(last < 0, self.n_inputs, self._widths[last])
            used = np.where(added, used + (before + 1) * self._widths[place], used)
            # Around layers of equal widths there is no projection.
            skips = (tokens[:, step] == self.skip_token) & ~ended
            used = np.where(skips, used + projected, used)
            between = np.where(last == place, 0, before * self._widths[place])
            projected = np.where(added, between, projected)
            last = np.where(added, place, last)
        return allowed

    def _probabilities(self, tokens: Sequence[int]) -> np.ndarray:
        row = super()._probabilities(tokens)
        allowed = self.allowed(np.array([tokens], dtype=np.intp))[0, len(tokens)]
        row = np.where(allowed, row, 0.0)
        return np.asarray(row / row.sum())

    @cached_property
    def n_architectures(self) -> int:
        """How many architectures have no more than `max_parameters`.

        Exact for all but spaces of hundreds of widths and those with skip connections:
        of these, the number without the restriction.
        """
        longest = self.max_layers - 1
        n_halves = len(self.layer_widths) ** ((longest + 1) // 2 + 1)
        if self.skip or n_halves > _MOST_HALVES:
            return super().n_architectures
        total = 0
        for depth, n_fitting in enumerate(self._n_fitting(longest), start=1):
            # Each layer has an activation, and some have dropout after them.
            n_dropouts = min(depth, longest - depth) if self.dropout else 0
            patterns = sum(comb(depth, n) for n in range(n_dropouts + 1))
            total += len(self.activations) ** depth * patterns * n_fitting
        return total

    def _n_fitting(self, longest: int) -> Iterator[int]:
        """Yield how many sequences of widths fit, by their length.

        Two halves that share a layer make a sequence, and of each only the parameters
        count: for each first half, those second halves are counted that fit.
        """
        # Sums of 64 bits, or of Python's integers where these are too short.
        widths, one = self._widths, np.ones(1, dtype=np.int64)
        between = (widths + 1)[:, None] * widths
        first, last = (self.n_inputs + 1) * widths, (widths + 1) * self.n_outputs
        heads = [(first[i : i + 1], one) for i in range(len(widths))]
        tails = [[(last[i : i + 1], one) for i in range(len(widths))]]
        for depth in range(1, longest + 1):
            n_head = (depth + 1) // 2
            if depth % 2 and depth > 1:
                heads = [_merged(heads, of_one) for of_one in between.T]
            if len(tails) <= depth - n_head:
                tails.append([_merged(tails[-1], of_one) for of_one in between])
            pairs = zip(heads, tails[depth - n_head], strict=True)
            yield sum(self._n_pairs(head, tail) for head, tail in pairs)

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


def _merged(parts: list[_Counted], added: np.ndarray) -> _Counted:
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
    """Return the most weights and biases that a network of a space has.

    With skip connections it is a bound: as if there were a projection around each
    layer, even between the greatest widths.
    """
    width = max(space.layer_widths)
    layer: Layer = (width, space.activations[0])
    depths = range(1, space.max_layers)
    return max(
        Architecture(*[layer] * depth).n_parameters(n_inputs, n_outputs)
        + (depth - 1) * width**2 * space.skip
        for depth in depths
    )


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
