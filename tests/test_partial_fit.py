"""Learning from one batch of rows after the other."""

import pickle
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.datasets import load_digits, make_multilabel_classification

from sknas import NASMLPClassifier, NASMLPRegressor
from sknas._fit.continuation import Continuation, EncodedRows
from sknas._random import SeedSource


@pytest.fixture
def parts(three_class_table):
    """Three batches of thirty rows."""
    X, y = three_class_table
    return [(X[i : i + 30], y[i : i + 30]) for i in (0, 30, 60)]


def _weights(estimator):
    return [
        np.concatenate([coef.ravel() for coef in member.coefs])
        for member in estimator.ensemble_.members
    ]


@pytest.fixture
def plain():
    """One small architecture that can learn digits."""
    return {
        "layer_widths": (64,),
        "n_rounds": 1,
        "n_architectures": 1,
        "n_finalists": 1,
        "n_splits": 1,
        "n_ensemble": 2,
        "encoding": "scale",
        "max_iter": 20,
        "epoch_fractions": (1.0,),
        "random_state": 0,
    }


def test_batches_of_digits_come_close_to_all_of_them(plain):
    X, y = load_digits(return_X_y=True)
    whole = NASMLPClassifier(**plain).fit(X[:1200], y[:1200])
    parts = NASMLPClassifier(**plain)
    scores = []
    for rows in np.array_split(np.arange(1200), 6):
        parts.partial_fit(X[rows], y[rows], classes=np.arange(10))
        scores.append(parts.score(X[1200:], y[1200:]))
    assert scores[-1] > whole.score(X[1200:], y[1200:]) - 0.02
    assert scores[-1] > scores[0] + 0.03


def test_classes_that_come_in_order_are_not_forgotten(plain):
    X, y = load_digits(n_class=4, return_X_y=True)
    order = np.argsort(y, kind="stable")
    learner = NASMLPClassifier(**plain)
    for rows in np.array_split(order, 6):
        learner.partial_fit(X[rows], y[rows], classes=range(4))
    assert learner.score(X, y) > 0.85


def test_the_first_call_is_a_fit_and_later_ones_keep_what_it_found(fast, parts):
    (X, y), second, _ = parts
    fitted = NASMLPClassifier(**fast).fit(X, y)
    learner = NASMLPClassifier(**fast).partial_fit(X, y, classes=[0, 1, 2])
    np.testing.assert_array_equal(fitted.predict_proba(X), learner.predict_proba(X))
    before = vars(learner).copy()
    weights = _weights(learner)
    learner.partial_fit(*second)
    for name in ("best_architecture_", "encoder_", "search_results_", "temperature_"):
        assert vars(learner)[name] is before[name]
    for old, new in zip(weights, _weights(learner), strict=True):
        assert not np.array_equal(old, new)
    # A member and what is read from it are one.
    np.testing.assert_array_equal(
        learner.coefs_[0], learner.ensemble_.members[0].coefs[0]
    )
    # Three epochs at most, as max_iter says.
    assert learner.n_iter_ == before["n_iter_"] + 3
    assert learner.t_ == before["t_"] + 3 * 60
    assert len(learner.loss_curve_) == learner.n_iter_
    assert learner.loss_ == learner.loss_curve_[-1]


def test_calls_are_reproducible_stored_or_not(fast, parts):
    def learn(*, stores):
        learner = NASMLPClassifier(**fast)
        for X, y in parts:
            learner.partial_fit(X, y, classes=[0, 1, 2])
            if stores:
                learner = pickle.loads(pickle.dumps(learner))
        return learner

    one, other = learn(stores=False), learn(stores=True)
    for first, second in zip(_weights(one), _weights(other), strict=True):
        np.testing.assert_array_equal(first, second)


def test_the_optimiser_goes_on(fast, parts):
    learner = NASMLPClassifier(**fast).partial_fit(*parts[0], classes=[0, 1, 2])
    n_steps = [state.n_steps for state in learner._continuation.states]
    learner.partial_fit(*parts[1])
    after = learner._continuation.states
    # 60 rows, batches of 16, three epochs.
    assert [state.n_steps for state in after] == [n + 12 for n in n_steps]


@pytest.mark.parametrize("solvers", [("adamw", "sgd"), ("sgd", "adam")])
def test_another_solver_begins_anew(fast, parts, solvers):
    first, second = solvers
    learner = NASMLPClassifier(**fast, solver=first)
    learner.partial_fit(*parts[0], classes=[0, 1, 2])
    learner.set_params(solver=second).partial_fit(*parts[1])
    # 60 rows, batches of 16, three epochs, and none of those before.
    assert [state.n_steps for state in learner._continuation.states] == [12, 12]


