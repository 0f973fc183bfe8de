import dataclasses
import math

import numpy as np
import pytest
import torch
from sklearn.datasets import make_blobs

from sknas import Architecture, _trainer
from sknas._network import SigmoidOutput, SoftmaxOutput, StackedMLP
from sknas._trainer import (
    Trainer,
    TrainingData,
    TrainingJob,
    TrainingSettings,
    train_child,
)

CPU = torch.device("cpu")
ARCHITECTURE = Architecture((16, "relu"), "dropout", (8, "tanh"))
SETTINGS = TrainingSettings(
    max_iter=4, batch_size=16, learning_rate_init=0.01, dropout=0.2
)


def _make_data(n_classes=3, *, spread=0.6, validation=True):
    X, y = make_blobs(
        n_samples=120, centers=n_classes, cluster_std=spread, random_state=0
    )
    X = ((X - X.mean(axis=0)) / X.std(axis=0)).astype(np.float32)
    y = y.astype(np.int64)
    if not validation:
        return TrainingData(X, y, n_classes)
    return TrainingData(X[:80], y[:80], n_classes, X[80:], y[80:])


def _train(
    data, settings=SETTINGS, *, architecture=ARCHITECTURE, inherited=None, **seeds
):
    job = TrainingJob(architecture, seeds.get("job", 1), inherited)
    return train_child(data, job, settings, seeds.get("order", 2), CPU)


def _assert_same(first, second):
    """Compare two results bit by bit, but for their time."""
    for field in dataclasses.fields(first):
        a, b = getattr(first, field.name), getattr(second, field.name)
        if field.name == "weights":
            for pair, other in zip(a, b, strict=True):
                np.testing.assert_array_equal(pair[0], other[0])
                np.testing.assert_array_equal(pair[1], other[1])
        elif field.name == "validation_probabilities":
            np.testing.assert_array_equal(a, b)
        elif field.name != "time":
            assert a == b, field.name


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("solver", ["adam", "adamw"])
@pytest.mark.parametrize("learning_rate", ["constant", "cosine"])
def test_an_easy_problem_is_learned(n_classes, solver, learning_rate):
    settings = dataclasses.replace(
        SETTINGS, max_iter=20, solver=solver, alpha=0.01, learning_rate=learning_rate
    )
    result = _train(_make_data(n_classes), settings)
    assert not result.failed
    assert result.validation_scores[-1] > 0.9
    assert result.loss_curve[-1] < 0.5 * result.loss_curve[0]
    assert result.n_iter == result.best_iter == len(result.loss_curve) == 20
    assert len(result.validation_scores) == 20


def test_results_are_arrays_of_the_right_shapes():
    data = _make_data(3)
    result = _train(data)
    assert [coef.shape for coef, _ in result.weights] == [(2, 16), (16, 8), (8, 3)]
    assert [bias.shape for _, bias in result.weights] == [(16,), (8,), (3,)]
    assert all(type(array) is np.ndarray for pair in result.weights for array in pair)
    assert result.validation_probabilities.shape == (40, 3)
    np.testing.assert_allclose(
        result.validation_probabilities.sum(axis=1), 1, rtol=1e-6
    )
    truth = result.validation_probabilities[np.arange(40), data.y_validation]
    assert result.validation_loss == pytest.approx(-np.log(truth).mean(), rel=1e-5)
    predicted = result.validation_probabilities.argmax(axis=1)
    accuracy = (predicted == data.y_validation).mean()
    assert result.validation_scores[-1] == pytest.approx(accuracy)
    assert result.time > 0


def test_the_output_follows_from_the_number_of_classes():
    binary, three, one = (_make_data(n) for n in (2, 3, 1))
    assert (binary.n_outputs, binary.output) == (1, SigmoidOutput)
    assert (three.n_outputs, three.output) == (3, SoftmaxOutput)
    assert (one.n_outputs, one.output) == (1, SoftmaxOutput)
    assert _train(binary).validation_probabilities.shape == (40, 2)
    result = _train(one)
    np.testing.assert_array_equal(result.validation_probabilities, np.ones((40, 1)))
    assert result.validation_loss == 0


