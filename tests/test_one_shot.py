"""Strategies that explore a supernet, and the search that trains one for them."""

import collections
import itertools
import math
import pickle
import threading

import numpy as np
import pytest
import torch

from sknas import (
    Architecture,
    Candidate,
    DartsStrategy,
    EnasStrategy,
    NASMLPClassifier,
    NASMLPRegressor,
    SearchSpace,
)
from sknas._budget import Budget
from sknas._engine.evaluator import Evaluator
from sknas._engine.jobs import TrainingData
from sknas._engine.trainer import Trainer
from sknas._fit.settings import read_settings
from sknas._random import SeedSource
from sknas._search.one_shot import BudgetedSupernet, mean_child_cost
from sknas._search.problem import Problem
from sknas._search.strategies import OneShotStrategy
from sknas._search.strategies.one_shot.correction import Correction
from sknas._search.strategies.one_shot.darts import Alpha
from sknas._search.strategies.one_shot.enas import _within_depths
from sknas._sklearn import InvalidParameterError
from sknas._space import Gates
from sknas._tasks.classification import ClassificationMetric
from sknas._tasks.outputs import SigmoidOutput

SPACE = SearchSpace((8, 32, 16), ("relu", "tanh"), 4)
N_EPOCHS = 10


class FakeSupernet:
    """Trains nothing; its loss is linear in the gates, and rewards are as given."""

    n_batches, n_validation_batches = 3, 4
    # In epochs, of one architecture on all rows.
    cost_of_scoring = 0.0

    def __init__(self, space=SPACE, reward=None, costs=None):
        self.space = space
        self.reward = reward
        self.costs = costs
        self.calls = []

    @property
    def n_epochs(self):
        return sum(name == "train" for name, *_ in self.calls)

    @property
    def progress(self):
        n_scored = sum(len(of) for _, of, *batch in self.calls if batch == [None])
        return (self.n_epochs + self.cost_of_scoring * n_scored) / N_EPOCHS

    def train(self, gates):
        self.calls.append(("train", gates))
        return 0.0

    def rewards(self, architectures, batch=None):
        self.calls.append(("rewards", architectures, batch))
        return np.array([self.reward(each) for each in architectures])

    def gate_gradient(self, gates, batch, *, unrolled):
        assert isinstance(gates, Gates)
        self.calls.append(("gate_gradient", batch, unrolled))
        return self.costs


def _enas(space=SPACE, seed=0, **parameters):
    strategy = EnasStrategy(hidden_size=8, **parameters)
    strategy.setup(space, seed)
    return strategy


def _darts(space=SPACE, seed=0, **parameters):
    strategy = DartsStrategy(**parameters)
    strategy.setup(space, seed)
    return strategy


# ENAS.


def _share(architecture, name="tanh"):
    names = [each for _, each in architecture.dense_layers]
    return names.count(name) / len(names)


def test_enas_trains_an_architecture_per_batch_and_the_policy_after_the_warm_up():
    supernet = FakeSupernet(reward=_share)
    _enas(warm_up=0.4, n_sampled=5, n_candidates=7).explore(supernet)
    names = [name for name, *_ in supernet.calls]
    assert names == [*["train"] * 3, *["train", "rewards"] * 7, "rewards"]
    for name, first, *rest in supernet.calls:
        if name == "train":
            assert len(first) == supernet.n_batches
            assert all(set(np.unique(gates.activation)) <= {0, 1} for gates in first)
        elif first is not supernet.calls[-1][1]:
            assert len(first) == 5
            assert 0 <= rest[0] < supernet.n_validation_batches
    # In the end all candidates, different ones, on all rows.
    _, candidates, batch = supernet.calls[-1]
    assert len(set(candidates)) == len(candidates) == 7
    assert batch is None


def test_scoring_costs_no_more_than_twice_the_training():
    supernet = FakeSupernet(reward=_share)
    # Scoring ten costs as much as half of the training.
    supernet.cost_of_scoring = N_EPOCHS / 20
    strategy = _enas(SearchSpace((8, 16, 32), ("relu", "tanh"), 6), warm_up=0.99)
    strategy.explore(supernet)
    assert len(strategy._scores) == 40
    assert supernet.progress == 3


