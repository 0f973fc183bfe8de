"""Second-order gradients with respect to gates, by difference quotients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

import numpy as np

from sknas._engine.supernet.network import SupernetWeights
from sknas._space import Gates

# How far weights are moved for a difference quotient, relative to the norm of the
# gradient that they are moved along: that of the DARTS paper.
_DIFFERENCE = 0.01


def unrolled_gradients(
    weights: SupernetWeights,
    of_training: Callable[[], Gates],
    of_validation: Callable[[], Gates],
    rate: float,
) -> Gates:
    """Differentiate the validation loss after a step of the weights on a training loss.

    The step, of plain gradient descent, depends on the gates: the chain rule adds a
    product of the training loss's mixed second derivatives with a vector, which is the
    difference of two gradients at weights that lie apart along it.

    Parameters
    ----------
    weights : SupernetWeights
        Left as they were.
    of_training, of_validation : callable
        Each returns the gradients of a loss with respect to the gates, and leaves those
        with respect to the weights in ``weights.gradients``.
    rate : float
        Learning rate of the step.

    Returns
    -------
    Gates
        The gradients.

    References
    ----------
    .. [1] H. Liu, K. Simonyan and Y. Yang, "DARTS: Differentiable Architecture Search",
       2019, equations 7 and 8.
    """
    begin = weights.parameters.clone()
    try:
        of_training()
        weights.parameters.sub_(weights.gradients, alpha=rate)
        direct = of_validation()
        direction = weights.gradients.clone()
        norm = float(direction.norm())
        if not norm > 0:
            return direct
        distance = _DIFFERENCE / norm
        weights.parameters.copy_(begin).add_(direction, alpha=distance)
        above = of_training()
        weights.parameters.copy_(begin).sub_(direction, alpha=distance)
        below = of_training()
    finally:
        weights.parameters.copy_(begin)
    return _combine(direct, above, below, rate / (2 * distance))


def _combine(direct: Gates, above: Gates, below: Gates, factor: float) -> Gates:
    """Return ``direct - factor * (above - below)``."""
    combined: dict[str, np.ndarray] = {}
    for field in fields(Gates):
        first, second, third = (getattr(g, field.name) for g in (direct, above, below))
        # Whether units are dropped has no gradient.
        is_number = first.dtype != bool
        combined[field.name] = first - factor * (second - third) if is_number else first
    return Gates(**combined)
