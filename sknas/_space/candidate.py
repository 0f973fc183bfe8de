"""What a search chooses among, and what a strategy may ask for."""

from __future__ import annotations

from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any, TypeAlias

from sknas._sklearn import Interval, StrOptions
from sknas._space.architecture import Architecture

Setting: TypeAlias = tuple[str, float | str]

#: What a candidate may set, and the values that it may have: those of the parameter of
#: the estimator, without 'auto'.
SETTINGS: dict[str, Interval | StrOptions] = {
    "learning_rate_init": Interval(Real, 0, None, closed="neither"),
    "alpha": Interval(Real, 0, None, closed="left"),
    "label_smoothing": Interval(Real, 0, 1, closed="left"),
    "dropout": Interval(Real, 0, 1, closed="left"),
    "batch_size": Interval(Integral, 1, None, closed="left"),
    "solver": StrOptions({"adamw", "adam", "sgd", "lbfgs"}),
    "learning_rate": StrOptions({"cosine", "constant", "invscaling", "adaptive"}),
}


@dataclass(frozen=True)
class Candidate:
    """An architecture with the settings that it is trained with.

    Instances are immutable, hashable and compare by value; the order of the settings
    does not matter.

    Parameters
    ----------
    architecture : Architecture
        The network.
    settings : tuple of (str, float or str), default=()
        Values of its own for parameters of the estimator, by their names:
        ``learning_rate_init``, ``alpha``, ``label_smoothing``, ``dropout``,
        ``batch_size``, ``solver`` and ``learning_rate``. All others are the
        estimator's.

    Raises
    ------
    ValueError
        If a setting has another name, or a value that the parameter may not have.

    Examples
    --------
    >>> from sknas import Architecture, Candidate
    >>> candidate = Candidate(Architecture((8, "relu")), (("alpha", 0.1),))
    >>> dict(candidate.settings)
    {'alpha': 0.1}
    """

    architecture: Architecture
    settings: tuple[Setting, ...] = ()

    def __post_init__(self) -> None:
        # What users give need not be what the annotations say.
        given: Any = self.settings
        is_pairs = isinstance(given, tuple) and all(
            isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], str)
            for pair in given
        )
        names = [name for name, _ in given] if is_pairs else []
        if not is_pairs or len(set(names)) < len(names):
            raise ValueError(
                "The settings of a Candidate must be a tuple of pairs (name, value) "
                f"with different names. Got {self.settings!r} instead."
            )
        # In one order and of Python's own types, since candidates that are equal must
        # also have one `repr`: seeds are made of it. A frozen instance refuses ordinary
        # assignment.
        settings = tuple((name, _checked(name, value)) for name, value in sorted(given))
        object.__setattr__(self, "settings", settings)


def _checked(name: str, value: Any) -> float | str:
    """Return the value of a setting, as a number or text of Python's own."""
    constraint = SETTINGS.get(name)
    if constraint is None:
        raise ValueError(
            f"The settings of a Candidate must be among {list(SETTINGS)}. "
            f"Got {name!r} instead."
        )
    # A bool is a number to Python, but no value of any of these.
    is_text_or_number = isinstance(value, (str, Real)) and not isinstance(value, bool)
    try:
        is_allowed = is_text_or_number and constraint.is_satisfied_by(value)
        is_allowed = is_allowed and (isinstance(value, str) or float(value) >= 0)
    except (TypeError, OverflowError):  # numbers that are no floats
        is_allowed = False
    if not is_allowed:
        raise ValueError(
            f"The setting {name!r} of a Candidate must be {constraint}. "
            f"Got {value!r} instead."
        )
    if isinstance(value, str):
        return str(value)
    return int(value) if constraint.type is Integral else float(value)


@dataclass(frozen=True)
class Proposal:
    """A candidate and the fidelity at which to evaluate it.

    Parameters
    ----------
    candidate : Candidate
        What to evaluate.
    epochs : int or None, default=None
        Epochs of training in the search; None for `search_epochs`. Finalists and the
        refit are trained for epochs of their own.
    rows : float, default=1.0
        Share of the training rows, in (0, 1]. Smaller shares are parts of larger ones.
    folds : int, default=1
        On how many splits to train and measure, the first one first: as many as there
        are at most.
    parent : int or None, default=None
        Number of an earlier trial whose weights to begin with, changed to fit, for as
        long as `SearchStrategy.parents` has named it. It is no part of what is
        proposed: proposals that differ in it alone are equal.

    Raises
    ------
    ValueError
        If one of these is something else.

    Examples
    --------
    >>> from sknas import Architecture, Candidate, Proposal
    >>> Proposal(Candidate(Architecture((8, "relu"))), epochs=3).epochs
    3
    """

    candidate: Candidate
    epochs: int | None = None
    rows: float = 1.0
    folds: int = 1
    parent: int | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        # As above.
        candidate: Any = self.candidate
        if not isinstance(candidate, Candidate):
            raise ValueError(  # noqa: TRY004 (as for all that is malformed)
                f"The candidate of a Proposal must be a Candidate. Got {candidate!r} "
                "instead."
            )
        for name, least in [("epochs", 1), ("folds", 1), ("parent", 0)]:
            number = _whole(name, least, getattr(self, name))
            # NumPy's integers become Python's.
            object.__setattr__(self, name, number)
        rows: Any = self.rows
        is_number = isinstance(rows, Real) and not isinstance(rows, bool)
        if not is_number or not 0 < rows <= 1:
            raise ValueError(
                f"The rows of a Proposal must be a share in (0, 1]. Got {rows!r} "
                "instead."
            )
        object.__setattr__(self, "rows", float(rows))


def _whole(name: str, least: int, value: Any) -> int | None:
    """Return a number of a proposal; ``folds`` alone must be given."""
    if value is None and name != "folds":
        return None
    is_number = isinstance(value, Integral) and not isinstance(value, bool)
    if not is_number or value < least:
        or_none = "" if name == "folds" else "None or "
        raise ValueError(
            f"The {name} of a Proposal must be {or_none}an integer >= {least}. "
            f"Got {value!r} instead."
        )
    return int(value)


#: What a strategy may propose.
Proposed: TypeAlias = Architecture | Candidate | Proposal


def as_proposal(given: object) -> Proposal:
    """Bring what a strategy may propose into one form.

    Raises
    ------
    TypeError
        If it is neither an architecture nor a candidate nor a proposal.
    """
    if isinstance(given, Proposal):
        return given
    if isinstance(given, Candidate):
        return Proposal(given)
    if isinstance(given, Architecture):
        return Proposal(Candidate(given))
    raise TypeError(
        "A strategy must propose architectures (or candidates or proposals). "
        f"Got {given!r} instead."
    )
