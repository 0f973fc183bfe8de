"""What the computations of a supernet cost, in units of the children's cost model."""

from __future__ import annotations

from functools import lru_cache

from sknas._engine.grouping import CPU
from sknas._engine.supernet.passes import SupernetPass
from sknas._space import Architecture

# Fitted to four tables (599 to 16,000 rows, 10 to 64 columns, batches of 64 and 256),
# three spaces, and steps with gates of 0 and 1, with soft gates and for the gradients
# of the gates. The seconds of the CPU were divided by those of rounds of eight children
# per unit of the model, in turn: what a unit stands for depends on the machine and its
# load, and children share in stacks what the model counts for each alone. Beside
# children, a step takes 0.7 to 1.3 times what it is charged, on the shapes of this
# fit; before it took 0.7 to 4.9 times as much, with gates of 0 and 1 from 1.6 on.
#
# Microseconds of a step beyond those of a child: nothing is prepared but once, since
# each step has another network. And of each activation of each position.
_STEP = 170.0
_ACTIVATION = 40.0
# Of each activation of a position but one: relative to the passes over the units of
# all else, as it is not only computed but also weighted and added.
_MIXED = 0.7
# Cost of a step for the gradients with respect to gates, relative to one of weights.
_GATES = 1.2
# Cost of passing a row forward relative to that of training on it.
_FORWARD = 0.5
# Microseconds of a metric, and of each row in it: those of accuracy and temperature.
_SCORE = 900.0
_SCORED_ROW = 1.1


class SupernetCosts:
    """Microseconds by the model of a CPU: the same on every machine.

    Parameters
    ----------
    n_features, n_outputs : int
        Columns of the encoded table, units of the output layer.
    density : float
        Share of the values of a sparse table that are stored; 1 of a dense table.
    """

    def __init__(self, *, n_features: int, n_outputs: int, density: float) -> None:
        table = {"n_features": n_features, "n_outputs": n_outputs}

        # There are few combinations, and many steps.
        @lru_cache(maxsize=10_000)
        def cost(widths: tuple[int, ...], n_activations: int, n_rows: int) -> float:
            # The model does not look at the activation of a layer, but counts one.
            layers = Architecture(*((width, "identity") for width in widths))
            child = CPU.cost([layers], n_rows=n_rows, **table, density=density)
            n_further = (n_activations - len(widths)) * sum(widths) / len(widths)
            mixed = _MIXED * CPU.kilounit * n_rows * n_further / 1e3
            return child + mixed + _STEP + _ACTIVATION * n_activations

        self._cost = cost

    def step(self, of_batch: SupernetPass, n_rows: int) -> float:
        """Return the cost of a pass, of its way back and of the optimizer."""
        return self._cost(of_batch.hidden_widths, of_batch.n_activations, n_rows)

    def gates(self, of_batch: SupernetPass, n_rows: int) -> float:
        """Return the cost of the gradients with respect to the gates."""
        return _GATES * self.step(of_batch, n_rows)

    def forward(self, of_rows: SupernetPass, n_rows: int) -> float:
        """Return the cost of passing rows forward, all at once."""
        return _FORWARD * self.step(of_rows, n_rows)

    def score(self, of_rows: SupernetPass, n_rows: int) -> float:
        """Return the cost of passing rows forward, and of a metric of them."""
        return self.forward(of_rows, n_rows) + _SCORE + _SCORED_ROW * n_rows
