import copy
import math

import numpy as np
import pytest

from sknas import (
    Architecture,
    Candidate,
    NASMLPClassifier,
    ProgressiveStrategy,
    SearchSpace,
)
from sknas._search.strategies.progressive import ArchitectureFeatures, RidgeEnsemble
from sknas._sklearn import InvalidParameterError

# The default of the classifier, and one in which little is left to choose.
SPACE = SearchSpace((16, 32, 64, 128, 256), ("relu", "elu", "tanh", "sigmoid"), 7)
NARROW = SearchSpace((8,), ("relu",), 4)


def _search(reward, n_rounds=5, n=8, space=SPACE, seed=0, told=(), **parameters):
    """Search; what was told unasked comes with the first round. Return it all."""
    strategy = ProgressiveStrategy(**parameters)
    strategy.setup(space, seed)
    rounds = []
    for _ in range(n_rounds):
        rounds.append(strategy.ask(n))
        trials = [*told, *rounds[-1]]
        strategy.tell(trials, [float(reward(each)) for each in trials])
        told = ()
    return strategy, rounds


def _lengths(architectures):
    return [len(architecture.layers) for architecture in architectures]


def _sizes(architecture):
    """Wide is good, and so is the middle of the activations' order."""
    activations = [name for _, name in architecture.dense_layers]
    share = np.mean([name == "elu" for name in activations])
    return np.mean(np.log(architecture.hidden_layer_sizes)) + 2 * share


