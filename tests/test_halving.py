import itertools

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import ParameterGrid

from sknas import (
    Architecture,
    BayesianStrategy,
    Candidate,
    DartsStrategy,
    EvolutionStrategy,
    HalvingStrategy,
    HyperbandStrategy,
    NASMLPClassifier,
    Outcome,
    Proposal,
    RandomStrategy,
    SearchSpace,
    SearchStrategy,
)
from sknas._search.strategies.fidelity.rungs import resources_of_rungs
from sknas._sklearn import InvalidParameterError

SPACE = SearchSpace((8, 16, 32, 64), ("relu", "tanh"), 4)
SMALL = {"factor": 3, "min_resources": 2}
BOTH = pytest.mark.parametrize("cls", [HalvingStrategy, HyperbandStrategy])


def _set_up(strategy, **offered):
    if offered:
        strategy.set_max_resources(**{"epochs": 15, "folds": 1, **offered})
    strategy.setup(SPACE, 0)
    return strategy


def _epochs(proposals):
    return [proposal.epochs or 15 for proposal in proposals]


class _Listener(RandomStrategy):
    """Remembers what it is told, and what it observes before that."""

    def begin(self):
        self.told, self.observed = [], []

    def learn(self, architectures, rewards):
        self.told += zip(architectures, rewards, strict=True)

    def observe(self, outcomes):
        self.observed.append([outcome.reward for outcome in outcomes])


# The rungs.


@pytest.mark.parametrize(
    ("lowest", "highest", "factor", "expected"),
    [
        (None, 15, 8, [2, 15]),
        (None, 60, 8, [8, 60]),
        (None, 2, 8, [1, 2]),
        (None, 1, 8, [1]),
        (2, 15, 3, [2, 5, 15]),
        (3, 15, 3, [5, 15]),
        (15, 15, 3, [15]),
        (1, 27, 3, [1, 3, 9, 27]),
        (1, 3, 1.1, [1, 2, 3]),
    ],
)
def test_each_rung_has_factor_times_the_epochs_of_the_one_below(
    lowest, highest, factor, expected
):
    assert resources_of_rungs(lowest, highest, factor, are_whole=True) == expected


def test_rows_are_shares():
    shares = resources_of_rungs(1 / 9, 1.0, 3, are_whole=False)
    np.testing.assert_allclose(shares, [1 / 9, 1 / 3, 1])
    assert resources_of_rungs(None, 0.5, 5, are_whole=False) == [0.1, 0.5]


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, [2, 15]),
        ({"max_resources": 40}, [5, 40]),
        ({"resource": "rows"}, [0.125, 1.0]),
        ({"resource": "folds"}, [1]),
    ],
    ids=str,
)
def test_without_a_search_the_estimators_defaults_are_the_highest_rung(
    parameters, expected
):
    assert _set_up(HalvingStrategy(**parameters)).rungs_ == expected


def test_a_search_says_what_the_highest_rung_may_have():
    strategy = _set_up(HalvingStrategy(_Listener()), epochs=80)
    assert strategy.rungs_ == [10, 80]
    # When it goes on, there may be others.
    strategy.set_max_resources(epochs=24, folds=1)
    assert strategy.rungs_ == [3, 24]
    assert _set_up(HalvingStrategy(resource="folds"), folds=5).rungs_ == [1, 5]
    # A wrapper within a wrapper hears it too.
    nested = HalvingStrategy(HalvingStrategy("random"), resource="rows")
    assert _set_up(nested, epochs=80).strategy_.rungs_ == [10, 80]


# What rises.


def test_one_in_every_factor_rises_and_the_best_comes_first():
    strategy = _set_up(HalvingStrategy("random", **SMALL))
    begun = strategy.ask(7)
    assert _epochs(begun) == [2] * 7
    strategy.tell(begun, [0.1, 0.9, 0.3, 0.7, 0.8, 0.2, 0.0])
    asked = strategy.ask(3)
    assert asked[:2] == [Proposal(begun[i].candidate, 5) for i in (1, 4)]
    assert asked[2].epochs == 2
    # The next two at the lowest rung make nine of them: the third best rises.
    strategy.tell(asked, [0.5, 0.5, 0.0])
    asked = strategy.ask(2)
    assert _epochs(asked) == [2, 2]
    strategy.tell(asked, [0.1, 0.95])
    third, other = strategy.ask(2)
    assert third == Proposal(asked[1].candidate, 5)
    # At the second rung there are three now: the best of these comes next.
    strategy.tell([third, other], [0.4, 0.0])
    assert strategy.ask(1) == [Proposal(begun[1].candidate)]


def test_one_at_a_time_has_as_many_at_each_rung():
    strategy = _set_up(HalvingStrategy("random", **SMALL))
    epochs = []
    for number in range(40):
        (asked,) = strategy.ask(1)
        epochs += _epochs([asked])
        strategy.tell([asked], [float(number % 7)])
    counts = [epochs.count(rung) for rung in (2, 5, 15)]
    # Those of a rung at the time, since what rises first may fall behind.
    assert counts == [27, 9, 4]


