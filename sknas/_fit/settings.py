"""From the parameters of an estimator to the typed settings of each stage.

Nothing else knows the parameters of an estimator, and nothing here knows the estimator.
Settings are filled by the names of their fields, so that a parameter is written where
it is declared and where it acts, and nowhere in between. Where a parameter decides how
something is made, the settings hold what makes it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, fields
from numbers import Real
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from sklearn.base import clone

from sknas._device import resolve_device
from sknas._engine.jobs import TrainingSettings
from sknas._engine.trainer import Trainer
from sknas._fit.front import Select
from sknas._progress import Progress
from sknas._search.searcher import SearchSettings
from sknas._search.strategies import STRATEGIES, SearchStrategy
from sknas._sklearn import InvalidParameterError
from sknas._space import ACTIVATIONS, Architecture, SearchSpace, canonical_activation
from sknas._space.candidate import SETTINGS
from sknas._space.pareto import OBJECTIVES
from sknas._space.restricted import restricted, smallest
from sknas._table.encoder import TableEncoder
from sknas._tasks.splits import SplitSettings
from sknas._tasks.task import Scoring

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    SettingsT = TypeVar("SettingsT", bound=DataclassInstance)


# Of children that may be stopped for hopeless curves too.
_SEARCH_PATIENCE = 3
# `n_iter_no_change` of `MLPClassifier`, for those who set only `early_stopping`.
_MLP_PATIENCE = 10


@dataclass(frozen=True)
class SelectionSettings:
    """How finalists are trained and chosen."""

    n_finalists: int
    max_iter: int
    epoch_fractions: tuple[float, ...]
    select: Select

    def lengths(self) -> list[int]:
        """Return the numbers of epochs to choose from, the longest training last."""
        epochs = (round(share * self.max_iter) for share in self.epoch_fractions)
        # Fractions of few epochs may come to the same number, or to none.
        return sorted({max(n, 1) for n in epochs})


@dataclass(frozen=True)
class RefitSettings:
    """How the choice is trained on all rows."""

    n_ensemble: int
    refit: str
    max_iter: int


@dataclass(frozen=True)
class FitSettings:
    """Everything that a fit needs to know of its estimator.

    ``owner`` is the name of the estimator's class, for messages.
    """

    owner: str
    space: SearchSpace
    strategy: SearchStrategy
    # What is sought, the score first.
    objectives: tuple[str, ...]
    # Trial 0, which the others have to beat, and whether another may take its place.
    incumbent: Architecture | None
    first_is_automatic: bool
    max_parameters: int | None
    # Names of the parameters that a candidate may have a value of its own for.
    candidate_settings: frozenset[str]
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
    # Whether the search is kept for the next fit to continue.
    warm_start: bool
    # Take a seed, and data with settings.
    make_encoder: Callable[[int], TableEncoder]
    make_trainer: Callable[..., Trainer]


@dataclass(frozen=True)
class _Parameters:
    """The parameters of an estimator, and its class's name for messages."""

    values: Mapping[str, Any]
    owner: str

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def fill(self, settings_class: type[SettingsT], **given: Any) -> SettingsT:
        """Make settings from the parameters of the same names.

        What is given goes before a parameter. A field that is neither must have a
        default: one whose parameter has another name now would else keep silent.
        """
        names = {field.name for field in fields(settings_class)} - set(given)
        picked = {name: self.values[name] for name in names if name in self.values}
        missing = [
            field.name
            for field in fields(settings_class)
            if field.name in names - set(picked) and field.default is MISSING
        ]
        if missing:
            raise TypeError(
                f"{settings_class.__name__} needs {missing}, which are no parameters "
                f"of {self.owner}."
            )
        return settings_class(**picked, **given)

    def invalid(self, name: str, rule: str) -> InvalidParameterError:
        """Return an error in scikit-learn's words, for a rule that it does not know."""
        return InvalidParameterError(
            f"The {name!r} parameter of {self.owner} must be {rule}. "
            f"Got {self[name]!r} instead."
        )