def test_early_stopping_restores_the_best_epoch():
    # Labels that mean nothing: the validation loss soon rises.
    data = _make_data(2)
    noise = np.random.default_rng(0)
    data = dataclasses.replace(
        data,
        y=noise.integers(2, size=80),
        y_validation=noise.integers(2, size=40),
    )
    settings = dataclasses.replace(
        SETTINGS, max_iter=60, n_iter_no_change=3, learning_rate_init=0.05
    )
    stopped = _train(data, settings)
    assert 1 < stopped.best_iter < stopped.n_iter < 60
    assert stopped.n_iter == stopped.best_iter + 3
    assert len(stopped.loss_curve) == stopped.n_iter
    # The same training, told to end there.
    settings = dataclasses.replace(
        settings, max_iter=stopped.best_iter, n_iter_no_change=None
    )
    ended = _train(data, settings)
    for pair, other in zip(stopped.weights, ended.weights, strict=True):
        np.testing.assert_array_equal(pair[0], other[0])
    np.testing.assert_array_equal(
        stopped.validation_probabilities, ended.validation_probabilities
    )
    assert stopped.validation_loss == ended.validation_loss
    longer = _train(data, dataclasses.replace(settings, max_iter=stopped.n_iter))
    assert longer.validation_loss > stopped.validation_loss
    assert longer.best_iter == longer.n_iter


def test_without_validation_rows_the_last_epoch_counts():
    result = _train(_make_data(validation=False))
    assert result.best_iter == result.n_iter == 4
    assert result.validation_scores == []
    assert result.validation_probabilities is None
    assert not result.failed


@pytest.mark.parametrize("validation", [True, False])
def test_a_loss_that_is_not_finite_is_a_failure(validation):
    settings = dataclasses.replace(SETTINGS, learning_rate_init=1e30, max_iter=9)
    result = _train(_make_data(validation=validation), settings)
    assert result.failed
    assert result.weights == []
    assert result.validation_probabilities is None
    assert math.isnan(result.validation_loss)
    assert result.n_iter < 9


def test_a_validation_loss_that_is_not_finite_is_a_failure():
    data = _make_data()
    X_validation = data.X_validation.copy()
    X_validation[0] = np.nan
    result = _train(dataclasses.replace(data, X_validation=X_validation))
    assert result.failed
    assert math.isfinite(result.loss_curve[0])


def test_results_do_not_depend_on_n_jobs_or_on_the_order_of_jobs():
    jobs = [
        TrainingJob(Architecture((8, "relu"), "dropout"), 1),
        TrainingJob(Architecture((16, "elu"), (8, "tanh")), 2),
        TrainingJob(Architecture((16, "sigmoid")), 3),
    ]

    def train(jobs, n_jobs):
        trainer = Trainer(_make_data(), SETTINGS, seed=0, device=CPU, n_jobs=n_jobs)
        return list(trainer.train(jobs))

    alone = train(jobs, 1)
    assert [result.architecture for result in alone] == [j.architecture for j in jobs]
    for first, second in zip(alone, train(jobs, 2), strict=True):
        _assert_same(first, second)
    for first, second in zip(alone, train(jobs[::-1], None)[::-1], strict=True):
        _assert_same(first, second)


def test_the_seeds_decide_everything():
    data = _make_data()
    first = _train(data)
    _assert_same(first, _train(data))
    assert _train(data, job=5).loss_curve != first.loss_curve
    assert _train(data, order=5).loss_curve != first.loss_curve


def test_results_come_one_by_one():
    trainer = Trainer(_make_data(), SETTINGS, seed=0, device=CPU, n_jobs=1)
    results = trainer.train(
        [TrainingJob(ARCHITECTURE, 1), TrainingJob(ARCHITECTURE, 2)]
    )
    assert iter(results) is iter(results)
    assert next(results).architecture == ARCHITECTURE
    assert len(list(results)) == 1
    assert list(trainer.train([])) == []


