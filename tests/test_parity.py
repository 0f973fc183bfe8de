"""What scikit-learn's perceptrons can do, read from the installed version.

Every row of ``doc/from_mlpclassifier.rst`` about a parameter is proven here; those
about attributes and methods as far as they say more than that they are the same.
"""

import contextlib
import inspect
import io
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from numpydoc.docscrape import ClassDoc
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sknas import NASMLPClassifier, NASMLPRegressor
from sknas._fit.settings import read_settings
from sknas._mlp_parameters import MLP_PARAMETERS

PAIRS = [(MLPClassifier, NASMLPClassifier), (MLPRegressor, NASMLPRegressor)]
every_pair = pytest.mark.parametrize(
    ("theirs", "ours"), PAIRS, ids=["classifier", "regressor"]
)
PAGE = Path(__file__).parents[1] / "doc" / "from_mlpclassifier.rst"


def _rows(section):
    """Return what the rows of a section's table are about, and what they say."""
    if not PAGE.exists():
        pytest.skip("the documentation is not part of a source distribution")
    text = re.split(
        rf"^{section}\n=+\n", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    section_text = re.split(r"^\w+\n=+\n", text[1], flags=re.MULTILINE)[0]
    return dict(
        re.findall(r"^   \* - ``(\w+)``( †)?$", section_text, flags=re.MULTILINE)
    )


def _parameters(cls):
    return set(inspect.signature(cls).parameters)


@pytest.fixture(scope="module")
def table():
    generator = np.random.default_rng(0)
    X = generator.normal(size=(80, 4))
    return X, (X[:, 0] + X[:, 1] * X[:, 2] > 0).astype(int)


@pytest.fixture(scope="module")
def one_network(table):
    """Return what predicts after three epochs of one network with some parameters."""
    X, y = table
    plain = {"n_ensemble": 1, "n_finalists": 0, "search_epochs": 2, "max_iter": 3}
    plain |= {"search_n_iter_no_change": None, "random_state": 0, "batch_size": 16}
    plain |= {"encoding": "scale", "dropout": 0.0}

    def fit(**parameters):
        classifier = NASMLPClassifier.from_architecture(
            ((8, "tanh"),), **{**plain, **parameters}
        )
        return classifier.fit(X, y).predict_proba(X)

    return fit


# The tables of the page are those of the installed classes.


def test_every_parameter_of_theirs_has_a_row_and_a_proof():
    theirs = set().union(*(_parameters(cls) for cls, _ in PAIRS))
    rows = _rows("Parameters")
    assert theirs <= set(rows)
    # `loss` is not a parameter of older versions.
    assert set(rows) - theirs <= {"loss"}
    assert set(rows) == set(PROOFS)
    assert {name for name, mark in rows.items() if mark} == set(MLP_PARAMETERS)


@every_pair
def test_parameters_are_ours_or_taken_unlisted(theirs, ours):
    for name in _parameters(theirs) - {"hidden_layer_sizes"}:
        assert (name in _parameters(ours)) != (name in MLP_PARAMETERS), name


@every_pair
def test_every_attribute_of_theirs_is_there(theirs, ours, table, fast):
    X, y = table
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = theirs(max_iter=2, early_stopping=True, random_state=0).fit(X, y)
    names = {name for name in vars(fitted) if name.endswith("_") and name[0] != "_"}
    names |= {item.name for item in ClassDoc(theirs)["Attributes"]}
    assert names <= set(_rows("Attributes"))
    del fast["search_strategy"]
    mine = ours(**fast).fit(X, y)
    for name in names - {"feature_names_in_"}:
        assert hasattr(mine, name), name
    assert mine.loss_ == mine.loss_curve_[-1]
    assert mine.best_loss_ == min(mine.loss_curve_)
    assert mine.best_validation_score_ == max(mine.validation_scores_)
    assert len(mine.loss_curve_) == mine.n_iter_
    assert mine.t_ == mine.n_iter_ * len(X)
    assert mine.n_layers_ == len(mine.coefs_) + 1
    first = mine.ensemble_.members[0]
    np.testing.assert_array_equal(mine.coefs_[0], first.coefs[0])
    np.testing.assert_array_equal(mine.intercepts_[-1], first.intercepts[-1])
    assert mine.coefs_[0].shape[0] == mine.encoder_.transform(X).shape[1]


@every_pair
def test_every_method_of_theirs_is_there_and_takes_the_same(theirs, ours):
    rows = _rows("Methods")
    for name in dir(theirs):
        method = getattr(theirs, name)
        if name.startswith("_") or not callable(method):
            continue
        assert name in rows, name
        taken = inspect.signature(getattr(ours, name)).parameters
        assert set(inspect.signature(method).parameters) <= set(taken), name


def test_there_are_no_rows_of_what_they_do_not_have():
    # Older versions take no weights, and have no requests of them.
    everything = {*dir(MLPClassifier), *dir(MLPRegressor), "set_fit_request"}
    assert set(_rows("Methods")) <= everything
    documented = set()
    for theirs, _ in PAIRS:
        documented |= {item.name for item in ClassDoc(theirs)["Attributes"]}
    fitted = {"validation_scores_", "best_validation_score_", "best_loss_"}
    assert set(_rows("Attributes")) <= documented | fitted


# A proof of each row about a parameter.


def _differ(first, second):
    return not np.allclose(first, second, atol=1e-6)


def prove_hidden_layer_sizes(one_network, table):
    del one_network, table
    for make in (NASMLPClassifier, NASMLPRegressor().set_params):
        with pytest.raises((TypeError, ValueError), match=r"from_architecture\(\(\("):
            make(hidden_layer_sizes=(100,))


def prove_activation(one_network, table):
    del one_network
    for name in ("identity", "logistic", "tanh", "relu", "elu"):
        classifier = NASMLPClassifier(
            activation=name, n_rounds=1, n_architectures=2, n_finalists=0, max_iter=1
        )
        classifier.set_params(search_epochs=1, n_ensemble=1).fit(*table)
        for architecture in classifier.search_results_["architecture"]:
            used = {activation for _, activation in architecture.dense_layers}
            assert used == {name.replace("logistic", "sigmoid")}


def prove_solver(one_network, table):
    del table
    results = [one_network(solver=s) for s in ("adamw", "adam", "sgd", "lbfgs")]
    for i, first in enumerate(results):
        for second in results[i + 1 :]:
            assert _differ(first, second)


def prove_alpha(one_network, table):
    del table
    for solver in ("adam", "sgd", "lbfgs"):
        auto = one_network(solver=solver, alpha="auto")
        np.testing.assert_array_equal(auto, one_network(solver=solver, alpha=0.0001))
        # It draws probabilities together.
        strong = one_network(solver=solver, alpha=100.0)
        assert strong.std() < auto.std()
    auto = one_network(alpha="auto")
    np.testing.assert_array_equal(auto, one_network(alpha=0.3))


def prove_batch_size(one_network, table):
    del table
    assert _differ(one_network(batch_size=16), one_network(batch_size=32))
    # The greatest power of two within an eighth of the rows, but 16 at least.
    np.testing.assert_array_equal(
        one_network(batch_size=16), one_network(batch_size="auto")
    )


def prove_learning_rate(one_network, table):
    del table
    names = ("cosine", "constant", "invscaling")
    results = [one_network(solver="sgd", learning_rate=name) for name in names]
    for i, first in enumerate(results):
        for second in results[i + 1 :]:
            assert _differ(first, second)
    # The rate falls where the loss does not fall by so much.
    adaptive = {"solver": "sgd", "learning_rate": "adaptive", "max_iter": 9}
    constant = {**adaptive, "learning_rate": "constant"}
    np.testing.assert_array_equal(
        one_network(**adaptive, tol=0.0), one_network(**constant)
    )
    assert _differ(one_network(**adaptive, tol=1.0), one_network(**constant))
    for solver in ("adam", "adamw"):
        constant = one_network(solver=solver, learning_rate="constant")
        for name in ("invscaling", "adaptive"):
            same = one_network(solver=solver, learning_rate=name)
            np.testing.assert_array_equal(constant, same)
        assert _differ(constant, one_network(solver=solver))


def prove_learning_rate_init(one_network, table):
    del table
    assert _differ(one_network(learning_rate_init=0.001), one_network())
    np.testing.assert_array_equal(one_network(learning_rate_init=0.003), one_network())


def prove_power_t(one_network, table):
    del table
    inverse = {"solver": "sgd", "learning_rate": "invscaling"}
    assert _differ(one_network(**inverse), one_network(**inverse, power_t=2.0))
    np.testing.assert_array_equal(
        one_network(**inverse, power_t=0.5), one_network(**inverse)
    )
    # At the power of 0 the rate is constant.
    np.testing.assert_array_equal(
        one_network(**inverse, power_t=0.0),
        one_network(solver="sgd", learning_rate="constant"),
    )


def prove_max_iter(one_network, table):
    del one_network
    classifier = NASMLPClassifier.from_architecture(((8, "relu"),), max_iter=4)
    assert 1 <= classifier.fit(*table).n_iter_ <= 4
    assert classifier.finalist_results_["n_iter"].max() == 4


def prove_shuffle(one_network, table):
    del table
    assert _differ(one_network(shuffle=False), one_network())
    np.testing.assert_array_equal(one_network(shuffle=True), one_network())


def prove_random_state(one_network, table):
    del table
    np.testing.assert_array_equal(
        one_network(random_state=1), one_network(random_state=1)
    )
    assert _differ(one_network(random_state=1), one_network(random_state=2))


def _n_epochs(table, **parameters):
    classifier = NASMLPClassifier.from_architecture(
        ((8, "relu"),), max_iter=15, epoch_fractions=(1.0,), random_state=0, n_splits=1
    )
    classifier.set_params(**parameters).fit(*table)
    return classifier.finalist_results_["n_iter"][0]


def prove_tol(one_network, table):
    del one_network
    assert _n_epochs(table, n_iter_no_change=2, tol=100.0) == 3
    assert _n_epochs(table, tol=100.0) == 15


def prove_verbose(one_network, table):
    del table
    # More on what is printed is in `test_progress`.
    for verbose in (False, True):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            one_network(verbose=verbose)
        assert not out.getvalue()
        assert bool(err.getvalue()) is verbose


def prove_warm_start(one_network, table):
    del one_network
    classifier = NASMLPClassifier.from_architecture(
        ((8, "relu"),), max_iter=1, warm_start=True, random_state=0
    )
    assert classifier.fit(*table).continued_on_ is None
    assert classifier.fit(*table).continued_on_ == "same rows"


def prove_momentum(one_network, table):
    del table
    assert _differ(one_network(solver="sgd"), one_network(solver="sgd", momentum=0.1))
    np.testing.assert_array_equal(
        one_network(solver="sgd", momentum=0.9), one_network(solver="sgd")
    )
    np.testing.assert_array_equal(one_network(momentum=0.1), one_network())


def prove_nesterovs_momentum(one_network, table):
    del table
    plain = one_network(solver="sgd", nesterovs_momentum=False)
    assert _differ(one_network(solver="sgd"), plain)
    np.testing.assert_array_equal(one_network(nesterovs_momentum=False), one_network())


def prove_early_stopping(one_network, table):
    del one_network
    worse = {"learning_rate_init": 3.0}
    assert _n_epochs(table, early_stopping=True, tol=100.0) == 11
    assert _n_epochs(table, early_stopping=True, n_iter_no_change=3, tol=100.0) == 4
    assert _n_epochs(table, early_stopping=False, **worse) == 15
    assert _n_epochs(table, early_stopping=False, n_iter_no_change=3, tol=100.0) == 4


def prove_validation_fraction(one_network, table):
    del one_network
    scores = {}
    for fraction in (0.1, 0.5):
        classifier = NASMLPClassifier.from_architecture(
            ((8, "relu"),), validation_fraction=fraction, n_finalists=0, max_iter=1
        )
        score = classifier.set_params(n_splits=1).fit(*table).best_score_
        scores[fraction] = score * 80 * fraction
    # Whole numbers of the 8 and of the 40 validation rows are right.
    assert all(abs(n - round(n)) < 1e-6 for n in scores.values())


def prove_beta_1(one_network, table):
    del table
    _proves_constant_of_adam(one_network, beta_1=0.5)
    np.testing.assert_array_equal(one_network(beta_1=0.9), one_network())


def prove_beta_2(one_network, table):
    del table
    _proves_constant_of_adam(one_network, beta_2=0.5)
    np.testing.assert_array_equal(one_network(beta_2=0.999), one_network())


def prove_epsilon(one_network, table):
    del table
    _proves_constant_of_adam(one_network, epsilon=0.1)
    np.testing.assert_array_equal(one_network(epsilon=1e-8), one_network())


def _proves_constant_of_adam(one_network, **constant):
    for solver in ("adam", "adamw"):
        assert _differ(
            one_network(solver=solver, **constant), one_network(solver=solver)
        )
    np.testing.assert_array_equal(
        one_network(solver="sgd", **constant), one_network(solver="sgd")
    )


def prove_n_iter_no_change(one_network, table):
    del one_network
    assert _n_epochs(table, n_iter_no_change=4, tol=100.0) == 5
    for endless in (None, np.inf):
        assert _n_epochs(table, n_iter_no_change=endless, tol=100.0) == 15
    # Infinite patience is none: the last epoch counts, not the best one.
    parameters = {**NASMLPClassifier().get_params(), "n_iter_no_change": np.inf}
    assert not read_settings(parameters, "it", 0.3).training.stops_early


def prove_max_fun(one_network, table):
    del table
    long = {"solver": "lbfgs", "max_iter": 50}
    few, many = one_network(**long, max_fun=2), one_network(**long, max_fun=100)
    assert _differ(few, many)
    np.testing.assert_array_equal(one_network(max_fun=2), one_network())


def prove_loss(one_network, table):
    del one_network
    X, y = table
    regressor = NASMLPRegressor.from_architecture(((8, "relu"),), max_iter=2)
    poisson = clone(regressor).set_params(loss="poisson").fit(X, y)
    assert poisson.predict(X).min() > 0
    with pytest.raises(ValueError, match="poisson"):
        poisson.fit(X, -y)
    assert regressor.fit(X, -y).predict(X).min() <= 0


PROOFS = {
    name.removeprefix("prove_"): proof
    for name, proof in list(globals().items())
    if name.startswith("prove_")
}


@pytest.mark.parametrize("name", PROOFS)
def test_a_parameter_does_what_the_page_says(name, one_network, table):
    PROOFS[name](one_network, table)


# Grids, and what is not listed.


def test_a_grid_written_for_a_perceptron_runs_unchanged(table, fast):
    grid = [
        {
            "activation": ["tanh", "relu"],
            "solver": ["sgd", "adam", "lbfgs"],
            "alpha": [0.0001, 0.05],
            "learning_rate": ["constant", "adaptive", "invscaling"],
        },
        {
            "learning_rate_init": [0.001, 0.1],
            "momentum": [0.5],
            "nesterovs_momentum": [False],
            "power_t": [0.3],
            "shuffle": [False],
            "tol": [1e-3],
            "early_stopping": [True, False],
            "n_iter_no_change": [2],
            "validation_fraction": [0.1],
            "beta_1": [0.8],
            "beta_2": [0.99],
            "epsilon": [1e-7],
            "max_fun": [100],
            "max_iter": [2],
            "batch_size": [20, "auto"],
            "warm_start": [False],
            "verbose": [False],
            "random_state": [1],
        },
    ]
    small = {**fast, "n_rounds": 1, "n_architectures": 1, "n_finalists": 0}
    small |= {"search_epochs": 1, "max_iter": 1, "n_ensemble": 1}
    pipeline = make_pipeline(StandardScaler(), NASMLPClassifier(**small))
    named = [
        {f"nasmlpclassifier__{name}": values for name, values in part.items()}
        for part in grid
    ]
    search = GridSearchCV(pipeline, named, cv=2, error_score="raise").fit(*table)
    assert len(search.cv_results_["params"]) == 36 + 8
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert (
        clone(search.best_estimator_).get_params().keys() >= search.best_params_.keys()
    )


def test_what_was_given_is_kept_and_nothing_else_is_there():
    plain = NASMLPClassifier()
    assert not set(MLP_PARAMETERS) & set(plain.get_params())
    assert not set(MLP_PARAMETERS) & set(inspect.signature(NASMLPClassifier).parameters)
    given = NASMLPClassifier(momentum=0.5, max_iter=3)
    for estimator in (given, clone(given), plain.set_params(momentum=0.5)):
        assert estimator.get_params()["momentum"] == 0.5
        assert "beta_1" not in estimator.get_params()
        assert "momentum=0.5" in repr(estimator)
        assert "momentum" in estimator._repr_html_()
    # None takes it back.
    assert "momentum" not in given.set_params(momentum=None).get_params()
    assert "momentum" not in NASMLPClassifier(momentum=None).get_params()
    with pytest.raises(TypeError, match="unexpected keyword argument 'momentun'"):
        NASMLPClassifier(momentun=0.5)
    with pytest.raises(ValueError, match="Invalid parameter 'momentun'"):
        plain.set_params(momentun=0.5)


class Calm(NASMLPClassifier):
    """Has a few parameters of its own, and sets others itself."""

    def __init__(self, *, max_iter=2, momentum=0.8, random_state=0):
        super().__init__(
            n_rounds=1,
            n_architectures=1,
            n_finalists=0,
            search_epochs=1,
            max_iter=max_iter,
            momentum=momentum,
            shuffle=False,
            random_state=random_state,
        )


def test_a_subclass_may_have_fewer_parameters_and_list_others(table):
    X, y = table
    calm = clone(Calm(tol=0.1, momentum=0.3))
    given = {"max_iter": 2, "momentum": 0.3, "random_state": 0}
    assert calm.get_params() == {**given, "shuffle": False, "tol": 0.1}
    assert calm.set_params(momentum=0.4).momentum == 0.4
    assert calm.fit(X, y).n_iter_ == 2
    assert calm.partial_fit(X, y).n_iter_ == 4
    calm.batch_size = -1
    with pytest.raises(ValueError, match="'batch_size' parameter of Calm"):
        calm.fit(X, y)


@pytest.mark.parametrize("name", MLP_PARAMETERS)
def test_values_are_checked_before_training(name, table):
    classifier = NASMLPClassifier(**{name: "some text"})
    with pytest.raises(ValueError, match=f"'{name}' parameter of NASMLPClassifier"):
        classifier.fit(*table)
    assert not hasattr(classifier, "classes_")