@pytest.mark.parametrize("n", [8, 3, 1])
def test_every_length_is_tried_from_short_to_long(n):
    _, rounds = _search(_sizes, 24 // n, n, beam_size=4)
    lengths = [length for asked in rounds for length in _lengths(asked)]
    assert lengths == [length for length in range(1, 7) for _ in range(4)]


def test_a_length_with_fewer_architectures_is_no_obstacle():
    _, rounds = _search(_sizes, 3, 2, space=NARROW, beam_size=4)
    # One of a single token, then two, then three of three tokens.
    assert [_lengths(asked) for asked in rounds] == [[1, 2], [2, 3], [3, 3]]


def test_only_the_best_of_a_length_are_extended():
    _, rounds = _search(_sizes, 3, 3, beam_size=3, exploration=0.0)
    first, second, third = rounds
    assert {each.layers[:1] for each in second} <= {each.layers for each in first}
    assert {each.layers[:2] for each in third} <= {each.layers for each in second}


def test_extensions_are_screened_by_what_was_learned():
    screened, chance = [], []
    for seed in range(3):
        _, rounds = _search(_sizes, 4, 8, seed=seed)
        chance += map(_sizes, rounds[0])
        screened += map(_sizes, rounds[3])
    assert np.mean(screened) > np.mean(chance) + 1


@pytest.mark.parametrize("sign", [1, -1], ids=["deep", "shallow"])
def test_the_search_goes_on_where_the_rewards_are_good(sign):
    _, rounds = _search(lambda each: sign * len(each.layers), 8)
    lengths = _lengths(each for asked in rounds[-2:] for each in asked)
    assert np.mean(lengths) >= 5 if sign == 1 else np.mean(lengths) <= 2.5


def test_a_deep_network_that_was_told_is_evidence():
    strong = Architecture(*[(256, "elu")] * 3, (64, "elu"))
    strategy = ProgressiveStrategy(beam_size=2, exploration=0.0)
    strategy.setup(SPACE, 0)
    asked = strategy.ask(4)
    strategy.tell([strong, *asked], [0.9, 0.1, 0.2, 0.1, 0.2])
    assert strategy.predict([strong])[0] == max(strategy.predict([strong, *asked]))
    asked = strategy.ask(4)
    # It is one of the two of its length, and one of the two that are extended.
    assert _lengths(asked) == [3, 3, 4, 5]
    assert asked[3].layers[:4] == strong.layers


def test_a_told_candidate_is_its_architecture():
    told = [Architecture((16, "relu")), Architecture((32, "relu"))]
    _, expected = _search(_sizes, 3, told=told)
    strategy = ProgressiveStrategy()
    strategy.setup(SPACE, 0)
    for position, asked in enumerate(expected):
        assert strategy.ask(8) == asked
        others = told if position == 0 else []
        candidates = [Candidate(each, (("alpha", 0.5),)) for each in others]
        strategy.tell(
            [*candidates, *asked], [float(_sizes(each)) for each in [*others, *asked]]
        )


def test_predictions_rank_what_was_not_tried():
    strategy, rounds = _search(_sizes)
    tried = [each for asked in rounds for each in asked]
    generator = np.random.default_rng(0)
    unseen = [SPACE.sample(generator) for _ in range(200)]
    truth = [_sizes(each) for each in unseen]
    assert np.corrcoef(strategy.predict(unseen), truth)[0, 1] > 0.8
    rewards = [_sizes(each) for each in tried]
    assert min(rewards) <= strategy.predict(unseen).min()
    assert strategy.predict(unseen).max() <= max(rewards)


@pytest.mark.parametrize(
    "rewards",
    [[0.5] * 8, [-1.7e308, 1.7e308] * 4, [1e-300, 0.0, 0.0, 3e-300] * 2],
    ids=["constant", "huge", "tiny"],
)
def test_rewards_of_any_kind_are_learned_from(rewards):
    strategy = ProgressiveStrategy()
    strategy.setup(SPACE, 0)
    for _ in range(5):
        asked = strategy.ask(8)
        strategy.tell(asked, rewards)
        predicted = strategy.predict(asked)
        assert np.isfinite(predicted).all()
        assert ((min(rewards) <= predicted) & (predicted <= max(rewards))).all()


def test_exploration_goes_where_the_surrogates_disagree():
    strategy, _ = _search(_sizes, 3)
    scores = []
    for exploration in (1e9, 0.0):
        again = copy.deepcopy(strategy).set_params(exploration=exploration)
        tokens = [again._tokens(each) for each in again.ask(8)]
        scores.append(again._surrogates.score(again._features(tokens)))
    (bold_mean, bold_deviation), (timid_mean, timid_deviation) = scores
    assert (np.diff(bold_deviation) < 1e-6).all()
    assert (np.diff(timid_mean) < 1e-6).all()
    assert bold_deviation.min() > timid_deviation.min()
    assert timid_mean.min() > bold_mean.min()


def test_features_tell_all_architectures_apart():
    space = SearchSpace((8, 16), ("relu", "tanh"), 4)
    sequences = [space.encode(each)[:-1] for each in space]
    features = ArchitectureFeatures(space)(sequences)
    assert len(np.unique(features, axis=0)) == space.n_architectures
    assert np.abs(features).max() <= 1.5


def test_a_surrogate_is_a_ridge_regression():
    generator = np.random.default_rng(0)
    features = generator.normal(size=(12, 20))
    rewards = features @ generator.normal(size=20)
    ensemble = RidgeEnsemble(features, rewards, n_members=1, generator=generator)
    rows = np.random.default_rng(0)
    rows.normal(size=(12, 20))
    rows.normal(size=20)
    sample = rows.integers(12, size=12)
    # The normal equations, with a column of ones that is not penalised.
    X = np.column_stack([features[sample], np.ones(12)])
    y = ensemble._quantiles[np.argsort(np.argsort(rewards))][sample]
    expected = np.linalg.solve(X.T @ X + 3 * np.diag([1.0] * 20 + [0.0]), X.T @ y)
    mean, deviation = ensemble.score(features)
    np.testing.assert_allclose(
        mean, np.column_stack([features, np.ones(12)]) @ expected, atol=1e-9
    )
    assert not deviation.any()


INVALID = [
    ("beam_size", 0),
    ("beam_size", 4.0),
    ("n_surrogates", 0),
    ("exploration", -1),
    ("exploration", math.nan),
]


@pytest.mark.parametrize(("name", "value"), INVALID)
def test_setup_refuses_invalid_parameters(name, value):
    strategy = ProgressiveStrategy().set_params(**{name: value})
    with pytest.raises(
        InvalidParameterError,
        match=rf"'{name}' parameter of ProgressiveStrategy must be",
    ):
        strategy.setup(SPACE, 0)
    assert {name for name, _ in INVALID} == set(strategy.get_params())


def test_a_fit_records_what_was_predicted(fast, three_class_table):
    fast.update(search_strategy="progressive", n_rounds=2)
    classifier = NASMLPClassifier(**fast).fit(*three_class_table)
    predicted = np.asarray(classifier.search_results_["predicted_score"], dtype=float)
    assert np.isnan(predicted[0])
    assert np.isfinite(predicted[-1])