def test_enas_trains_deep_architectures_more_often_than_its_policy_draws_them():
    strategy = _enas(SearchSpace((8,), ("relu", "tanh"), 5, dropout=False))
    depths = [[len(a.dense_layers) for a in strategy.sample(400)]]
    depths.append([len(a.dense_layers) for a in strategy._draw_deep(400)])
    # 1 to 4 are equally likely: their mean is 2.5, and 3 where each counts by itself.
    assert np.mean(depths, axis=1) == pytest.approx([2.5, 3.0], abs=0.2)


def test_the_policy_of_enas_learns_from_rewards_with_shared_weights():
    strategy = _enas(warm_up=0.0, learning_rate=0.05, n_sampled=16)
    before = np.mean([_share(each) for each in strategy.sample(200)])
    strategy.explore(FakeSupernet(reward=_share))
    after = np.mean([_share(each) for each in strategy.sample(200)])
    assert before == pytest.approx(0.5, abs=0.1)
    assert after > 0.65


def test_the_steps_of_the_policy_are_remembered_no_longer():
    strategy = _enas()
    strategy.explore(FakeSupernet(reward=_share))
    assert len(strategy._learner._rewards) == len(strategy._learner._tokens) == 0


@pytest.mark.parametrize("factor", [1e300, 1e-300, 0.0])
def test_candidates_are_asked_for_best_first_whatever_the_size_of_rewards(factor):
    strategy = _enas(n_candidates=9)

    def reward(architecture):
        return factor * sum(architecture.hidden_layer_sizes)

    supernet = FakeSupernet(reward=reward)
    strategy.explore(supernet)
    candidates = supernet.calls[-1][1]
    asked = strategy.ask(5)
    # Within a depth: which depth is better, shared weights do not say.
    scores = _within_depths(candidates, list(map(reward, candidates)))
    # Of equals the first, as they were drawn.
    assert asked == [candidates[i] for i in np.argsort(-scores, kind="stable")[:5]]
    assert strategy.predict(asked).tolist() == list(map(reward, asked))
    unknown = next(each for each in SPACE if each not in candidates)
    assert np.isnan(strategy.predict([unknown])).all()
    strategy.tell(asked, [0.0] * 5)
    assert set(strategy.ask(4)) == set(candidates) - set(asked)


@pytest.mark.parametrize("make", [_enas, _darts])
def test_a_copy_made_after_the_supernet_continues_identically(make):
    strategy = make(n_candidates=9)
    costs = Gates.of(Architecture((8, "relu")), SPACE)
    strategy.explore(FakeSupernet(reward=_share, costs=costs))
    again = pickle.loads(pickle.dumps(strategy))
    for _ in range(4):
        asked = strategy.ask(4)
        assert again.ask(4) == asked
        for each in (strategy, again):
            each.tell(asked, [_share(architecture) for architecture in asked])
        assert again.report() == pytest.approx(strategy.report(), nan_ok=True)


# What rewards of trainings from scratch correct.


def test_rewards_correct_a_ranking_that_favours_the_wrong_activation():
    strategy = _enas(n_candidates=60)
    # The shared weights like rectifiers; from scratch, tanh is better.
    strategy.explore(FakeSupernet(reward=lambda each: _share(each, "relu")))
    asked = strategy.ask(8)
    assert all(_share(each) < 0.5 for each in asked)
    # Trial 0 was proposed by nobody, and failed to be ranked.
    others = [Architecture((8, "tanh"), (8, "tanh"), (32, "tanh"))]
    for _ in range(3):
        told = [*others, *asked]
        strategy.tell(told, [1e9 * _share(each) for each in told])
        others, asked = [], strategy.ask(8)
    assert np.mean([_share(each) for each in asked]) > 0.5


def test_without_rewards_a_ranking_stays_as_it_is():
    architectures = list(SPACE)[:40]
    scores = np.random.default_rng(0).normal(size=40)
    correction = Correction(SPACE)
    correction.rank(dict(zip(architectures, scores, strict=True)))
    for rewards in ([], [0.3], [0.3, 0.3, 0.3]):
        correction.learn(architectures[: len(rewards)], rewards)
        corrected = correction.scores(architectures)
        assert (np.argsort(corrected) == np.argsort(scores)).all() or len(rewards) > 1
    assert math.isnan(correction.correlation())


