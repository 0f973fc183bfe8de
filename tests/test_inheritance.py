"""Children that begin with the weights of their parents."""

import pickle

import numpy as np
import pytest

from sknas import (
    Architecture,
    Candidate,
    EvolutionStrategy,
    NASMLPClassifier,
    NASMLPRegressor,
    Outcome,
    Proposal,
    RandomStrategy,
    SearchSpace,
    SearchStrategy,
)
from sknas._fit.warm_start import FitRecord
from sknas._search.weight_store import ParentStore
from sknas._space import as_proposal

SPACE = SearchSpace((8, 16, 32), ("relu", "tanh"), 5)


class Watched(EvolutionStrategy):
    """Shows all that it is shown."""

    seen = ()

    def observe(self, outcomes):
        super().observe(outcomes)
        self.seen.extend(outcomes)


@pytest.fixture
def seen(monkeypatch):
    """Outcomes of all trials of a search with the strategy."""
    outcomes = []
    monkeypatch.setattr(Watched, "seen", outcomes)
    return outcomes


def _round(strategy, n, rewards, first=0, failed=()):
    """Ask, observe and tell, as a search does."""
    asked = strategy.ask(n)
    outcomes = [
        Outcome(first + i, as_proposal(each), reward, {}, (), 1.0, first + i in failed)
        for i, (each, reward) in enumerate(zip(asked, rewards, strict=True))
    ]
    strategy.observe(outcomes)
    strategy.tell(asked, rewards)
    return asked


def _set_up(**settings):
    strategy = EvolutionStrategy(n_initial=4, tournament_size=16, **settings)
    strategy.setup(SPACE, 0)
    return strategy


def test_children_name_the_winner_and_nobody_does_by_default():
    proposed = []
    for inherit_weights in (False, True):
        strategy = _set_up(inherit_weights=inherit_weights)
        first = _round(strategy, 4, [0.1, 0.9, 0.2, 0.3])
        assert all(isinstance(each, Architecture) for each in first)
        proposed.append(strategy.ask(4))
    assert all(isinstance(each, Architecture) for each in proposed[0])
    assert [each.parent for each in proposed[1]] == [1, 1, 1, 1]
    # Inheritance changes nothing about what is proposed.
    assert [each.candidate.architecture for each in proposed[1]] == proposed[0]


def test_parents_are_the_members_that_did_not_fail():
    strategy = _set_up(inherit_weights=True, population_size=5)
    assert strategy.parents() == []
    _round(strategy, 4, [0.1, 0.9, 0.2, 0.3], failed=[2])
    assert sorted(strategy.parents()) == [0, 1, 3]
    # The four of this round, and the best of the first one.
    _round(strategy, 4, [0.1, 0.2, 0.3, 0.4], first=4)
    assert sorted(strategy.parents()) == [1, 4, 5, 6, 7]
    assert _set_up().parents() is None
    assert RandomStrategy().parents() is None


def test_the_children_of_a_failed_trial_inherit_nothing():
    strategy = _set_up(inherit_weights=True)
    _round(strategy, 4, [0.1, 0.9, 0.2, 0.3], failed=[1])
    assert all(isinstance(each, Architecture) for each in strategy.ask(4))


def test_numbers_of_trials_on_other_rows_are_forgotten():
    strategy = _set_up(inherit_weights=True)
    _round(strategy, 4, [0.1, 0.9, 0.2, 0.3])
    _round(strategy, 4, [0.5, 0.5, 0.5, 0.5])
    assert sorted(strategy.parents()) == [0, 1, 2, 3]
    # The best is of the first search.
    assert all(isinstance(each, Architecture) for each in strategy.ask(4))


def test_a_store_keeps_what_it_is_told_to():
    architecture, child = Architecture((4, "relu")), Architecture((8, "relu"))
    generator = np.random.default_rng(0)
    weights = [
        [
            (generator.normal(size=shape), np.zeros(shape[1]))
            for shape in [(3, 4), (4, 1)]
        ]
        for _ in range(2)
    ]
    store = ParentStore()
    store.add(3, architecture, weights)
    store.add(4, architecture, weights[:1])
    inherited = store.retrieve(3, child, 0)
    assert [[coef.shape for coef, _ in fold] for fold in inherited] == [
        [(3, 8), (8, 1)],
        [(3, 8), (8, 1)],
    ]
    again = store.retrieve(3, child, 0)
    np.testing.assert_array_equal(inherited[1][0][0], again[1][0][0])
    store.keep_only([4, 5])
    assert store.retrieve(3, child, 0) == store.retrieve(None, child, 0) == []
    assert len(store.retrieve(4, child, 0)) == 1


def _search(fast, **settings):
    """Return settings of a search whose training changes next to nothing."""
    strategy = Watched(n_initial=3, tournament_size=3, inherit_weights=True)
    return fast | {
        "search_strategy": strategy,
        "layer_widths": (8, 16, 32, 64),
        "activations": ("relu",),
        "max_layers": 4,
        "n_architectures": 4,
        "n_rounds": 4,
        "learning_rate_init": 1e-12,
        "n_finalists": 0,
        "max_iter": 1,
        "n_ensemble": 1,
        **settings,
    }


