"""Targets that are numbers: scaled for training, and back again for predictions."""

from __future__ import annotations

from copy import copy

import numpy as np

# Percent of the rows at either end that do not count in the scale of a target: what
# lies so far out that few rows reach it is a tail, what more rows reach is not.
_TAIL = 1.0
# Of the standard deviation of all rows, the least that the scale may be. With a row
# 1,000 scales away, R2 on the others is 0.94, and -50 without compression.
_LEAST = 1e-9
#: Scales up to which a target is standardised only. Of a normal distribution, one value
#: in 16,000 lies further out.
KNEE = 4.0


class TargetScaler:
    """Bring targets to a mean of 0 and a variance of 1, heavy tails included.

    A target is centred on its median and divided by the standard deviation that it has
    when its outermost percent at either end is moved inwards. What is further out than
    four of these is compressed logarithmically: a heavy tail would otherwise be all
    that the squared error sees. The result is standardised. Targets without such a tail
    are standardised and nothing else, and so are those of several clusters.
    `inverse_transform` undoes all of it.

    Several targets are scaled one by one.

    Attributes
    ----------
    center_, scale_ : ndarray of shape (n_targets,)
        Medians, and standard deviations without tails; 1 for a constant target.
    mean_, deviation_ : ndarray of shape (n_targets,)
        Of the compressed targets.
    lowest_, highest_ : ndarray of shape (n_targets,)
        The least and the greatest target. `inverse_transform` does not go further.

    Examples
    --------
    >>> import numpy as np
    >>> from sknas._tasks.target import TargetScaler
    >>> y = np.array([[1.0], [2.0], [3.0], [4.0], [1e6]])
    >>> scaler = TargetScaler().fit(y)
    >>> scaler.transform(y).ravel().round(1)
    array([-0.5, -0.5, -0.5, -0.5,  2. ])
    >>> scaler.inverse_transform(scaler.transform(y)).ravel().round(6)
    array([1.e+00, 2.e+00, 3.e+00, 4.e+00, 1.e+06])
    """

    def fit(
        self, y: np.ndarray, sample_weight: np.ndarray | None = None
    ) -> TargetScaler:
        """Learn how to scale.

        Parameters
        ----------
        y : ndarray of shape (n_rows, n_targets)
            Finite numbers.
        sample_weight : ndarray of shape (n_rows,), optional
            Weights of the rows in the last mean and variance. All else is of the rows
            as they are.

        Returns
        -------
        TargetScaler
            Itself.
        """
        self.lowest_, self.highest_ = y.min(axis=0), y.max(axis=0)
        # Relative to the largest, whose square might overflow.
        largest = np.maximum(np.abs(y).max(axis=0), np.finfo(np.float64).tiny)
        relative = y / largest
        low, center, high = np.percentile(relative, [_TAIL, 50, 100 - _TAIL], axis=0)
        scale = np.clip(relative, low, high).std(axis=0)
        # Where all but the tail is constant, the tail is all there is to learn.
        deviation = relative.std(axis=0)
        scale = np.where(scale > 0, np.maximum(scale, _LEAST * deviation), deviation)
        self.center_ = center * largest
        self.scale_ = np.where(scale > 0, scale * largest, 1.0)
        compressed = self._compress(y)
        self.mean_ = np.average(compressed, axis=0, weights=sample_weight)
        squares = np.square(compressed - self.mean_)
        deviation = np.sqrt(np.average(squares, axis=0, weights=sample_weight))
        self.deviation_ = np.where(deviation > 0, deviation, 1.0)
        return self

    def widened(self, y: np.ndarray) -> TargetScaler:
        """Return the same scale with a range that holds further targets.

        Parameters
        ----------
        y : ndarray of shape (n_rows, n_targets)
            Finite numbers.
        """
        scaler = copy(self)
        scaler.lowest_ = np.minimum(self.lowest_, y.min(axis=0))
        scaler.highest_ = np.maximum(self.highest_, y.max(axis=0))
        return scaler

    def _compress(self, y: np.ndarray) -> np.ndarray:
        """Scale, and compress what is far out."""
        # A product with 1/4 first, so that no difference overflows.
        z = (y / 4 - self.center_ / 4) / (self.scale_ / 4)
        distance = np.maximum(np.abs(z), KNEE)
        far = np.sign(z) * KNEE * (1 + np.log(distance / KNEE))
        compressed: np.ndarray = np.where(np.abs(z) > KNEE, far, z)
        return compressed

    def transform(self, y: np.ndarray) -> np.ndarray:
        """Scale targets.

        Parameters
        ----------
        y : ndarray of shape (n_rows, n_targets)
            Finite numbers.

        Returns
        -------
        ndarray of shape (n_rows, n_targets)
            What networks are trained on.
        """
        scaled: np.ndarray = (self._compress(y) - self.mean_) / self.deviation_
        return scaled

    def inverse_transform(self, scaled: np.ndarray) -> np.ndarray:
        """Bring scaled targets, or predictions of them, back.

        Parameters
        ----------
        scaled : ndarray of shape (n_rows, n_targets)
            Predictions; they are clipped to the range of the targets seen in `fit`.

        Returns
        -------
        ndarray of shape (n_rows, n_targets)
            On the scale of the targets.
        """
        # Clipped before, as exponentials overflow, and after, as they are rounded.
        ends = self.transform(np.stack([self.lowest_, self.highest_]))
        compressed = np.clip(scaled, *ends) * self.deviation_ + self.mean_
        # Beyond the knee |c| = k (1 + log(|z| / k)), hence |z| = k exp(|c| / k - 1).
        distance = np.maximum(np.abs(compressed), KNEE)
        far = np.sign(compressed) * KNEE * np.exp(distance / KNEE - 1)
        z = np.where(np.abs(compressed) > KNEE, far, compressed)
        y = z * self.scale_ + self.center_
        within: np.ndarray = np.clip(y, self.lowest_, self.highest_)
        return within


