import numpy as np
import pytest

from sknas._tasks.splits import split_rows


def _assert_is_partition(training, validation, n_rows):
    np.testing.assert_array_equal(
        np.sort(np.concatenate([training, validation])), np.arange(n_rows)
    )


def test_a_split_is_a_stratified_partition():
    y = np.repeat([0, 1, 2], [50, 30, 20])
    ((training, validation),) = split_rows(y, 0.2, 0)
    _assert_is_partition(training, validation, 100)
    assert np.bincount(y[validation]).tolist() == [10, 6, 4]
    assert np.bincount(y[training]).tolist() == [40, 24, 16]


def test_the_seed_decides_the_split():
    y = np.repeat([0, 1], 30)
    first, again, other = (split_rows(y, 0.3, seed)[0][1] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert set(first) != set(other)


@pytest.mark.parametrize("fraction", [0.01, 0.5, 0.99])
@pytest.mark.parametrize("counts", [[2, 2], [2, 3, 40], [5, 5, 5], [100], [2]], ids=str)
def test_every_class_is_trained_on_and_validated(fraction, counts):
    y = np.repeat(np.arange(len(counts)), counts)
    ((training, validation),) = split_rows(y, fraction, 0)
    _assert_is_partition(training, validation, len(y))
    assert set(y[training]) == set(y[validation]) == set(y)


@pytest.mark.parametrize("counts", [[1, 20], [1, 1, 2], [1, 1, 1, 9]], ids=str)
def test_a_class_of_one_row_is_kept_for_training_with_a_warning(counts):
    y = np.repeat(np.arange(len(counts)), counts)
    n_single = counts.count(1)
    with pytest.warns(
        UserWarning,
        match=rf"cannot be stratified: {n_single} class\(es\) have only one",
    ):
        ((training, validation),) = split_rows(y, 0.2, 0)
    _assert_is_partition(training, validation, len(y))
    assert set(y[training]) == set(y)
    assert set(y[validation]) == {c for c, n in enumerate(counts) if n > 1}


@pytest.mark.parametrize("n_rows", [2, 5])
@pytest.mark.parametrize("fraction", [0.01, 0.99])
def test_classes_of_one_row_each_are_split_all_the_same(n_rows, fraction):
    with pytest.warns(UserWarning, match="cannot be stratified"):
        ((training, validation),) = split_rows(np.arange(n_rows), fraction, 0)
    _assert_is_partition(training, validation, n_rows)
    assert len(training) >= 1
    assert len(validation) >= 1


def test_one_row_is_trained_on_and_validated_with_a_warning():
    with pytest.warns(UserWarning, match="X has one row"):
        ((training, validation),) = split_rows(np.array([0]), 0.2, 0)
    assert training.tolist() == validation.tolist() == [0]


@pytest.mark.parametrize("counts", [[50, 30, 20], [53, 31], [7, 11, 400]], ids=str)
def test_splits_validate_on_different_rows(counts):
    y = np.repeat(np.arange(len(counts)), counts)
    splits = split_rows(y, 0.2, 0, n_splits=5)
    for training, validation in splits:
        _assert_is_partition(training, validation, len(y))
        assert set(y[training]) == set(y[validation]) == set(y)
    measured = np.concatenate([validation for _, validation in splits])
    np.testing.assert_array_equal(np.sort(measured), np.arange(len(y)))


def test_a_class_too_rare_for_all_splits_is_in_each():
    y = np.repeat([0, 1], [40, 2])
    for training, validation in split_rows(y, 0.2, 0, n_splits=5):
        assert set(y[training]) == set(y[validation]) == {0, 1}