def _losses(outcomes, results):
    """Return losses of children that only widen their parents, and the parents'."""
    found = []
    for outcome in outcomes:
        if outcome.proposal.parent is None:
            continue
        assert outcome.proposal.parent < outcome.trial
        trials = [outcome.trial, outcome.proposal.parent]
        child, parent = (results["architecture"][i].hidden_layer_sizes for i in trials)
        if len(child) == len(parent) and all(np.greater_equal(child, parent)):
            found.append(results["loss"][trials])
    return np.array(found)


@pytest.mark.parametrize("n_splits", [1, 3])
def test_a_search_gives_children_what_their_parents_have_learned(
    fast, binary_table, seen, n_splits
):
    classifier = NASMLPClassifier(**_search(fast, n_splits=n_splits))
    classifier.fit(*binary_table)
    results = classifier.search_results_
    assert [outcome.trial for outcome in seen] == list(range(len(results["loss"])))
    of_children, of_parents = _losses(seen, results).T
    assert len(of_children) >= 2
    # The networks differ, and copies of units are not quite equal.
    assert len(set(results["loss"].round(3))) > 3
    np.testing.assert_allclose(of_children, of_parents, rtol=5e-3)
    again = NASMLPClassifier(**_search(fast, n_splits=n_splits)).fit(*binary_table)
    np.testing.assert_array_equal(again.search_results_["loss"], results["loss"])


def test_without_it_children_are_drawn_anew(fast, binary_table, seen):
    strategy = Watched(n_initial=3, tournament_size=3)
    given = _search(fast, search_strategy=strategy, warm_start=True)
    classifier = NASMLPClassifier(**given).fit(*binary_table)
    assert all(outcome.proposal.parent is None for outcome in seen)
    assert _kept(classifier) == {}


def _kept(classifier):
    """Return the weights that a search has kept, by the numbers of trials."""
    return FitRecord.from_bytes(classifier._fit_record).state.parents._kept


def test_a_continued_search_still_has_the_parents(fast, binary_table, seen):
    strategy = Watched(
        n_initial=3, tournament_size=3, population_size=6, inherit_weights=True
    )
    given = _search(fast, search_strategy=strategy)
    whole = NASMLPClassifier(**given).fit(*binary_table)
    del seen[:]
    parts = NASMLPClassifier(**given, warm_start=True).set_params(n_rounds=3)
    parts.fit(*binary_table)
    state = FitRecord.from_bytes(parts._fit_record).state
    # No more than may become parents.
    assert len(state.parents._kept) == 6
    assert sorted(state.parents._kept) == sorted(state.strategy.parents())
    parts = pickle.loads(pickle.dumps(parts)).set_params(n_rounds=1)
    parts.fit(*binary_table)
    expected = whole.search_results_["loss"]
    np.testing.assert_array_equal(parts.search_results_["loss"], expected)
    assert seen[-1].proposal.parent is not None


def test_on_other_rows_nothing_is_inherited_from_the_rows_before(
    fast, binary_table, seen
):
    X, y = binary_table
    given = _search(fast, warm_start=True)
    classifier = NASMLPClassifier(**given).fit(X, y)
    before = set(_kept(classifier))
    assert before
    del seen[:]
    classifier.fit(X[10:], y[10:])
    assert classifier.continued_on_ == "new rows"
    of_children, of_parents = _losses(seen[4:], classifier.search_results_).T
    np.testing.assert_allclose(of_children, of_parents, rtol=5e-3)
    assert set(_kept(classifier)) <= set(range(len(classifier.search_results_["loss"])))


def test_a_parent_may_be_shorter_trained_and_is_passed_over_where_it_has_no_fold(
    fast, three_class_table
):
    class Widening(SearchStrategy):
        def begin(self):
            self.kept = []

        def draw(self, n):  # noqa: ARG002
            parent = self.kept[0] if self.kept else None
            widths, epochs = ((8, 16), 1) if parent is None else ((16, 32), 2)
            return [
                Proposal(Candidate(Architecture((w, "relu"))), epochs, 1.0, f, parent)
                for w, f in zip(widths, (1, 2), strict=True)
            ]

        def observe(self, outcomes):
            outcomes_of_8 = [o for o in outcomes if "(8," in repr(o.architecture)]
            self.kept = [o.trial for o in outcomes_of_8]

        def parents(self):
            return self.kept

    given = _search(fast, search_strategy=Widening(), n_rounds=2, n_architectures=3)
    given |= {"n_splits": 3, "first_architecture": None}
    regressor = NASMLPRegressor(**{**given, "search_n_iter_no_change": None})
    results = regressor.fit(*three_class_table).search_results_
    first = results["architecture"].tolist().index(Architecture((8, "relu")))
    child = (
        results["architecture"].tolist().index(Architecture((16, "relu")), first + 2)
    )
    assert results["n_iter"][[first, child]].tolist() == [1, 2]
    np.testing.assert_allclose(*results["loss"][[first, child]], rtol=5e-3)


@pytest.mark.parametrize("named", [5, [[0]]], ids=str)
def test_parents_in_another_form_are_refused(fast, binary_table, named):
    class Astray(RandomStrategy):
        def parents(self):
            return named

    classifier = NASMLPClassifier(**{**fast, "search_strategy": Astray()})
    with pytest.raises(TypeError, match=r"parents\(\) of Astray must return a coll"):
        classifier.fit(*binary_table)
