"""Dropout masks from counters: the same whatever is computed beside them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

# Odd 64-bit constants with bits in no pattern: a counter's and a step's stride, and the
# two multipliers of MurmurHash3's finaliser. Products wrap around, as they should.
_COUNTER_STRIDE = -0x61C8864680B583EB
_STEP_STRIDE = -0x40A7B892E31B1A47
_MULTIPLIERS = (-0x00AE502812AA7333, -0x3B314601E57A13AD)
# A counter names layer, row and word of 8 units: independent of every shape.
_LAYER_SHIFT, _ROW_SHIFT = 40, 16
_UNITS_PER_WORD = 8


class DropoutMasks:
    """Masks of every dropout layer of a stack, for batches of one size.

    A unit's fate is a byte of a hash of (child's seed, step, layer, row, unit). So
    children do not share a generator whose state would depend on who else draws, and a
    step draws all masks with the same few vector operations on any device.

    Parameters
    ----------
    seeds : Tensor of shape (n_children, 1), int64
        One per child; `draw` moves them on.
    widths : sequence of int
        Units of each hidden layer.
    dropped : sequence of Tensor of shape (n_children,), bool
        For each hidden layer, which children drop units after it.
    n_rows : int
        Rows of a batch.
    dropout : sequence of float
        For each child, the share of units to drop, rounded to 1/256; something is
        always kept.
    """

    def __init__(
        self,
        seeds: Tensor,
        widths: Sequence[int],
        dropped: Sequence[Tensor],
        *,
        n_rows: int,
        dropout: Sequence[float],
    ) -> None:
        device, n_children = seeds.device, len(seeds)
        # Values of a byte that mean "dropped", (n_children,).
        n_bytes = torch.tensor(
            [min(round(share * 256), 255) for share in dropout], device="cpu"
        )
        self._seeds = seeds
        self._masks: list[Tensor | None] = [None] * len(widths)
        self._drawn: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        drops = [bool((children * n_bytes).any()) for children in dropped]
        counters = [
            _counters(layer, n_rows, width)
            for layer, width in enumerate(widths)
            if drops[layer]
        ]
        if not counters:
            return
        self._counters = torch.cat(counters)[None].to(device)
        self._words = self._counters.expand(n_children, -1).clone()
        halves = self._words.view(torch.int32).unflatten(1, (-1, 2))
        self._low, self._high = halves.unbind(dim=2)
        as_bytes = self._words.view(torch.uint8).split(
            [8 * len(part) for part in counters], dim=1
        )
        for layer, parts in zip(
            (layer for layer, drop in enumerate(drops) if drop), as_bytes, strict=True
        ):
            width = widths[layer]
            mask = torch.empty(
                (n_children, n_rows, width), dtype=torch.float32, device=device
            )
            # (n_children, 1, 1): nothing is below a threshold of 0.
            thresholds = (dropped[layer] * n_bytes)[:, None, None].to(device)
            scales = (256 / (256 - thresholds)).float()
            thresholds = thresholds.to(torch.uint8)
            units = parts.unflatten(1, (n_rows, -1))[..., :width]
            self._masks[layer] = mask
            self._drawn.append((units, thresholds, scales, mask))

    def __getitem__(self, layer: int) -> Tensor | None:
        """Return the mask after a hidden layer, or None where nothing is dropped.

        Its values are 0 or the factor that keeps the expectation; `draw` overwrites
        them.
        """
        return self._masks[layer]

    def draw(self) -> None:
        """Draw all masks of the next step."""
        if not self._drawn:
            return
        self._seeds.add_(_STEP_STRIDE)
        torch.add(self._counters, self._seeds, out=self._words)
        # A xor of the low half with the high one is an unsigned shift that torch has no
        # operation for.
        for multiplier in _MULTIPLIERS:
            self._low.bitwise_xor_(self._high)
            self._words.mul_(multiplier)
        self._low.bitwise_xor_(self._high)
        for units, thresholds, scales, mask in self._drawn:
            torch.ge(units, thresholds, out=mask)
            mask.mul_(scales)


def _counters(layer: int, n_rows: int, width: int) -> Tensor:
    """Return one counter for each word of a layer, rows one after another."""
    rows = torch.arange(n_rows, device="cpu")[:, None] << _ROW_SHIFT
    words = torch.arange(math.ceil(width / _UNITS_PER_WORD), device="cpu")
    counters = (layer << _LAYER_SHIFT) + rows + words
    return counters.flatten() * _COUNTER_STRIDE
