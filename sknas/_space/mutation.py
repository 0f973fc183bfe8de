"""Architectures one step away from another."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from sknas._space.architecture import (
    DROPOUT,
    SKIP,
    Architecture,
    DenseLayer,
    Layer,
)
from sknas._space.search_space import SearchSpace

# A dense layer, and whether dropout and a skip connection follow it.
_Block: TypeAlias = tuple[DenseLayer, bool, bool]

#: The kinds of steps.
KINDS = ("width", "activation", "insert", "delete", "dropout", "skip")


def neighbours(
    architecture: Architecture, space: SearchSpace
) -> dict[str, list[Architecture]]:
    """Return all architectures one step away, by the kind of the step.

    A step makes a layer as wide as the next wider or narrower one of the space, gives
    it another activation, inserts a dense layer, deletes one with all that follows it
    up to the next, or adds or removes the dropout or the skip connection after one.

    Parameters
    ----------
    architecture : Architecture
        An architecture of the space.
    space : SearchSpace
        What steps must not leave.

    Returns
    -------
    dict of str to list of Architecture
        Without the architecture itself and without duplicates. A kind that no step of
        the space is of has an empty list.
    """
    blocks = _blocks(architecture)
    layers: list[DenseLayer] = [
        (width, name) for width in space.layer_widths for name in space.activations
    ]
    widths = sorted(space.layer_widths)
    found: dict[str, dict[Architecture, None]] = {kind: {} for kind in KINDS}

    def take(kind: str, changed: list[_Block]) -> None:
        if not changed:
            return
        neighbour = _architecture(changed)
        if neighbour in space and neighbour != architecture:
            found[kind].setdefault(neighbour)

    for i, ((width, name), has_dropout, skips) in enumerate(blocks):
        before, behind = blocks[:i], blocks[i + 1 :]
        place = widths.index(width)
        for other_width in widths[max(place - 1, 0) : place + 2]:
            changed = (other_width, name), has_dropout, skips
            take("width", [*before, changed, *behind])
        for other_name in space.activations:
            changed = (width, other_name), has_dropout, skips
            take("activation", [*before, changed, *behind])
        take("delete", before + behind)
        take("dropout", [*before, ((width, name), not has_dropout, skips), *behind])
        if i and space.skip:
            take("skip", [*before, ((width, name), has_dropout, not skips), *behind])
    for i in range(len(blocks) + 1):
        for layer in layers:
            take("insert", [*blocks[:i], (layer, False, False), *blocks[i:]])
    return {kind: list(of_kind) for kind, of_kind in found.items()}


def _blocks(architecture: Architecture) -> list[_Block]:
    return list(
        zip(
            architecture.dense_layers,
            architecture.dropout_after,
            architecture.skip_after,
            strict=True,
        )
    )


def _architecture(blocks: list[_Block]) -> Architecture:
    """Join blocks; the first one has no skip connection, whatever it had before."""
    layers: list[Layer] = []
    for layer, has_dropout, skips in blocks:
        has_skip = skips and len(layers) > 0
        layers += [layer, *[DROPOUT] * has_dropout, *[SKIP] * has_skip]
    return Architecture(*layers)


def crossover(
    first: Architecture,
    second: Architecture,
    space: SearchSpace,
    generator: np.random.Generator,
) -> Architecture:
    """Join the beginning of one architecture and the end of another.

    Both give at least one dense layer, with the dropout and the skip connection after
    it. All cuts whose result the space holds are equally likely.

    Parameters
    ----------
    first, second : Architecture
        Architectures of the space.
    space : SearchSpace
        What the result must not leave.
    generator : numpy.random.Generator
        Source of the draw.

    Returns
    -------
    Architecture
        ``first`` where no cut fits into the space.
    """
    head, tail = _blocks(first), _blocks(second)
    joined = [
        _architecture([*head[:end], *tail[start:]])
        for end in range(1, len(head) + 1)
        for start in range(len(tail))
    ]
    fitting = [child for child in joined if child in space]
    return fitting[generator.integers(len(fitting))] if fitting else first
