"""Skip connections around the layers of a stack: what they add, and their gradients.

Around a layer that reads X and gives H, a skip connection makes H + X where both are
equally wide, and H + X P with weights P, a projection, where they are not. Children of
a stack that have none, or one of the other kind, are computed beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

#: Kinds of skip connections around a layer.
NONE, IDENTITY, PROJECTION = "none", "identity", "projection"


class Skips:
    """Those around one layer.

    Parameters
    ----------
    kinds : sequence of (str, slice)
        Each kind with the neighbouring children that have it.
    projections : Tensor of shape (n_children, n_in, n_out) or None
        Weights of the projections, None where there are none.
    gradients : Tensor of that shape, or None, default=None
        Where to write their gradients in training.
    """

    def __init__(
        self,
        kinds: Sequence[tuple[str, slice]],
        projections: Tensor | None,
        gradients: Tensor | None = None,
    ) -> None:
        self._kinds = kinds
        self._projections, self._gradients = projections, gradients

    def additions(
        self, layer_input: Tensor, hidden: Tensor, output: Tensor
    ) -> list[Callable[[], object]]:
        """Return what fills ``output`` with ``hidden`` and what is added to it.

        Views are made once, since to make one costs a microsecond each time.

        Parameters
        ----------
        layer_input : Tensor of shape (n_children, n_rows, n_in)
            What the layer reads.
        hidden, output : Tensor of shape (n_children, n_rows, n_out)
            They may be one and the same.
        """
        steps: list[Callable[[], object]] = []
        for kind, children in self._kinds:
            read, of_layer = layer_input[children], hidden[children]
            sums = output[children]
            n_added = 0
            if kind == PROJECTION:
                assert self._projections is not None
                weights = self._projections[children]
                steps.append(partial(torch.baddbmm, of_layer, read, weights, out=sums))
                continue
            if kind == IDENTITY:
                # The widths are equal but for the padding.
                n_added = min(read.shape[2], sums.shape[2])
                added = (each[..., :n_added] for each in (of_layer, read))
                steps.append(partial(torch.add, *added, out=sums[..., :n_added]))
            if hidden is not output and n_added < sums.shape[2]:
                others = of_layer[..., n_added:]
                steps.append(partial(sums[..., n_added:].copy_, others))
        return steps

    def backward_steps(
        self, layer_input: Tensor, gradient: Tensor, input_gradient: Tensor
    ) -> list[Callable[[], object]]:
        """Return what computes gradients, after the layer has computed its own.

        Parameters
        ----------
        layer_input : Tensor of shape (n_children, n_rows, n_in)
            What the layer reads.
        gradient : Tensor of shape (n_children, n_rows, n_out)
            Of the loss with respect to the sum.
        input_gradient : Tensor of the shape of ``layer_input``
            What the layer has written; the part of the connections is added.
        """
        steps: list[Callable[[], object]] = []
        for kind, children in self._kinds:
            of_sums, of_input = gradient[children], input_gradient[children]
            if kind == IDENTITY:
                n_added = min(of_sums.shape[2], of_input.shape[2])
                steps.append(
                    partial(of_input[..., :n_added].add_, of_sums[..., :n_added])
                )
            elif kind == PROJECTION:
                assert self._projections is not None
                assert self._gradients is not None
                transposed = layer_input[children].transpose(1, 2)
                of_weights = self._gradients[children]
                weights = self._projections[children].transpose(1, 2)
                steps += [
                    partial(torch.bmm, transposed, of_sums, out=of_weights),
                    partial(of_input.baddbmm_, of_sums, weights),
                ]
        return steps
