"""Sparse tables that are kept sparse: the rule, the encoding, and odd matrices."""

import tracemalloc

import numpy as np
import pytest
from scipy import sparse

from sknas._table import sparse as _sparse
from sknas._table.encoder import TableEncoder
from sknas._table.sparse import SparseNumberEncoder, as_csr, stays_sparse

MILLION = 10**6


def _table(seed=0, n_rows=60):
    """Counts, with a column of each odd kind."""
    generator = np.random.default_rng(seed)
    X = generator.poisson(0.15, (n_rows, 12)).astype(float)
    X[:, 0] = 0.0
    X[:, 1] = 7.0
    X[:, 2] = generator.normal(2000, 5, n_rows)  # hardly a zero: centred
    X[:5, 2] = 0.0
    X[:, 3] = generator.normal(size=n_rows)  # of both signs
    X[3, 4] = 1e9  # far out
    X[:, 5] *= -0.01
    X[2::9, 6] = np.nan
    X[1::7, 2] = np.nan
    return X


def _encoder(encoding="auto"):
    return SparseNumberEncoder(encoding).fit_sparse(as_csr(_table()))


@pytest.fixture
def keeps_all(monkeypatch):
    """Keep every sparse table sparse, however small."""
    monkeypatch.setattr(_sparse, "MIN_DENSE_BYTES", 0)
    monkeypatch.setattr(_sparse, "MIN_RATIO", 0)


