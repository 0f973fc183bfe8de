"""A fitted estimator as a module of PyTorch."""

import copy

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.exceptions import NotFittedError

from sknas import NASMLPClassifier, NASMLPRegressor


def _table():
    """Numbers of every kind: with gaps, with outliers, constant, of two values."""
    generator = np.random.default_rng(0)
    X = generator.normal(size=(120, 6))
    X[::7, 0] = np.nan
    X[3, 1] = 1e12
    X[:, 2] = 5.0
    X[:, 3] = X[:, 3] > 0
    X[:, 4] = X[:, 4].round()
    y = np.nan_to_num(X[:, 0]) + X[:, 3] - np.clip(X[:, 1], -2, 2)
    return X, y


def _new_rows(X):
    """Rows as they may come later: gaps elsewhere, and values far out."""
    X = X.copy()
    X[5, 1] = X[6, 2] = X[7, 5] = np.nan
    X[8] = 1e300
    X[9] = -1e300
    return X


TARGETS = {
    "two classes": lambda y: y > 0,
    "three classes": lambda y: np.digitize(y, [-1, 1]),
    "labels": lambda y: np.column_stack([y > 0, y > 1, y < 0.5]).astype(int),
    "a number": lambda y: y,
    "numbers": lambda y: np.column_stack([y, np.exp(3 * y), np.full(len(y), 2.0)]),
}


@pytest.mark.parametrize("encoding", ["auto", "scale", "passthrough"])
@pytest.mark.parametrize("make_target", TARGETS.values(), ids=TARGETS)
def test_a_module_predicts_what_the_estimator_does(make_target, encoding, fast):
    X, y = _table()
    y = make_target(y)
    settings = {**fast, "encoding": encoding, "n_ensemble": 3}
    predicts_numbers = y.dtype == float
    if predicts_numbers:
        estimator = NASMLPRegressor(**settings).fit(X, y)
        expected = estimator.predict(_new_rows(X)).reshape(len(X), -1)
    else:
        estimator = NASMLPClassifier(**settings).fit(X, y)
        expected = estimator.predict_proba(_new_rows(X))
    module = estimator.to_torch()
    with torch.no_grad():
        predicted = module(torch.from_numpy(_new_rows(X))).numpy()
        assert predicted.shape == expected.shape
        np.testing.assert_allclose(predicted, expected, rtol=1e-9, atol=1e-9)
        # Smaller and faster, and nearly as exact where numbers have 32 bits at all.
        rows = torch.from_numpy(X[10:]).float()
        rounded = copy.deepcopy(module).float()(rows).numpy()
    assert rounded.dtype == np.float32
    np.testing.assert_allclose(rounded, expected[10:], rtol=1e-2, atol=1e-3)


def test_a_module_of_a_mixed_table_takes_the_encoded_one(fast, mixed_frame):
    X, y = mixed_frame
    classifier = NASMLPClassifier(**fast).fit(X, y)
    encoded = torch.from_numpy(np.asarray(classifier.encoder_.transform(X)))
    with torch.no_grad():
        p = classifier.to_torch()(encoded).numpy()
    np.testing.assert_allclose(p, classifier.predict_proba(X), atol=1e-9)


def test_a_module_is_made_of_copies_and_can_be_trained_and_kept(fast, tmp_path):
    X, y = _table()
    classifier = NASMLPClassifier(**fast).fit(pd.DataFrame(X), y > 0)
    expected = classifier.predict_proba(pd.DataFrame(X))
    module = classifier.to_torch()
    rows = torch.from_numpy(X)
    path = tmp_path / "weights.pt"
    torch.save(module.state_dict(), path)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    loss = -module(rows)[:, 1].log().mean()
    loss.backward()
    optimizer.step()
    assert -module(rows)[:, 1].log().mean() < loss
    np.testing.assert_array_equal(classifier.predict_proba(pd.DataFrame(X)), expected)
    module.load_state_dict(torch.load(path, weights_only=True))
    with torch.no_grad():
        np.testing.assert_allclose(module(rows).numpy(), expected, atol=1e-9)


def test_one_that_is_not_fitted_has_no_module():
    with pytest.raises(NotFittedError):
        NASMLPRegressor().to_torch()
