import math

import numpy as np
import pytest
import torch

from sknas import Architecture, MorphNetStrategy, NASMLPClassifier, SearchSpace
from sknas._engine.jobs import TrainingData, TrainingJob, TrainingSettings
from sknas._engine.supernet.training import Supernet
from sknas._engine.trainer import Trainer
from sknas._sklearn import InvalidParameterError
from sknas._space import Gates
from sknas._tasks.classification import ClassificationMetric
from sknas._tasks.outputs import SigmoidOutput

CPU = torch.device("cpu")
WIDTHS = (8, 16, 32, 64, 128, 256)
SPACE = SearchSpace(WIDTHS, ("tanh",), 2)
DEEP = SearchSpace((8, 16, 32), ("relu", "tanh"), 5, dropout=False)


class Counted:
    """A supernet whose progress is a number of epochs."""

    def __init__(self, supernet, n_epochs):
        self._supernet, self._n_epochs, self.n_trained = supernet, n_epochs, 0
        self.n_inputs, self.n_outputs = 10, 1

    @property
    def progress(self):
        return self.n_trained / self._n_epochs

    def train(self, gates, **settings):
        self.n_trained += 1
        return self._supernet.train(gates, **settings)

    def __getattr__(self, name):
        return getattr(self._supernet, name)


class Scripted:
    """A supernet whose units live and die, and whose loss is, as they are told to."""

    n_inputs, n_outputs = 4, 2

    def __init__(self, space, n_living, losses):
        self.space, self._n_living, self._losses = space, n_living, losses
        self.penalties, self.trained, self.n_restarts = [], [], 0

    @property
    def progress(self):
        return len(self.penalties) / len(self._n_living)

    def train(self, gates, *, unit_penalty, learning_rate):
        self.penalties.append(unit_penalty)
        self.trained.append((gates, learning_rate))
        return 0.5

    def restart(self):
        self.n_restarts += 1

    def unit_norms(self):
        widest = max(self.space.layer_widths)
        norms = []
        for n in self._n_living[len(self.penalties) - 1]:
            # Some are gone, and others only tremble.
            of_layer = np.resize([0.0, 0.01], widest)
            of_layer[:n] = 1.0
            norms.append(of_layer if n else np.zeros(widest))
        return norms

    def losses(self, gates):
        assert len(gates) == 1
        return np.array([self._losses[len(self.penalties) - 1]])


def _explore(space, n_living, losses, **settings):
    strategy = MorphNetStrategy(**settings)
    strategy.setup(space, 0)
    supernet = Scripted(space, n_living, losses)
    strategy.explore(supernet)
    return strategy, supernet


def _sizes(architectures):
    return [each.hidden_layer_sizes for each in architectures]


def _teacher(n_rows):
    """Draw a table whose classes a network of eight hidden units tells apart."""
    generator = np.random.default_rng(0)
    X = generator.normal(size=(n_rows, 10)).astype(np.float32)
    weights, biases = generator.normal(size=(10, 8)), generator.normal(size=8)
    outgoing = generator.choice([-1, 1], size=8) * generator.uniform(1, 2, size=8)
    logits = np.tanh(X @ weights + biases) @ outgoing
    return X, (logits > np.median(logits)).astype(np.int64)


def _settings(n_epochs):
    return TrainingSettings(
        max_iter=n_epochs,
        batch_size=128,
        learning_rate_init=0.003,
        learning_rate="cosine",
        solver="adamw",
        alpha="auto",
        label_smoothing=0.1,
        dropout=0.2,
        n_iter_no_change=None,
        auto_decay=0.3,
    )


def _make_supernet(X, y, n_training, n_epochs):
    parts = slice(n_training), slice(n_training, None)
    data = TrainingData(
        X[parts[0]], y[parts[0]], SigmoidOutput(), X[parts[1]], y[parts[1]]
    )
    supernet = Supernet(
        data,
        SPACE,
        _settings(n_epochs),
        seed=0,
        device=CPU,
        n_epochs=n_epochs,
        metric=ClassificationMetric("accuracy", np.arange(2), data.y_validation),
    )
    return data, supernet


