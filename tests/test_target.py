import numpy as np
import pytest

from sknas._tasks.target import TargetScaler

GENERATOR = np.random.default_rng(0)
TARGETS = {
    "normal": GENERATOR.normal(50, 3, size=400),
    "heavy tail": np.exp(3 * GENERATOR.normal(size=400)),
    "Cauchy": GENERATOR.standard_cauchy(400),
    "mostly zero": np.where(
        GENERATOR.random(400) < 0.8, 0, GENERATOR.gamma(2, size=400)
    ),
    "huge": 1e30 * GENERATOR.normal(size=400),
    "tiny": 1e-30 * GENERATOR.normal(size=400),
    "to the end of the range": 1.7e308 * GENERATOR.uniform(-1, 1, 400),
    "far from zero": 1e12 + GENERATOR.normal(size=400),
    "two values": GENERATOR.integers(2, size=400).astype(float),
    "constant": np.full(400, -7.0),
    "one in ten far away": np.where(np.arange(400) % 10, 1e-9, 50.0)
    + 1e-10 * GENERATOR.normal(size=400),
}
every_target = pytest.mark.parametrize("y", TARGETS.values(), ids=TARGETS)


@every_target
def test_the_inverse_is_exact(y):
    scaler = TargetScaler().fit(y[:, None])
    scaled = scaler.transform(y[:, None])
    assert np.isfinite(scaled).all()
    # Relative to the largest, since differences of large numbers lose digits.
    np.testing.assert_allclose(
        scaler.inverse_transform(scaled)[:, 0] / np.abs(y).max(),
        y / np.abs(y).max(),
        rtol=1e-12,
        atol=1e-15,
    )


@every_target
def test_scaled_targets_are_standardised(y):
    scaled = TargetScaler().fit(y[:, None]).transform(y[:, None])
    assert scaled.mean() == pytest.approx(0, abs=1e-9)
    if len(np.unique(y)) > 1:
        assert scaled.std() == pytest.approx(1)


def test_a_target_without_a_tail_is_standardised_and_nothing_else():
    y = TARGETS["normal"]
    scaled = TargetScaler().fit(y[:, None]).transform(y[:, None])[:, 0]
    np.testing.assert_allclose(scaled, (y - y.mean()) / y.std(), rtol=1e-12)


@pytest.mark.parametrize("noise", [0.0, 1e-9, 0.1])
@pytest.mark.parametrize("share", [0.02, 0.1, 0.3])
def test_clusters_are_standardised_and_nothing_else(share, noise):
    y = np.where(np.arange(1000) < 1000 * share, 50.0, 0.0)
    y += noise * GENERATOR.normal(size=1000)
    scaled = TargetScaler().fit(y[:, None]).transform(y[:, None])[:, 0]
    np.testing.assert_allclose(scaled, (y - y.mean()) / y.std(), rtol=0.02, atol=0.02)


def test_a_heavy_tail_does_not_decide_the_squares():
    y = TARGETS["heavy tail"]
    scaled = TargetScaler().fit(y[:, None]).transform(y[:, None])[:, 0]
    share = np.sort(scaled**2)[-4:].sum() / (scaled**2).sum()
    standardised = (y - y.mean()) ** 2
    assert np.sort(standardised)[-4:].sum() / standardised.sum() > 0.7
    assert share < 0.65
    # In the same order.
    np.testing.assert_array_equal(np.argsort(scaled), np.argsort(y))


def test_several_targets_are_scaled_one_by_one():
    y = np.column_stack([TARGETS["normal"], TARGETS["huge"], TARGETS["heavy tail"]])
    scaler = TargetScaler().fit(y)
    for column in range(3):
        alone = TargetScaler().fit(y[:, [column]])
        np.testing.assert_allclose(
            scaler.transform(y)[:, [column]], alone.transform(y[:, [column]])
        )


def test_weights_are_as_good_as_repetitions():
    y = TARGETS["normal"][:50, None]
    n_copies = GENERATOR.integers(1, 4, 50)
    weighted = TargetScaler().fit(y, n_copies)
    repeated = TargetScaler().fit(np.repeat(y, n_copies, axis=0))
    # Median and quartiles are those of the rows; what follows is standardised.
    np.testing.assert_allclose(weighted.transform(y), repeated.transform(y))


def test_predictions_beyond_what_was_seen_are_clipped():
    y = np.array([[1.0], [2.0], [4.0]])
    scaler = TargetScaler().fit(y)
    predicted = scaler.inverse_transform(np.array([[-1e9], [0.0], [1e9]]))
    assert predicted[[0, 2], 0].tolist() == [1, 4]
    assert 1 < predicted[1, 0] < 4
