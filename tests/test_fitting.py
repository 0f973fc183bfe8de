"""The stages of a fit, through the estimator: lengths, encodings, ensembles, time."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import make_classification
from sklearn.metrics import log_loss

from sknas import Candidate, NASMLPClassifier, RandomStrategy, SearchSpace
from sknas._budget import Budget
from sknas._fit import stages as _stages
from sknas._fit.evidence import score_bound
from sknas._fit.refit import Refit
from sknas._fit.settings import RefitSettings


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


@pytest.mark.parametrize(("encoding", "n_encodings"), [("auto", 2), ("scale", 1)])
def test_the_bound_counts_all_that_could_have_been_chosen(
    encoding, n_encodings, fast, three_class_table, monkeypatch
):
    """All architectures, whichever were tried; lengths of training; encodings."""
    calls, original = [], _stages.score_bound

    def record(accuracies, n_rows, n_candidates):
        calls.append((list(accuracies), list(n_rows), n_candidates))
        return original(accuracies, n_rows, n_candidates)

    monkeypatch.setattr(_stages, "score_bound", record)
    fast.update(encoding=encoding, n_splits=2, max_iter=4)
    # Two lengths: a tenth of four epochs is one, and so is a quarter.
    fast.update(epoch_fractions=(0.1, 0.25, 1.0), n_finalists=3)
    classifier = NASMLPClassifier(**fast).fit(*three_class_table)
    space = SearchSpace((8, 16), ("relu", "elu", "tanh", "sigmoid"), 7)
    ((accuracies, n_rows, n_candidates),) = calls
    assert n_candidates == space.n_architectures * 2 * n_encodings
    assert n_rows == [18, 18]
    assert np.mean(accuracies) == pytest.approx(classifier.best_score_)
    assert classifier.score_bound_ == score_bound(accuracies, n_rows, n_candidates)


class OneSetting(RandomStrategy):
    """Random search with one setting that is not the estimator's."""

    def draw(self, n):
        return [Candidate(a, (("alpha", 0.5),)) for a in super().draw(n)]


@pytest.mark.parametrize(
    "changes",
    [
        {"scoring": "f1_macro"},
        {"max_time": 60.0},
        {"n_iter_no_change": 2},
        {"n_finalists": 0},
        {"search_strategy": OneSetting()},
    ],
    ids=str,
)
def test_there_is_no_bound_where_its_premises_fail(changes, fast, three_class_table):
    classifier = NASMLPClassifier(**{**fast, **changes}).fit(*three_class_table)
    assert np.isnan(classifier.score_bound_)


@pytest.mark.parametrize(("position", "expected"), [(None, 3), (0, 0)])
def test_a_network_is_refitted_if_there_is_time_for_most_of_its_training(
    position, expected
):
    # A trial of two epochs took four seconds; as a finalist it would have 100 epochs.
    network = SimpleNamespace(time=4.0, n_iter=2)
    choice = SimpleNamespace(
        position=position,
        evaluation=SimpleNamespace(networks=[network], best_iter=100),
    )
    settings = RefitSettings(n_ensemble=4, refit="scratch", max_iter=100)
    refit = Refit(choice, None, settings, None, None)
    assert refit._n_affordable(Budget(9.1)) == expected
    assert refit._n_affordable(Budget()) == 4