def read_settings(
    values: Mapping[str, Any], owner: str, auto_decay: float
) -> FitSettings:
    """Check what scikit-learn's constraints cannot, and sort the parameters by stage.

    Parameters
    ----------
    values : mapping of str to object
        The parameters of an estimator by their names. They have passed the checks of
        its ``_parameter_constraints``.
    owner : str
        Name of the estimator's class, for messages.
    auto_decay : float
        What ``alpha='auto'`` is with ``solver='adamw'``.

    Returns
    -------
    FitSettings
        Independent of the estimator; the strategy is a copy of the user's.

    Raises
    ------
    InvalidParameterError
        If a parameter, or several together, make no sense.
    """
    parameters = _Parameters(_translated(values), owner)
    # Step 1: what may fail comes before anything is made of it.
    space = _space(parameters)
    _check_epoch_fractions(parameters)
    # True is an integer to Python, and would be a limit of one.
    if isinstance(parameters["max_parameters"], bool):
        raise parameters.invalid("max_parameters", "an integer >= 1 or None")
    patience = parameters["search_n_iter_no_change"]
    extrapolates = patience == "extrapolation"
    search = parameters.fill(SearchSettings, extrapolates=extrapolates)
    device = resolve_device(parameters["device"])
    # Step 2: an estimator for numbers has no labels to smooth, and no such parameter.
    own = {
        "label_smoothing": values.get("label_smoothing", 0.0),
        "auto_decay": auto_decay,
    }
    # In the search, the epochs and the patience are those of parameters of their own.
    in_search = {
        "max_iter": parameters["search_epochs"],
        "n_iter_no_change": _SEARCH_PATIENCE if extrapolates else patience,
    }
    return FitSettings(
        owner=owner,
        space=space,
        strategy=_strategy(parameters),
        objectives=_objectives(parameters),
        incumbent=_first_architecture(parameters, space),
        first_is_automatic=isinstance(parameters["first_architecture"], str),
        max_parameters=parameters["max_parameters"],
        candidate_settings=frozenset(SETTINGS).intersection(values),
        splits=_splits(parameters),
        search=search,
        selection=parameters.fill(SelectionSettings),
        refit=parameters.fill(RefitSettings),
        search_training=parameters.fill(TrainingSettings, **own, **in_search),
        training=parameters.fill(TrainingSettings, **own),
        scorer=parameters["scoring"],
        device=device,
        progress=Progress(search.n_trials, parameters["verbose"]),
        warm_start=parameters["warm_start"],
        make_encoder=functools.partial(TableEncoder, parameters["encoding"]),
        make_trainer=functools.partial(
            Trainer, device=device, n_jobs=parameters["n_jobs"]
        ),
    )


def _translated(values: Mapping[str, Any]) -> dict[str, Any]:
    """Say in our parameters what was given in those of `MLPClassifier`.

    They go before ours: a grid that varies them must not be without effect. All others
    that were given are fields of `TrainingSettings`.
    """
    translated = dict(values)
    if "activation" in translated:
        translated["activations"] = (translated.pop("activation"),)
    # Nothing ends early by the training loss: False has nothing to change.
    if translated.pop("early_stopping", False):
        patience = translated["n_iter_no_change"]
        translated["n_iter_no_change"] = _MLP_PATIENCE if patience is None else patience
    if translated["n_iter_no_change"] == math.inf:
        translated["n_iter_no_change"] = None
    return translated


def _space(parameters: _Parameters) -> SearchSpace:
    """Build the search space; without dropout where its share is 0."""
    widths: list[Any] = list(parameters["layer_widths"])
    if not all(_is_width(width) for width in widths) or not _are_different(widths):
        rule = "a non-empty sequence of different integers >= 1"
        raise parameters.invalid("layer_widths", rule)
    names = [canonical_activation(name) for name in parameters["activations"]]
    if not all(name in ACTIVATIONS for name in names) or not _are_different(names):
        rule = f"a non-empty sequence of different names of {list(ACTIVATIONS)}"
        raise parameters.invalid("activations", rule)
    # NumPy's numbers and texts become Python's, which architectures are printed with.
    return SearchSpace(
        tuple(int(width) for width in widths),
        tuple(str(name) for name in names),
        int(parameters["max_layers"]),
        dropout=parameters["dropout"] > 0,
        skip=bool(parameters["skip"]),
    )


