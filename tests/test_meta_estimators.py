"""scikit-learn's own meta-estimators take classifier and regressor."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    BaggingClassifier,
    BaggingRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_selection import SelectFromModel, SequentialFeatureSelector
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import (
    FixedThresholdClassifier,
    HalvingRandomSearchCV,
    RandomizedSearchCV,
    TunedThresholdClassifierCV,
    cross_val_predict,
    learning_curve,
)
from sklearn.multiclass import (
    OneVsOneClassifier,
    OneVsRestClassifier,
    OutputCodeClassifier,
)
from sklearn.multioutput import (
    ClassifierChain,
    MultiOutputClassifier,
    MultiOutputRegressor,
    RegressorChain,
)
from sklearn.semi_supervised import SelfTrainingClassifier

from sknas import NASMLPClassifier, NASMLPRegressor


@pytest.fixture
def quick(fast):
    """Settings of the cheapest fit that still searches."""
    return {
        **fast,
        "n_rounds": 1,
        "n_finalists": 0,
        "search_epochs": 1,
        "n_ensemble": 1,
        "max_iter": 1,
        "search_strategy": "random",
    }


CLASSIFIERS = {
    "stacking": lambda c: StackingClassifier(
        [("ours", c), ("linear", LogisticRegression())], cv=2
    ),
    "voting": lambda c: VotingClassifier([("a", c), ("b", clone(c))], voting="soft"),
    "bagging": lambda c: BaggingClassifier(c, n_estimators=2, random_state=0),
    "boosting": lambda c: AdaBoostClassifier(c, n_estimators=2, random_state=0),
    "isotonic": lambda c: CalibratedClassifierCV(c, method="isotonic", cv=2),
    "sigmoid": lambda c: CalibratedClassifierCV(c, cv=2, ensemble=False),
    "tuned threshold": lambda c: TunedThresholdClassifierCV(c, cv=2, thresholds=5),
    "fixed threshold": lambda c: FixedThresholdClassifier(c, threshold=0.3),
    "one versus rest": OneVsRestClassifier,
    "one versus one": OneVsOneClassifier,
    "output code": lambda c: OutputCodeClassifier(c, code_size=2, random_state=0),
    "search": lambda c: RandomizedSearchCV(
        c, {"dropout": [0.0, 0.3], "alpha": [0.1, 1.0]}, n_iter=2, cv=2, random_state=0
    ),
    "halving": lambda c: HalvingRandomSearchCV(
        c,
        {"dropout": [0.0, 0.3]},
        resource="max_iter",
        max_resources=4,
        min_resources=2,
        cv=2,
        random_state=0,
    ),
}


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifiers_of_classifiers(name, quick, binary_table):
    X, y = binary_table
    labels = np.array(["no", "yes"])[y]
    # Boosting needs members that are better than chance.
    quick |= {"search_epochs": 15, "learning_rate_init": 0.03}
    fitted = CLASSIFIERS[name](NASMLPClassifier(**quick)).fit(X, labels)
    predicted = fitted.predict(X)
    assert predicted.shape == (90,)
    assert set(predicted) <= {"no", "yes"}


def test_targets_of_several_columns(quick, binary_table):
    X, y = binary_table
    Y = np.column_stack([y, 1 - y])
    classifier = NASMLPClassifier(**quick)
    assert MultiOutputClassifier(classifier).fit(X, Y).predict(X).shape == Y.shape
    # Some rows have a third class in one of the columns.
    Y[:20, 1] = 2
    chain = ClassifierChain(classifier, cv=2, random_state=0).fit(X, Y)
    assert set(np.unique(chain.predict(X))) <= {0, 1, 2}


def test_rows_without_labels(quick, binary_table):
    X, y = binary_table
    some = y.copy()
    some[30:] = -1
    fitted = SelfTrainingClassifier(
        NASMLPClassifier(**quick), threshold=0.5, max_iter=1
    )
    assert fitted.fit(X, some).predict(X).shape == (90,)


REGRESSORS = {
    "stacking": lambda r: StackingRegressor([("ours", r), ("linear", Ridge())], cv=2),
    "voting": lambda r: VotingRegressor([("ours", r), ("linear", Ridge())]),
    "bagging": lambda r: BaggingRegressor(r, n_estimators=2, random_state=0),
    "boosting": lambda r: AdaBoostRegressor(r, n_estimators=2, random_state=0),
    "target": lambda r: TransformedTargetRegressor(
        r, func=np.sinh, inverse_func=np.arcsinh
    ),
    "search": lambda r: RandomizedSearchCV(
        r, {"dropout": [0.0, 0.3]}, n_iter=2, cv=2, random_state=0
    ),
}


@pytest.mark.parametrize("name", REGRESSORS)
def test_regressors_of_regressors(name, quick, binary_table):
    X, y = binary_table
    fitted = REGRESSORS[name](NASMLPRegressor(**quick)).fit(X, y + 0.5)
    assert fitted.predict(X).shape == (90,)


@pytest.mark.parametrize("make", [MultiOutputRegressor, RegressorChain])
def test_several_numbers(make, quick, binary_table):
    X, y = binary_table
    Y = np.column_stack([y, X[:, 0]])
    assert make(NASMLPRegressor(**quick)).fit(X, Y).predict(X).shape == Y.shape


@pytest.mark.parametrize("cls", [NASMLPClassifier, NASMLPRegressor])
def test_importances_dependences_and_selection(cls, quick, binary_table):
    X, y = binary_table
    fitted = cls(**quick).fit(X, y)
    importances = permutation_importance(fitted, X, y, n_repeats=2, random_state=0)
    assert importances.importances_mean.shape == (6,)
    dependence = partial_dependence(fitted, X, [0], grid_resolution=3)
    assert dependence["average"].shape == (1, 3)

    def importance_getter(estimator):
        result = permutation_importance(estimator, X, y, n_repeats=1, random_state=0)
        return result.importances_mean

    selected = SelectFromModel(
        fitted,
        prefit=True,
        importance_getter=importance_getter,
        max_features=2,
        threshold=-np.inf,
    )
    assert selected.transform(X).shape == (90, 2)
    sequential = SequentialFeatureSelector(
        cls(**quick), n_features_to_select=1, cv=2
    ).fit(X[:, :2], y)
    assert sequential.get_support().sum() == 1


def test_curves_and_predictions_of_folds(quick, binary_table):
    X, y = binary_table
    classifier = NASMLPClassifier(**quick)
    p = cross_val_predict(classifier, X, y, cv=2, method="predict_proba")
    assert p.shape == (90, 2)
    sizes, train, test = learning_curve(classifier, X, y, cv=2, train_sizes=[0.5, 1.0])
    assert train.shape == test.shape == (len(sizes), 2)
    # The incremental form of the curve learns by `partial_fit`.
    _, _, test = learning_curve(
        classifier,
        X,
        y,
        cv=2,
        train_sizes=[0.5, 1.0],
        exploit_incremental_learning=True,
    )
    assert np.isfinite(test).all()
