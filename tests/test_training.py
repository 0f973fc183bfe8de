import dataclasses
import gc
import math
import weakref

import numpy as np
import pytest
import torch
from sklearn.datasets import make_blobs

from sknas import Architecture, _budget
from sknas._budget import Budget
from sknas._engine.batch import Batch
from sknas._engine.dropout import DropoutMasks
from sknas._engine.grouping import CPU as CPU_MODEL
from sknas._engine.grouping import CUDA as CUDA_MODEL
from sknas._engine.jobs import (
    TrainingData,
    TrainingJob,
    TrainingSettings,
)
from sknas._engine.network import StackedMLP
from sknas._engine.training import pace as _pace
from sknas._engine.training import stack as _training
from sknas._engine.training.adam import StackedAdam
from sknas._engine.training.stack import train_stack
from sknas._engine.training.step import TrainingStep
from sknas._space.candidate import SETTINGS as CANDIDATE_SETTINGS
from sknas._tasks.outputs import SigmoidOutput, SoftmaxOutput

CPU = torch.device("cpu")
ARCHITECTURE = Architecture((16, "relu"), "dropout", (8, "tanh"))
SETTINGS = TrainingSettings(
    max_iter=4,
    batch_size=16,
    learning_rate_init=0.01,
    learning_rate="constant",
    solver="adam",
    alpha="auto",
    label_smoothing=0.0,
    dropout=0.2,
    n_iter_no_change=None,
    auto_decay=0.3,
)


def _output(n_classes):
    return SigmoidOutput() if n_classes == 2 else SoftmaxOutput(n_classes)


def _make_data(n_classes=3, *, spread=0.6, validation=True):
    X, y = make_blobs(
        n_samples=120, centers=n_classes, cluster_std=spread, random_state=0
    )
    X = ((X - X.mean(axis=0)) / X.std(axis=0)).astype(np.float32)
    y = y.astype(np.int64)
    if not validation:
        return TrainingData(X, y, _output(n_classes))
    return TrainingData(X[:80], y[:80], _output(n_classes), X[80:], y[80:])


def _train(
    data, settings=SETTINGS, *, architecture=ARCHITECTURE, inherited=None, **seeds
):
    job = TrainingJob(architecture, seeds.get("job", 1), inherited)
    (result,) = train_stack(data, [job], settings, seeds.get("order", 2), CPU)
    return result


def _assert_same(first, second):
    """Compare two results bit by bit, but for their time."""
    for field in dataclasses.fields(first):
        a, b = getattr(first, field.name), getattr(second, field.name)
        if field.name == "weights":
            for pair, other in zip(a, b, strict=True):
                np.testing.assert_array_equal(pair[0], other[0])
                np.testing.assert_array_equal(pair[1], other[1])
        elif field.name == "validation_predictions":
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
    assert result.validation_predictions.shape == (40, 3)
    np.testing.assert_allclose(result.validation_predictions.sum(axis=1), 1, rtol=1e-6)
    truth = result.validation_predictions[np.arange(40), data.y_validation]
    assert result.validation_loss == pytest.approx(-np.log(truth).mean(), rel=1e-5)
    predicted = result.validation_predictions.argmax(axis=1)
    accuracy = (predicted == data.y_validation).mean()
    assert result.validation_scores[-1] == pytest.approx(accuracy)
    assert result.time > 0


def test_the_output_follows_from_the_number_of_classes():
    binary, three, one = (_make_data(n) for n in (2, 3, 1))
    outputs = [
        (data.output.name, data.output.n_outputs) for data in (binary, three, one)
    ]
    assert outputs == [("logistic", 1), ("softmax", 3), ("softmax", 1)]
    assert _train(binary).validation_predictions.shape == (40, 2)
    result = _train(one)
    np.testing.assert_array_equal(result.validation_predictions, np.ones((40, 1)))
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
        stopped.validation_predictions, ended.validation_predictions
    )
    assert stopped.validation_loss == ended.validation_loss
    longer = _train(data, dataclasses.replace(settings, max_iter=stopped.n_iter))
    assert longer.validation_loss > stopped.validation_loss
    assert longer.best_iter == longer.n_iter


def test_patience_asks_for_improvements_of_more_than_tol():
    data = _make_data(2, spread=2.0)
    settings = dataclasses.replace(
        SETTINGS, max_iter=30, n_iter_no_change=3, learning_rate_init=1e-3, dropout=0.0
    )
    patient = _train(data, settings)
    assert _train(data, dataclasses.replace(settings, tol=0.0)).loss_curve == (
        patient.loss_curve
    )
    stopped = _train(data, dataclasses.replace(settings, tol=1.0))
    # After the first epoch, which is an improvement whatever there was before it.
    assert (patient.n_iter, stopped.n_iter) == (30, 4)
    # The lowest loss is the best, though it was none that patience counts.
    assert stopped.best_iter == 4


