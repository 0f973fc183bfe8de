"""Sparse tables from the first layer to the estimators."""

import pickle
import tracemalloc
from dataclasses import replace

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from sknas import Architecture, NASMLPClassifier, NASMLPRegressor
from sknas._budget import Budget
from sknas._engine.batch import Batch
from sknas._engine.jobs import TrainingData, TrainingJob
from sknas._engine.network import StackedMLP
from sknas._engine.sparse import SparseBatch, SparseRows
from sknas._engine.training.stack import train_stack
from sknas._fit import workbench as _workbench
from sknas._fit.settings import read_settings
from sknas._table import sparse as _sparse
from sknas._table.encoder import TableEncoder
from sknas._tasks.outputs import SoftmaxOutput

CPU = torch.device("cpu")
A = Architecture((8, "relu"), "dropout", (4, "tanh"))
B = Architecture((5, "sigmoid"), (6, "elu"))
SETTINGS = read_settings(NASMLPClassifier().get_params(), "it", 0.3).training


@pytest.fixture(autouse=True, scope="module")
def _keeps_all():
    """Keep every sparse table sparse, however small."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_sparse, "MIN_DENSE_BYTES", 0)
        patch.setattr(_sparse, "MIN_RATIO", 0)
        yield


def _counts(n_rows=90, n_columns=15, seed=0):
    """A table and two classes; a row and a column are empty."""
    generator = np.random.default_rng(seed)
    X = generator.poisson(0.3, (n_rows, n_columns)).astype(float)
    X[3] = X[:, 4] = 0.0
    y = (X[:, 0] + X[:, 1] + 0.1 * generator.normal(size=n_rows) > 0.5).astype(int)
    return X, y


def _data(*, is_sparse=True):
    X, y = _counts()
    X = X.astype(np.float32)
    make = sparse.csr_array if is_sparse else np.ascontiguousarray
    output = SoftmaxOutput(2)
    return TrainingData(make(X[:70]), y[:70], output, make(X[70:]), y[70:])


def _train(data, architectures=(A, A, B), max_iter=3):
    jobs = [TrainingJob(each, seed) for seed, each in enumerate(architectures)]
    settings = SETTINGS.whole(max_iter, max_iter)
    return train_stack(data, jobs, settings, 0, CPU)


def _assert_close(results, expected, tolerance=1e-5):
    for one, other in zip(results, expected, strict=True):
        np.testing.assert_allclose(one.loss_curve, other.loss_curve, rtol=tolerance)
        np.testing.assert_allclose(
            one.validation_predictions,
            other.validation_predictions,
            rtol=tolerance,
            atol=tolerance,
        )
        for (weights, _), (others, _) in zip(one.weights, other.weights, strict=True):
            np.testing.assert_allclose(weights, others, atol=100 * tolerance)


@pytest.mark.parametrize("positions", [[5, 3, 60, 5], [3], [3, 3]])
def test_a_sparse_batch_has_the_gradients_of_its_dense_form(positions):
    data = _data()
    rows = SparseRows(data.X, CPU)
    positions = torch.tensor(positions)
    network = StackedMLP([A, B, A], 15, 2, dropout=[0.5] * 3, device=CPU)
    found = []
    for is_sparse in (False, True):
        for child in range(3):
            network.initialize(child, child)
        network.gradients.fill_(np.nan)
        batch = Batch(network, len(positions), is_sparse=is_sparse)
        assert isinstance(batch.X, SparseBatch) is is_sparse
        rows.copy_to(batch.X if is_sparse else batch.X[0], positions)
        logits = batch.forward().clone()
        batch.backward(torch.ones_like(logits))
        found.append((logits, network.gradients.nan_to_num(0)))
    torch.testing.assert_close(*found)
    assert found[0][1].abs().max() > 0.01 or len(set(positions.tolist())) == 1


def test_a_sparse_table_is_trained_on_as_its_dense_form():
    _assert_close(_train(_data()), _train(_data(is_sparse=False)))


def test_where_products_are_dense_batches_are(monkeypatch):
    monkeypatch.setattr(SparseRows, "multiplies_sparse", property(lambda _: False))
    monkeypatch.setattr("sknas._engine.sparse._DENSE_CHUNK", 15 * 20)
    _assert_close(_train(_data()), _train(_data(is_sparse=False)), tolerance=0)


def test_a_table_that_workers_share_is_trained_on_alike(tmp_path):
    # What joblib hands to other processes: memory that is mapped from a file.
    joblib.dump(_data(), tmp_path / "data")
    shared = joblib.load(tmp_path / "data", mmap_mode="c")
    assert isinstance(shared.X.data, np.memmap)
    _assert_close(_train(shared), _train(_data()), tolerance=0)


def test_children_are_trained_alike_beside_others():
    together = _train(_data(), (A, A, A))
    alone = [
        train_stack(_data(), [TrainingJob(A, seed)], SETTINGS.whole(3, 3), 0, CPU)[0]
        for seed in range(3)
    ]
    _assert_close(together, alone, tolerance=1e-6)


def test_nothing_but_zeros_can_be_trained_on():
    data = _data()
    empty = replace(data, X=0 * data.X, X_validation=0 * data.X_validation)
    empty.X.eliminate_zeros()
    for result in _train(empty):
        assert result.error is None
        assert np.ptp(result.validation_predictions, axis=0).max() == 0


@pytest.fixture(scope="module")
def fitted():
    """An estimator that was fitted to a sparse table, and the table."""
    X, y = _counts(seed=1)
    X[1, 2] = X[70, 2] = np.nan
    return _fit(sparse.csr_matrix(X), y), X, y


def _settings(**changes):
    return {
        "n_rounds": 1,
        "n_architectures": 2,
        "search_epochs": 2,
        "n_finalists": 0,
        "n_splits": 1,
        "n_ensemble": 2,
        "max_iter": 3,
        "layer_widths": (8, 16),
        "random_state": 0,
        **changes,
    }


def _fit(X, y, estimator=NASMLPClassifier, sample_weight=None, **changes):
    settings = _settings(**changes)
    return estimator(**settings).fit(X, y, sample_weight=sample_weight)


@pytest.mark.parametrize("kind", ["csr", "csc", "coo", "dia", "lil", "dok", "bsr"])
def test_predictions_do_not_depend_on_the_form_of_the_table(kind, fitted):
    classifier, X, _ = fitted
    expected = classifier.predict_proba(X)
    for make in (sparse.coo_array, sparse.coo_matrix):
        p = classifier.predict_proba(make(X).asformat(kind))
        np.testing.assert_array_equal(p, expected)
    frame = pd.DataFrame(X).astype(pd.SparseDtype("float", 0.0))
    np.testing.assert_array_equal(classifier.predict_proba(frame), expected)


def test_a_row_is_predicted_alike_beside_others(fitted):
    classifier, X, _ = fitted
    X = sparse.csr_array(X)
    whole = classifier.predict_log_proba(X)
    for rows in (slice(0, 1), slice(3, 5), slice(20, 90)):
        part = classifier.predict_log_proba(X[rows])
        np.testing.assert_allclose(part, whole[rows], rtol=0, atol=1e-13)


@pytest.mark.parametrize("kind", ["csc", "coo", "lil"])
def test_every_form_of_a_table_is_fitted_alike(kind, fitted):
    classifier, X, y = fitted
    given = sparse.coo_array(X).asformat(kind)
    again = _fit(given, y)
    assert again.encoder_.transform(given).format == "csr"
    np.testing.assert_array_equal(again.predict_proba(X), classifier.predict_proba(X))


def test_int64_indices_integers_and_booleans_are_fitted_alike():
    X, y = _counts()
    X = (X > 0).astype(float)
    expected = _fit(sparse.csr_array(X), y).predict_proba(X)
    wide = sparse.csr_array(X)
    wide.indices, wide.indptr = (
        a.astype(np.int64) for a in (wide.indices, wide.indptr)
    )
    frame = pd.DataFrame(X).astype(pd.SparseDtype("float", 0.0))
    for given in (wide, wide.astype(np.int32), wide.astype(bool), frame):
        again = _fit(given, y)
        assert again.encoder_.numbers_.scaler_.center_.any() == 0
        np.testing.assert_array_equal(again.predict_proba(X), expected)


def test_rows_without_weight_are_as_good_as_none():
    X, y = _counts()
    weights = np.random.default_rng(0).integers(0, 3, len(y))
    kept = np.flatnonzero(weights)
    given = sparse.coo_array(X)
    weighted = _fit(given, y, sample_weight=weights)
    without = _fit(sparse.csr_array(X[kept]), y[kept], sample_weight=weights[kept])
    np.testing.assert_array_equal(weighted.predict_proba(X), without.predict_proba(X))


@pytest.mark.parametrize("encoding", ["auto", "passthrough"])
def test_a_regressor_learns_from_sparse_tables(encoding):
    X, _ = _counts(200)
    y = X[:, :3].sum(axis=1)
    X[2, 7] = np.nan
    regressor = _fit(
        sparse.csr_array(X),
        y,
        NASMLPRegressor,
        encoding=encoding,
        max_iter=20,
        n_architectures=1,
    )
    assert regressor.best_params_["encoding"] == encoding.replace("auto", "scale")
    assert regressor.score(sparse.csc_array(X), y) > 0.5
    # The module takes dense tensors, and does the encoding.
    module = regressor.to_torch()
    expected = regressor.predict(X)
    found = module(torch.from_numpy(X)).detach().numpy()[:, 0]
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("solver", ["lbfgs", "sgd"])
def test_other_solvers_learn_from_sparse_tables_as_from_their_dense_form(solver):
    settings = replace(SETTINGS.whole(3, 3), solver=solver)
    found = []
    for is_sparse in (True, False):
        data = _data(is_sparse=is_sparse)
        found.append(train_stack(data, [TrainingJob(A, 0)], settings, 0, CPU))
    assert found[0][0].error is None
    _assert_close(*found, tolerance=1e-4)


def test_further_batches_are_learned_from_in_any_form():
    X, y = _counts(300)
    X[np.arange(100), :3] = 0
    batches = [slice(100 * i, 100 * i + 100) for i in range(3)]
    found = []
    for make in (sparse.csr_array, np.asarray):
        classifier = NASMLPClassifier(**_settings())
        classifier.partial_fit(sparse.csr_array(X[batches[0]]), y[:100], classes=[0, 1])
        for batch in batches[1:]:
            classifier.partial_fit(make(X[batch]), y[batch])
        found.append(classifier.predict_proba(make(X)))
    np.testing.assert_array_equal(*found)


def test_a_second_fit_continues_that_of_a_sparse_table():
    X, y = _counts(120)
    classifier = NASMLPClassifier(**_settings(warm_start=True))
    classifier.fit(sparse.coo_array(X), y)
    n_trials = len(classifier.search_results_["score"])
    classifier.fit(sparse.coo_array(X), y)
    assert len(classifier.search_results_["score"]) == 2 * n_trials


def test_copies_of_sparse_rows_are_weights():
    X, y = _counts(120)
    X[:, 7] = np.random.default_rng(3).normal(size=120).round(2)
    rows = np.repeat(np.arange(120), np.arange(120) % 2 + 1)
    found = [
        _fit(make(X[rows]), y[rows]).predict_proba(X)
        for make in (sparse.csr_array, sparse.csc_matrix)
    ]
    np.testing.assert_array_equal(*found)


def test_a_pickle_predicts_the_same(fitted):
    classifier, X, _ = fitted
    again = pickle.loads(pickle.dumps(classifier))
    given = sparse.csr_array(X)
    np.testing.assert_array_equal(
        again.predict_proba(given), classifier.predict_proba(given)
    )


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinite_values_are_refused(value, fitted):
    classifier, X, y = fitted
    X = X.copy()
    X[5, 5] = value
    with pytest.raises(ValueError, match="infinity"):
        classifier.predict(sparse.csr_array(X))
    with pytest.raises(ValueError, match="infinity"):
        _fit(sparse.csr_array(X), y)


def test_nothing_but_zeros_is_fitted():
    y = np.arange(40) % 2
    X = sparse.csr_array((40, 5))
    p = _fit(X, y).predict_proba(X)
    assert np.ptp(p, axis=0).max() == 0


def test_time_is_measured_on_rows_that_are_as_sparse_as_the_table(monkeypatch):
    monkeypatch.setattr(_workbench, "_PROBED_ROWS", 10)
    X, y = _counts()
    given = []

    class Encoder(TableEncoder):
        def fit_table(self, X, y, sample_weight, keeps_sparse):
            given.append((X.shape, keeps_sparse))
            return super().fit_table(X, y, sample_weight, keeps_sparse)

    classifier = NASMLPClassifier(**_settings())
    task = classifier._make_task(X, y, None)
    for table in (sparse.csr_array(X), X):
        rows = _workbench.affordable_rows(table, task, Encoder(), 0, Budget(1e-9))
        assert 10 <= len(rows) <= 14
    assert given == [((10, 15), True), ((10, 15), False)]


def test_a_fit_with_max_time_takes_some_rows_of_a_sparse_table(monkeypatch):
    monkeypatch.setattr(_workbench, "_PROBED_ROWS", 20)
    monkeypatch.setattr(_workbench, "_ENCODING_SHARE", 1e-12)
    X, y = _counts()
    classifier = _fit(sparse.coo_array(X), y, max_time=60)
    assert classifier.t_ // classifier.n_iter_ < 60
    assert classifier.predict(sparse.csr_array(X)).shape == (90,)


def test_arrays_of_a_fit_and_of_a_prediction_are_as_small_as_the_table():
    n_rows, n_columns = 2000, 20_000
    generator = np.random.default_rng(0)
    shape = (n_rows, n_columns)
    stored = generator.integers(0, n_columns, 10 * n_rows)
    rows = np.repeat(np.arange(n_rows), 10)
    X = sparse.csr_array((np.ones(len(rows)), (rows, stored)), shape)
    y = np.arange(n_rows) % 2
    tracemalloc.start()
    classifier = NASMLPClassifier.from_architecture(
        ((2, "relu"),), search_epochs=1, max_iter=1, n_splits=1, n_ensemble=1
    )
    classifier.fit(X, y).predict(X)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # A fifth of the dense form of 32 bits.
    assert peak < 4 * n_rows * n_columns / 5