def test_labels_may_be_missing_from_a_batch(fast, binary_table):
    X, y = binary_table
    labels = np.array(["no", "yes"])[y]
    first = np.flatnonzero(y == 0)[:20]
    learner = NASMLPClassifier(**fast)
    learner.partial_fit(X[first], labels[first], classes=["yes", "no", "maybe"])
    assert learner.classes_.tolist() == ["maybe", "no", "yes"]
    assert learner.predict_proba(X).shape == (90, 3)
    learner.partial_fit(X, labels)
    assert set(learner.predict(X)) <= {"maybe", "no", "yes"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": [7] * 30}, r"labels of classes=\[0, 1, 2\].*Got \[7\] besides"),
        ({"y": ["a"] * 30}, r"labels of classes=\[0, 1, 2\].*Got \['a'\] besides"),
        ({"X": np.zeros((30, 5))}, "X has 5 features, but"),
        ({"X": pd.DataFrame(np.zeros((30, 6)), columns=[*"abcdef"])}, None),
        ({"classes": [0, 1]}, r"those of the first call.* Got \[0, 1\] instead"),
        ({"y": np.eye(30, 4, dtype=int)}, "as many outputs as in the first call, 3"),
        ({"sample_weight": [-1.0] * 30}, "[Nn]egative"),
        ({"y": [0] * 29}, "inconsistent numbers of samples"),
        ({"X": np.full((30, 6), "red", dtype=object)}, "must be numeric now"),
    ],
)
def test_what_does_not_fit_the_first_batch_is_refused(fast, parts, change, message):
    learner = NASMLPClassifier(**fast).partial_fit(*parts[0], classes=[0, 1, 2])
    before = vars(learner).copy()
    X, y = parts[1]
    if message is None:
        with pytest.warns(UserWarning, match="fitted without feature names"):
            learner.partial_fit(**{"X": X, "y": y, **change})
        return
    with pytest.raises(ValueError, match=message):
        learner.partial_fit(**{"X": X, "y": y, **change})
    assert vars(learner) == before


def test_the_first_call_needs_classes_and_labels_among_them(fast, parts):
    X, y = parts[0]
    for classes, message in [
        (None, "classes must be passed on the first call"),
        ([0, 1], r"Got \[2\] besides"),
    ]:
        learner = NASMLPClassifier(**fast)
        with pytest.raises(ValueError, match=message):
            learner.partial_fit(X, y, classes=classes)
        assert set(vars(learner)) == set(learner.get_params(deep=False))


def test_balanced_weights_and_lbfgs_do_not_learn_by_batches(fast, parts):
    balanced = NASMLPClassifier(**fast, class_weight="balanced")
    with pytest.raises(ValueError, match="class_weight must not be 'balanced'"):
        balanced.partial_fit(*parts[0], classes=[0, 1, 2])
    assert not hasattr(NASMLPClassifier(solver="lbfgs"), "partial_fit")
    assert not hasattr(NASMLPRegressor(solver="lbfgs"), "partial_fit")
    assert hasattr(NASMLPRegressor(), "partial_fit")


def test_weights_are_on_one_scale_for_all_batches(fast, parts):
    # Weights of 1 and none at all are the same, in every batch.
    plain, weighted = NASMLPClassifier(**fast), NASMLPClassifier(**fast)
    for number, (X, y) in enumerate(parts):
        plain.partial_fit(X, y, classes=[0, 1, 2])
        weight = np.ones(30) if number else None
        weighted.partial_fit(X, y, weight, classes=[0, 1, 2])
    for first, second in zip(_weights(plain), _weights(weighted), strict=True):
        np.testing.assert_array_equal(first, second)
    # A batch of ten times the weight is not one of weight 1.
    kept = plain.partial_fit(X, y, np.full(30, 10.0))._continuation.kept
    assert np.unique(kept.sample_weight).tolist() == [1, 10]


def test_copies_in_the_first_batch_weigh_as_much_as_later(fast, parts):
    X, y = (np.concatenate(both) for both in zip(*parts, strict=True))
    learner = NASMLPClassifier(**fast)
    learner.partial_fit(np.tile(X, (3, 1)), np.tile(y, 3), classes=[0, 1, 2])
    learner.partial_fit(*parts[1])
    weights = learner._continuation.kept.sample_weight
    assert weights.tolist() == [3.0] * 90 + [1.0] * 30


def test_later_calls_are_silent(fast, parts, capsys):
    learner = NASMLPClassifier(**fast, verbose=2)
    learner.partial_fit(*parts[0], classes=[0, 1, 2])
    assert "search" in capsys.readouterr().err
    learner.partial_fit(*parts[1])
    assert capsys.readouterr() == ("", "")