def test_rows_keep_their_order_where_they_are_not_shuffled(monkeypatch):
    orders, original = [], TrainingStep.run

    def run(self, positions):
        orders.append(positions.tolist())
        original(self, positions)

    monkeypatch.setattr(TrainingStep, "run", run)
    settings = dataclasses.replace(SETTINGS, max_iter=2, batch_size=50)
    _train(_make_data(), dataclasses.replace(settings, shuffle=False))
    first, last = list(range(50)), list(range(50, 80))
    assert orders == [first, last, first, last]
    del orders[:]
    _train(_make_data(), settings)
    assert orders[0] not in (first, orders[2])
    assert sorted(orders[0] + orders[1]) == first + last


STACK = [
    TrainingJob(Architecture((16, "relu"), "dropout", (8, "tanh")), 1),
    TrainingJob(Architecture((24, "sigmoid"), (8, "relu")), 2),
    TrainingJob(Architecture((16, "relu"), (8, "elu"), "dropout"), 3),
]


def _assert_close(results, others, rtol=1e-3):
    for result, other in zip(results, others, strict=True):
        assert result.n_iter == other.n_iter
        assert result.best_iter == other.best_iter
        np.testing.assert_allclose(result.loss_curve, other.loss_curve, rtol=rtol)
        np.testing.assert_allclose(
            result.validation_loss, other.validation_loss, rtol=rtol
        )
        for pair, other_pair in zip(result.weights, other.weights, strict=True):
            np.testing.assert_allclose(pair[0], other_pair[0], rtol=rtol, atol=1e-4)
            np.testing.assert_allclose(pair[1], other_pair[1], rtol=rtol, atol=1e-4)