def test_a_supernet_begins_anew():
    gates = [Gates.of(Architecture((256, "tanh")), SPACE)]
    norms = []
    for _ in range(2):
        _, supernet = _make_supernet(*_teacher(300), 200, 1)
        supernet.train(gates, unit_penalty=1e6, learning_rate=1e-3)
        assert supernet.unit_norms()[0].max() == 0
        supernet.restart()
        norms += supernet.unit_norms()
        supernet.train(gates, learning_rate=1e-3)
        norms += supernet.unit_norms()
        assert np.abs(norms[-1] - norms[-2]).max() > 0
    assert norms[0].min() > 0
    np.testing.assert_array_equal(norms[1], norms[3])


def test_a_layer_of_256_units_shrinks_to_what_a_teacher_of_8_needs():
    X, y = _teacher(6000)
    data, supernet = _make_supernet(X, y, 2000, 40)
    strategy = MorphNetStrategy()
    strategy.setup(SPACE, 0)
    strategy.explore(Counted(supernet, 40))
    shrunk, *others = strategy.ask(4)
    assert shrunk.hidden_layer_sizes <= (64,)
    assert len({shrunk, *others}) == 4
    trainer = Trainer([data], _settings(25), seed=0, device=CPU, n_jobs=1)
    architectures = [shrunk, Architecture((256, "tanh"))]
    jobs = [TrainingJob(a, seed) for a in architectures for seed in (0, 1)]
    scores = [
        result.validation_scores[-1]
        for _, result in sorted(dict(trainer.train(jobs)).items())
    ]
    assert np.mean(scores[:2]) > np.mean(scores[2:]) - 0.005
    assert np.mean(scores) > 0.85


def test_a_classifier_finds_as_small_a_network():
    X, y = _teacher(4000)
    given = {"n_jobs": 1, "random_state": 0, "encoding": "scale", "max_iter": 20}
    given |= {"n_ensemble": 1}
    classifier = NASMLPClassifier(
        search_strategy=MorphNetStrategy(budget=0.25),
        layer_widths=WIDTHS,
        activations=("tanh",),
        max_layers=2,
        n_rounds=1,
        n_architectures=6,
        n_finalists=0,
        n_splits=1,
        first_architecture=None,
        **given,
    )
    classifier.fit(X[:1500], y[:1500])
    assert max(classifier.best_architecture_.hidden_layer_sizes) <= 64
    wide = NASMLPClassifier.from_architecture(((256, "tanh"),), **given)
    wide.fit(X[:1500], y[:1500])
    score = classifier.score(X[1500:], y[1500:])
    assert score > wide.score(X[1500:], y[1500:]) - 0.005
    assert score > 0.8


def test_without_a_budget_a_small_network_is_what_select_asks_for():
    X, y = _teacher(4000)

    def small_enough(front):
        scores = front["score"]
        return np.flatnonzero(scores >= scores.max() - 0.01)[-1]

    classifier = NASMLPClassifier(
        search_strategy="morphnet",
        objectives=("score", "n_parameters"),
        select=small_enough,
        layer_widths=WIDTHS,
        activations=("tanh",),
        max_layers=2,
        n_rounds=1,
        n_architectures=6,
        n_finalists=1,
        n_splits=1,
        first_architecture=None,
        n_jobs=1,
        random_state=0,
        encoding="scale",
        max_iter=20,
        n_ensemble=1,
    )
    classifier.fit(X[:1500], y[:1500])
    assert max(classifier.best_architecture_.hidden_layer_sizes) <= 64
    assert classifier.score(X[1500:], y[1500:]) > 0.8


def test_a_name_is_enough(fast, binary_table):
    fast |= {"search_strategy": "morphnet", "n_architectures": 4}
    results = NASMLPClassifier(**fast).fit(*binary_table).search_results_
    assert len(results["score"]) >= 2
    assert np.isfinite(results["score"]).all()


def test_the_smallest_good_network_comes_first_then_the_widest_of_the_budget():
    n_living = [(256,), (200,), (60,), (30,), (9,), (2,)]
    strategy, _ = _explore(SPACE, n_living, [0.5, 0.4, 0.41, 0.42, 0.6, 0.9])
    # A tenth of the way from the least to the greatest loss is 0.45.
    assert _sizes(strategy.draw(3)) == [(32,), (256,), (64,)]
    assert sorted(_sizes(strategy.draw(3))) == [(8,), (16,), (128,)]


def test_all_layers_are_widened_by_the_same_factor():
    first = Architecture((32, "relu"), (32, "tanh"), (32, "relu"))
    n_living = [(32, 32, 32), (8, 4, 16)]
    strategy, supernet = _explore(DEEP, n_living, [0.5, 0.5], first_architecture=first)
    assert _sizes(strategy.draw(2)) == [(8, 8, 16), (32, 32, 32)]
    assert _sizes(strategy.draw(2)) == [(16, 8, 32), (32, 16, 32)]
    (gates,), learning_rate = supernet.trained[0]
    assert gates.width.argmax(axis=1).tolist() == [2, 2, 2, 0]
    assert learning_rate == 0.01


