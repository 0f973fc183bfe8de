"""Parameters of scikit-learn's perceptrons that are taken without being listed.

They are there for grids and calls that were written for `MLPClassifier`. Most matter
for few users and with one solver, so that they would only lengthen the signatures: an
estimator has those that were given to it, and no others. scikit-learn allows for
parameters that are not in a signature: `clone`, searches and displays ask `get_params`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any, ParamSpec

from sklearn.base import BaseEstimator

from sknas._sklearn import Interval, StrOptions, validate_parameter_constraints
from sknas._space import ACTIVATIONS

P = ParamSpec("P")

_SHARE = [Interval(Real, 0, 1, closed="left")]
_COUNT = [Interval(Integral, 1, None, closed="left")]

#: What their values may be, as in scikit-learn.
MLP_PARAMETERS: dict[str, list[Any]] = {
    "activation": [StrOptions({*ACTIVATIONS, "logistic"})],
    "beta_1": _SHARE,
    "beta_2": _SHARE,
    "early_stopping": ["boolean"],
    "epsilon": [Interval(Real, 0, None, closed="neither")],
    "max_fun": _COUNT,
    "momentum": [Interval(Real, 0, 1, closed="both")],
    "nesterovs_momentum": ["boolean"],
    "power_t": [Interval(Real, 0, None, closed="left")],
    "shuffle": ["boolean"],
    "tol": [Interval(Real, 0, None, closed="left")],
}

_HIDDEN_LAYERS = (
    "{owner} chooses its hidden layers itself, so that hidden_layer_sizes is no "
    "parameter: first_architecture=((128, 'relu'),) begins the search with some, and "
    "{owner}.from_architecture(((100, 'relu'),)) trains them without a search."
)


def _takes_mlp_parameters(init: Callable[P, None]) -> Callable[..., None]:
    """Decorate a constructor, so that it takes these parameters too.

    Its signature, which scikit-learn reads, stays what it is.
    """
    unlisted = set(MLP_PARAMETERS) - set(inspect.signature(init).parameters)

    @functools.wraps(init)
    def wrapper(self: MLPParametersMixin, *args: Any, **parameters: Any) -> None:
        given = {n: parameters.pop(n) for n in unlisted if n in parameters}
        if "hidden_layer_sizes" in parameters:
            raise TypeError(_HIDDEN_LAYERS.format(owner=type(self).__name__))
        init(self, *args, **parameters)
        self._give(given)

    return wrapper


class MLPParametersMixin(BaseEstimator):
    """Gets, sets and checks those of the parameters that were given."""

    def __init_subclass__(cls, **keywords: Any) -> None:
        """Let the constructor of every subclass take them, also of a user's."""
        super().__init_subclass__(**keywords)
        if "__init__" in vars(cls):
            cls.__init__ = _takes_mlp_parameters(cls.__init__)  # type: ignore[method-assign]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Get the parameters of this estimator.

        Parameters
        ----------
        deep : bool, default=True
            Whether those of a strategy that is an object are among them.

        Returns
        -------
        params : dict
            Values by the names of the parameters, with those of `MLPClassifier` that
            were given.
        """
        listed: dict[str, Any] = super().get_params(deep)
        return {**listed, **self._given_mlp_parameters()}

    def set_params(self, **params: Any) -> Any:
        """Set parameters, as `BaseEstimator` does."""
        given = {n: params.pop(n) for n in MLP_PARAMETERS if n in params}
        if "hidden_layer_sizes" in params:
            raise ValueError(_HIDDEN_LAYERS.format(owner=type(self).__name__))
        super().set_params(**params)
        self._give(given)
        return self

    def _give(self, given: Mapping[str, Any]) -> None:
        """Keep what was given; None takes back what was given before."""
        for name, value in given.items():
            self.__dict__.pop(name, None)
            if value is not None:
                self.__dict__[name] = value

    def _given_mlp_parameters(self) -> dict[str, Any]:
        return {n: vars(self)[n] for n in MLP_PARAMETERS if n in vars(self)}

    def _parameter_values(self) -> dict[str, Any]:
        """Return the values of all parameters that a fit reads.

        The constructor of a user's subclass need not list those that it sets itself.
        """
        names = {*self._parameter_constraints, *self.get_params(deep=False)}
        return {n: getattr(self, n) for n in sorted(names) if hasattr(self, n)}

    def _validate_params(self) -> None:
        """Check the values of all parameters, those that are not listed too."""
        validate_parameter_constraints(
            {**self._parameter_constraints, **MLP_PARAMETERS},
            self._parameter_values(),
            caller_name=type(self).__name__,
        )
