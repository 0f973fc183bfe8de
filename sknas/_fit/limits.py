"""The search space of a fit, once the encoded table tells how large networks are."""

from __future__ import annotations

from sknas._fit.settings import FitSettings
from sknas._sklearn import InvalidParameterError
from sknas._space import Architecture, SearchSpace
from sknas._space.restricted import restricted, smallest


def limited_space(
    settings: FitSettings, n_inputs: int, n_outputs: int
) -> tuple[SearchSpace, Architecture | None]:
    """Return what may be searched, and the first architecture of the search.

    Parameters
    ----------
    settings : FitSettings
        With the space and the first architecture as they were given.
    n_inputs : int
        Columns of the encoded table in the search. Any other encoding has fewer.
    n_outputs : int
        Units of the output layer.

    Raises
    ------
    InvalidParameterError
        If `max_parameters` is less than any network has, or the first architecture
        that was asked for has more.
    """
    limit, space, first = settings.max_parameters, settings.space, settings.incumbent
    if limit is None:
        return space, first
    table = f"with {n_inputs} columns of the encoded table and {n_outputs} outputs"
    fewest = smallest(space, n_inputs, n_outputs)
    if limit < fewest:
        raise InvalidParameterError(
            f"The 'max_parameters' parameter of {settings.owner} must be at least "
            f"{fewest}, which the smallest network of the search space has {table}. "
            f"Got {limit!r} instead."
        )
    space = restricted(space, int(limit), n_inputs, n_outputs)
    if first is None or first in space:
        return space, first
    if settings.first_is_automatic:
        return space, space.strong_architecture()
    raise InvalidParameterError(
        f"The 'first_architecture' parameter of {settings.owner} must have at most "
        f"max_parameters={limit} weights and biases. Got {first!r} instead, which "
        f"has {first.n_parameters(n_inputs, n_outputs)} {table}."
    )
