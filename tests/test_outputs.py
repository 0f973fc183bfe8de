"""What outputs tell of the validation rows, against scikit-learn's metrics."""

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss, mean_squared_error, r2_score

from sknas._tasks.outputs import (
    IdentityOutput,
    MultilabelOutput,
    SigmoidOutput,
    SoftmaxOutput,
)

GENERATOR = np.random.default_rng(0)
N_CHILDREN, N_ROWS = 2, 40
WEIGHTS = GENERATOR.uniform(0.1, 3, N_ROWS)
every_weight = pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["none", "some"])


def _measure(output, logits, y, weights):
    """Return losses, scores and the rows of each child."""
    if weights is not None:
        weights = torch.from_numpy(weights / weights.sum())
    predictions = output.predictions(torch.from_numpy(logits))
    y = torch.from_numpy(y)
    loss = output.validation_loss(predictions, y, weights)
    score = output.validation_score(predictions, y, weights)
    assert loss.shape == score.shape == (N_CHILDREN,)
    return loss.numpy(), score.numpy(), [output.as_rows(p) for p in predictions]


def _logits(n_outputs):
    return GENERATOR.normal(size=(N_CHILDREN, n_outputs, N_ROWS))


@every_weight
@pytest.mark.parametrize("n_classes", [2, 3])
def test_classes(n_classes, weights):
    output = SigmoidOutput() if n_classes == 2 else SoftmaxOutput(n_classes)
    y = GENERATOR.integers(n_classes, size=N_ROWS)
    measured = _measure(output, _logits(output.n_outputs), y, weights)
    for loss, score, p in zip(*measured, strict=True):
        assert p.shape == (N_ROWS, n_classes)
        assert loss == pytest.approx(log_loss(y, p, sample_weight=weights))
        expected = accuracy_score(y, p.argmax(axis=1), sample_weight=weights)
        assert score == pytest.approx(expected)


@every_weight
def test_labels(weights):
    y = GENERATOR.integers(2, size=(N_ROWS, 4)).astype(np.float32)
    measured = _measure(MultilabelOutput(4), 3 * _logits(4) + 2 * y.T, y, weights)
    for loss, score, p in zip(*measured, strict=True):
        assert p.shape == y.shape
        of_labels = [
            log_loss(y[:, i], p[:, i], sample_weight=weights) for i in range(4)
        ]
        assert loss == pytest.approx(sum(of_labels))
        expected = accuracy_score(y, p > 0.5, sample_weight=weights)
        assert 0 < score == pytest.approx(expected, abs=1e-6)


@every_weight
@pytest.mark.parametrize("n_targets", [1, 3])
def test_numbers(n_targets, weights):
    y = GENERATOR.normal(size=(N_ROWS, n_targets)) * np.arange(1, n_targets + 1)
    logits = y.T + 0.3 * _logits(n_targets)
    measured = _measure(IdentityOutput(n_targets), logits, y, weights)
    for loss, score, predicted in zip(*measured, strict=True):
        assert predicted.shape == y.shape
        expected = mean_squared_error(y, predicted, sample_weight=weights) / 2
        assert loss == pytest.approx(expected)
        expected = r2_score(y, predicted, sample_weight=weights)
        assert score == pytest.approx(expected)


def test_a_constant_number_is_predicted_right_or_wrong():
    y = np.column_stack([np.ones(N_ROWS), np.arange(N_ROWS, dtype=float)])
    right, wrong = y.T.copy(), y.T + np.array([[1], [0]])
    _, scores, _ = _measure(IdentityOutput(2), np.stack([right, wrong]), y, None)
    assert scores.tolist() == [1, 0.5]


def test_targets_have_rows_last():
    y = np.array([[1, 0], [0, 1], [1, 1]], dtype=np.float32)
    for output in (MultilabelOutput(2), IdentityOutput(2)):
        targets = output.targets(y)
        assert targets.dtype == torch.float32
        assert targets.is_contiguous()
        np.testing.assert_array_equal(targets.numpy(), y.T)