def _of(n_rows, n_columns, n_stored):
    rows = np.arange(n_stored) % n_rows
    return sparse.csr_array(
        (np.ones(n_stored), (rows, np.arange(n_stored) // n_rows)),
        shape=(n_rows, n_columns),
    )


@pytest.mark.parametrize(
    ("X", "expected"),
    [
        (_of(1000, 25_000, 0), True),
        (_of(1000, 24_999, 0), False),
        # (4 * 25,000,000 / 4 - 4 * 1001) / 8 entries are a quarter of the dense form.
        (_of(1000, 25_000, 3_124_499), True),
        (_of(1000, 25_000, 3_124_500), False),
        (sparse.coo_array((1000, 25_000)), True),
        (np.empty((1000, 25_000), np.int8), False),
    ],
    ids=["100 MB", "less", "a quarter", "more", "coo", "dense"],
)
def test_large_tables_with_few_values_stay_sparse(X, expected):
    assert stays_sparse(X) is expected


@pytest.mark.parametrize("encoding", ["auto", "piecewise", "scale", "passthrough"])
def test_a_sparse_table_is_encoded_as_its_dense_form(encoding):
    encoder = _encoder(encoding)
    X = _table(seed=1)
    X[4, 8] = np.nan  # missing where nothing was in fit
    X[5, 0] = 3.0  # nothing but zeros in fit
    X[6, 1:4] = 0.0
    X[7, 7], X[8, 7] = 1e300, -1e300
    dense = np.empty((len(X), encoder.n_features_out))
    encoder.transform(X, dense)
    encoded = encoder.transform_sparse(as_csr(X))
    assert encoded.has_canonical_format
    assert encoded.nnz == np.count_nonzero(dense)
    np.testing.assert_array_equal(encoded.toarray(), dense)
    assert np.isfinite(dense).all()
    # Those that missed values, behind all numbers.
    np.testing.assert_array_equal(dense[:, 12:], np.isnan(X[:, [2, 6]]))
    assert encoder.transform_sparse(as_csr(X), np.float32).dtype == np.float32


def test_zeros_stay_zeros_where_most_values_are_zero():
    X, encoder = _table(), _encoder()
    encoded = encoder.transform_sparse(as_csr(X)).toarray()[:, :12]
    mostly_zero = [4, 5, 7, 8, 9, 10, 11]
    np.testing.assert_array_equal(encoded[:, mostly_zero] != 0, X[:, mostly_zero] != 0)
    # A typical value is 1/2 before it is squeezed.
    np.testing.assert_allclose(encoded[X[:, 8] == 1, 8], 0.5 / np.sqrt(1 + 1 / 36))
    # Nothing that is the same in all rows says anything, and no value dominates.
    assert not encoded[:, :2].any()
    assert np.abs(encoded).max() <= 3
    # The others are centred: their zeros are not zeros, but missing values are.
    assert (encoded[:5, 2] < -2).sum() == 4
    assert not encoded[np.isnan(X[:, 2]), 2].any()
    assert np.median(encoded[:, 2]) == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize("chunk", [1, 7, 2**20])
def test_sizes_are_medians_of_what_is_stored(chunk, monkeypatch):
    monkeypatch.setattr(_sparse, "_CHUNK", chunk)
    X = np.abs(_table())
    expected = [
        np.quantile(v, 0.5, method="lower") if len(v) else np.inf
        for v in (column[column > 0] for column in X.T)
    ]
    medians = _sparse._median_sizes(as_csr(-X).tocsc())
    np.testing.assert_array_equal(medians, expected)
    np.testing.assert_array_equal(as_csr(X).toarray(), X)


@pytest.mark.parametrize("dtype", [np.bool_, np.int8, np.int64, np.float32])
@pytest.mark.parametrize("kind", ["csr", "csc", "coo", "dia", "lil", "dok", "bsr"])
def test_matrices_of_every_kind_become_the_same(kind, dtype):
    X = np.nan_to_num(_table(), posinf=0).clip(-9, 9).astype(dtype)
    for make in (sparse.coo_array, sparse.coo_matrix):
        given = make(X).asformat(kind)
        matrix = as_csr(given)
        np.testing.assert_array_equal(matrix.toarray(), X)
        assert matrix.dtype == np.float64
        assert matrix.has_canonical_format
        assert matrix.nnz == np.count_nonzero(X)
        np.testing.assert_array_equal(given.toarray(), X)


def test_unsorted_duplicates_and_stored_zeros_are_put_in_order():
    # The second row is empty, the first one has a column twice and a zero.
    data = np.array([1.0, 2.0, 0.0, 4.0, np.nan])
    indices, indptr = np.array([3, 3, 0, 1, 0], np.int64), np.array([0, 3, 3, 5])
    given = sparse.csr_array((data, indices.copy(), indptr), shape=(3, 4))
    matrix = as_csr(given)
    expected = np.array([[0, 0, 0, 3.0], [0, 0, 0, 0], [np.nan, 4, 0, 0]])
    np.testing.assert_array_equal(matrix.toarray(), expected)
    assert matrix.nnz == 3
    assert matrix.has_canonical_format
    # What the user has given is as it was.
    np.testing.assert_array_equal(given.indices, indices)
    np.testing.assert_array_equal(given.data, data)


@pytest.mark.usefixtures("keeps_all")
def test_an_encoder_returns_a_sparse_matrix():
    X = sparse.csr_array(_table())
    encoder = TableEncoder()
    encoded = encoder.fit_transform(X)
    assert sparse.issparse(encoded)
    assert encoded.format == "csr"
    assert encoded.shape == (60, encoder.n_features_out_) == (60, 14)
    names = [f"x{i}" for i in range(12)] + ["x2_missing", "x6_missing"]
    assert encoder.get_feature_names_out().tolist() == names
    assert list(encoder.views_) == ["scale"]
    assert not encoder.is_mixed
    for given in (X, X.tocoo(), X.toarray(), X.toarray().astype(object)):
        again = encoder.transform(given)
        np.testing.assert_array_equal(again.toarray(), encoded.toarray())
    encoder.set_output(transform="pandas")
    with pytest.raises(ValueError, match="sparse"):
        encoder.transform(X)


def test_a_dense_table_is_read_in_chunks(monkeypatch):
    monkeypatch.setattr(_sparse, "_CHUNK", 100)
    X = _table()
    np.testing.assert_array_equal(as_csr(X).toarray(), X)
    assert as_csr(X[:0]).shape == (0, 12)


@pytest.mark.usefixtures("keeps_all")
def test_an_encoder_that_has_learned_from_a_dense_table_stays_with_it():
    X = _table()
    encoder = TableEncoder().fit(X)
    encoded = encoder.transform(sparse.csr_array(X))
    np.testing.assert_array_equal(encoded, encoder.transform(X))


@pytest.mark.usefixtures("keeps_all")
def test_folds_are_rows_of_the_whole():
    table = TableEncoder().fit_table(sparse.csr_array(_table()))
    assert (table.n_rows, table.n_features) == (60, 14)
    rows, others = np.array([5, 0, 7]), np.array([1, 59])
    train, test = table.fold(rows, others)
    whole = table.all_rows().toarray()
    np.testing.assert_array_equal(train.toarray(), whole[rows])
    np.testing.assert_array_equal(test.toarray(), whole[others])


def test_the_memory_depends_on_what_is_stored():
    X = _of(20_000, 10_000, 200_000)
    tracemalloc.start()
    TableEncoder().fit_table(X)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # The dense form of 32 bits has 800 MB.
    assert peak < 40 * MILLION
