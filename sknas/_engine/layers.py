"""Layers of a stack: activations, the forward pass, and that with its way back."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sknas._engine.skips import Skips

_aten = torch.ops.aten


def _tanh_(z: Tensor) -> Tensor:
    """Compute tanh in place; on a CPU through the sigmoid, at a quarter of the cost."""
    # The identity tanh(z) = 2 sigmoid(2 z) - 1.
    return torch.tanh_(z) if z.is_cuda else z.mul_(2).sigmoid_().mul_(2).sub_(1)


def _elu_(z: Tensor) -> Tensor:
    """Compute ELU in place; on a CPU through exp, at a third of the cost of expm1."""
    if z.is_cuda:
        return torch.nn.functional.elu_(z)
    # As exp(z) - 1 is at least z everywhere, the maximum is exp(z) - 1 below 0. Above 0
    # it is z, because there the clamp leaves 0.
    return torch.maximum(z, torch.exp(z).sub_(1).clamp_max_(0), out=z)


_threshold_backward = _aten.threshold_backward.grad_input
_elu_backward = _aten.elu_backward.grad_input
_tanh_backward = _aten.tanh_backward.grad_input
_sigmoid_backward = _aten.sigmoid_backward.grad_input


@dataclass(frozen=True)
class Activation:
    """What a hidden layer applies to each unit, and all that the engine knows of it.

    Parameters
    ----------
    forward : callable
        Takes pre-activations and overwrites them with the layer's output.
    backward : callable
        Takes the gradient with respect to the output, and the output, and overwrites
        the gradient with that with respect to the pre-activations.
    rectifies : bool, default=False
        Whether about half of the units are silent, so that initial weights have to be
        larger.
    """

    forward: Callable[[Tensor], Tensor]
    backward: Callable[[Tensor, Tensor], Tensor]
    rectifies: bool = False


# Pre-activations are overwritten, so that derivatives follow from the output h: 1 or 0
# for ReLU, h + 1 below 0 for ELU, 1 - h^2 for tanh, h (1 - h) for sigmoid, 1 for the
# identity.
ACTIVATIONS = {
    "relu": Activation(
        torch.relu_,
        lambda g, h: _threshold_backward(g, h, 0, grad_input=g),
        rectifies=True,
    ),
    "elu": Activation(
        _elu_,
        # The ones are alpha and two scales; True says that h is the output.
        lambda g, h: _elu_backward(g, 1, 1, 1, True, h, grad_input=g),
        rectifies=True,
    ),
    "tanh": Activation(_tanh_, lambda g, h: _tanh_backward(g, h, grad_input=g)),
    "sigmoid": Activation(
        torch.sigmoid_, lambda g, h: _sigmoid_backward(g, h, grad_input=g)
    ),
    "identity": Activation(lambda z: z, lambda g, _: g),
}


def runs_of(names: Sequence[str]) -> Iterator[tuple[str, slice]]:
    """Yield each name with the stretch of positions that it covers."""
    start = 0
    for name, group in itertools.groupby(names):
        end = start + len(list(group))
        yield name, slice(start, end)
        start = end


class HiddenForward:
    """The forward pass of a hidden layer, ``f(X W + b)``, dropped out, plus the skips.

    It serves training and validation alike. It holds views of everything it reads and
    writes, since to make a view costs a microsecond each time.

    Parameters
    ----------
    layer_input : Tensor of shape (n_children, n_rows, n_in)
        What the layer before it, or the table, gives.
    weights : pair of Tensor
        Weights of shape (n_children, n_in, n_out), biases of (n_children, 1, n_out).
    activations : sequence of (str, slice)
        Each activation with the neighbouring children that have it: one call each.
    mask : Tensor of shape (n_children, n_rows, n_out) or None, default=None
        Dropout, drawn elsewhere.
    skips : Skips or None, default=None
        Skip connections around the layer.

    Attributes
    ----------
    output : Tensor of shape (n_children, n_rows, n_out)
        What the next layer reads.
    """

    def __init__(
        self,
        layer_input: Tensor,
        weights: tuple[Tensor, Tensor],
        activations: Sequence[tuple[str, slice]],
        mask: Tensor | None = None,
        skips: Skips | None = None,
    ) -> None:
        self._input = layer_input
        self._weights, self._biases = weights
        n_children, n_rows, _ = layer_input.shape
        self._hidden = self._weights.new_empty(
            (n_children, n_rows, self._weights.shape[2])
        )
        self._mask = mask
        # The output before dropout is kept, since the derivative follows from it.
        is_whole = mask is None and skips is None
        self.output = self._hidden if is_whole else torch.empty_like(self._hidden)
        added_to = self._hidden if mask is None else self.output
        self._additions = (
            skips.additions(layer_input, added_to, self.output) if skips else []
        )
        self._activated = [
            (ACTIVATIONS[name].forward, self._hidden[run]) for name, run in activations
        ]

    def forward(self) -> None:
        """Fill ``output``."""
        self._multiply()
        for activate, hidden in self._activated:
            activate(hidden)
        if self._mask is not None:
            torch.mul(self._hidden, self._mask, out=self.output)
        for add in self._additions:
            add()

    def _multiply(self) -> None:
        torch.baddbmm(self._biases, self._input, self._weights, out=self._hidden)


class HiddenLayer(HiddenForward):
    """A hidden layer's part in a training step: forward and backward.

    Parameters
    ----------
    layer_input, weights, activations, mask, skips
        As of the forward pass.
    input_gradient : Tensor of the shape of ``layer_input``, or None
        Where to write the gradient with respect to it, if that is needed.
    gradients : pair of Tensor
        Where to write those of weights and biases.

    Attributes
    ----------
    gradient : Tensor of shape (n_children, n_rows, n_out)
        To be filled, before `backward`, with the loss's gradient with respect to
        ``output``.
    """

    def __init__(
        self,
        layer_input: Tensor,
        weights: tuple[Tensor, Tensor],
        activations: Sequence[tuple[str, slice]],
        mask: Tensor | None,
        skips: Skips | None = None,
        *,
        input_gradient: Tensor | None,
        gradients: tuple[Tensor, Tensor],
    ) -> None:
        super().__init__(layer_input, weights, activations, mask, skips)
        # Views: (n_children, n_in, n_rows) and, below, (n_children, n_out, n_in).
        self._input_transposed = layer_input.transpose(1, 2)
        self._input_gradient = input_gradient
        self._weights_transposed = self._weights.transpose(1, 2)
        self._weight_gradients, self._bias_gradients = gradients
        self.gradient = torch.empty_like(self._hidden)
        # With respect to the pre-activations. A skip connection hands on the other one.
        self._inner_gradient = self.gradient
        self._skips_back: Sequence[Callable[[], object]] = []
        if skips is not None and input_gradient is not None:
            self._inner_gradient = torch.empty_like(self.gradient)
            self._skips_back = skips.backward_steps(
                layer_input, self.gradient, input_gradient
            )
        self._differentiated = [
            (ACTIVATIONS[name].backward, self._hidden[run], self._inner_gradient[run])
            for name, run in activations
        ]

    def backward(self) -> None:
        """Turn ``gradient`` into those of weights, biases and input."""
        # dL/dZ = dL/dH * mask * f'(Z), in place but for skip connections.
        if self._mask is not None:
            torch.mul(self.gradient, self._mask, out=self._inner_gradient)
        elif self._inner_gradient is not self.gradient:
            self._inner_gradient.copy_(self.gradient)
        for differentiate, hidden, gradient in self._differentiated:
            differentiate(gradient, hidden)
        # Over the rows: (n_children, n_rows, n_out) to (n_children, 1, n_out).
        torch.sum(self._inner_gradient, 1, keepdim=True, out=self._bias_gradients)
        self._multiply_back()
        for step_back in self._skips_back:
            step_back()

    def _multiply_back(self) -> None:
        # dL/dW = X^T dL/dZ, and dL/dX = dL/dZ W^T, for each child.
        gradient = self._inner_gradient
        torch.bmm(self._input_transposed, gradient, out=self._weight_gradients)
        if self._input_gradient is not None:
            torch.bmm(gradient, self._weights_transposed, out=self._input_gradient)


class BFloat16HiddenLayer(HiddenLayer):
    """A hidden layer that multiplies in bfloat16 and does all else with 32 bits.

    Operands and results of the products are rounded, sums within them are not.
    """

    def __init__(
        self,
        layer_input: Tensor,
        weights: tuple[Tensor, Tensor],
        activations: Sequence[tuple[str, slice]],
        mask: Tensor | None,
        skips: Skips | None = None,
        *,
        input_gradient: Tensor | None,
        gradients: tuple[Tensor, Tensor],
    ) -> None:
        super().__init__(
            layer_input,
            weights,
            activations,
            mask,
            skips,
            input_gradient=input_gradient,
            gradients=gradients,
        )
        # Buffers that operands are rounded into, and products written to.
        self._rounded_input = _rounded(self._input)
        self._rounded_input_transposed = self._rounded_input.transpose(1, 2)
        self._rounded_input_gradient = _rounded(self._input)
        self._rounded_weights = _rounded(self._weights)
        self._rounded_weights_transposed = self._rounded_weights.transpose(1, 2)
        self._rounded_weight_gradients = _rounded(self._weights)
        # The pre-activations on the way forward, their gradient on the way back.
        self._rounded_hidden = _rounded(self._hidden)

    def _multiply(self) -> None:
        # The bias is added with 32 bits: as an operand it would be rounded too.
        self._rounded_input.copy_(self._input)
        self._rounded_weights.copy_(self._weights)
        torch.bmm(self._rounded_input, self._rounded_weights, out=self._rounded_hidden)
        torch.add(self._rounded_hidden, self._biases, out=self._hidden)

    def _multiply_back(self) -> None:
        # The input and the weights are still rounded from the way forward.
        self._rounded_hidden.copy_(self._inner_gradient)
        torch.bmm(
            self._rounded_input_transposed,
            self._rounded_hidden,
            out=self._rounded_weight_gradients,
        )
        self._weight_gradients.copy_(self._rounded_weight_gradients)
        if self._input_gradient is not None:
            torch.bmm(
                self._rounded_hidden,
                self._rounded_weights_transposed,
                out=self._rounded_input_gradient,
            )
            self._input_gradient.copy_(self._rounded_input_gradient)


def _rounded(tensor: Tensor) -> Tensor:
    return torch.empty(tensor.shape, dtype=torch.bfloat16, device=tensor.device)


class OutputForward:
    """The forward pass of the output layer, rows last: see `sknas._engine.network`.

    Parameters
    ----------
    layer_input : Tensor of shape (n_children, n_rows, n_in)
        What the last hidden layer gives.
    weights : pair of Tensor
        As for hidden layers.

    Attributes
    ----------
    logits : Tensor of shape (n_children, n_outputs, n_rows)
        Pre-activations.
    """

    def __init__(self, layer_input: Tensor, weights: tuple[Tensor, Tensor]) -> None:
        self._input = layer_input
        self._input_transposed = layer_input.transpose(1, 2)
        # (n_children, n_outputs, n_in) and (n_children, n_outputs, 1).
        self._weights, self._biases = (tensor.transpose(1, 2) for tensor in weights)
        n_children, n_rows, _ = layer_input.shape
        self.logits = self._weights.new_empty(
            (n_children, self._weights.shape[1], n_rows)
        )

    def forward(self) -> None:
        """Fill ``logits``."""
        # With rows last, the logits are Z^T = W^T X^T + b^T.
        torch.baddbmm(
            self._biases, self._weights, self._input_transposed, out=self.logits
        )


class OutputLayer(OutputForward):
    """The output layer's part in a training step: forward and backward.

    Parameters
    ----------
    layer_input, weights
        As of the forward pass.
    input_gradient : Tensor of shape (n_children, n_rows, n_in)
        Where to write the gradient with respect to ``layer_input``.
    gradients : pair of Tensor
        Where to write those of weights and biases.
    """

    def __init__(
        self,
        layer_input: Tensor,
        weights: tuple[Tensor, Tensor],
        *,
        input_gradient: Tensor,
        gradients: tuple[Tensor, Tensor],
    ) -> None:
        super().__init__(layer_input, weights)
        self._input_gradient = input_gradient
        self._weight_gradients, self._bias_gradients = (
            tensor.transpose(1, 2) for tensor in gradients
        )

    def backward(self, gradient: Tensor) -> None:
        """Turn the gradient of the logits into those of weights, biases and input."""
        # With G = dL/dZ^T, rows last: dL/dW^T = G X, dL/db^T is the sum of G over the
        # rows, and dL/dX = G^T W^T. Weights and their gradients are transposed views.
        torch.bmm(gradient, self._input, out=self._weight_gradients)
        torch.sum(gradient, 2, keepdim=True, out=self._bias_gradients)
        torch.bmm(gradient.transpose(1, 2), self._weights, out=self._input_gradient)
