"""Libraries around scikit-learn take classifier and regressor.

Each is tested where it is installed: the extra ``integration`` names them all.
"""

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_diabetes
from sklearn.metrics import accuracy_score

from sknas import NASMLPClassifier, NASMLPRegressor

# What these libraries warn of is theirs.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def _global_state_is_untouched():
    """Some of these libraries draw from numpy's global generator themselves."""


@pytest.fixture
def numbers():
    X, y = load_diabetes(return_X_y=True)
    return X[:120], y[:120]


@pytest.fixture
def regressor(fast):
    del fast["search_strategy"]
    return NASMLPRegressor(**fast)


@pytest.fixture
def classifier(fast):
    return NASMLPClassifier(**fast)


def test_imbalanced_learn(classifier, binary_table):
    ensemble = pytest.importorskip("imblearn.ensemble")
    from imblearn.over_sampling import SMOTE, RandomOverSampler
    from imblearn.pipeline import make_pipeline

    X, y = binary_table
    rows = np.r_[np.flatnonzero(y == 0), np.flatnonzero(y == 1)[:12]]
    X, y = X[rows], y[rows]
    for sampler in (RandomOverSampler(random_state=0), SMOTE(random_state=0)):
        fitted = make_pipeline(sampler, classifier).fit(X, y)
        assert fitted.predict_proba(X).shape == (len(y), 2)
    balanced = ensemble.BalancedBaggingClassifier(
        classifier, n_estimators=2, random_state=0
    )
    assert balanced.fit(X, y).predict(X).shape == y.shape


def test_mapie(classifier, regressor, three_class_table, numbers):
    pytest.importorskip("mapie")
    from mapie.classification import SplitConformalClassifier
    from mapie.regression import CrossConformalRegressor, SplitConformalRegressor

    X, y = three_class_table
    conformal = SplitConformalClassifier(
        classifier, confidence_level=0.8, prefit=False, random_state=0
    )
    conformal.fit(X[:50], y[:50]).conformalize(X[50:], y[50:])
    labels, sets = conformal.predict_set(X)
    assert labels.shape == (90,)
    assert sets.shape[:2] == (90, 3)
    X, y = numbers
    split = SplitConformalRegressor(regressor, confidence_level=0.8, prefit=False)
    split.fit(X[:70], y[:70]).conformalize(X[70:], y[70:])
    predicted, intervals = split.predict_interval(X)
    assert (intervals[:, 0, 0] <= predicted + 1e-9).all()
    crossed = CrossConformalRegressor(
        regressor, confidence_level=0.8, cv=3, random_state=0
    )
    crossed.fit_conformalize(X, y)
    assert crossed.predict_interval(X)[1].shape == (120, 2, 1)


def test_shap(classifier, regressor, binary_table, numbers):
    shap = pytest.importorskip("shap")
    X, y = binary_table
    fitted = classifier.fit(X, y)
    explained = shap.Explainer(fitted.predict_proba, X[:20], seed=0)(X[:3])
    # What a row's values add up to is its prediction.
    total = explained.values.sum(axis=1) + explained.base_values
    np.testing.assert_allclose(total, fitted.predict_proba(X[:3]), atol=1e-6)
    X, y = numbers
    frame = pd.DataFrame(X, columns=[f"column {i}" for i in range(X.shape[1])])
    fitted = regressor.fit(frame, y)
    explained = shap.Explainer(fitted.predict, frame[:20], seed=0)(frame[:3])
    total = explained.values.sum(axis=1) + explained.base_values
    np.testing.assert_allclose(total, fitted.predict(frame[:3]), rtol=1e-6)


def test_mlxtend(classifier, regressor, three_class_table, numbers):
    pytest.importorskip("mlxtend")
    from mlxtend.classifier import EnsembleVoteClassifier, StackingCVClassifier
    from mlxtend.evaluate import bias_variance_decomp
    from mlxtend.feature_selection import SequentialFeatureSelector
    from sklearn.linear_model import LogisticRegression

    X, y = three_class_table
    vote = EnsembleVoteClassifier([classifier, LogisticRegression()], voting="soft")
    assert vote.fit(X, y).predict(X).shape == (90,)
    stack = StackingCVClassifier(
        [classifier], LogisticRegression(), use_probas=True, cv=2, random_state=0
    )
    assert stack.fit(X, y).predict(X).shape == (90,)
    selector = SequentialFeatureSelector(classifier, k_features=1, cv=2)
    assert len(selector.fit(X[:, :2], y).k_feature_idx_) == 1
    loss, _, _ = bias_variance_decomp(
        classifier, X[:60], y[:60], X[60:], y[60:], num_rounds=2, random_seed=0
    )
    assert 0 <= loss <= 1
    from mlxtend.regressor import StackingCVRegressor
    from sklearn.linear_model import Ridge

    stack = StackingCVRegressor([regressor], Ridge(), cv=2, random_state=0)
    assert stack.fit(*numbers).predict(numbers[0]).shape == (120,)


def test_optuna_integration(classifier, regressor, three_class_table, numbers):
    integration = pytest.importorskip("optuna_integration")
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    search = integration.OptunaSearchCV(
        classifier,
        {
            "alpha": optuna.distributions.FloatDistribution(0.01, 3.0, log=True),
            "search_strategy__entropy": optuna.distributions.FloatDistribution(
                0.0, 0.1
            ),
            "momentum": optuna.distributions.FloatDistribution(0.1, 0.9),
        },
        n_trials=2,
        cv=2,
        random_state=0,
    )
    search.fit(*three_class_table)
    assert 0 <= search.best_score_ <= 1
    assert search.best_estimator_.alpha == search.best_params_["alpha"]
    of_numbers = integration.OptunaSearchCV(
        regressor,
        {"alpha": optuna.distributions.FloatDistribution(0.01, 3.0, log=True)},
        n_trials=2,
        cv=2,
        random_state=0,
    )
    assert of_numbers.fit(*numbers).best_score_ <= 1


def test_skrub(classifier, regressor, mixed_frame):
    skrub = pytest.importorskip("skrub")
    frame, y = mixed_frame
    # The place of the learner in `tabular_pipeline`, once called `tabular_learner`.
    make = getattr(skrub, "tabular_pipeline", None) or skrub.tabular_learner
    pipeline = make(classifier).fit(frame, y)
    assert accuracy_score(y, pipeline.predict(frame)) > 0.5
    assert make(regressor).fit(frame, y).predict(frame).shape == y.shape