def test_the_brackets_of_hyperband_begin_at_different_rungs():
    strategy = _set_up(HyperbandStrategy("random", **SMALL))
    begun = strategy.ask(34)
    assert _epochs(begun) == 2 * ([2] * 9 + [5] * 5 + [15] * 3)
    # Of each bracket a third rises, whatever the rewards of the others.
    rewards = np.linspace(0, 1, 34).tolist()
    strategy.tell(begun, rewards)
    risen = strategy.ask(9)
    assert _epochs(risen) == [15] * 3 + [5] * 6
    among = [begun.index(Proposal(p.candidate, 5)) for p in risen[:3]]
    assert among == [30, 29, 28]
    among = [begun.index(Proposal(p.candidate, 2)) for p in risen[3:]]
    assert among == [25, 24, 23, 22, 21, 20]


@pytest.mark.parametrize("resource", ["rows", "folds"])
def test_other_resources_rise(resource):
    strategy = HalvingStrategy("random", resource=resource, factor=2)
    _set_up(strategy, folds=4)
    begun = strategy.ask(2)
    strategy.tell(begun, [0.4, 0.5])
    (risen,) = strategy.ask(1)
    values = [getattr(proposal, resource) for proposal in (*begun, risen)]
    assert values == {"rows": [0.5, 0.5, 1.0], "folds": [2, 2, 4]}[resource]
    assert risen.candidate == begun[1].candidate
    assert risen.epochs is None


def test_settings_and_other_resources_of_a_proposal_stay():
    class Settled(SearchStrategy):
        def draw(self, n):
            return [
                Proposal(Candidate(a, (("alpha", 0.5),)), rows=0.5)
                for a in itertools.islice(self.space_, n)
            ]

    strategy = _set_up(HalvingStrategy(Settled(), factor=2))
    begun = strategy.ask(2)
    strategy.tell(begun, [0.4, 0.5])
    (risen,) = strategy.ask(1)
    assert risen == Proposal(begun[1].candidate, rows=0.5)
    assert dict(risen.candidate.settings) == {"alpha": 0.5}


# What the other strategy hears.


def test_rewards_of_higher_rungs_are_not_told():
    strategy = _set_up(HalvingStrategy(_Listener(), **SMALL))
    begun = strategy.ask(3)
    strategy.tell(begun, [0.1, 0.2, 0.3])
    risen = strategy.ask(1)
    strategy.tell(risen, [0.9])
    told = [(p.candidate.architecture, r) for p, r in zip(begun, [0.1, 0.2, 0.3])]  # noqa: B905
    assert strategy.strategy_.told == told


def test_what_others_proposed_is_told_when_it_compares():
    strategy = _set_up(HalvingStrategy(_Listener(), factor=2))
    foreign = Architecture((64, "relu"), (64, "relu"), (64, "relu"))
    begun = strategy.ask(2)
    strategy.tell([foreign, *begun], [0.9, 0.1, 0.3])
    assert foreign not in dict(strategy.strategy_.told)
    risen = strategy.ask(1)
    # Full epochs add 0.5.
    strategy.tell(risen, [0.8])
    assert dict(strategy.strategy_.told)[foreign] == pytest.approx(0.4)


def test_hyperband_takes_off_what_a_rung_adds():
    strategy = _set_up(HyperbandStrategy(_Listener(), factor=2))
    # A bracket of two, then two in full.
    begun = strategy.ask(4)
    assert _epochs(begun) == [8, 8, 15, 15]
    strategy.tell(begun, [0.2, 0.4, 0.7, 0.9])
    # Nothing was tried at both yet: the means differ by 0.5.
    told = [reward for _, reward in strategy.strategy_.told]
    assert told == pytest.approx([0.2, 0.4, 0.2, 0.4])
    asked = strategy.ask(4)
    assert _epochs(asked) == [15, 8, 8, 15]
    strategy.tell(asked, [0.5, 0.2, 0.3, 0.6])
    # The one that rose has 0.1 more.
    told = [reward for _, reward in strategy.strategy_.told[4:]]
    assert told == pytest.approx([0.2, 0.3, 0.5])


@BOTH
def test_predictions_are_of_the_rung_of_each(cls):
    class Certain(RandomStrategy):
        def predict(self, architectures):
            return np.full(len(architectures), 0.25)

    strategy = _set_up(cls(Certain(), factor=2))
    begun = strategy.ask(2)
    strategy.tell(begun, [0.2, 0.4])
    (risen,) = strategy.ask(1)
    strategy.tell([risen], [0.7])
    predicted = strategy.predict([begun[0], risen])
    assert predicted == pytest.approx([0.25, 0.55])