def _are_different(values: Iterable[Any]) -> bool:
    """Tell whether there is a value, and none of them twice."""
    values = list(values)
    return 0 < len(values) == len(set(values))


def _is_width(value: object) -> bool:
    is_integer = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    return is_integer and int(value) >= 1  # type: ignore[call-overload]


def _first_architecture(
    parameters: _Parameters, space: SearchSpace
) -> Architecture | None:
    """Turn the parameter into an architecture of the space, or None."""
    first = parameters["first_architecture"]
    if first is None:
        return None
    if isinstance(first, str):
        # The only text that there is: 'auto'.
        return space.strong_architecture()
    if not isinstance(first, Architecture):
        # Layers as they are written in a literal, or loaded from a file.
        try:
            first = Architecture(*first)
        except ValueError as error:
            rule = (
                "None, 'auto', an Architecture or a sequence of its layers, such as "
                "((64, 'relu'), 'dropout')"
            )
            raise parameters.invalid("first_architecture", rule) from error
    if first not in space:
        rule = (
            f"in the search space: widths of layer_widths={space.layer_widths}, "
            f"activations of activations={space.activations}, 'dropout' only if "
            "dropout > 0, 'skip' only if skip=True, and at most max_layers - 1 = "
            f"{space.max_layers - 1} layers"
        )
        raise parameters.invalid("first_architecture", rule)
    return first


def _objectives(parameters: _Parameters) -> tuple[str, ...]:
    given = list(parameters["objectives"])
    are_known = given[:1] == ["score"] and set(given) <= set(OBJECTIVES)
    if not are_known or len(set(given)) < len(given):
        rule = f"different names of {list(OBJECTIVES)}, 'score' first"
        raise parameters.invalid("objectives", rule)
    # Without finalists, only the networks of the best trial are kept.
    if parameters["select"] != "best" and not parameters["n_finalists"]:
        raise parameters.invalid("select", "'best' with n_finalists=0")
    return tuple(map(str, given))


def _check_epoch_fractions(parameters: _Parameters) -> None:
    # scikit-learn knows "array-like", but not what is in it.
    fractions: list[Any] = list(parameters["epoch_fractions"])
    are_fractions = (isinstance(f, Real) and 0 < float(f) <= 1 for f in fractions)
    if not fractions or not all(are_fractions):
        raise parameters.invalid("epoch_fractions", "numbers in (0, 1], at least one")


def _splits(parameters: _Parameters) -> SplitSettings:
    """Return how rows are divided; no row may be validated on twice."""
    settings = parameters.fill(SplitSettings)
    n_splits = settings.n_splits
    # Two parameters together: scikit-learn checks each alone.
    if not isinstance(n_splits, str) and n_splits > settings.most:
        rule = (
            "'auto' or at most 1 / validation_fraction, since the splits validate on "
            f"different rows: {settings.most} for "
            f"validation_fraction={settings.validation_fraction}"
        )
        raise parameters.invalid("n_splits", rule)
    return settings


def _strategy(parameters: _Parameters) -> SearchStrategy:
    """Return a strategy that this fit alone uses."""
    given = parameters["search_strategy"]
    # A class has the methods too, and so has passed scikit-learn's check.
    if isinstance(given, type):
        raise parameters.invalid("search_strategy", "an object, not a class")
    if isinstance(given, str):
        # A name stands for the defaults.
        return STRATEGIES[given]()
    # Of an object that is no estimator, this is a deep copy.
    strategy: SearchStrategy = clone(given, safe=False)
    return strategy


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