def test_the_correlation_is_spearmans():
    architectures = list(SPACE)[:5]
    correction = Correction(SPACE)
    correction.rank(dict(zip(architectures, [1, 2, 3, 4, 5], strict=True)))
    correction.learn(architectures[:4], [0.1, 0.3, 0.2, 1e300])
    assert correction.correlation() == pytest.approx(0.8)


# DARTS.


def _costs(space, best):
    """Return a gradient that is lower for one architecture's choices."""
    gates = Gates.of(best, space)
    skip = 0.5 - gates.skip
    return Gates(-gates.activation, -gates.width, skip, gates.dropout)


@pytest.mark.parametrize("unrolled", [False, True])
def test_darts_descends_to_the_gates_of_least_loss(unrolled):
    best = Architecture((16, "tanh"), (8, "relu"))
    supernet = FakeSupernet(costs=_costs(SPACE, best))
    strategy = _darts(warm_up=0.4, learning_rate=0.3, unrolled=unrolled)
    strategy.explore(supernet)
    names = [name for name, *_ in supernet.calls]
    # As many steps of alpha per epoch as there are batches of either kind at most.
    assert names == [*["train"] * 4, *[*["gate_gradient"] * 3, "train"] * 6]
    assert {each[2] for each in supernet.calls if len(each) == 3} == {unrolled}
    first, *_ = strategy.ask(5)
    assert first.dense_layers == best.dense_layers


def test_half_of_the_architectures_have_dropout_as_far_as_there_is_room():
    alpha = Alpha(SPACE)
    generator = np.random.default_rng(0)
    drawn = [alpha.sample(generator) for _ in range(200)]
    assert all(architecture in SPACE for architecture in drawn)
    single = [each for each in drawn if len(each.dense_layers) == 1]
    assert np.mean([each.dropout_after[0] for each in single]) == pytest.approx(
        0.5, abs=0.15
    )
    deep = [each for each in drawn if len(each.dense_layers) == 2]
    assert {each.dropout_after for each in deep} == {(True, False), (False, False)}
    without = Alpha(SearchSpace((8,), ("relu", "tanh"), 4, dropout=False))
    assert not any(any(without.sample(generator).dropout_after) for _ in range(20))


@pytest.fixture
def alpha():
    alpha = Alpha(SPACE)
    alpha.logits[:] = np.random.default_rng(1).normal(size=alpha.logits.shape)
    return alpha


def test_probabilities_are_those_of_the_draws(alpha):
    dense = [each for each in SPACE if not any(each.dropout_after)]
    p = {each.dense_layers: math.exp(alpha.log_probability(each)) for each in dense}
    assert sum(p.values()) == pytest.approx(1)
    generator = np.random.default_rng(0)
    drawn = [alpha.sample(generator).dense_layers for _ in range(1500)]
    for layers, n in collections.Counter(drawn).most_common(5):
        assert n / 1500 == pytest.approx(p[layers], abs=0.03)


def test_a_step_follows_the_gradient_of_the_loss_and_of_the_penalty(alpha):
    costs = Gates(*(np.random.default_rng(i).normal(size=s) for i, s in _shapes()))
    penalty = 0.7

    def loss(logits):
        moved = Alpha(SPACE)
        moved.logits = logits
        gates = moved.gates()
        units = gates.width @ [8, 16, 32] * (1 - gates.skip)
        return (
            (costs.activation * gates.activation).sum()
            + (costs.width * gates.width).sum()
            + (costs.skip * gates.skip).sum()
            + penalty * units.sum() / (3 * 32)
        )

    before = alpha.logits.copy()
    numeric = np.zeros_like(before)
    for place in np.ndindex(before.shape):
        step = np.zeros_like(before)
        step[place] = 1e-6
        numeric[place] = (loss(before + step) - loss(before - step)) / 2e-6
    alpha.step(costs, 0.01, penalty)
    # The first step of Adam is one of length 1 along each sign.
    expected = -0.01 * np.where(np.abs(numeric) > 1e-8, np.sign(numeric), 0)
    np.testing.assert_allclose(alpha.logits - before, expected, atol=1e-5)


def _shapes():
    return enumerate([(3, 2), (3, 3), (3,), (3,)])


