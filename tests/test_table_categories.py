import numpy as np
import pandas as pd
import pytest

from sknas._table.encoder import TableEncoder


def _many_categories(n_classes=2):
    generator = np.random.default_rng(0)
    codes = generator.integers(0, 100, 2000)
    y = (codes % n_classes).astype(int)
    return pd.DataFrame({"code": codes.astype(str)}).astype("category"), y


@pytest.mark.parametrize(("n_classes", "n_added"), [(2, 1), (3, 3)])
def test_many_categories_are_encoded_by_the_classes_too(n_classes, n_added):
    X, y = _many_categories(n_classes)
    encoder = TableEncoder()
    encoded = encoder.fit_transform(X, y)
    assert encoded.shape == (2000, 64 + n_added)
    assert encoder.n_features_out_ == 64 + n_added
    shares = encoder.transform(X)[:, -n_added:]
    if n_classes == 2:
        assert ((shares[:, 0] > 0) == (y == 1)).all()
    else:
        assert (shares.argmax(axis=1) == y).all()
    unseen = encoder.transform(pd.DataFrame({"code": ["?"]}).astype("category"))
    prior = np.bincount(y)[-n_added:] / len(y) - 0.5
    np.testing.assert_allclose(unseen[0, -n_added:], prior)


def test_no_row_sees_its_own_class():
    # Each row has a category of its own: other rows know nothing of it.
    y = np.random.default_rng(0).integers(0, 2, 200)
    X = pd.DataFrame({"name": [f"row {i}" for i in range(200)]})
    with pytest.warns(UserWarning, match="differs in nearly every row"):
        shares = TableEncoder().fit_transform(X, y)[:, -1]
    assert abs(np.corrcoef(shares, y)[0, 1]) < 0.3


@pytest.mark.parametrize("y", [None, np.zeros(2000, int)], ids=["none", "one class"])
def test_without_classes_there_is_nothing_to_encode_by(y):
    X, _ = _many_categories()
    assert TableEncoder().fit_transform(X, y).shape == (2000, 64)


def test_few_categories_are_not_encoded_by_the_classes(mixed_frame):
    X, y = mixed_frame
    np.testing.assert_array_equal(
        TableEncoder().fit_transform(X, y), TableEncoder().fit(X).transform(X)
    )
