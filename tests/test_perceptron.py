"""What every multilayer perceptron has to do, with each solver.

The ideas are those of scikit-learn's tests of its own perceptrons; where another file
tests one of them, it is not repeated here.
"""

import itertools
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.datasets import (
    load_digits,
    make_multilabel_classification,
    make_regression,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import roc_auc_score

from sknas import NASMLPClassifier, NASMLPRegressor

SOLVERS = ("adamw", "adam", "sgd", "lbfgs")
ACTIVATIONS = ("identity", "logistic", "tanh", "relu")
# Rates that suit tables of 200 rows.
RATES = {"adamw": 0.01, "adam": 0.01, "sgd": 0.1, "lbfgs": 0.01}
every_solver = pytest.mark.parametrize("solver", SOLVERS)
stochastic = pytest.mark.parametrize("solver", SOLVERS[:3])


def _one(cls, solver="adam", *, activation="relu", **parameters):
    """One network of 32 units, without a search and all that makes it generalise."""
    plain = {
        "n_ensemble": 1,
        "n_finalists": 0,
        "search_epochs": 1,
        "encoding": "scale",
        "dropout": 0.0,
        "alpha": 1e-5,
        "max_iter": 30,
        "random_state": 0,
        "solver": solver,
        "learning_rate_init": RATES[solver],
    }
    if cls is NASMLPClassifier:
        plain["label_smoothing"] = 0.0
    return cls.from_architecture(((32, activation),), **{**plain, **parameters})


def _classifier(solver="adam", **parameters):
    return _one(NASMLPClassifier, solver, **parameters)


def _regressor(solver="adam", **parameters):
    return _one(NASMLPRegressor, solver, **parameters)


@pytest.fixture(scope="module", params=[2, 3], ids=["two classes", "three classes"])
def digits(request):
    X, y = load_digits(n_class=request.param, return_X_y=True)
    return X[:200], y[:200]


@pytest.fixture(scope="module")
def numbers():
    X, y = make_regression(200, 10, noise=10.0, bias=20.0, random_state=7)
    return X, y


@pytest.fixture(scope="module")
def labels():
    return make_multilabel_classification(80, random_state=0)


# What is learned.


@every_solver
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_digits_are_learned(digits, solver, activation):
    X, y = digits
    classifier = _classifier(solver, activation=activation).fit(X[:150], y[:150])
    assert classifier.score(X[:150], y[:150]) > 0.95
    predicted = classifier.predict(X[150:])
    assert predicted.dtype == y.dtype
    assert (predicted == y[150:]).mean() > 0.85


@every_solver
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_numbers_are_learned(numbers, solver, activation):
    X, y = numbers
    regressor = _regressor(solver, activation=activation, max_iter=40).fit(X, y)
    assert regressor.score(X, y) > 0.9


@every_solver
def test_several_numbers_are_learned(solver):
    X, Y = make_regression(200, n_features=10, n_targets=5, random_state=11)
    regressor = _regressor(solver, max_iter=40).fit(X, Y)
    assert regressor.predict(X).shape == (200, 5)
    assert regressor.score(X, Y) > 0.9


@every_solver
def test_several_labels_are_learned(labels, solver):
    X, Y = labels
    classifier = _classifier(solver, max_iter=60, batch_size=10)
    p = classifier.fit(X, Y).predict_proba(X)
    np.testing.assert_array_equal(classifier.predict(X), p > 0.5)
    assert ((p > 0.5) == Y).mean() > 0.95
    # They do not exclude each other.
    assert np.abs(p.sum(axis=1) - 1).max() > 0.5
    # Logarithms near 0 are those of rounded probabilities.
    np.testing.assert_allclose(classifier.predict_log_proba(X), np.log(p), atol=1e-12)


def test_probabilities_rank_and_agree_with_their_logarithms(digits):
    X, y = digits
    classifier = _classifier(activation="logistic").fit(X, y)
    p, log_p = classifier.predict_proba(X), classifier.predict_log_proba(X)
    assert p.shape == (200, len(classifier.classes_))
    np.testing.assert_allclose(p.sum(axis=1), 1)
    np.testing.assert_allclose(log_p, np.log(p))
    np.testing.assert_array_equal(p.argmax(axis=1), log_p.argmax(axis=1))
    scores = p[:, 1] if p.shape[1] == 2 else p
    assert roc_auc_score(y, scores, multi_class="ovr") > 0.999


@every_solver
def test_more_weight_decay_makes_smaller_weights(digits, solver):
    X, y = digits
    sums = [
        [np.abs(coef).sum() for coef in _classifier(solver, alpha=a).fit(X, y).coefs_]
        for a in (0.0, 3.0)
    ]
    for weak, strong in zip(*sums, strict=True):
        assert strong < weak


# Epochs.


@every_solver
@pytest.mark.parametrize("make", [_classifier, _regressor])
def test_training_takes_its_epochs_and_does_not_complain(digits, solver, make):
    X, y = digits
    # Beyond what three epochs reach, and without an improvement that counts.
    network = make(solver, warm_start=True, n_iter_no_change=np.inf, max_iter=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        for max_iter in (3, 3, 5):
            network.set_params(max_iter=max_iter).fit(X, y)
            assert network.n_iter_ == len(network.loss_curve_) == max_iter
            assert network.t_ == max_iter * 200


@pytest.mark.parametrize("make", [_classifier, _regressor])
def test_it_may_stop_early_on_a_frame_with_names(digits, make):
    X, y = digits
    frame = pd.DataFrame(X, columns=[f"pixel {i}" for i in range(X.shape[1])])
    target = y if make is _regressor else np.array(["a", "b", "c"], dtype=object)[y]
    network = make(n_finalists=1, n_splits=1, epoch_fractions=(1.0,))
    network.set_params(early_stopping=True, n_iter_no_change=2, max_iter=12, tol=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network.fit(frame, target)
        # Unlike theirs, it can learn on afterwards.
        network.partial_fit(frame, target).predict(frame)
    assert network.finalist_results_["n_iter"][0] < 12
    assert len(network.validation_scores_) == network.finalist_results_["n_iter"][0]
    assert np.isfinite(network.validation_scores_).all()
    assert network.feature_names_in_.tolist() == list(frame.columns)


def test_labels_of_several_columns_may_stop_early(labels):
    classifier = _classifier(n_finalists=1, n_splits=1, early_stopping=True)
    assert classifier.fit(*labels).predict(labels[0]).shape == (80, 5)


# Batch by batch.


@stochastic
def test_the_same_batch_again_and_again_comes_to_a_fit(digits, solver):
    X, y = digits
    fitted = _classifier(solver).fit(X, y)
    learner = _classifier(solver, max_iter=5)
    for _ in range(6):
        learner.partial_fit(X, y, classes=np.unique(y))
    assert (fitted.predict(X) == learner.predict(X)).mean() > 0.97
    assert learner.n_iter_ == fitted.n_iter_ == 30


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_batches_of_numbers_come_to_a_fit(numbers, momentum):
    X, y = numbers
    fitted = _regressor("sgd", momentum=momentum).fit(X, y)
    learner = _regressor("sgd", momentum=momentum, max_iter=5)
    for _ in range(6):
        learner.partial_fit(X, y)
    assert learner.score(X, y) > fitted.score(X, y) - 0.05 > 0.65


def test_batches_of_several_labels_are_learned(labels):
    X, Y = labels
    learner = _classifier("sgd", activation="logistic", batch_size=10, max_iter=10)
    for _ in range(10):
        learner.partial_fit(X, Y, classes=range(5))
    assert ((learner.predict_proba(X) > 0.5) == Y).mean() > 0.9


@stochastic
def test_a_network_that_was_loaded_is_tuned_to_another_target(solver, tmp_path):
    # The one row is the origin, so that an output's bias is all that learns.
    network = _regressor(solver, learning_rate_init=0.1)
    with pytest.warns(UserWarning, match="X has one row"):
        network.fit([[2.0]], [4.0])
    assert network.predict([[2.0]]) == 4
    path = joblib.dump(network, tmp_path / "network.joblib")[0]
    loaded = joblib.load(path)
    for _ in range(40):
        loaded.partial_fit([[2.0]], [1.0])
    np.testing.assert_allclose(loaded.predict([[2.0]]), 1.0, atol=0.05)
    assert network.predict([[2.0]]) == 4


# The same table in other forms.


@every_solver
def test_the_form_of_a_table_does_not_matter(digits, solver):
    X, y = digits
    expected = _classifier(solver, max_iter=3).fit(X, y).predict_proba(X)
    for make in (sparse.csr_matrix, sparse.csc_array, np.float32, pd.DataFrame):
        given = make(X)
        classifier = _classifier(solver, max_iter=3).fit(given, y)
        np.testing.assert_array_equal(classifier.predict_proba(given), expected)


def test_what_is_set_for_the_outputs_of_transformers_does_not_matter(digits):
    X, y = digits
    frame = pd.DataFrame(X, columns=[f"pixel {i}" for i in range(X.shape[1])])
    expected = _classifier(max_iter=2).fit(frame, y).predict_proba(frame)
    for container in ("pandas", "polars"):
        with config_context(transform_output=container):
            classifier = _classifier(max_iter=2).fit(frame, y)
            p = classifier.predict_proba(frame)
        assert type(p) is np.ndarray
        np.testing.assert_array_equal(p, expected)


@every_solver
@pytest.mark.parametrize("make", [_classifier, _regressor])
def test_weights_of_one_are_no_weights(digits, solver, make):
    X, y = digits
    stops = {"early_stopping": True, "n_iter_no_change": 2, "n_finalists": 1}
    plain, weighted = (make(solver, max_iter=4, **stops) for _ in range(2))
    plain.fit(X, y)
    weighted.fit(X, y, sample_weight=np.ones(200))
    np.testing.assert_array_equal(plain.predict(X), weighted.predict(X))


# Where numbers are too large.


@every_solver
@pytest.mark.parametrize("make", [_classifier, _regressor])
def test_a_huge_rate_is_named_or_does_no_harm(digits, solver, make):
    X, y = digits
    schedules = ("constant", "adaptive", "cosine")
    for rate, schedule in itertools.product((10.0, 1e20), schedules):
        network = make(solver, learning_rate_init=rate, learning_rate=schedule)
        message = ""
        try:
            network.set_params(max_iter=5).fit(X, y)
        except ValueError as error:
            message = str(error)
        if message:
            assert f"learning_rate_init (currently {rate})" in message
            assert not hasattr(network, "ensemble_")
            continue
        assert np.isfinite(network.loss_curve_).all()
        assert np.isfinite(network.predict(X)).all()
        assert all(np.isfinite(coef).all() for coef in network.coefs_)


def test_a_table_of_the_largest_numbers_is_scaled():
    generator = np.random.default_rng(0)
    shares = generator.uniform(size=(60, 2))
    regressor = _regressor(max_iter=30).fit(shares * np.finfo(float).max, shares[:, 0])
    predicted = regressor.predict(shares * np.finfo(float).max)
    assert np.corrcoef(predicted, shares[:, 0])[0, 1] > 0.9


def test_a_rate_may_fall_to_nothing(digits):
    # The power of the third epoch is more than a float holds.
    huge = {"learning_rate": "invscaling", "power_t": 1e3, "momentum": 0.0}
    losses = _classifier("sgd", max_iter=4, **huge).fit(*digits).loss_curve_
    assert losses[1] < losses[0]
    np.testing.assert_allclose(losses[1:], [losses[1]] * 3, rtol=1e-5)