def test_a_gradient_that_is_not_finite_moves_nothing(alpha):
    before = alpha.logits.copy()
    costs = Gates(*(np.full(shape, math.nan) for _, shape in _shapes()))
    alpha.step(costs, 0.1, 0.0)
    np.testing.assert_array_equal(alpha.logits, before)


def test_darts_needs_something_to_choose_from():
    single = _darts(SearchSpace((8,), ("relu",), 4))
    assert single.ask(1)
    with pytest.raises(ValueError, match="two activations or two layer_widths"):
        single.explore(FakeSupernet())
    assert _darts(SearchSpace((8,), ("relu", "tanh"), 4)).ask(2)


# The supernet itself, on small problems with a known answer.


def _problem(space, y_of_x, n_rows=512, epochs=10):
    """Return a problem of two classes, told by two columns of numbers."""
    X = np.random.default_rng(0).normal(size=(n_rows, 2)).astype(np.float32)
    y = y_of_x(X).astype(np.int64)
    half = n_rows // 2
    data = TrainingData(X[:half], y[:half], SigmoidOutput(), X[half:], y[half:])
    parameters = NASMLPClassifier(learning_rate_init=0.01, batch_size=32).get_params(
        deep=False
    )
    settings = read_settings(parameters, "NASMLPClassifier", 0.0).training
    device = torch.device("cpu")
    trainer = Trainer(
        [data], settings.whole(epochs, epochs), seed=0, device=device, n_jobs=1
    )
    metric = ClassificationMetric(None, np.array([0, 1]), y[half:])
    return Problem(space, Evaluator(trainer), metric, SeedSource(0), None)


def _explore(strategy, problem, n_children):
    strategy.setup(problem.space, 0)
    allowance = n_children * mean_child_cost(problem)
    supernet = BudgetedSupernet(
        problem, allowance, Budget(), separates_first=strategy.separates_first
    )
    strategy.explore(supernet)
    return supernet


def _is_in_a_band(X):
    """Tell points near to a line, which no linear network can."""
    return np.abs(X.sum(axis=1)) < 1


def test_darts_finds_the_activation_that_fits():
    space = SearchSpace((2, 8), ("identity", "tanh"), 3, dropout=False)
    strategy = DartsStrategy(learning_rate=0.2)
    _explore(strategy, _problem(space, _is_in_a_band), 6)
    (first,) = strategy.ask(1)
    assert "tanh" in {name for _, name in first.dense_layers}
    gates = strategy._alpha.gates()
    kept = np.flatnonzero(gates.skip < 0.5)
    assert gates.activation[kept, 1].max() > 0.8


@pytest.mark.parametrize(("penalty", "width"), [(0.0, 16), (0.3, 1)])
def test_darts_finds_a_narrow_width_where_units_have_a_price(penalty, width):
    # One unit tells the sides of a line.
    space = SearchSpace((1, 16), ("tanh",), 2, dropout=False)
    strategy = DartsStrategy(learning_rate=0.2, width_penalty=penalty)
    _explore(strategy, _problem(space, lambda X: X.sum(axis=1) > 0), 15)
    (first,) = strategy.ask(1)
    assert first.hidden_layer_sizes == (width,)


def test_enas_ranks_what_fits_above_what_cannot():
    space = SearchSpace((2, 8), ("identity", "tanh"), 3, dropout=False)
    strategy = EnasStrategy(hidden_size=8, n_candidates=20)
    _explore(strategy, _problem(space, _is_in_a_band), 6)
    scores = strategy._scores
    fits = {each: score for each, score in scores.items() if _share(each)}
    cannot = [score for each, score in scores.items() if each not in fits]
    assert np.mean(list(fits.values())) > np.mean(cannot) + 0.1


def test_the_supernet_keeps_to_what_it_may_cost():
    space = SearchSpace((2, 8), ("identity", "tanh"), 3)
    problem = _problem(space, _is_in_a_band)
    supernet = BudgetedSupernet(problem, 5 * mean_child_cost(problem), Budget())
    rates = []
    train = supernet._supernet.train

    def record(gates, **options):
        rates.append(options["learning_rate"])
        return train(gates, **options)

    supernet._supernet.train = record
    gates = [Gates.of(problem.space.strong_architecture(), problem.space)]
    while supernet.progress < 1:
        supernet.train(gates)
    # Fewer than the 50 epochs of five children, as steps cost more than those of
    # children so small; and a cosine along them.
    assert supernet.n_epochs == len(rates)
    assert 10 < len(rates) < 30
    assert rates[0] == 0.01
    assert all(a > b for a, b in itertools.pairwise(rates))
    assert rates[-1] < 0.001
    over = BudgetedSupernet(problem, math.inf, Budget(0.0))
    assert over.progress == math.inf