def test_rows_without_weight_are_not_learned_from(fast, parts):
    learner = NASMLPClassifier(**fast).partial_fit(*parts[0], classes=[0, 1, 2])
    X, y = parts[1]
    weight = np.r_[np.ones(20), np.zeros(10)]
    whole = pickle.loads(pickle.dumps(learner)).partial_fit(X, y, weight)
    part = pickle.loads(pickle.dumps(learner)).partial_fit(X[:20], y[:20])
    for first, second in zip(_weights(whole), _weights(part), strict=True):
        np.testing.assert_array_equal(first, second)


def test_after_fit_the_weights_are_continued(fast, parts):
    learner = NASMLPClassifier(**fast).fit(*parts[0])
    weights = _weights(learner)
    learner.partial_fit(*parts[1])
    for old, new in zip(weights, _weights(learner), strict=True):
        assert 0 < np.abs(old - new).max() < 0.5
    # And `fit` begins anew.
    assert "_continuation" not in vars(learner.fit(*parts[0]))


def test_several_labels_and_one_batch_of_one_row(fast):
    X, Y = make_multilabel_classification(n_samples=60, n_classes=4, random_state=0)
    learner = NASMLPClassifier(**fast)
    learner.partial_fit(X[:30], Y[:30], classes=range(4))
    learner.partial_fit(X[30:], sparse.csr_matrix(Y[30:]))
    learner.partial_fit(X[:1], Y[:1])
    assert learner.predict_proba(X).shape == (60, 4)
    # What is given again is what it was.
    learner.partial_fit(X, Y, classes=range(4))
    with pytest.raises(ValueError, match="one label per row, or several, as in the"):
        learner.partial_fit(X, Y[:, 0])
    for classes in ([0, 1], [1, 2, 3, 4], ["a", "b", "c", "d"]):
        with pytest.raises(ValueError, match="must name the 4 columns of y by their"):
            NASMLPClassifier(**fast).partial_fit(X, Y, classes=classes)


def test_numbers_are_learned_beyond_the_first_range(fast):
    del fast["search_strategy"]
    X = np.linspace(-2, 2, 200)[:, None]
    y = 3 * X[:, 0] + 1
    order = np.argsort(np.abs(X[:, 0]), kind="stable")
    learner = NASMLPRegressor(**fast).set_params(max_iter=30)
    for rows in np.array_split(order, 4):
        learner.partial_fit(X[rows], y[rows])
    assert learner.score(X, y) > 0.9
    assert learner.predict([[2.0]])[0] > 5
    with pytest.raises(ValueError, match="as many outputs as in the first call, 1"):
        learner.partial_fit(X, np.column_stack([y, y]))


def test_a_number_without_weight_does_not_widen_the_range(fast, binary_table):
    X, _ = binary_table
    y = X[:, 0].copy()
    del fast["search_strategy"]
    learner = NASMLPRegressor(**fast).partial_fit(X, y)
    y[:2] = 1e9, 2 * learner.target_scaler_.highest_[0]
    learner.partial_fit(X, y, np.r_[0.0, np.ones(89)])
    assert learner.target_scaler_.highest_ == y[1]


def test_mixed_tables_are_encoded_as_at_first(fast, mixed_frame):
    frame, y = mixed_frame
    learner = NASMLPClassifier(**fast).partial_fit(frame[:30], y[:30], classes=[0, 1])
    columns = learner.encoder_.get_feature_names_out().tolist()
    learner.partial_fit(frame[30:], y[30:])
    assert learner.encoder_.get_feature_names_out().tolist() == columns
    assert learner.predict(frame).shape == (60,)


def test_nothing_is_spoilt_when_networks_diverge(fast, parts):
    learner = NASMLPClassifier(**fast).partial_fit(*parts[0], classes=[0, 1, 2])
    before = vars(learner).copy()
    learner.set_params(learning_rate_init=1e30)
    with pytest.raises(ValueError, match="No network could learn on"):
        learner.partial_fit(*parts[1])
    before["learning_rate_init"] = 1e30
    assert vars(learner) == before


def test_an_interrupted_call_changes_nothing(fast, parts, monkeypatch):
    learner = NASMLPClassifier(**fast).partial_fit(*parts[0], classes=[0, 1, 2])
    before = vars(learner).copy()

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("sknas._engine.trainer.train_stack", interrupt)
        with pytest.raises(KeyboardInterrupt, match=r"^"):
            learner.partial_fit(*parts[1])
    assert vars(learner) == before


def _batch(start, n_rows):
    X = np.arange(start, start + n_rows, dtype=np.float32)[:, None]
    return EncodedRows(X, X[:, 0], np.ones(n_rows))


