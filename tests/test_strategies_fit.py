"""Every strategy on every table that comes with scikit-learn."""

import numpy as np
import pytest
from sklearn import datasets
from sklearn.dummy import DummyClassifier, DummyRegressor

from sknas import NASMLPClassifier, NASMLPRegressor
from sknas._search.strategies import STRATEGIES

CLASSIFICATION = ("iris", "wine", "breast_cancer", "digits")
# The second has twenty rows and three targets.
REGRESSION = ("diabetes", "linnerud")


@pytest.mark.parametrize("name", CLASSIFICATION + REGRESSION)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_strategy_fits_a_table(strategy, name):
    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    is_regression = name in REGRESSION
    estimator_class = NASMLPRegressor if is_regression else NASMLPClassifier
    dummy = DummyRegressor() if is_regression else DummyClassifier()
    estimator = estimator_class(
        search_strategy=strategy,
        layer_widths=(8, 16),
        activations=("relu", "tanh"),
        max_layers=3,
        n_rounds=3,
        n_architectures=3,
        search_epochs=4,
        n_finalists=1,
        n_splits=1,
        n_ensemble=1,
        max_iter=20,
        epoch_fractions=(1.0,),
        random_state=0,
    ).fit(X, y)
    trials = estimator.search_results_
    scores = np.asarray(trials["score"])
    assert 2 <= len(scores) <= 9
    assert np.isfinite(scores).all()
    assert estimator.best_architecture_ in list(trials["architecture"])
    assert estimator.predict(X).shape == y.shape
    assert estimator.score(X, y) > dummy.fit(X, y).score(X, y)
