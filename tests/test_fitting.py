"""The stages of a fit, through the estimator: lengths, encodings, ensembles, time."""

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import make_classification
from sklearn.metrics import log_loss

from sknas import NASMLPClassifier


def test_finalists_are_trained_for_each_length_and_on_each_split(
    fast, three_class_table
):
    fast.update(max_iter=8, epoch_fractions=(1.0, 0.25), n_splits=3)
    classifier = NASMLPClassifier(**fast).fit(*three_class_table)
    finalists = pd.DataFrame(classifier.finalist_results_)
    assert finalists["max_iter"].tolist() == [2, 2, 8, 8]
    assert finalists["n_iter"].tolist() == [2, 2, 8, 8]
    (chosen,) = np.flatnonzero(finalists["chosen"])
    assert finalists["score"][chosen] == classifier.best_score_
    assert finalists["index"][chosen] == classifier.best_index_
    assert finalists["n_iter"][chosen] == classifier.n_iter_
    assert finalists["architecture"][chosen] == classifier.best_architecture_


def _smooth():
    """Classes that hang on a wave across many columns: ramps only overfit."""
    generator = np.random.default_rng(0)
    X = generator.normal(size=(200, 30))
    return X, (np.sin(X @ generator.normal(size=30) / 3) > 0).astype(int)


def _jagged(n_rows=600):
    """Classes that hang on thresholds of one column."""
    X = np.random.default_rng(0).uniform(size=(n_rows, 2))
    return X, (np.floor(8 * X[:, 0]) % 2).astype(int)


@pytest.mark.parametrize(("make", "has_ramps"), [(_smooth, False), (_jagged, True)])
def test_ramps_are_kept_where_they_help(make, has_ramps):
    X, y = make()
    classifier = NASMLPClassifier(
        layer_widths=(16,),
        n_rounds=1,
        n_architectures=2,
        n_finalists=1,
        n_ensemble=1,
        first_architecture=((16, "relu"),),
        random_state=0,
    ).fit(X, y)
    encodings = classifier.finalist_results_["encoding"].tolist()
    assert encodings == ["piecewise", "piecewise", "scale"]
    assert (classifier.encoder_.ramps_ is not None) == has_ramps
    assert classifier.coefs_[0].shape[0] == classifier.encoder_.n_features_out_
    scores = classifier.finalist_results_["score"]
    assert classifier.best_score_ == (max(scores[:2]) if has_ramps else scores[2])
    assert classifier.score(X, y) > 0.75


@pytest.mark.parametrize("encoding", ["piecewise", "scale", "passthrough"])
def test_a_given_encoding_is_not_chosen(encoding, fast, three_class_table):
    X, y = three_class_table
    classifier = NASMLPClassifier(**{**fast, "encoding": encoding}).fit(X, y)
    assert set(classifier.finalist_results_["encoding"]) == {encoding}
    n_columns = classifier.coefs_[0].shape[0]
    assert n_columns == (6 + 6 * 8 if encoding == "piecewise" else 6)


def test_an_ensemble_has_networks_of_one_architecture(fast, three_class_table):
    X, y = three_class_table
    classifier = NASMLPClassifier(**{**fast, "n_ensemble": 3}).fit(X, y)
    members = classifier.ensemble_.members
    assert {member.architecture for member in members} == {
        classifier.best_architecture_
    }
    assert len(members) == len({member.coefs[0].tobytes() for member in members}) == 3
    alone = NASMLPClassifier(**{**fast, "n_ensemble": 1}).fit(X, y)
    np.testing.assert_array_equal(alone.coefs_[0], classifier.coefs_[0])
    assert (alone.predict_proba(X) != classifier.predict_proba(X)).any()


def test_probabilities_are_at_the_temperature_of_the_validation_rows():
    X, y = make_classification(
        1500, n_features=10, n_informative=3, flip_y=0.3, random_state=0
    )
    settings = {"n_rounds": 1, "n_architectures": 1, "alpha": 0.0, "random_state": 0}
    settings.update(n_ensemble=1, epoch_fractions=(1.0,), encoding="scale", max_iter=40)
    classifier = NASMLPClassifier(**settings).fit(X[:500], y[:500])
    # Trained for long on noise: over-confident.
    assert classifier.temperature_ > 1.5
    p = classifier.predict_proba(X[500:])
    raw = p**classifier.temperature_
    raw /= raw.sum(axis=1, keepdims=True)
    assert log_loss(y[500:], p) < log_loss(y[500:], raw)
    np.testing.assert_array_equal(p.argmax(axis=1), raw.argmax(axis=1))


def test_the_bound_is_below_the_score(fast, three_class_table):
    classifier = NASMLPClassifier(**fast).fit(*three_class_table)
    assert 0 <= classifier.score_bound_ < classifier.best_score_
    classifier.set_params(scoring="f1_macro").fit(*three_class_table)
    assert np.isnan(classifier.score_bound_)
