import numpy as np
import pytest

from sknas._table.numbers import NumberEncoder, RampEncoder, SmoothClipScaler


def _squeeze(z):
    return z / np.sqrt(1 + (np.asarray(z) / 3) ** 2)


# SmoothClipScaler.


def test_the_scaler_agrees_with_a_worked_example():
    # Median 3, quartiles 2 and 4.
    X = np.array([[1.0], [2.0], [3.0], [4.0], [5.0]])
    scaler = SmoothClipScaler().fit(X)
    assert (scaler.center_.item(), scaler.scale_.item()) == (3.0, 2.0)
    expected = _squeeze(np.array([[-1.0], [-0.5], [0.0], [0.5], [1.0]]))
    np.testing.assert_allclose(scaler.transform(X), expected)


def test_a_column_without_interquartile_range_is_divided_by_half_its_range():
    X = np.array([[0.0]] * 8 + [[4.0]])
    scaler = SmoothClipScaler().fit(X)
    assert scaler.scale_.item() == 2.0
    assert scaler.transform(X)[-1].item() == pytest.approx(_squeeze(2.0))


def test_the_scaler_is_monotone_and_bounded_by_three():
    X = np.concatenate([np.linspace(-5, 5, 101), [1e30, -1e30]])[:, None]
    scaled = SmoothClipScaler().fit(X).transform(X)[:, 0]
    assert np.abs(scaled).max() <= 3
    assert (np.diff(scaled[np.argsort(X[:, 0])]) > 0).all()


def test_the_scaler_ignores_units():
    X = np.random.default_rng(0).normal(size=(40, 3))
    shifted = X * [1e-6, 7.0, 1e9] + [0.0, -5.0, 1e9]
    np.testing.assert_allclose(
        SmoothClipScaler().fit(shifted).transform(shifted),
        SmoothClipScaler().fit(X).transform(X),
        atol=1e-6,
    )


def test_constant_and_missing_columns_become_zero_and_nan():
    X = np.array([[7.0, np.nan, 1.0], [7.0, np.nan, np.nan], [7.0, np.nan, 3.0]])
    scaled = SmoothClipScaler().fit(X).transform(X)
    np.testing.assert_array_equal(scaled[:, 0], 0)
    assert np.isnan(scaled[:, 1]).all()
    np.testing.assert_array_equal(np.isnan(scaled[:, 2]), [False, True, False])


def test_infinite_values_are_refused_by_the_scaler():
    with pytest.raises(ValueError, match="contains infinity"):
        SmoothClipScaler().fit(np.array([[1.0], [np.inf]]))


# scikit-learn's own check for finite values sums them.
@pytest.mark.filterwarnings("ignore:invalid value encountered in reduce")
@pytest.mark.parametrize("huge", [1e30, 1e308, np.finfo(np.float64).max])
@pytest.mark.parametrize("n_huge", [1, 10, 20])
def test_huge_values_of_both_signs_stay_finite(huge, n_huge):
    X = np.linspace(-1, 1, 40)[:, None]
    X[:n_huge] = -huge
    X[-n_huge:] = huge
    scaled = SmoothClipScaler().fit(X).transform(X)
    assert np.isfinite(scaled).all()
    assert scaled[0].item() < scaled[-1].item()


def test_a_constant_column_may_be_far_away_at_predict_time():
    scaler = SmoothClipScaler().fit(np.full((5, 1), -1e308))
    assert np.isfinite(scaler.transform(np.array([[1e308]]))).all()


# RampEncoder.


def _ramps(column, n_bins, other=None):
    encoder = RampEncoder(n_bins).fit(np.asarray(column, float)[:, None])
    other = column if other is None else other
    return encoder.transform(np.asarray(other, float)[:, None])


def test_ramps_agree_with_a_worked_example():
    # Knots 0, 2 and 4.
    ramps = _ramps([0, 1, 2, 3, 4], 2, [-9, 0, 1, 2, 3.5, 9, np.nan])
    expected = [[0, 0], [0, 0], [0.5, 0], [1, 0], [1, 0.75], [1, 1], [0.5, 0.5]]
    np.testing.assert_allclose(ramps, (np.array(expected) - 0.5) / 2)


def test_any_piecewise_linear_function_is_a_sum_of_ramps():
    x = np.random.default_rng(0).normal(size=300)
    knots = np.quantile(x, np.linspace(0, 1, 9), method="nearest")
    design = np.column_stack([_ramps(x, 8), np.ones(300)])
    target = np.interp(x, knots, np.random.default_rng(1).normal(size=9))
    coef, *_ = np.linalg.lstsq(design, target, rcond=None)
    np.testing.assert_allclose(design @ coef, target, atol=1e-9)


