"""What a search expects of a strategy, which a user may have written."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from sknas._space import Proposed, SearchSpace, as_proposal


def check_asked(
    strategy: object,
    asked: object,
    n: int,
    space: SearchSpace,
    settings: Collection[str],
) -> None:
    """Refuse what is not a list of proposals that can be tried.

    Parameters
    ----------
    strategy : object
        What was asked.
    asked : object
        What it returned.
    n : int
        How many it was asked for.
    space : SearchSpace
        Where architectures come from.
    settings : collection of str
        Names of the settings that candidates may have.

    Raises
    ------
    TypeError
        If it is no list, a longer one, or holds something else.
    ValueError
        If an architecture is not in the space, or a setting is none of the estimator.
    """
    caller = f"ask({n}) of {type(strategy).__name__}"
    if not isinstance(asked, (list, tuple)) or len(asked) > n:
        raise TypeError(
            f"{caller} must return a list of at most {n} architectures. "
            f"Got {asked!r} instead."
        )
    for each in asked:
        candidate = as_proposal(each).candidate
        if candidate.architecture not in space:
            raise ValueError(
                f"{caller} must return architectures of the space that it was set "
                f"up with. Got {each!r} instead."
            )
        if any(name not in settings for name, _ in candidate.settings):
            raise ValueError(
                f"{caller} must return candidates whose settings are parameters of "
                f"the estimator, of {sorted(settings)}. Got {each!r} instead."
            )


def predicted_rewards(strategy: Any, given: Sequence[Proposed]) -> Sequence[float]:
    """Return a strategy's guesses at rewards, NaN if it makes none.

    Raises
    ------
    ValueError
        If there is not one for each.
    """
    if not hasattr(strategy, "predict"):
        return [math.nan] * len(given)
    predicted = strategy.predict(given)
    if np.shape(predicted) != (len(given),):
        raise ValueError(
            f"predict() of {type(strategy).__name__} must return one reward for each "
            f"architecture, {len(given)} here. Got {predicted!r} instead."
        )
    return [float(reward) for reward in predicted]


def named_parents(strategy: Any) -> frozenset[int] | None:
    """Return the trials whose weights a strategy wants to be kept, None without any.

    Raises
    ------
    TypeError
        If it names them in another form.
    """
    named = strategy.parents() if hasattr(strategy, "parents") else None
    if named is None:
        return None
    try:
        return frozenset(named)
    except TypeError as error:
        raise TypeError(
            f"parents() of {type(strategy).__name__} must return a collection of "
            f"numbers of trials, or None. Got {named!r} instead."
        ) from error