def test_on_cuda_one_process_trains():
    trainer = Trainer(
        _make_data(), SETTINGS, seed=0, device=torch.device("cuda"), n_jobs=4
    )
    assert trainer.n_jobs == 1


def test_inherited_weights_are_where_training_begins():
    data = _make_data()
    trained = _train(data).weights
    still = dataclasses.replace(SETTINGS, learning_rate_init=1e-30)
    inherited = _train(data, still, inherited=trained).weights
    for pair, other in zip(trained, inherited, strict=True):
        np.testing.assert_array_equal(pair[0], other[0])
        np.testing.assert_array_equal(pair[1], other[1])
    part = _train(data, still, inherited=[trained[0], None, None]).weights
    fresh = _train(data, still).weights
    np.testing.assert_array_equal(part[0][0], trained[0][0])
    np.testing.assert_array_equal(part[1][0], fresh[1][0])
    assert not np.array_equal(fresh[0][0], trained[0][0])


def test_the_data_is_not_written_to():
    data, untouched = _make_data(), _make_data()
    trainer = Trainer(data, SETTINGS, seed=0, device=CPU, n_jobs=1)
    list(trainer.train([TrainingJob(ARCHITECTURE, 1)]))
    for name in ("X", "y", "X_validation", "y_validation"):
        np.testing.assert_array_equal(getattr(data, name), getattr(untouched, name))


@pytest.mark.parametrize(
    ("n_classes", "expected"),
    [
        (2, [[0.15], [0.85], [0.15]]),
        (3, [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.8, 0.1, 0.1]]),
    ],
)
def test_labels_are_smoothed_towards_equal_shares(n_classes, expected):
    data = TrainingData(np.zeros((3, 1), np.float32), np.array([0, 1, 0]), n_classes)
    targets = _trainer._smooth_targets(data, 0.3)
    np.testing.assert_allclose(targets.numpy(), expected, rtol=1e-6)
    hard = _trainer._smooth_targets(data, 0.0)
    assert set(hard.unique().tolist()) == {0.0, 1.0}


# The optimiser, one step at a time.


def _make_optimizer(**settings):
    network = StackedMLP(
        Architecture((4, "relu")), 3, 2, dropout=0.0, n_children=1, device=CPU
    )
    network.initialize(0, torch.Generator().manual_seed(0))
    for biases in network.biases:
        biases.fill_(0.5)
    settings = dataclasses.replace(SETTINGS, **settings)
    return network, _trainer._Adam(network, settings)


@pytest.mark.parametrize(
    ("learning_rate", "progress", "expected"),
    [
        ("constant", 0.0, 0.01),
        ("constant", 0.9, 0.01),
        ("cosine", 0.0, 0.01),
        ("cosine", 1 / 3, 0.0075),
        ("cosine", 0.5, 0.005),
        ("cosine", 1.0, 0.0),
    ],
)
def test_the_schedule_gives_the_step_its_size(learning_rate, progress, expected):
    # Without memory, Adam's step is the learning rate, whatever the gradient.
    network, optimizer = _make_optimizer(
        learning_rate=learning_rate, beta_1=0.0, beta_2=0.0
    )
    network.gradients.fill_(7.0)
    before = network.parameters.clone()
    optimizer.step(progress, 16)
    moved = before - network.parameters
    np.testing.assert_allclose(moved.numpy(), expected, atol=1e-6)


def test_the_cosine_falls_over_the_epochs_of_the_schedule():
    rates = []

    class Recorder(_trainer._Adam):
        def step(self, progress, n_rows):
            rates.append(progress)
            super().step(progress, n_rows)

    original, _trainer._Adam = _trainer._Adam, Recorder
    try:
        settings = dataclasses.replace(SETTINGS, batch_size=40, max_iter=2)
        _train(_make_data(), settings)
        _train(_make_data(), dataclasses.replace(settings, schedule_iter=8))
    finally:
        _trainer._Adam = original
    assert rates == [0, 0.25, 0.5, 0.75, 0, 1 / 16, 2 / 16, 3 / 16]