# The search.


@pytest.fixture
def one_shot(fast):
    """Return a fit with a one-shot strategy, of more children than the others'."""

    def fit(X, y, strategy, estimator=NASMLPClassifier, **parameters):
        settings = {**fast, "n_rounds": 3, "n_architectures": 3, **parameters}
        return estimator(**{**settings, "search_strategy": strategy}).fit(X, y)

    return fit


STRATEGIES = {
    "enas": EnasStrategy(hidden_size=8, n_candidates=8, n_sampled=2),
    "darts": DartsStrategy(),
}


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
def test_a_fit_leaves_out_as_many_children_as_the_supernet_cost(
    strategy, one_shot, three_class_table
):
    classifier = one_shot(*three_class_table, strategy)
    results = classifier.search_results_
    assert 2 <= len(results["score"]) < 9
    assert (
        results["architecture"][0]
        == SearchSpace(
            (8, 16), classifier.activations, classifier.max_layers
        ).strong_architecture()
    )
    again = one_shot(*three_class_table, strategy)
    assert list(again.search_results_["architecture"]) == list(results["architecture"])
    np.testing.assert_array_equal(again.search_results_["score"], results["score"])
    assert "supernet_correlation" in classifier.round_results_


def test_names_and_other_tasks(one_shot, three_class_table):
    X, y = three_class_table
    regressor = one_shot(X, X @ np.ones((6, 2)), "darts", NASMLPRegressor)
    assert regressor.predict(X).shape == (90, 2)
    weights = np.linspace(0.5, 2, 90)
    classifier = NASMLPClassifier(
        **{**_smallest(), "search_strategy": "enas", "scoring": "balanced_accuracy"}
    ).fit(X, y, sample_weight=weights)
    assert len(classifier.search_results_["score"]) == 2


def _smallest():
    return {
        "layer_widths": (4,),
        "max_layers": 3,
        "n_rounds": 1,
        "n_architectures": 2,
        "search_epochs": 1,
        "n_finalists": 0,
        "n_splits": 1,
        "n_ensemble": 1,
        "max_iter": 1,
        "encoding": "scale",
        "random_state": 0,
    }


def test_a_search_that_goes_on_trains_no_second_supernet(
    one_shot, three_class_table, monkeypatch
):
    explored = []
    explore = EnasStrategy.explore

    def record(self, supernet):
        explored.append(supernet)
        explore(self, supernet)

    monkeypatch.setattr(EnasStrategy, "explore", record)
    strategy = STRATEGIES["enas"]
    classifier = one_shot(*three_class_table, strategy, warm_start=True)
    n_before = len(classifier.search_results_["score"])
    classifier.fit(*three_class_table)
    assert len(explored) == 1
    # No supernet, no child left out.
    assert len(classifier.search_results_["score"]) == n_before + 9


def test_a_supernet_ends_with_the_time(one_shot, three_class_table):
    classifier = one_shot(*three_class_table, STRATEGIES["enas"], max_time=0.01)
    assert len(classifier.search_results_["score"]) >= 1


class WithSettings(OneShotStrategy):
    supernet_share = 0.1

    def explore(self, supernet):
        del supernet
        raise AssertionError("Settings must be refused before.")

    def sample(self, n):
        return [Candidate(Architecture((8, "relu")), (("alpha", 0.1),))] * n


def test_candidates_with_settings_are_refused(one_shot, three_class_table):
    with pytest.raises(ValueError, match="must return candidates without settings"):
        one_shot(*three_class_table, WithSettings())


class WithLock(DartsStrategy):
    def begin(self):
        super().begin()
        self.lock = threading.Lock()


def test_a_strategy_that_cannot_be_copied_searches(one_shot, three_class_table):
    classifier = one_shot(*three_class_table, WithLock(), n_finalists=0)
    assert len(classifier.search_results_["score"]) > 1