def test_the_penalty_grows_in_each_iteration_and_the_last_one_counts():
    n_living = [(256,), (30,), (32,), (9,)]
    strategy, supernet = _explore(
        SPACE, n_living, [0.5] * 4, n_iterations=2, budget=0.3
    )
    assert supernet.n_restarts == 1
    first, second = supernet.penalties[:2], supernet.penalties[2:]
    assert 0 < first[0] < first[1]
    assert first[1] / first[0] == pytest.approx(second[1] / second[0])
    # 30 units are widened to the 64 that the budget allows, and these shrink to 9.
    widths = [gates.width.argmax() for (gates,), _ in supernet.trained]
    assert widths == [5, 5, 3, 3]
    assert _sizes(strategy.draw(3)) == [(16,), (32,), (64,)]


def test_what_is_too_large_is_narrowed_in_its_shape():
    first = Architecture((32, "relu"), (32, "tanh"), (32, "relu"))
    n_living = [(32, 32, 32), (30, 7, 16)]
    strategy, _ = _explore(
        DEEP, n_living, [0.5, 0.5], first_architecture=first, budget=0.2
    )
    # They have 306 and 202 parameters, and the first network 2,338.
    assert _sizes(strategy.draw(2)) == [(16, 8, 8), (8, 8, 8)]


def test_candidates_keep_to_the_budget():
    n_living = [(256,), (100,), (20,), (9,)]
    for budget, widest in [(1.0, 256), (0.51, 128), (0.26, 64), (0.13, 32)]:
        strategy, _ = _explore(SPACE, n_living, [0.5] * 4, budget=budget)
        sizes = [strategy.draw(1)[0].hidden_layer_sizes[0] for _ in range(3)]
        assert sizes[0] == 16
        assert max(sizes) == widest
        assert max(_sizes(strategy.sample(20))) <= (widest,)


def test_a_budget_below_the_smallest_network_is_an_error_before_any_training(
    fast, binary_table, monkeypatch
):
    monkeypatch.setattr(Supernet, "train", None)
    strategy = MorphNetStrategy(budget=0.01)
    classifier = NASMLPClassifier(**{**fast, "search_strategy": strategy})
    with pytest.raises(
        InvalidParameterError, match="'budget' parameter of MorphNetStrategy"
    ):
        classifier.fit(*binary_table)


@pytest.mark.parametrize(
    ("n_living", "losses"),
    [([(256,), (0,)], [0.5, 0.5]), ([(256,), (30,)], [0.5, math.nan]), ([(0,)], [0.5])],
)
def test_a_network_that_fell_apart_ends_the_shrinking(n_living, losses):
    strategy, _ = _explore(SPACE, n_living, losses)
    asked = strategy.ask(3)
    assert len(set(asked)) == 3
    if len(n_living) > 1:
        assert asked[0].hidden_layer_sizes == (256,)


def test_it_begins_with_the_strong_architecture_as_wide_as_can_be():
    space = SearchSpace((8, 512), ("relu", "tanh"), 3)
    strategy = MorphNetStrategy()
    strategy.setup(space, 0)
    assert strategy._first == Architecture((512, "relu"), "dropout")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("first_architecture", ((8, "relu"),)),
        ("budget", 0),
        ("budget", 1.1),
        ("n_iterations", 0),
        ("learning_rate", 0),
        ("supernet_share", 1),
    ],
)
def test_setup_refuses_invalid_parameters(name, value):
    strategy = MorphNetStrategy(**{name: value})
    with pytest.raises(
        InvalidParameterError, match=rf"'{name}' parameter of MorphNetStrategy must be"
    ):
        strategy.setup(DEEP, 0)


@pytest.mark.parametrize(
    "layers",
    [[(64, "relu")], [(8, "elu")], [(8, "relu")] * 5, [(8, "relu"), "dropout"]],
)
def test_setup_refuses_a_first_architecture_of_another_space(layers):
    strategy = MorphNetStrategy(first_architecture=Architecture(*layers))
    with pytest.raises(ValueError, match="must be an architecture of the search space"):
        strategy.setup(DEEP, 0)
