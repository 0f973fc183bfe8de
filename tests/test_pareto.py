"""Several objectives: sorting, strategies, the front and the choice from it."""

import itertools
import math

import numpy as np
import pytest

from sknas import (
    Architecture,
    EvolutionStrategy,
    NASMLPClassifier,
    NASMLPRegressor,
    Outcome,
    RandomStrategy,
    ReinforceStrategy,
    SearchSpace,
)
from sknas._search import latency as _latency
from sknas._search.latency import measured_latency
from sknas._search.strategies.surrogate import screening as screening_module
from sknas._search.strategies.surrogate.screening import Screening
from sknas._sklearn import InvalidParameterError
from sknas._space import as_proposal
from sknas._space.pareto import (
    best_first,
    beyond,
    crowding,
    is_beaten,
    knee,
    ranks,
    spread,
    values_of,
)

BOTH = ("score", "n_parameters")


def _beats(one, other):
    return all(a >= b for a, b in zip(one, other, strict=True)) and any(
        a > b for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("n_objectives", [1, 2, 3])
def test_fronts_agree_with_the_definition(n_objectives):
    values = np.random.default_rng(0).integers(0, 6, (60, n_objectives)).astype(float)
    points = values.tolist()
    expected = [any(_beats(a, b) for a in points) for b in points]
    assert is_beaten(values).tolist() == expected
    rank = ranks(values)
    assert ((rank > 0) == expected).all()
    for number in range(1, rank.max() + 1):
        left = [p for p, r in zip(points, rank, strict=True) if r >= number]
        for point, r in zip(points, rank, strict=True):
            if r == number:
                assert not any(_beats(other, point) for other in left)
                assert any(
                    _beats(o, point) for o, q in zip(points, rank, strict=True) if q < r
                )


def test_what_has_failed_is_beaten_by_all_others():
    values = np.array([[0.1, -9.0], [np.nan, 0.0], [0.9, np.nan], [0.2, -9.5]])
    assert ranks(values).tolist() == [0, 1, 1, 0]
    assert ranks(np.full((3, 2), np.nan)).tolist() == [0, 0, 0]
    assert sorted(best_first(np.full((3, 2), np.nan)).tolist()) == [0, 1, 2]


def test_crowding_agrees_with_a_worked_example():
    values = np.array([[0.0, 4.0], [1.0, 3.0], [3.0, 2.0], [4.0, 0.0]])
    # (3 - 0) / 4 + (4 - 2) / 4, and (4 - 1) / 4 + (3 - 0) / 4.
    assert crowding(values).tolist() == [np.inf, 1.25, 1.5, np.inf]
    assert crowding(np.ones((3, 2))).tolist() == [0.0, 0.0, 0.0]
    # Both ends, then what stands alone, then what others beat.
    with_beaten = np.vstack([[[0.5, 0.5]], values])
    assert best_first(with_beaten).tolist() == [1, 4, 3, 2, 0]


def test_the_knee_is_farthest_from_the_line_between_the_ends():
    values = np.array([[0.99, -14.0], [0.95, -10.0], [0.90, -8.0], [0.60, -7.0]])
    ends = values[[0, -1]]
    scaled = (values - ends.min(axis=0)) / np.ptp(values, axis=0)
    distances = np.abs(scaled.sum(axis=1) - 1) / math.sqrt(2)
    assert knee(values) == distances.argmax() == 2, distances
    assert knee(values[:1]) == 0
    # A constant objective decides nothing, and of equals the best score is taken.
    assert knee(np.column_stack([[0.5, 0.7, 0.6], np.ones(3)])) == 1
    assert knee(values[[3, 0]]) == 1


def test_a_spread_begins_with_the_best_score_and_the_knee():
    values = np.array([[0.99, -14.0], [0.95, -10.0], [0.90, -8.0], [0.60, -7.0]])
    assert spread(values, 4) == [0, 2, 3, 1]
    assert spread(values, 1) == [0]
    assert spread(values, 1, knee_first=True) == [2]
    assert sorted(spread(values, 9)) == [0, 1, 2, 3]
    assert spread(values[:0], 3) == []


def test_values_are_scores_and_logarithms_of_costs():
    given = [
        {"score": 0.5, "n_parameters": 100.0, "latency": 0.0},
        {"score": math.nan, "n_parameters": 10.0},
    ]
    values = values_of(given, ("score", "n_parameters", "latency"))
    np.testing.assert_allclose(values[0], [0.5, -math.log(100), -math.log(1e-9)])
    np.testing.assert_allclose(values[1], [np.nan, -math.log(10), np.nan])


def test_what_goes_beyond_a_front_by_most_comes_first():
    known = np.array([[0.0, 2.0], [1.0, 1.0], [2.0, 0.0], [0.5, 0.5]])
    # Beyond by 0.5, within, beyond by 1 and by 0.9, of a range of 2.
    points = np.array([[1.5, 1.5], [0.5, 1.0], [3.0, 0.0], [2.9, 0.0]])
    assert beyond(known, points, 1) == [2]
    # What was chosen is known: the last one is no longer beyond it.
    assert beyond(known, points, 2) == [2, 0]
    assert sorted(beyond(known, points, 9)) == [0, 1, 2, 3]
    assert beyond(np.ones((1, 2)), points[:0], 3) == []
    # An objective in which nothing differs counts in its own units.
    assert beyond(np.array([[0.0, 1.0], [1.0, 1.0]]), points, 1) == [2]


# Strategies.

SPACE = SearchSpace((8, 16, 32, 64, 128), ("relu", "tanh"), 5)


def _score(architecture):
    """Wide and shallow is good, and the more the less it adds."""
    widths = architecture.hidden_layer_sizes
    return math.log(sum(widths)) - 0.4 * len(widths)


def _outcome(trial, architecture, sought=BOTH, failed=False):
    score = math.nan if failed else _score(architecture)
    n_parameters = float(architecture.n_parameters(20, 3))
    return Outcome(
        trial=trial,
        proposal=as_proposal(architecture),
        reward=-9.0 if failed else score,
        objectives={"score": score, "n_parameters": n_parameters},
        curve=(),
        cost=0.0,
        failed=failed,
        sought=sought,
    )


def _converse(strategy, n_rounds, sought=BOTH, n=8, failed=lambda _: False):
    strategy.setup(SPACE, 0)
    tried = []
    for _ in range(n_rounds):
        asked = strategy.ask(n)
        outcomes = [
            _outcome(len(tried) + i, each, sought, failed(each))
            for i, each in enumerate(asked)
        ]
        strategy.observe(outcomes)
        strategy.tell(asked, [outcome.reward for outcome in outcomes])
        tried += asked
    return tried


def _hypervolume(tried):
    objectives = [_outcome(0, each).objectives for each in tried]
    scores, costs = values_of(objectives, BOTH).T
    area, best = 0.0, -9.0
    for place in np.lexsort((-scores, -costs)):
        area += max(scores[place] - best, 0.0) * (costs[place] + 20)
        best = max(best, scores[place])
    return area


def test_evolution_finds_more_of_a_front_than_chance_does():
    found = _hypervolume(_converse(EvolutionStrategy(), 8))
    alone = _hypervolume(_converse(EvolutionStrategy(), 8, ("score",)))
    random = _hypervolume(_converse(RandomStrategy(), 8))
    exact = _hypervolume(list(SPACE))
    assert found > 0.97 * exact
    assert found > max(random, alone)


def _screening(tried, failed=lambda _: False):
    screening = Screening(SPACE)
    objectives = [_outcome(0, each, failed=failed(each)).objectives for each in tried]
    for each, values in zip(tried, values_of(objectives, BOTH), strict=True):
        screening.add(each, values)
    return screening


def test_a_screening_finds_what_is_good_and_what_is_small():
    generator = np.random.default_rng(0)
    tried = list(dict.fromkeys(SPACE.sample(generator) for _ in range(40)))
    candidates = [each for each in SPACE if each not in tried]
    candidates = [candidates[i] for i in generator.permutation(len(candidates))[:200]]
    screening = _screening(tried)
    chosen = screening.choose(candidates, 20, generator)
    assert len(set(chosen)) == 20
    # Of 20 at random, the front of all is hardly one better.
    objectives = [_outcome(0, each).objectives for each in candidates]
    rank = ranks(values_of(objectives, BOTH))
    assert rank[chosen].mean() < 0.5 * rank.mean()


def test_the_predicted_number_of_parameters_is_exact():
    generator = np.random.default_rng(1)
    drawn = [SPACE.sample(generator) for _ in range(40)]
    sums = screening_module._sums(drawn)
    logs = np.log([each.n_parameters(20, 3) for each in drawn])
    predicted = screening_module._costs(sums[:20], -logs[:20], sums[20:])
    np.testing.assert_allclose(predicted, -logs[20:], atol=1e-6)


def test_equal_costs_are_predicted():
    # Of these draws, SciPy's active-set method finds no solution (1.17).
    space = SearchSpace((8, 16, 32), ("relu", "tanh"), max_layers=3)
    generator = np.random.default_rng(32)
    drawn = list(dict.fromkeys(space.sample(generator) for _ in range(24)))
    sums = screening_module._sums(drawn)
    predicted = screening_module._costs(sums, np.zeros(len(drawn)), sums)
    np.testing.assert_allclose(predicted, 0.0, atol=1e-3)


def test_a_screening_knows_of_failures_and_of_too_little():
    generator = np.random.default_rng(0)
    tried = list(dict.fromkeys(SPACE.sample(generator) for _ in range(60)))
    others = [each for each in SPACE if each not in tried][::40]

    def is_wide(architecture):
        return architecture.hidden_layer_sizes[0] == 128

    chosen = _screening(tried, is_wide).choose(others, len(others) // 4, generator)
    wide = [is_wide(others[place]) for place in chosen]
    assert sum(wide) / len(wide) < sum(map(is_wide, others)) / len(others)
    # Nothing to learn from: the first candidates.
    assert _screening(tried, lambda _: True).choose(others, 3, generator) == [0, 1, 2]
    assert _screening(tried[:3]).choose(others[:2], 3, generator) == [0, 1]
    assert _screening(tried).choose([], 3, generator) == []
    # With other objectives, what was known of before does not count.
    screening = _screening(tried)
    screening.add(tried[0], (0.5, -3.0, -2.0))
    assert screening.choose(others, 2, generator) == [0, 1]


def test_with_one_objective_evolution_does_what_it_did():
    plain = EvolutionStrategy()
    plain.setup(SPACE, 0)
    tried = []
    for _ in range(4):
        asked = plain.ask(8)
        plain.tell(asked, [_score(each) for each in asked])
        tried += asked
    assert tried == _converse(EvolutionStrategy(), 4, ("score",))


def test_the_members_that_survive_are_those_of_the_first_fronts():
    strategy = EvolutionStrategy(population_size=6)
    tried = _converse(strategy, 4)
    objectives = [_outcome(0, each).objectives for each in tried]
    rank = dict(zip(tried, ranks(values_of(objectives, BOTH)).tolist(), strict=True))
    survivors = {member.architecture for member in strategy._population}
    assert len(survivors) == 6
    first = [each for each in tried if rank[each] == 0]
    assert survivors <= set(first) or set(first) <= survivors


def test_failures_survive_only_where_there_is_nothing_else():
    strategy = EvolutionStrategy(population_size=4)
    _converse(strategy, 3, failed=lambda a: a.hidden_layer_sizes[0] < 100)
    assert {m.architecture.hidden_layer_sizes[0] for m in strategy._population} == {128}
    _converse(EvolutionStrategy(), 3, failed=lambda _: True)


@pytest.mark.parametrize("cost_weight", [0.0, 10.0])
def test_reinforce_learns_from_the_mixed_reward(cost_weight):
    strategy = ReinforceStrategy(hidden_size=8, n_replays=2, cost_weight=cost_weight)
    tried = _converse(strategy, 2, n=6, failed=lambda a: len(a.layers) == 4)
    outcomes = [_outcome(0, a, failed=len(a.layers) == 4) for a in tried]
    sizes = [math.log10(outcome.objectives["n_parameters"]) for outcome in outcomes]
    mixed = [
        math.nan if outcome.failed else outcome.reward - cost_weight * size
        for outcome, size in zip(outcomes, sizes, strict=True)
    ]
    told = strategy._learner._rewards
    is_known = np.isfinite(mixed)
    np.testing.assert_allclose(told[is_known], np.array(mixed)[is_known])
    assert (~is_known).any()
    assert (told[~is_known] >= min(np.array(mixed)[is_known]) - 1e-9).all()
    assert (told[~is_known] <= max(np.array(mixed)[is_known][:6])).all()


# The latency.


def test_the_latency_of_a_larger_network_is_longer():
    def latency(widths):
        sizes = [10, *widths, 3]
        generator = np.random.default_rng(0)
        weights = [
            (generator.normal(size=pair), np.zeros(pair[1]))
            for pair in itertools.pairwise(sizes)
        ]
        architecture = Architecture(*[(width, "relu") for width in widths])
        return measured_latency(architecture, weights, "softmax", np.ones((7, 10)))

    small, large = latency([4]), latency([256, 256, 256])
    assert min(small) > 0
    # Of thousands of times as many operations.
    assert small[1] < large[1]


# Estimators.


@pytest.fixture
def several(fast):
    fast.update(
        layer_widths=(4, 16, 64),
        objectives=BOTH,
        search_strategy="evolution",
        n_architectures=6,
        search_epochs=8,
        n_finalists=3,
        max_iter=8,
    )
    return fast


@pytest.mark.parametrize("select", ["best", "knee"])
def test_a_front_is_published_and_chosen_from(several, three_class_table, select):
    X, y = three_class_table
    classifier = NASMLPClassifier(**several, select=select).fit(X, y)
    front, trials = classifier.pareto_front_, classifier.search_results_
    index = front["index"]
    for name in ("architecture", "score", "n_parameters"):
        assert front[name].tolist() == trials[name][index].tolist()
    assert not set(front) & {"latency", "latency_1"}
    # The most costly first. No other trial beats one of the front, nor does any of the
    # finalists beat another.
    assert (np.diff(front["n_parameters"]) <= 0).all()
    finalists = classifier.finalist_results_
    was_finalist = np.isin(index, finalists["index"])
    beaten = is_beaten(np.column_stack([trials["score"], -trials["n_parameters"]]))
    assert was_finalist.any()
    assert not beaten[index[~was_finalist]].any()
    for row, score in zip(index, front["finalist_score"], strict=True):
        scores = finalists["score"][finalists["index"] == row]
        assert score in scores if len(scores) else math.isnan(score)
    full = np.column_stack([front["finalist_score"], -front["n_parameters"]])
    assert not is_beaten(full[was_finalist]).any()
    if select == "knee":
        assert classifier.best_index_ in index
        assert classifier.best_index_ in finalists["index"]
    assert (finalists["index"][finalists["chosen"]] == classifier.best_index_).all()


def test_of_one_objective_the_front_is_the_choice(fast, binary_table):
    classifier = NASMLPClassifier(**fast).fit(*binary_table)
    assert classifier.pareto_front_["index"].tolist() == [classifier.best_index_]
    (score,) = classifier.pareto_front_["finalist_score"]
    assert score >= classifier.best_score_
    without = NASMLPClassifier(**{**fast, "n_finalists": 0}).fit(*binary_table)
    assert without.pareto_front_["finalist_max_iter"].tolist() == [0]


def test_a_function_chooses_and_its_choice_is_trained_in_full(several, binary_table):
    seen = []

    def smallest(front):
        seen.append({name: column.copy() for name, column in front.items()})
        front["index"][:] = -1  # a copy
        return np.int64(len(front["index"]) - 1)

    several["n_finalists"] = 1
    X, y = binary_table
    classifier = NASMLPClassifier(**several, select=smallest).fit(X, y)
    (front,) = seen
    assert front["index"].tolist() == classifier.pareto_front_["index"].tolist()
    assert classifier.best_index_ == front["index"][-1]
    assert classifier.best_index_ in classifier.finalist_results_["index"]
    assert classifier.best_architecture_ == front["architecture"][-1]
    assert math.isfinite(classifier.pareto_front_["finalist_score"][-1])


@pytest.mark.parametrize("answer", [-1, 99, 0.0, True, None, "error"])
def test_a_function_that_chooses_nothing_leaves_the_best(several, binary_table, answer):
    def select(front):
        return front[answer] if answer == "error" else answer

    several.update(n_rounds=1, n_architectures=3, search_epochs=1, max_iter=1)
    classifier = NASMLPClassifier(**several, select=select)
    with pytest.warns(UserWarning, match="select must return|KeyError"):
        classifier.fit(*binary_table)
    assert math.isfinite(classifier.score(*binary_table))


def test_any_point_can_be_fitted_later(several, binary_table):
    X, y = binary_table
    several["encoding"] = "auto"
    classifier = NASMLPClassifier(**several, select="knee").fit(X, y)
    expected = classifier.predict_proba(X)
    front = classifier.pareto_front_
    (chosen,) = np.flatnonzero(front["index"] == classifier.best_index_)
    trials = classifier.search_results_
    for row in (0, len(front["index"]) - 1, int(chosen)):
        assert classifier.fit_point(X, y, row) is classifier
        assert classifier.best_architecture_ == front["architecture"][row]
        assert classifier.best_index_ == front["index"][row]
        assert set(classifier.finalist_results_["index"]) == {front["index"][row]}
        assert math.isnan(classifier.score_bound_)
        assert classifier.search_results_ is trials
        assert classifier.pareto_front_ is front
    # The last of these is what `fit` had chosen.
    np.testing.assert_array_equal(classifier.predict_proba(X), expected)
    assert classifier.objectives == BOTH
    for row in (len(front["index"]), -1, 0.0, True):
        with pytest.raises(ValueError, match="index must be the number of a row"):
            classifier.fit_point(X, y, row)
    np.testing.assert_array_equal(classifier.predict_proba(X), expected)


def test_a_point_is_fitted_whatever_the_strategy_can_search(several, binary_table):
    # DARTS must have two widths or activations, a point has one of each. It refuses
    # other objectives, so that there is one point.
    several.update(search_strategy="darts", objectives=("score",))
    classifier = NASMLPClassifier(**several).fit(*binary_table)
    (architecture,) = classifier.pareto_front_["architecture"]
    classifier.fit_point(*binary_table, 0)
    assert classifier.best_architecture_ == architecture
    assert classifier.search_strategy == "darts"


def test_latencies_are_measured_where_they_are_sought(several, binary_table):
    X, y = binary_table
    y = X[:, 0] + y
    several.update(objectives=("score", "latency"), n_rounds=1, n_finalists=2)
    regressor = NASMLPRegressor(**several, select="knee").fit(X, y)
    trials, front = regressor.search_results_, regressor.pareto_front_
    assert (trials["latency_1"] > 0).all()
    assert (trials["latency_1000"] > 0).all()
    total = trials["latency_1"] + trials["latency_1000"]
    assert front["latency"].tolist() == total[front["index"]].tolist()
    assert (np.diff(front["latency"]) <= 0).all()


def test_latencies_that_cannot_be_measured_leave_the_best_score(
    several, binary_table, monkeypatch
):
    def fail(*_):
        raise MemoryError

    monkeypatch.setattr(_latency, "measured_latency", fail)
    several.update(objectives=(*BOTH, "latency"), n_rounds=1, n_architectures=2)
    classifier = NASMLPClassifier(**several, select="knee")
    with pytest.warns(UserWarning, match="latency was not measured: MemoryError"):
        classifier.fit(*binary_table)
    assert len(classifier.pareto_front_["index"]) == 0
    assert math.isfinite(classifier.score(*binary_table))


def test_networks_of_one_size_have_a_front_of_one_point(several, binary_table):
    several.update(layer_widths=(8,), max_layers=2, dropout=0.0)
    classifier = NASMLPClassifier(**several, select="knee").fit(*binary_table)
    assert len(classifier.pareto_front_["index"]) == 1
    assert len(set(classifier.search_results_["n_parameters"])) == 1


def test_another_goal_begins_a_new_search(several, binary_table):
    several.update(n_rounds=1, n_architectures=2, search_epochs=1, max_iter=1)
    classifier = NASMLPClassifier(**several, warm_start=True).fit(*binary_table)
    with pytest.warns(UserWarning, match="begins a new search"):
        classifier.set_params(objectives=("score",)).fit(*binary_table)


@pytest.mark.parametrize(
    "objectives",
    [
        (),
        "score",
        ("n_parameters",),
        ("n_parameters", "score"),
        ("score", "size"),
        ("score", 3),
        ("score", "score"),
        ("score", "n_parameters", "n_parameters"),
    ],
    ids=str,
)
def test_malformed_objectives_are_refused(fast, binary_table, objectives):
    with pytest.raises(InvalidParameterError, match="'objectives' parameter of"):
        NASMLPClassifier(**fast, objectives=objectives).fit(*binary_table)


def test_a_selection_needs_finalists_and_a_known_name(fast, binary_table):
    with pytest.raises(InvalidParameterError, match="'select' parameter of"):
        NASMLPClassifier(**fast, select="smallest").fit(*binary_table)
    fast["n_finalists"] = 0
    with pytest.raises(InvalidParameterError, match="'best' with n_finalists=0"):
        NASMLPClassifier(**fast, select="knee").fit(*binary_table)