# How many times the greatest target may be predicted: exponentials have no bound of
# their own, and counts of rows to come may be greater than those seen.
_FURTHEST = 10.0


class MeanScaler:
    """Bring targets that are not negative to a mean of 1, by division.

    Several targets are scaled one by one.

    Attributes
    ----------
    scale_ : ndarray of shape (n_targets,)
        Means; 1 for a target that is always 0.
    highest_ : ndarray of shape (n_targets,)
        Ten times the greatest target. `inverse_transform` does not go further.

    Examples
    --------
    >>> import numpy as np
    >>> from sknas._tasks.target import MeanScaler
    >>> y = np.array([[0.0], [1.0], [5.0]])
    >>> MeanScaler().fit(y).transform(y).ravel()
    array([0. , 0.5, 2.5])
    """

    def fit(self, y: np.ndarray, sample_weight: np.ndarray | None = None) -> MeanScaler:
        """Learn how to scale.

        Parameters
        ----------
        y : ndarray of shape (n_rows, n_targets)
            Finite numbers, not negative.
        sample_weight : ndarray of shape (n_rows,), optional
            Weights of the rows.

        Returns
        -------
        MeanScaler
            Itself.
        """
        largest = y.max(axis=0)
        largest = np.where(largest > 0, largest, 1.0)
        # Relative to the largest, as a sum of large numbers overflows.
        mean = np.average(y / largest, axis=0, weights=sample_weight) * largest
        self.scale_ = np.where(mean > 0, mean, 1.0)
        self.highest_ = _furthest(largest)
        return self

    def widened(self, y: np.ndarray) -> MeanScaler:
        """Return the same scale with a range that holds further targets.

        Parameters
        ----------
        y : ndarray of shape (n_rows, n_targets)
            Finite numbers, not negative.
        """
        scaler = copy(self)
        scaler.highest_ = np.maximum(self.highest_, _furthest(y.max(axis=0)))
        return scaler

    def transform(self, y: np.ndarray) -> np.ndarray:
        """Scale targets.

        Parameters
        ----------
        y : ndarray of shape (n_rows, n_targets)
            Finite numbers, not negative.

        Returns
        -------
        ndarray of shape (n_rows, n_targets)
            Relative to their mean.
        """
        scaled: np.ndarray = y / self.scale_
        return scaled

    def inverse_transform(self, scaled: np.ndarray) -> np.ndarray:
        """Bring predictions of scaled targets back.

        Parameters
        ----------
        scaled : ndarray of shape (n_rows, n_targets)
            Predictions; they are clipped to ``highest_``.

        Returns
        -------
        ndarray of shape (n_rows, n_targets)
            On the scale of the targets.
        """
        # Clipped before, as products overflow, and after, as they are rounded.
        numbers = np.minimum(scaled, self.highest_ / self.scale_) * self.scale_
        within: np.ndarray = np.minimum(numbers, self.highest_)
        return within


def _furthest(largest: np.ndarray) -> np.ndarray:
    """Return how far predictions may go where targets are no larger than these."""
    with np.errstate(over="ignore"):
        furthest = _FURTHEST * largest
    bounded: np.ndarray = np.minimum(furthest, np.finfo(np.float64).max)
    return bounded
