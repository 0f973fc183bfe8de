"""A fitted ensemble in numpy: predicting needs no torch, and no GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from sknas._model.activations import HIDDEN, LOG_PROBABILITIES, NUMBERS
from sknas._space import Architecture
from sknas._typing import Matrix, Weights

# Rows passed through a network at once: what lies between one layer and the next
# stays in the cache, and the memory is bounded.
_CHUNK = 1024


@dataclass(frozen=True, eq=False)
class Member:
    """One network of an ensemble.

    Parameters
    ----------
    architecture : Architecture
        Its hidden layers.
    layers : sequence of (ndarray, ndarray)
        Weights of shape (n_in, n_out) and biases of shape (n_out,), one pair for each
        layer, the output layer included; then one for each skip connection with
        weights, a projection, whose biases are empty.
    weight : float, default=1.0
        Its share in the average, relative to the other members.
    columns : ndarray of int or None, default=None
        The columns of the encoded table that the network sees; None for all.
    """

    architecture: Architecture
    layers: Sequence[Weights]
    weight: float = 1.0
    columns: np.ndarray | None = None

    @property
    def coefs(self) -> list[np.ndarray]:
        """The weights of each layer, of shape (n_in, n_out)."""
        return [coef for coef, _ in self.layers[: self._n_layers]]

    @property
    def intercepts(self) -> list[np.ndarray]:
        """The biases of each layer, of shape (n_out,)."""
        return [intercept for _, intercept in self.layers[: self._n_layers]]

    @property
    def projections(self) -> dict[int, np.ndarray]:
        """The weights of projections, (n_in, n_out), by hidden layers from 0."""
        weights = (coef for coef, _ in self.layers[self._n_layers :])
        return dict(zip(self.architecture.projections, weights, strict=True))

    @property
    def _n_layers(self) -> int:
        return len(self.architecture.dense_layers) + 1


class _Stack:
    """Members of one architecture and one view of the table, computed together."""

    def __init__(self, members: Sequence[Member]) -> None:
        self.architecture = members[0].architecture
        self.columns = members[0].columns
        self.weights = np.array([member.weight for member in members])
        # One array for each layer, (n_members, n_in, n_out) and (n_members, n_out).
        # With 64 bits: with 32, the result of a row would depend on the rows beside it.
        self.coefs = [
            np.array(coefs, np.float64)
            for coefs in zip(*(member.coefs for member in members), strict=True)
        ]
        self.intercepts = [
            np.array(biases, np.float64)
            for biases in zip(*(member.intercepts for member in members), strict=True)
        ]
        of_members = [member.projections for member in members]
        self.projections = {
            layer: np.array([each[layer] for each in of_members], np.float64)
            for layer in self.architecture.projections
        }

    def members(self) -> Iterator[Member]:
        """Yield the members again, as views of the stacked arrays."""
        for position, weight in enumerate(self.weights.tolist()):
            layers = [
                (coefs[position], biases[position])
                for coefs, biases in zip(self.coefs, self.intercepts, strict=True)
            ]
            projected = self.projections.values()
            layers += [(coefs[position], np.empty(0)) for coefs in projected]
            yield Member(self.architecture, layers, weight, self.columns)

    def logits(self, X: Matrix) -> np.ndarray:
        """Return pre-activations of the output, (n_members, n_rows, n_outputs)."""
        hidden = X if self.columns is None else X[:, self.columns]
        names = [name for _, name in self.architecture.dense_layers]
        skips = self.architecture.skip_after
        for layer, (coefs, biases) in enumerate(
            zip(self.coefs, self.intercepts, strict=True)
        ):
            before, hidden = hidden, _product(hidden, coefs)
            hidden += biases[:, None]
            if layer == len(names):
                break
            HIDDEN[names[layer]](hidden)
            if skips[layer]:
                projection = self.projections.get(layer)
                hidden += before if projection is None else before @ projection
        return hidden


class FittedEnsemble:
    """Networks whose predictions are averaged.

    Numbers are averaged as they are; of classes and labels, probabilities are averaged,
    and then calibrated as a whole.

    Parameters
    ----------
    members : sequence of Member
        The networks, the strongest first. They may differ in architecture and in the
        columns that they see.
    out_activation : {'logistic', 'softmax', 'identity', 'exp'}
        What the output layer ends in. ``'logistic'`` is one unit, for the second of two
        classes, or a unit for each of several labels; ``'identity'`` and ``'exp'``
        predict numbers.
    temperature : float, default=1.0
        What the logarithms of the averaged probabilities are divided by.

    Attributes
    ----------
    members : list of Member
        The networks, in the order given but for members of one architecture and one
        view, which stand together.
    """

    def __init__(
        self,
        members: Sequence[Member],
        out_activation: str,
        temperature: float = 1.0,
    ) -> None:
        self.out_activation = out_activation
        self.temperature = temperature
        groups: dict[object, list[Member]] = {}
        for member in members:
            view = None if member.columns is None else member.columns.tobytes()
            groups.setdefault((member.architecture, view), []).append(member)
        self._stacks = [_Stack(group) for group in groups.values()]

    def __len__(self) -> int:
        return sum(len(stack.weights) for stack in self._stacks)

    @property
    def members(self) -> list[Member]:
        return [member for stack in self._stacks for member in stack.members()]

    def predict(self, X: Matrix) -> np.ndarray:
        """Average the numbers that the members predict.

        Parameters
        ----------
        X : ndarray or csr_array of shape (n_rows, n_columns)
            The encoded table.

        Returns
        -------
        ndarray of shape (n_rows, n_outputs)
            On the scale that the networks were trained on.
        """
        return _by_chunks(self._average_numbers, X)

    def predict_log_proba(self, X: Matrix) -> np.ndarray:
        """Average the members' probabilities and calibrate the average.

        Parameters
        ----------
        X : ndarray or csr_array of shape (n_rows, n_columns)
            The encoded table.

        Returns
        -------
        ndarray of shape (n_rows, n_classes) or (n_rows, n_labels, 2)
            Logarithms of the probabilities: one column for each class, or those of no
            and yes for each label.
        """
        return _by_chunks(self._average_probabilities, X)

    def _average_numbers(self, X: Matrix) -> np.ndarray:
        logits = np.concatenate([stack.logits(X) for stack in self._stacks])
        numbers = NUMBERS[self.out_activation](logits)
        average: np.ndarray = np.average(numbers, axis=0, weights=self._weights())
        return average

    def _average_probabilities(self, X: Matrix) -> np.ndarray:
        log_probabilities = LOG_PROBABILITIES[self.out_activation]
        # Shape (n_members, n_rows, n_classes), as far as it goes.
        of_stacks = [log_probabilities(stack.logits(X)) for stack in self._stacks]
        log_p = of_stacks[0] if len(of_stacks) == 1 else np.concatenate(of_stacks)
        pooled: np.ndarray = log_p[0]
        if len(log_p) > 1:
            weights = self._weights()
            shares = np.log(weights / weights.sum())
            # Logarithms of averages, without losing the smallest probabilities.
            log_p += shares.reshape(-1, *[1] * (log_p.ndim - 1))
            pooled = _log_sum_exp(log_p, axis=0)[0]
        if self.temperature == 1:
            return pooled
        pooled /= self.temperature
        pooled -= _log_sum_exp(pooled, axis=-1)
        return pooled

    def _weights(self) -> np.ndarray:
        """Return the members' weights, in their order."""
        return np.concatenate([stack.weights for stack in self._stacks])


def _product(hidden: Matrix, coefs: np.ndarray) -> np.ndarray:
    """Multiply by weights of shape (n_members, n_in, n_out); a table may be sparse."""
    if isinstance(hidden, np.ndarray):
        product: np.ndarray = np.matmul(hidden, coefs)
        return product
    return np.stack([hidden @ of_member for of_member in coefs])


def _by_chunks(predict: Callable[[Matrix], np.ndarray], X: Matrix) -> np.ndarray:
    """Predict a bounded number of rows at a time."""
    return np.concatenate(
        [
            predict(X[start : start + _CHUNK])
            for start in range(0, max(X.shape[0], 1), _CHUNK)
        ]
    )


def _log_sum_exp(values: np.ndarray, axis: int) -> np.ndarray:
    """Return ``log(sum(exp(values)))``, the axis kept with a length of 1.

    For finite values, without the checks that would take a tenth of the time of a row.
    """
    highest = values.max(axis=axis, keepdims=True)
    total: np.ndarray = np.exp(values - highest).sum(axis=axis, keepdims=True)
    np.log(total, out=total)
    total += highest
    return total