@pytest.mark.parametrize("solver", ["adam", "adamw"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_stacked_equals_one_by_one(n_classes, solver):
    data = _make_data(n_classes)
    settings = dataclasses.replace(
        SETTINGS, solver=solver, alpha=0.1, label_smoothing=0.1, learning_rate="cosine"
    )
    stacked = train_stack(data, STACK, settings, 2, CPU)
    alone = [train_stack(data, [job], settings, 2, CPU)[0] for job in STACK]
    _assert_close(stacked, alone)


# A GPU goes on with children that are done until half of the stack is.
@pytest.mark.parametrize("model", [CPU_MODEL, CUDA_MODEL], ids=["CPU", "CUDA"])
def test_stacked_children_stop_one_by_one(model, monkeypatch):
    monkeypatch.setattr(_training, "cost_model", lambda _: model)
    data = _make_data(2, spread=4.0)
    settings = dataclasses.replace(
        SETTINGS, max_iter=40, n_iter_no_change=3, learning_rate_init=0.03
    )
    stacked = train_stack(data, STACK, settings, 2, CPU)
    alone = [train_stack(data, [job], settings, 2, CPU)[0] for job in STACK]
    assert len({result.n_iter for result in alone}) > 1
    assert max(result.n_iter for result in alone) < 40
    _assert_close(stacked, alone, rtol=0.02)


def test_a_stopped_child_is_computed_no_more(monkeypatch):
    sizes, original = [], Batch.forward

    def forward(self):
        sizes.append(len(self.logits))
        return original(self)

    monkeypatch.setattr(Batch, "forward", forward)
    data = _make_data(2, spread=4.0)
    settings = dataclasses.replace(
        SETTINGS, max_iter=40, n_iter_no_change=3, learning_rate_init=0.03
    )
    results = train_stack(data, STACK, settings, 2, CPU)
    n_batches = 5
    assert sum(sizes) == n_batches * sum(result.n_iter for result in results)


def test_a_child_that_fails_leaves_the_others_alone():
    data = _make_data()
    broken = [np.full((2, 16), np.nan, np.float32), np.zeros(16, np.float32)]
    jobs = [
        STACK[0],
        dataclasses.replace(STACK[2], inherited=[broken, None, None]),
        STACK[1],
    ]
    first, failed, last = train_stack(data, jobs, SETTINGS, 2, CPU)
    assert failed.failed
    assert failed.n_iter == 1
    assert failed.weights == []
    alone = [train_stack(data, [job], SETTINGS, 2, CPU)[0] for job in jobs[::2]]
    _assert_close([first, last], alone)


def test_sample_weights_are_as_good_as_repeated_rows():
    data = _make_data(validation=False)
    n_rows = len(data.X)
    weights = np.where(np.arange(n_rows) % 2, 2.0, 0.0).astype(np.float32)
    settings = dataclasses.replace(
        SETTINGS, batch_size=n_rows, dropout=0.0, learning_rate_init=1e-3
    )
    weighted = _train(dataclasses.replace(data, sample_weight=weights), settings)
    odd = np.arange(n_rows) % 2 == 1
    rows = np.flatnonzero(odd)
    twice = TrainingData(
        np.concatenate([data.X[rows]] * 2),
        np.concatenate([data.y[rows]] * 2),
        data.output,
    )
    repeated = _train(twice, settings)
    np.testing.assert_allclose(weighted.loss_curve, repeated.loss_curve, rtol=1e-4)
    # Only what they are relative to each other counts.
    scaled = _train(dataclasses.replace(data, sample_weight=7 * weights), settings)
    np.testing.assert_allclose(scaled.loss_curve, weighted.loss_curve, rtol=1e-4)


def test_validation_is_weighted_too():
    data = _make_data()
    plain = _train(data)
    n_rows = len(data.y_validation)
    p = plain.validation_predictions
    truth = p[np.arange(n_rows), data.y_validation]
    is_right = p.argmax(axis=1) == data.y_validation
    for weights in (np.arange(1.0, n_rows + 1), np.full(n_rows, 1e300)):
        weighted = _train(dataclasses.replace(data, sample_weight_validation=weights))
        np.testing.assert_array_equal(weighted.validation_predictions, p)
        shares = weights / weights.max()
        expected = -np.average(np.log(truth), weights=shares)
        assert weighted.validation_loss == pytest.approx(expected, rel=1e-5)
        expected = np.average(is_right, weights=shares)
        assert weighted.validation_scores[-1] == pytest.approx(expected, rel=1e-5)


def test_large_layers_may_multiply_in_bfloat16_where_that_is_fast(monkeypatch):
    data, architecture = _make_data(), Architecture((64, "relu"), (1024, "relu"))
    monkeypatch.setattr(_training, "has_fast_bfloat16", lambda _: True)
    rounded = _train(data, architecture=architecture)
    exact_settings = dataclasses.replace(SETTINGS, allow_bfloat16=False)
    exact = _train(data, exact_settings, architecture=architecture)
    monkeypatch.setattr(_training, "has_fast_bfloat16", lambda _: False)
    unsupported = _train(data, architecture=architecture)
    assert unsupported.loss_curve == exact.loss_curve
    assert rounded.loss_curve != exact.loss_curve
    np.testing.assert_allclose(rounded.loss_curve, exact.loss_curve, rtol=0.05)
    assert rounded.weights[0][0].dtype == np.float32


def test_a_training_leaves_nothing_for_the_garbage_collector():
    # Cycles would keep the tensors of many children alive until it comes round.
    seen = []
    original = StackedMLP.extract

    def extract(self, *arguments):
        seen.append(weakref.ref(self))
        return original(self, *arguments)

    gc.disable()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(StackedMLP, "extract", extract)
            _train(_make_data())
        assert [reference() for reference in seen] == [None]
    finally:
        gc.enable()


def test_without_validation_rows_the_last_epoch_counts():
    result = _train(_make_data(validation=False))
    assert result.best_iter == result.n_iter == 4
    assert result.validation_scores == []
    assert result.validation_predictions is None
    assert not result.failed


@pytest.mark.parametrize("validation", [True, False])
def test_a_loss_that_is_not_finite_is_a_failure(validation):
    settings = dataclasses.replace(SETTINGS, learning_rate_init=1e30, max_iter=9)
    result = _train(_make_data(validation=validation), settings)
    assert result.failed
    assert result.weights == []
    assert result.validation_predictions is None
    assert math.isnan(result.validation_loss)
    assert result.n_iter < 9


def test_a_validation_loss_that_is_not_finite_is_a_failure():
    data = _make_data()
    X_validation = data.X_validation.copy()
    X_validation[0] = np.nan
    result = _train(dataclasses.replace(data, X_validation=X_validation))
    assert result.failed
    assert math.isfinite(result.loss_curve[0])


def test_the_seeds_decide_everything():
    data = _make_data()
    first = _train(data)
    _assert_same(first, _train(data))
    assert _train(data, job=5).loss_curve != first.loss_curve
    assert _train(data, order=5).loss_curve != first.loss_curve


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
    _train(data)
    for name in ("X", "y", "X_validation", "y_validation"):
        np.testing.assert_array_equal(getattr(data, name), getattr(untouched, name))


@pytest.mark.parametrize(
    ("n_classes", "expected"),
    [
        (2, [[0.15, 0.85, 0.15]]),
        (3, [[0.8, 0.1, 0.8], [0.1, 0.8, 0.1], [0.1, 0.1, 0.1]]),
    ],
)
def test_labels_are_smoothed_towards_equal_shares(n_classes, expected):
    y = np.array([0, 1, 0])
    data = TrainingData(np.zeros((3, 1), np.float32), y, _output(n_classes))

    def targets(label_smoothing):
        settings = dataclasses.replace(SETTINGS, label_smoothing=label_smoothing)
        return _training._StackTraining(data, STACK[:1], settings, 0, CPU).table.targets

    np.testing.assert_allclose(targets(0.3).numpy(), expected, rtol=1e-6)
    assert set(targets(0.0).unique().tolist()) == {0.0, 1.0}


def test_the_cosine_falls_over_the_epochs_of_the_schedule(monkeypatch):
    rates = []

    original = StackedAdam.set_progress

    def set_progress(self, progress):
        rates.extend(progress)
        original(self, progress)

    monkeypatch.setattr(StackedAdam, "set_progress", set_progress)
    settings = dataclasses.replace(SETTINGS, batch_size=40, max_iter=2)
    _train(_make_data(), settings)
    _train(_make_data(), dataclasses.replace(settings, schedule_iter=8))
    assert rates == [0, 0.25, 0.5, 0.75, 0, 1 / 16, 2 / 16, 3 / 16]


def test_a_training_is_the_batches_of_its_shuffled_rows(monkeypatch):
    sizes = []
    original = Batch.forward

    def forward(self):
        sizes.append(self.n_rows)
        return original(self)

    monkeypatch.setattr(Batch, "forward", forward)
    _train(_make_data(), dataclasses.replace(SETTINGS, batch_size=32, max_iter=2))
    assert sizes == [32, 32, 16] * 2


def test_children_are_computed_with_one_thread(monkeypatch):
    counts = set()
    original = Batch.forward

    def forward(self):
        counts.add(torch.get_num_threads())
        return original(self)

    monkeypatch.setattr(Batch, "forward", forward)
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
    original = DropoutMasks.draw

    def draw(self):
        original(self)
        masks.append(self[0].clone())

    monkeypatch.setattr(DropoutMasks, "draw", draw)
    settings = dataclasses.replace(SETTINGS, max_iter=1, batch_size=80)
    for seeds in ({"job": 1}, {"job": 1, "order": 9}, {"job": 3}):
        _train(_make_data(), settings, **seeds)
    first, other_order, other_job = masks
    assert torch.equal(first, other_order)
    assert not torch.equal(first, other_job)


PER_CHILD = {
    "learning_rate_init": (0.003, 0.01, 0.003, 0.1),
    "alpha": (0.0, 0.1, 0.3, 0.1),
    "label_smoothing": (0.0, 0.1, 0.2, 0.1),
    "dropout": (0.0, 0.2, 0.5, 0.2),
    "max_iter": (3, 5, 2, 5),
}


@pytest.mark.parametrize("solver", ["adam", "adamw"])
@pytest.mark.parametrize("name", PER_CHILD)
def test_children_with_settings_of_their_own_are_bit_equal_alone_and_stacked(
    name, solver
):
    settings = dataclasses.replace(
        SETTINGS, solver=solver, alpha=0.1, label_smoothing=0.1, learning_rate="cosine"
    )
    jobs = [
        # Epochs are no setting of a candidate's, but a job's fidelity.
        TrainingJob(ARCHITECTURE, seed, epochs=value)
        if name == "max_iter"
        else TrainingJob(ARCHITECTURE, seed, settings=((name, value),))
        for seed, value in enumerate(PER_CHILD[name])
    ]
    stacked = train_stack(_make_data(), jobs, settings, 2, CPU)
    for job, value, result in zip(jobs, PER_CHILD[name], stacked, strict=True):
        (alone,) = train_stack(_make_data(), [job], settings, 2, CPU)
        _assert_same(result, alone)
        # It is as if the trainer had the setting.
        changed = dataclasses.replace(settings, **{name: value})
        plain = dataclasses.replace(job, settings=(), epochs=None)
        _assert_same(train_stack(_make_data(), [plain], changed, 2, CPU)[0], alone)
        if name == "max_iter":
            assert result.n_iter == value
    assert len({result.loss_curve[1] for result in stacked}) == len(stacked)


def test_every_setting_of_a_candidate_is_tried_or_divides_stacks():
    divides = {"batch_size", "solver", "learning_rate"}
    assert set(CANDIDATE_SETTINGS) == {*PER_CHILD, *divides} - {"max_iter"}
    for name in CANDIDATE_SETTINGS:
        other = dataclasses.replace(SETTINGS, **{name: "another"})
        assert (other.stack_key != SETTINGS.stack_key) == (name in divides)


def test_children_that_the_optimizer_moves_alike_are_one_group(monkeypatch):
    groups, original = [], StackedAdam._make_groups

    def make_groups(self):
        original(self)
        groups.append(len(self.groups))

    monkeypatch.setattr(StackedAdam, "_make_groups", make_groups)
    for name, values in PER_CHILD.items():
        if name != "max_iter":
            jobs = [
                TrainingJob(ARCHITECTURE, seed, settings=((name, value),))
                for seed, value in enumerate(values)
            ]
            train_stack(_make_data(), jobs, SETTINGS, 2, CPU)
    # Rates and decays are the optimizer's; dropout and smoothing are not.
    assert groups == [4, 4, 1, 1]


def test_epochs_of_a_job_go_before_the_trainers():
    job = TrainingJob(ARCHITECTURE, 1, settings=(("alpha", 0.5),), epochs=2)
    assert train_stack(_make_data(), [job], SETTINGS, 2, CPU)[0].n_iter == 2


@pytest.mark.parametrize(
    ("n_rows", "expected"), [(8, 8), (100, 16), (800, 64), (10**5, 256)]
)
def test_an_automatic_batch_is_an_eighth_of_a_small_table(n_rows, expected):
    settings = dataclasses.replace(SETTINGS, batch_size="auto")
    assert settings.n_batch_rows(n_rows) == expected


@pytest.mark.parametrize(
    "changes",
    [{"learning_rate_init": 1e300}, {"alpha": 1e300, "solver": "adamw"}],
    ids=["rate", "decay"],
)
def test_values_beyond_32_bits_fail_a_child(changes):
    result = _train(_make_data(), dataclasses.replace(SETTINGS, **changes))
    assert result.error == "a loss that is NaN or infinite"


def test_inference_mode_outside_does_not_matter():
    with torch.inference_mode():
        inside = _train(_make_data())
    _assert_same(inside, _train(_make_data()))


class _Clock:
    """Stands in for the module `time`: a second passes for each step, and no other."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now

    perf_counter = monotonic


def test_an_epoch_may_end_in_its_middle_and_the_schedule_still_reaches_its_end(
    monkeypatch,
):
    progress, original, clock = [], StackedAdam.set_progress, _Clock()

    def set_progress(self, of_runs):
        clock.now += 1
        progress.extend(of_runs)
        original(self, of_runs)

    monkeypatch.setattr(StackedAdam, "set_progress", set_progress)
    for module in (_budget, _pace, _training):
        monkeypatch.setattr(module, "time", clock)
    generator = np.random.default_rng(0)
    X = generator.standard_normal((1000, 20)).astype(np.float32)
    y = generator.integers(2, size=1000)
    data = TrainingData(X[:-100], y[:-100], _output(2), X[-100:], y[-100:])
    settings = dataclasses.replace(
        SETTINGS, max_iter=3, batch_size=4, learning_rate="cosine", dropout=0.0
    )
    (result,) = train_stack(
        data, [TrainingJob(ARCHITECTURE, 1)], settings, 0, CPU, Budget(100.0)
    )
    assert 70 < len(progress) <= 100  # of 225 in the first epoch
    assert progress == sorted(progress)
    assert progress[-1] > 0.9
    assert result.n_iter == result.best_iter == 1
    assert math.isfinite(result.validation_loss)
    assert result.validation_predictions.shape == (100, 2)


def test_a_budget_that_is_over_allows_a_few_steps_or_none():
    over = Budget(-1.0)
    jobs = [TrainingJob(ARCHITECTURE, 1)]
    data, never = _make_data(), lambda: False
    settings = dataclasses.replace(SETTINGS, batch_size=1)
    (result,) = train_stack(data, jobs, settings, 0, CPU, over, never)
    assert result.n_iter == 1
    assert result.validation_predictions is not None
    assert train_stack(data, jobs, settings, 0, CPU, over, never, False) == []


def test_a_training_that_is_cancelled_has_no_results():
    calls = []

    def is_cancelled():
        calls.append(1)
        return len(calls) > 2

    assert not train_stack(
        _make_data(), STACK, SETTINGS, 0, CPU, is_cancelled=is_cancelled
    )
    assert len(calls) < 6
