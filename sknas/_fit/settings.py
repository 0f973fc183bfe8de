"""From the parameters of an estimator to the typed settings of each stage.

Nothing else reads the parameters of an estimator. Settings are filled by the names of
their fields, so that a parameter is written where it is declared and where it acts, and
nowhere in between. Where a parameter decides how something is made, the settings hold
what makes it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from numbers import Real
from typing import Any

import numpy as np
import torch
from sklearn.base import clone

from sknas._device import resolve_device
from sknas._engine.jobs import TrainingSettings
from sknas._engine.trainer import Trainer
from sknas._progress import Progress
from sknas._search.searcher import SearchSettings
from sknas._search.strategies import STRATEGIES, SearchStrategy
from sknas._sklearn import InvalidParameterError
from sknas._space import ACTIVATIONS, Architecture, SearchSpace, canonical_activation
from sknas._table.encoder import TableEncoder
from sknas._tasks.splits import SplitSettings
from sknas._tasks.task import Scoring


@dataclass(frozen=True)
class SelectionSettings:
    """How finalists are trained and chosen."""

    n_finalists: int
    max_iter: int
    epoch_fractions: tuple[float, ...]

    def lengths(self) -> list[int]:
        """Return the numbers of epochs to choose from, the longest training last."""
        epochs = (round(share * self.max_iter) for share in self.epoch_fractions)
        return sorted({max(n, 1) for n in epochs})


@dataclass(frozen=True)
class RefitSettings:
    """How the choice is trained on all rows."""

    n_ensemble: int
    refit: str
    max_iter: int


@dataclass(frozen=True)
class FitSettings:
    """Everything that a fit needs to know of its estimator."""

    space: SearchSpace
    strategy: SearchStrategy
    # Trial 0, which the others have to beat.
    incumbent: Architecture | None
    splits: SplitSettings
    search: SearchSettings
    selection: SelectionSettings
    refit: RefitSettings
    # How children are trained in the search, and how finalists and the refit are.
    search_training: TrainingSettings
    training: TrainingSettings
    scorer: Scoring
    device: torch.device
    progress: Progress
    # Take a seed, and data with settings.
    make_encoder: Callable[[int], TableEncoder]
    make_trainer: Callable[..., Trainer]


def read_settings(estimator: Any) -> FitSettings:
    """Check what scikit-learn's constraints cannot, and sort the parameters by stage.

    Parameters
    ----------
    estimator : NASMLPClassifier
        Has passed the checks of its ``_parameter_constraints``.

    Returns
    -------
    FitSettings
        Independent of the estimator; the strategy is a copy of the user's.

    Raises
    ------
    InvalidParameterError
        If a parameter, or several together, make no sense.
    """
    space = _space(estimator)
    _check_epoch_fractions(estimator)
    parameters = estimator.get_params(deep=False)
    search: SearchSettings = _pick(SearchSettings, parameters)
    device = resolve_device(estimator.device)
    return FitSettings(
        space=space,
        strategy=_strategy(estimator),
        incumbent=_first_architecture(estimator, space),
        splits=_splits(estimator, parameters),
        search=search,
        selection=_pick(SelectionSettings, parameters),
        refit=_pick(RefitSettings, parameters),
        search_training=_pick(
            TrainingSettings,
            parameters,
            max_iter=estimator.search_epochs,
            n_iter_no_change=estimator.search_n_iter_no_change,
        ),
        training=_pick(TrainingSettings, parameters),
        scorer=estimator.scoring,
        device=device,
        progress=Progress(search.n_trials, estimator.verbose),
        make_encoder=functools.partial(TableEncoder, estimator.encoding),
        make_trainer=functools.partial(Trainer, device=device, n_jobs=estimator.n_jobs),
    )


def _pick(settings_class: Any, parameters: dict[str, Any], **given: Any) -> Any:
    """Make settings from the parameters of the same names."""
    names = {field.name for field in fields(settings_class)} & set(parameters)
    return settings_class(**{name: parameters[name] for name in names} | given)


def invalid(estimator: Any, parameter: str, rule: str) -> InvalidParameterError:
    """Return an error in scikit-learn's words, for a rule that it does not know."""
    return InvalidParameterError(
        f"The {parameter!r} parameter of {type(estimator).__name__} must be {rule}. "
        f"Got {getattr(estimator, parameter)!r} instead."
    )


def _space(estimator: Any) -> SearchSpace:
    """Build the search space; without dropout where its share is 0."""
    widths: list[Any] = list(estimator.layer_widths)
    if not all(_is_width(width) for width in widths) or not _are_different(widths):
        rule = "a non-empty sequence of different integers >= 1"
        raise invalid(estimator, "layer_widths", rule)
    names = [canonical_activation(name) for name in estimator.activations]
    if not all(name in ACTIVATIONS for name in names) or not _are_different(names):
        rule = f"a non-empty sequence of different names of {list(ACTIVATIONS)}"
        raise invalid(estimator, "activations", rule)
    return SearchSpace(
        tuple(int(width) for width in widths),
        tuple(str(name) for name in names),
        int(estimator.max_layers),
        dropout=estimator.dropout > 0,
    )


def _are_different(values: Iterable[Any]) -> bool:
    """Tell whether there is a value, and none of them twice."""
    values = list(values)
    return 0 < len(values) == len(set(values))


def _is_width(value: object) -> bool:
    is_integer = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    return is_integer and int(value) >= 1  # type: ignore[call-overload]


def _first_architecture(estimator: Any, space: SearchSpace) -> Architecture | None:
    """Turn the parameter into an architecture of the space, or None."""
    first = estimator.first_architecture
    if first is None:
        return None
    if isinstance(first, str):
        return space.strong_architecture()
    if not isinstance(first, Architecture):
        try:
            first = Architecture(*first)
        except ValueError as error:
            rule = (
                "None, 'auto', an Architecture or a sequence of its layers, such as "
                "((64, 'relu'), 'dropout')"
            )
            raise invalid(estimator, "first_architecture", rule) from error
    if first not in space:
        rule = (
            f"in the search space: widths of layer_widths={space.layer_widths}, "
            f"activations of activations={space.activations}, 'dropout' only if "
            f"dropout > 0, and at most max_layers - 1 = {space.max_layers - 1} layers"
        )
        raise invalid(estimator, "first_architecture", rule)
    return first


def _check_epoch_fractions(estimator: Any) -> None:
    fractions: list[Any] = list(estimator.epoch_fractions)
    are_fractions = (isinstance(f, Real) and 0 < float(f) <= 1 for f in fractions)
    if not fractions or not all(are_fractions):
        raise invalid(estimator, "epoch_fractions", "numbers in (0, 1], at least one")


def _splits(estimator: Any, parameters: dict[str, Any]) -> SplitSettings:
    settings: SplitSettings = _pick(SplitSettings, parameters)
    n_splits = settings.n_splits
    if not isinstance(n_splits, str) and n_splits > settings.most:
        rule = (
            "'auto' or at most 1 / validation_fraction, since the splits validate on "
            f"different rows: {settings.most} for "
            f"validation_fraction={settings.validation_fraction}"
        )
        raise invalid(estimator, "n_splits", rule)
    return settings


def _strategy(estimator: Any) -> SearchStrategy:
    """Return a strategy that this fit alone uses."""
    given = estimator.search_strategy
    if isinstance(given, type):
        raise invalid(estimator, "search_strategy", "an object, not a class")
    if isinstance(given, str):
        return STRATEGIES[given]()
    # Of an object that is no estimator, this is a deep copy.
    strategy: SearchStrategy = clone(given, safe=False)
    return strategy