class WithSettingsLater(OneShotStrategy):
    supernet_share = 0.1

    def explore(self, supernet):
        del supernet
        self.alpha = 0.1

    def sample(self, n):
        return [Candidate(Architecture((8, "relu")), (("alpha", self.alpha),))] * n


def test_candidates_that_cannot_be_known_before_are_refused_later(
    one_shot, three_class_table
):
    with pytest.raises(ValueError, match="must return candidates without settings"):
        one_shot(*three_class_table, WithSettingsLater())


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
def test_several_objectives_are_refused(strategy, one_shot, three_class_table):
    with pytest.raises(
        ValueError, match=r"must have objectives=\('score',\).*n_parameters"
    ):
        one_shot(*three_class_table, strategy, objectives=("score", "n_parameters"))


@pytest.mark.parametrize("name", ["enas", "darts", "morphnet"])
def test_a_search_of_a_single_trial_trains_no_supernet(
    name, three_class_table, monkeypatch
):
    def refuse(*_):
        raise AssertionError("There is nothing to compare.")

    monkeypatch.setattr("sknas._search.one_shot.BudgetedSupernet", refuse)
    classifier = NASMLPClassifier.from_architecture(
        ((8, "relu"),), search_strategy=name, max_iter=1, n_ensemble=1, random_state=0
    ).fit(*three_class_table)
    assert len(classifier.search_results_["score"]) == 1


def test_the_bar_ends_with_the_trials_that_are_left(one_shot, three_class_table):
    tqdm = pytest.importorskip("tqdm", reason="the bar is tqdm's")
    bars = []

    class Bar(tqdm.tqdm):
        def close(self):
            bars.append((self.n, self.total))
            super().close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tqdm, "tqdm", Bar)
        one_shot(*three_class_table, STRATEGIES["enas"], verbose=1)
    (n, total), *_ = bars
    assert n == total < 9


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
def test_a_limit_of_parameters_holds_and_skip_connections_are_refused(
    strategy, one_shot, three_class_table
):
    classifier = one_shot(*three_class_table, strategy, max_parameters=200)
    tried = classifier.search_results_["architecture"]
    assert max(each.n_parameters(6, 3) for each in tried) <= 200
    with pytest.raises(ValueError, match="without skip connections"):
        one_shot(*three_class_table, strategy, skip=True)


def test_a_subclass_without_its_methods_says_so():
    strategy = OneShotStrategy()
    strategy.setup(SPACE, 0)
    with pytest.raises(NotImplementedError, match=r"explore\(supernet\)"):
        strategy.explore(FakeSupernet())
    with pytest.raises(NotImplementedError, match=r"sample\(n\)"):
        strategy.ask(1)


INVALID = {
    EnasStrategy: {
        "supernet_share": 1.0,
        "warm_up": 1.0,
        "n_sampled": 1,
        "n_candidates": 0,
        "hidden_size": 0,
        "learning_rate": 0,
        "entropy": -1,
    },
    DartsStrategy: {
        "supernet_share": 0.0,
        "warm_up": -0.1,
        "learning_rate": 0,
        "unrolled": None,
        "width_penalty": -1,
        "n_candidates": 0,
    },
}


@pytest.mark.parametrize("cls", INVALID)
def test_invalid_parameters_are_refused(cls):
    assert set(INVALID[cls]) == set(cls().get_params())
    for name, value in INVALID[cls].items():
        with pytest.raises(
            InvalidParameterError, match=rf"'{name}' parameter of {cls.__name__}"
        ):
            cls(**{name: value}).setup(SPACE, 0)


def test_scores_are_compared_within_a_depth():
    shallow = [Architecture((w, "relu")) for w in (8, 16, 32)]
    deep = [Architecture((w, "relu"), (8, "tanh")) for w in (8, 16, 32)]
    # By the shared weights, every shallow one is better than every deep one.
    scores = _within_depths([*shallow, *deep], [6.0, 5.0, 4.0, 3.0, 2.0, 1.0])
    assert scores[:3].mean() == pytest.approx(0)
    assert scores[3:].mean() == pytest.approx(0)
    assert (np.diff(scores[:3]) < 0).all()
    assert (np.diff(scores[3:]) < 0).all()