def test_a_column_of_mostly_one_value_has_knots_among_the_others():
    column = np.concatenate([np.zeros(500), np.arange(1, 21)])
    assert _ramps(column, 5).shape == (520, 5)


@pytest.mark.parametrize("column", [[3.0] * 9, [0, 1] * 5, [np.nan] * 4], ids=str)
def test_columns_of_two_values_or_fewer_have_no_ramps(column):
    assert _ramps(column, 8).shape == (len(column), 0)


def test_ramps_belong_to_their_columns():
    generator = np.random.default_rng(0)
    X = np.column_stack(
        [np.ones(50), generator.normal(size=50), np.tile([0, 1], 25), np.arange(50)]
    )
    encoder = RampEncoder(4).fit(X)
    assert encoder.columns_.tolist() == [1] * 4 + [3] * 4
    changed = X.copy()
    changed[:, 3] = 25
    difference = encoder.transform(X) - encoder.transform(changed)
    assert (difference[:, :4] == 0).all()
    assert (difference[:, 4:] != 0).any()


# Large tables, of which a sample tells quantiles.


def _large():
    n_rows = 50_000
    generator = np.random.default_rng(0)
    X = np.column_stack(
        [
            np.sort(generator.normal(size=n_rows)),  # In order.
            np.full(n_rows, 7.0),  # Constant.
            np.full(n_rows, 7.0),  # Constant, but for one row.
            generator.normal(size=n_rows),  # Missing in one row.
            np.full(n_rows, np.nan),  # Present in fifty rows.
            generator.random(n_rows) < 0.5,  # Of two values.
            np.zeros(n_rows),  # Of three values, two of them rare.
            np.full(n_rows, np.nan),  # Present nowhere.
        ]
    )
    X[12_345, 2] = 9.0
    X[23_456, 3] = np.nan
    X[::1000, 4] = np.arange(50)
    X[3, 6], X[4, 6] = 1.0, 2.0
    return X


def test_quantiles_of_a_sample_are_near_those_of_all_rows():
    X = _large()
    scaler = SmoothClipScaler().fit(X[:, [0, 3]])
    low, center, high = np.nanpercentile(X[:, [0, 3]], [25, 50, 75], axis=0)
    np.testing.assert_allclose(scaler.center_, center, atol=0.03)
    np.testing.assert_allclose(scaler.scale_, high - low, atol=0.03)
    again = SmoothClipScaler().fit(X[:, [0, 3]])
    np.testing.assert_array_equal(scaler.center_, again.center_)


def test_what_a_sample_may_miss_is_learned_from_all_rows():
    X = _large()
    encoder = NumberEncoder("piecewise").fit(X)
    scale = encoder.scaler_.scale_
    assert scale[[1, 7]].tolist() == [np.inf, np.inf]
    # Half the range, and the interquartile range of what is present.
    assert scale[[2, 4, 6]].tolist() == [1.0, 24.5, 1.0]
    assert encoder.scaler_.center_[4] == 24.5
    assert encoder.indicator_columns_.tolist() == [3, 4, 7]
    counts = np.bincount(encoder.ramps_.columns_, minlength=8)
    assert counts.tolist() == [8, 0, 0, 8, 8, 0, 2, 0]
    encoded = np.empty((len(X), encoder.n_features_out), dtype=np.float32)
    encoder.transform(X, encoded)
    assert np.isfinite(encoded).all()
    assert len(np.unique(encoded[:, 1])) == 1
    assert len(np.unique(encoded[:, 2])) == 2
    # The indicators are the last three columns.
    np.testing.assert_array_equal(encoded[:, -3:], np.isnan(X[:, [3, 4, 7]]))


def test_the_first_rows_of_a_large_table_are_no_sample():
    X = _large()[:, :1]
    scaler = SmoothClipScaler().fit(X)
    assert abs(scaler.center_.item() - np.median(X)) < 0.03


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ramps_are_written_where_they_belong(dtype):
    X = np.random.default_rng(0).normal(size=(40, 2))
    X[3, 1] = np.nan
    encoder = RampEncoder(4).fit(X)
    out = np.full((40, 8), 9, dtype=dtype)
    result = encoder.transform(X, out)
    assert result is out
    np.testing.assert_array_equal(out, encoder.transform(X).astype(dtype))