class _Stubborn:
    """No `SearchStrategy`; proposes the same again and again, and too much."""

    def setup(self, space, random_state):
        del random_state
        self.space, self.is_waiting = space, False

    def ask(self, n):
        assert not self.is_waiting
        self.is_waiting = True
        return list(itertools.islice(self.space, n + 1))

    def tell(self, architectures, rewards):
        assert len(architectures) == len(rewards)
        self.is_waiting = False


@BOTH
def test_a_strategy_that_repeats_itself_does_no_harm(cls):
    strategy = _set_up(cls(_Stubborn()))
    proposed = []
    for _ in range(8):
        asked = strategy.ask(3)
        assert len(asked) == 3
        strategy.tell(asked, [0.5] * 3)
        proposed += asked
    assert len(set(proposed)) == len(proposed)


# Parameters.


@BOTH
def test_parameters_of_the_other_strategy_are_nested(cls):
    classifier = NASMLPClassifier(search_strategy=cls(EvolutionStrategy()))
    name = "search_strategy__strategy__tournament_size"
    assert classifier.get_params()[name] == EvolutionStrategy().tournament_size
    for parameters in ParameterGrid({name: [2, 3], "search_strategy__factor": [4]}):
        varied = clone(classifier).set_params(**parameters)
        assert varied.search_strategy.strategy.tournament_size == parameters[name]
        assert varied.search_strategy.factor == 4
    assert classifier.search_strategy.factor == cls().factor


def test_the_object_that_was_given_stays_as_it_is():
    given = BayesianStrategy()
    strategy = _set_up(HalvingStrategy(given))
    strategy.tell(strategy.ask(2), [0.1, 0.2])
    assert vars(given) == given.get_params()


@BOTH
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("strategy", "halving"),
        ("strategy", None),
        ("strategy", RandomStrategy),
        ("strategy", DartsStrategy()),
        ("factor", 1),
        ("factor", 1 + 1e-15),
        ("resource", "seconds"),
        ("min_resources", 0),
        ("min_resources", 16),
        ("max_resources", 2.5),
        ("max_resources", -1),
    ],
    ids=str,
)
def test_setup_refuses_invalid_parameters(cls, name, value):
    strategy = cls(min_resources=2).set_params(**{name: value})
    with pytest.raises(
        InvalidParameterError, match=rf"'{name}' parameter of {cls.__name__} must be"
    ):
        strategy.setup(SPACE, 0)
    assert set(cls._parameter_constraints) == set(cls().get_params(deep=False))


def test_there_are_no_more_rows_than_all():
    with pytest.raises(InvalidParameterError, match="a share of the rows"):
        HalvingStrategy(resource="rows", max_resources=2).setup(SPACE, 0)


def test_there_are_no_more_folds_than_all():
    strategy = HalvingStrategy(resource="folds", factor=2, max_resources=8)
    assert _set_up(strategy, folds=3).rungs_ == [2, 3]
    assert _set_up(strategy, folds=20).rungs_ == [4, 8]


@BOTH
def test_the_parents_are_those_of_the_other_strategy(cls):
    inside = EvolutionStrategy(n_initial=2, inherit_weights=True)
    strategy = _set_up(cls(inside, factor=3, min_resources=5))
    begun = strategy.ask(2)
    told = enumerate(begun)
    strategy.observe([Outcome(i, p, i, {}, (), 1.0, False) for i, p in told])
    strategy.tell(begun, [0, 1])
    assert strategy.parents() == [0, 1]
    assert {child.parent for child in strategy.ask(2)} == {1}
    assert _set_up(cls("random")).parents() is None


# In a search.


@pytest.mark.parametrize(
    ("given", "epochs"),
    [
        (HalvingStrategy("random", factor=2), {4, 2}),
        (HyperbandStrategy("random", factor=2), {4, 2}),
        (HalvingStrategy("random", resource="folds", factor=2), {4}),
        (HalvingStrategy("random", resource="rows", factor=2), {4}),
    ],
    ids=str,
)
def test_a_search_rises(fast, three_class_table, given, epochs):
    fast.update(search_strategy=given, n_rounds=3, search_epochs=4, n_splits=2)
    classifier = NASMLPClassifier(**fast).fit(*three_class_table)
    results = classifier.search_results_
    assert len(results["max_iter"]) == 6
    assert set(results["max_iter"]) == epochs
    # What was tried at both is in two rows.
    assert len(set(results["architecture"])) < 6


def test_the_other_strategy_observes_what_it_is_told(fast, three_class_table):
    # Kept by the class, since `fit` uses a clone of a clone.
    observed, told = [], []

    class Watching(_Listener):
        def observe(self, outcomes):
            observed.append([outcome.reward for outcome in outcomes])

        def learn(self, architectures, rewards):
            del architectures
            told.append(list(rewards))

    strategy = HalvingStrategy(Watching(), factor=2)
    fast.update(search_strategy=strategy, n_rounds=3)
    NASMLPClassifier(**fast).fit(*three_class_table)
    assert observed == told
    assert len(told) >= 2
