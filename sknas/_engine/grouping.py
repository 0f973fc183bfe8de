"""Which children are trained together: one visible model of what a step costs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from sknas._engine.jobs import TrainingData
from sknas._space import Architecture


@dataclass(frozen=True)
class CostModel:
    """What one optimiser step of a stack costs, in microseconds.

    A stack shares what a step costs whatever its width: Python, calls, launches. In
    return every child computes at the width of the widest. So a stack pays where
    children are alike or small, and on a GPU nearly everywhere.

    Attributes
    ----------
    step, layer : float
        Shared by a stack: of a step, and of each hidden layer in it.
    megaflop : float
        Of a million floating-point operations of products, padding included.
    kilounit : float
        Of a thousand hidden units (rows times width), padding included.
    stored : float
        What a first layer's product with a stored value of a sparse table takes, or to
        move a weight, relative to a product in a dense table. Infinite where batches
        are made dense.
    max_children : int
        Of one stack.
    reduced_at : float
        Share of a stack still in training at which those that are done are left out. A
        CPU pays for every child; a GPU for every launch, and a step that was recorded
        has to be recorded again.
    """

    step: float
    layer: float
    megaflop: float
    kilounit: float
    stored: float
    max_children: int
    reduced_at: float

    def cost(
        self,
        architectures: Sequence[Architecture],
        *,
        n_rows: int,
        n_features: int,
        n_outputs: int,
        density: float = 1.0,
    ) -> float:
        """Return what a step of these architectures costs as one stack.

        Parameters
        ----------
        architectures : sequence of Architecture
            All of the same depth.
        n_rows : int
            Of a batch.
        n_features, n_outputs : int
            Columns of the encoded table, units of the output layer.
        density : float, default=1.0
            Share of the values of a sparse table that are stored; 1 of a dense table.

        Returns
        -------
        float
            Microseconds.
        """
        sizes = [architecture.hidden_layer_sizes for architecture in architectures]
        hidden = [max(column) for column in zip(*sizes, strict=True)]
        n_inputs: float = n_features
        if density < 1:
            # As many columns of a dense table cost as much: products with what is
            # stored, and, once for all rows, the optimizer's way over the weights.
            n_inputs *= min(self.stored * (density + 1 / n_rows), 1.0)
        pairs = list(itertools.pairwise((n_inputs, *hidden, n_outputs)))
        n_weights = [a * b for a, b in pairs]
        # Forward, gradient of the weights, gradient of the layer below but the first.
        flops = 2 * n_rows * (3 * sum(n_weights) - n_weights[0])
        each = self.megaflop * flops / 1e6 + self.kilounit * n_rows * sum(hidden) / 1e3
        total: float = self.step + self.layer * len(hidden) + len(sizes) * each
        skips = zip(*(each.skip_after for each in architectures), strict=True)
        total += _SKIP * self.layer * sum(map(any, skips))
        return total + sum(
            self._cost_of_skips(architecture, hidden, n_rows)
            for architecture in architectures
        )

    def _cost_of_skips(
        self, architecture: Architecture, widths: Sequence[int], n_rows: int
    ) -> float:
        """Return what the skip connections add for a child, padding included."""
        cost, projected = 0.0, architecture.projections
        for layer, skips in enumerate(architecture.skip_after):
            if skips:
                cost += _SKIP * self.kilounit * n_rows * widths[layer] / 1e3
            if layer in projected:
                # Products as many as those of the layer.
                flops = 6 * n_rows * widths[layer - 1] * widths[layer]
                cost += self.megaflop * flops / 1e6
        return cost


# Microseconds of a step in which a thread holds the interpreter, so that others wait.
# Two threads, on two cores, have 0.8 times the speed of one where a step takes 180 us,
# 1.15 at 340, 1.4 at 480, 1.5 at 900, 1.75 at 2,500; two processes reach 1.6 to 1.9 for
# all of these. More than two have not been measured.
_INTERPRETER = 200.0
# What a skip connection takes relative to all else of a layer but the products: of what
# a stack shares, and of the passes over units. With batch 64, five around 64 units took
# 60 us alone, and 25 for each child of a stack of 8; two around 256 took 10 to 30.
_SKIP = 0.4
# A child joins a stack if it adds no more than this share of its cost alone.
_WORTHWHILE = 0.8

#: Fitted to 60 random shapes of 1 to 7 layers of 8 to 256 units, 1 to 8 children,
#: batch 64, on one AVX-512 core: relative error 0.15. A child 64-128-64-10 takes 163 us
#: alone, and 126, 107 and 94 in stacks of 2, 4 and 8, but 110 in one of 16.
#: Of sparse tables, 10,000 columns, 0.1 % stored, batch 256: a weight takes about 1 ns.
CPU = CostModel(
    step=90,
    layer=14,
    megaflop=12,
    kilounit=2.6,
    stored=20,
    max_children=8,
    reduced_at=1.0,
)

#: Not measured: some fifteen kernels per step and twelve per layer, two microseconds
#: each, and 20 TFLOP/s, which is what small batched products reach on data-centre GPUs.
CUDA = CostModel(
    step=30,
    layer=24,
    megaflop=0.05,
    kilounit=0.001,
    stored=math.inf,
    max_children=64,
    reduced_at=0.5,
)


def cost_model(device: torch.device) -> CostModel:
    """Return the model of a device."""
    return CUDA if device.type == "cuda" else CPU


def epoch_cost(architecture: Architecture, data: TrainingData, n_rows: int) -> float:
    """Return what an epoch of one child costs alone, whatever it is trained on.

    Parameters
    ----------
    architecture : Architecture
        The child.
    data : TrainingData
        What it is trained on.
    n_rows : int
        Of a batch.

    Returns
    -------
    float
        Seconds, by the model of a CPU: the same on every machine.
    """
    microseconds = CPU.cost(
        [architecture],
        n_rows=n_rows,
        n_features=data.X.shape[1],
        n_outputs=data.output.n_outputs,
        density=data.density,
    )
    return math.ceil(data.n_rows / n_rows) * microseconds / 1e6


def n_useful_threads(cost: float) -> int:
    """Return how many threads of one process get on with steps of such a cost."""
    return max(int(cost / _INTERPRETER), 1)


def group(
    architectures: Sequence[Architecture],
    cost: Callable[[Sequence[Architecture]], float],
    max_children: int,
) -> list[list[int]]:
    """Divide children into stacks, so that a step of all costs little.

    Children of one depth are put in the order of their widths; each joins the stack
    of the one before it if it adds clearly less to its cost than a stack of its own
    would have: what is stacked is not shared among workers. The result does not depend
    on how many there are.

    Parameters
    ----------
    architectures : sequence of Architecture
        One per child.
    cost : callable
        What a step of some of them costs as one stack.
    max_children : int
        Of one stack.

    Returns
    -------
    list of list of int
        Positions in ``architectures``, the most expensive stack first: the order in
        which workers should begin.
    """

    def cost_of(stack: Sequence[int]) -> float:
        return cost([architectures[position] for position in stack])

    def depth(position: int) -> int:
        return len(architectures[position].dense_layers)

    def alike(position: int) -> tuple[object, ...]:
        architecture = architectures[position]
        names = [name for _, name in architecture.dense_layers]
        # Calls are for neighbours that have the same activations and skip connections.
        kind = names, architecture.skip_after
        return depth(position), architecture.hidden_layer_sizes, *kind, position

    stacks: list[list[int]] = []
    for position in sorted(range(len(architectures)), key=alike):
        last = stacks[-1] if stacks else []
        if (
            0 < len(last) < max_children
            and depth(last[0]) == depth(position)
            and cost_of([*last, position]) - cost_of(last)
            < _WORTHWHILE * cost_of([position])
        ):
            last.append(position)
        else:
            stacks.append([position])
    return sorted(stacks, key=cost_of, reverse=True)