def test_rows_are_kept_uniformly_and_their_number_is_bounded(monkeypatch):
    monkeypatch.setattr("sknas._fit.continuation._MAX_KEPT_ROWS", 50)
    counts = np.zeros(200)
    for seed in range(200):
        continuation = Continuation(SeedSource(seed), (), [])
        for start in range(0, 200, 40):
            continuation = continuation.having_seen(_batch(start, 40), [])
        kept = continuation.kept.X[:, 0].astype(int)
        assert len(kept) == len(set(kept)) == 50
        assert continuation.n_seen == 200
        np.add.at(counts, kept, 1)
    # Each row is kept in 50 of 200 draws, give or take four standard deviations; those
    # of the first batch as often as those of the last.
    assert abs(counts - 50).max() < 4 * np.sqrt(50 * 0.75) + 1
    assert abs(counts[:40].mean() - counts[-40:].mean()) < 4


def test_what_is_kept_is_bounded_in_bytes_too(monkeypatch):
    # Seven rows of three columns of 32 bits.
    monkeypatch.setattr("sknas._fit.continuation._MAX_KEPT_BYTES", 7 * 3 * 4)
    batch = EncodedRows(np.zeros((20, 3), np.float32), np.zeros(20), np.ones(20))
    continuation = Continuation(SeedSource(0), (), [])
    for _ in range(3):
        continuation = continuation.having_seen(batch, [])
    assert continuation.kept.X.shape == (7, 3)


def test_sparse_rows_are_kept_sparse():
    X = sparse.random(30, 20, 0.1, format="csr", dtype=np.float32, random_state=0)
    batch = EncodedRows(X, np.arange(30), np.ones(30))
    continuation = Continuation(SeedSource(0), (), []).having_seen(batch, [])
    both = continuation.rehearsed(batch)
    assert sparse.issparse(both.X)
    np.testing.assert_array_equal(both.X[30:].toarray(), X[both.y[30:]].toarray())


def test_memory_does_not_grow(fast, monkeypatch):
    monkeypatch.setattr("sknas._fit.continuation._MAX_KEPT_ROWS", 200)
    generator = np.random.default_rng(0)
    learner = NASMLPClassifier(**fast)
    held = []
    tracemalloc.start()
    try:
        for _ in range(8):
            X = generator.normal(size=(100, 50))
            learner.partial_fit(X, (X[:, 0] > 0).astype(int), classes=[0, 1])
            held.append(len(pickle.dumps(learner)))
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.reset_peak()
    finally:
        tracemalloc.stop()
    # A value of the loss curve for each epoch is all that comes on top.
    assert held[-1] - held[2] < 1000
    assert peak < 5e6


def test_counts_are_learned_with_the_loss_of_the_first_call(fast, binary_table):
    del fast["search_strategy"]
    X = binary_table[0]
    y = np.random.default_rng(0).poisson(np.exp(X[:, 0]).clip(max=9))
    learner = NASMLPRegressor(**fast, loss="poisson").partial_fit(X[:45], y[:45])
    learner.partial_fit(X[45:], y[45:])
    assert learner.predict(X).min() > 0
    with pytest.raises(ValueError, match=r"loss must not change.*'exp'.*'identity'"):
        learner.set_params(loss="squared_error").partial_fit(X, y)


def test_columns_that_the_first_batch_tells_nothing_of_are_named(fast, parts):
    (X, y), second, _ = parts
    frame = pd.DataFrame(X, columns=[*"abcdef"])
    frame["b"], frame["text"] = 1.0, "red"
    frame["empty"] = np.nan
    with pytest.warns(UserWarning, match=r"columns \['b', 'text', 'empty'\]"):
        learner = NASMLPClassifier(**fast).partial_fit(frame, y, classes=[0, 1, 2])
    # Later calls, and `fit`, say nothing of it.
    learner.partial_fit(frame, second[1])
    NASMLPClassifier(**fast).fit(frame, y)


def test_words_for_missing_values_are_missing_in_numbers(fast, parts):
    (X, y), second, _ = parts
    learner = NASMLPClassifier(**fast).partial_fit(
        pd.DataFrame(X), y, classes=[0, 1, 2]
    )
    frame = pd.DataFrame(second[0]).astype(object)
    frame.iloc[0, 1] = "n/a"
    learner.partial_fit(frame, second[1])
    missing = pd.DataFrame(second[0])
    missing.iloc[0, 1] = np.nan
    np.testing.assert_array_equal(
        learner.predict_proba(frame), learner.predict_proba(missing)
    )
    frame.iloc[0, 1] = "red"
    with pytest.raises(ValueError, match=r"to_numeric.*makes what is no number"):
        learner.predict(frame)