def test_adamw_shrinks_weights_and_no_bias():
    network, optimizer = _make_optimizer(
        solver="adamw", alpha=0.5, learning_rate_init=0.1
    )
    weights = [weight.clone() for weight in network.weights]
    for _ in range(2):
        optimizer.step(0.0, 16)
    for weight, before in zip(network.weights, weights, strict=True):
        torch.testing.assert_close(weight, before * 0.95**2)
    assert all((bias == 0.5).all() for bias in network.biases)


@pytest.mark.parametrize("solver", ["adam", "adamw"])
def test_steps_equal_those_of_torchs_own_optimiser(solver):
    alpha, n_rows = 0.7, 16
    network, optimizer = _make_optimizer(solver=solver, alpha=alpha)
    weights = [weight.clone().requires_grad_() for weight in network.weights]
    biases = [bias.clone().requires_grad_() for bias in network.biases]
    # The L2 term is divided by the batch size, as in MLPClassifier.
    decay = alpha / n_rows if solver == "adam" else alpha
    cls = torch.optim.Adam if solver == "adam" else torch.optim.AdamW
    reference = cls(
        [
            {"params": weights, "weight_decay": decay},
            {"params": biases, "weight_decay": 0.0},
        ],
        lr=SETTINGS.learning_rate_init,
    )
    generator = torch.Generator().manual_seed(3)
    for _ in range(5):
        network.gradients.normal_(generator=generator)
        gradients = network._views(network.gradients)
        for parameters, values in zip((weights, biases), gradients, strict=True):
            for parameter, value in zip(parameters, values, strict=True):
                parameter.grad = value.clone()
        optimizer.step(0.0, n_rows)
        reference.step()
    for ours, theirs in zip(network.weights, weights, strict=True):
        torch.testing.assert_close(ours, theirs.detach(), rtol=1e-4, atol=1e-6)
    for ours, theirs in zip(network.biases, biases, strict=True):
        torch.testing.assert_close(ours, theirs.detach(), rtol=1e-4, atol=1e-6)


def test_a_training_is_the_batches_of_its_shuffled_rows(monkeypatch):
    sizes = []
    original = StackedMLP.forward

    def forward(self, X):
        sizes.append(X.shape[1])
        return original(self, X)

    monkeypatch.setattr(StackedMLP, "forward", forward)
    _train(_make_data(), dataclasses.replace(SETTINGS, batch_size=32, max_iter=2))
    assert sizes == [32, 32, 16] * 2


def test_children_are_computed_with_one_thread(monkeypatch):
    counts = set()
    original = StackedMLP.forward

    def forward(self, X):
        counts.add(torch.get_num_threads())
        return original(self, X)

    monkeypatch.setattr(StackedMLP, "forward", forward)
    before = torch.get_num_threads()
    torch.set_num_threads(3)  # noqa: TID251
    try:
        _train(_make_data())
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)  # noqa: TID251
    assert counts == {1}


def test_dropout_is_seeded_by_the_job_and_not_by_the_order_of_rows(monkeypatch):
    masks = []
    original = StackedMLP.draw_masks

    def draw_masks(self, n_rows, generators):
        original(self, n_rows, generators)
        masks.append(self._workspace(n_rows).masks[0].clone())

    monkeypatch.setattr(StackedMLP, "draw_masks", draw_masks)
    settings = dataclasses.replace(SETTINGS, max_iter=1, batch_size=80)
    for seeds in ({"job": 1}, {"job": 1, "order": 9}, {"job": 3}):
        _train(_make_data(), settings, **seeds)
    first, other_order, other_job = masks
    assert torch.equal(first, other_order)
    assert not torch.equal(first, other_job)
