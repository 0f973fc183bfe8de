import ast
import copy
import itertools
import math
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from sknas import (
    Architecture,
    BayesianStrategy,
    Candidate,
    DartsStrategy,  # noqa: F401 (built from its source)
    EnasStrategy,  # noqa: F401 (built from its source)
    EvolutionStrategy,  # noqa: F401 (built from its source)
    HalvingStrategy,
    HyperbandStrategy,  # noqa: F401 (as above)
    MorphNetStrategy,  # noqa: F401 (as above)
    NASMLPClassifier,
    ProgressiveStrategy,
    Proposal,
    RandomStrategy,
    ReinforceStrategy,
    SearchSpace,
    SearchStrategy,
)
from sknas._search.strategies import learner as _learner
from sknas._sklearn import InvalidParameterError
from sknas._space import as_proposal

SPACE = SearchSpace((8, 16, 32), ("relu", "tanh"), 5)
SMALL_SPACE = SearchSpace((8, 16), ("relu",), 4)  # 24 architectures


def _source_of_the_example():
    """Return the strategy of the example, without what the example does with it."""
    path = Path(__file__).parents[1] / "examples" / "plot_own_strategy.py"
    definitions = (ast.ClassDef, ast.FunctionDef)
    module = ast.parse(path.read_text(encoding="utf-8"))
    module.body = [node for node in module.body if isinstance(node, definitions)]
    return ast.unparse(module)


# As names of this module, so that they can be pickled.
EXAMPLE = _source_of_the_example()
exec(EXAMPLE, globals())  # noqa: S102 (our own file)

# Every built-in strategy, and of REINFORCE every branch; and one that inherits what
# they have. A new one is one more line; sources, because a fresh process builds them.
STRATEGIES = {
    "random": "RandomStrategy()",
    "evolution": "EvolutionStrategy()",
    "evolution with crossover": (
        "EvolutionStrategy(population_size=5, tournament_size=2, n_initial=None,"
        " crossover=0.5)"
    ),
    "evolution that inherits": "EvolutionStrategy(inherit_weights=True)",
    "reinforce": "ReinforceStrategy(hidden_size=8)",
    "reinforce without predictor": (
        "ReinforceStrategy(hidden_size=8, accuracy_predictor=False, baseline=0.5)"
    ),
    "reinforce with candidates and two layers": (
        "ReinforceStrategy(hidden_size=8, predictor_candidates=3, predictor_bonus=0.5,"
        " batch_size=2, learning_rate_decay=0.1, discount=0.9, n_layers=2)"
    ),
    "progressive": "ProgressiveStrategy()",
    "progressive beyond the last length": (
        "ProgressiveStrategy(beam_size=1, n_surrogates=2, exploration=0.0)"
    ),
    "bayesian": "BayesianStrategy(n_candidates=40)",
    "bayesian by draws": (
        "BayesianStrategy(acquisition='thompson', n_candidates=40, max_points=9)"
    ),
    "enas": "EnasStrategy(hidden_size=8)",
    "darts": "DartsStrategy()",
    "halving": "HalvingStrategy(BayesianStrategy(n_candidates=10))",
    "halving thrice": "HalvingStrategy('random', factor=2, min_resources=4)",
    "hyperband": "HyperbandStrategy('evolution', factor=3, min_resources=2)",
    "morphnet": "MorphNetStrategy()",
    "inherited": "Evolution(n_parents=3)",
}


def _build(source):
    return eval(source, globals())


@pytest.fixture(params=STRATEGIES.values(), ids=STRATEGIES)
def source(request):
    return request.param


@pytest.fixture
def strategy(source):
    strategy = _build(source)
    strategy.setup(SPACE, 0)
    return strategy


def _reward(proposed):
    """Deep and wide is good; between 0 and 1."""
    return min(sum(_architecture(proposed).hidden_layer_sizes) / 128, 1.0)


def _architecture(proposed):
    return as_proposal(proposed).candidate.architecture


def _converse(strategy, n_rounds, n=4):
    """Ask and tell, and return what was asked."""
    rounds = []
    for _ in range(n_rounds):
        rounds.append(strategy.ask(n))
        strategy.tell(
            rounds[-1], [_reward(architecture) for architecture in rounds[-1]]
        )
    return rounds


def _flat(rounds):
    return list(itertools.chain.from_iterable(rounds))


# The conformance suite.


def test_proposals_are_architectures_of_the_space(strategy):
    for proposed in _converse(strategy, 4):
        assert isinstance(proposed, list)
        form = Proposal if isinstance(strategy, HalvingStrategy) else Architecture
        assert all(isinstance(item, form) for item in proposed)
        assert all(_architecture(item) in SPACE for item in proposed)


@pytest.mark.parametrize("n", [0, 1, 7])
def test_as_many_are_proposed_as_were_asked_for(strategy, n):
    assert [len(proposed) for proposed in _converse(strategy, 3, n)] == [n] * 3


def test_nothing_is_proposed_twice(strategy):
    proposed = _flat(_converse(strategy, 12, 10))
    assert len(set(proposed)) == len(proposed) == 120


def test_what_was_told_unasked_is_not_proposed(source):
    strategy = _build(source)
    strategy.setup(SMALL_SPACE, 0)
    told = list(SMALL_SPACE)[:12]
    asked = strategy.ask(1)
    foreign = [architecture for architecture in told if architecture not in asked]
    strategy.tell([*foreign, *asked], [_reward(a) for a in [*foreign, *asked]])
    later = set(map(as_proposal, _flat(_converse(strategy, 24))))
    before = set(map(as_proposal, [*told, *asked]))
    assert later.isdisjoint(before)
    assert set(map(_architecture, later | before)) == set(SMALL_SPACE)


@pytest.mark.parametrize("n", [1, 7, 1000])
def test_a_small_space_is_exhausted_and_then_nothing_comes(source, n):
    strategy = _build(source)
    strategy.setup(SMALL_SPACE, 0)
    n_rounds = math.ceil(SMALL_SPACE.n_architectures / n)
    # In the end they have tried everything at each rung that it has come to.
    n_rungs = len(getattr(strategy, "rungs_", [15]))
    rounds = _converse(strategy, n_rungs * n_rounds + 2, n)
    assert rounds[-2:] == [[], []]
    assert [len(proposed) for proposed in rounds[: n_rounds - 1]] == [n] * (
        n_rounds - 1
    )
    proposed = list(map(as_proposal, _flat(rounds)))
    assert len(set(proposed)) == len(proposed) <= n_rungs * len(list(SMALL_SPACE))
    assert set(map(as_proposal, SMALL_SPACE)) <= set(proposed)
    assert {p.epochs or 15 for p in proposed} == set(getattr(strategy, "rungs_", [15]))


def test_the_same_seed_gives_the_same_sequence_and_another_another(source):
    first, again, other = (_build(source) for _ in range(3))
    first.setup(SPACE, 0)
    again.setup(SPACE, 0)
    other.setup(SPACE, 1)
    sequence = _converse(first, 4)
    assert _converse(again, 4) == sequence
    assert _converse(other, 4) != sequence
    # setup begins anew.
    first.setup(SPACE, 0)
    assert _converse(first, 4) == sequence


@pytest.fixture(scope="module")
def sequences_of_another_process(run_python):
    """What each strategy asks for in a process with another hash seed."""
    program = f"""
from sknas import (
    Architecture,
    BayesianStrategy,
    DartsStrategy,
    EnasStrategy,
    EvolutionStrategy,
    HalvingStrategy,
    HyperbandStrategy,
    MorphNetStrategy,
    ProgressiveStrategy,
    RandomStrategy,
    ReinforceStrategy,
    SearchSpace,
    SearchStrategy,
)
from sknas._space import as_proposal
{EXAMPLE}
for strategy in [{", ".join(STRATEGIES.values())}]:
    strategy.setup({SPACE!r}, 0)
    rounds = []
    for _ in range(4):
        rounds.append(strategy.ask(4))
        asked = [as_proposal(each).candidate.architecture for each in rounds[-1]]
        rewards = [min(sum(a.hidden_layer_sizes) / 128, 1.0) for a in asked]
        strategy.tell(rounds[-1], rewards)
    print(rounds)
"""
    lines = run_python(program, hash_seed="12345").splitlines()
    return dict(zip(STRATEGIES.values(), lines, strict=True))


def test_the_sequence_is_the_same_in_a_process_with_another_hash_seed(
    strategy, source, sequences_of_another_process
):
    assert repr(_converse(strategy, 4)) == sequences_of_another_process[source]


@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, lambda strategy: pickle.loads(pickle.dumps(strategy))],
    ids=["deepcopy", "pickle"],
)
@pytest.mark.parametrize("n_rounds", [0, 2])
def test_a_copy_made_midway_continues_identically(strategy, copied, n_rounds):
    _converse(strategy, n_rounds)
    again = copied(strategy)
    expected = _converse(strategy, 3)
    assert _converse(again, 3) == expected
    assert again.report() == strategy.report()


def test_a_copy_made_between_ask_and_tell_continues_identically(strategy):
    asked = strategy.ask(3)
    again = copy.deepcopy(strategy)
    for each in (strategy, again):
        each.tell(asked, [_reward(architecture) for architecture in asked])
    assert _converse(again, 2) == _converse(strategy, 2)


@pytest.mark.parametrize("method", ["ask", "tell"])
def test_nothing_works_before_setup(source, method):
    strategy = _build(source)
    arguments = {"ask": (1,), "tell": ([], [])}[method]
    with pytest.raises(RuntimeError, match=rf"{method}\(\) was called without .*setup"):
        getattr(strategy, method)(*arguments)


def test_tell_without_ask_fails(strategy):
    with pytest.raises(RuntimeError, match=r"tell\(\) was called without calling ask"):
        strategy.tell([], [])
    _converse(strategy, 1)
    with pytest.raises(RuntimeError, match=r"tell\(\) was called without calling ask"):
        strategy.tell([Architecture((8, "relu"))], [1.0])


def test_ask_twice_fails(strategy):
    strategy.ask(2)
    with pytest.raises(RuntimeError, match=r"ask\(\) was called twice without tell"):
        strategy.ask(2)


def test_rewards_of_another_length_are_refused(strategy):
    asked = strategy.ask(3)
    with pytest.raises(ValueError, match=r"same length. Got 3 and 2 instead"):
        strategy.tell(asked, [1.0, 2.0])


@pytest.mark.parametrize("reward", [math.nan, math.inf, -math.inf], ids=str)
def test_a_reward_that_is_not_finite_is_refused(strategy, reward):
    asked = strategy.ask(2)
    with pytest.raises(ValueError, match=rf"rewards must be finite.*{reward}"):
        strategy.tell(asked, [0.5, reward])


def test_an_architecture_that_is_missing_is_named(strategy):
    asked = strategy.ask(3)
    with pytest.raises(ValueError, match="must be given all that ask") as info:
        strategy.tell(asked[:2], [0.1, 0.2])
    assert repr(asked[2]) in str(info.value)
    assert repr(asked[0]) not in str(info.value)
    # Nothing is lost: the right call still works.
    strategy.tell(asked, [0.1, 0.2, 0.3])
    assert len(strategy.ask(1)) == 1


def test_rewards_may_come_in_another_order(source):
    in_order, reversed_order = _build(source), _build(source)
    for strategy, step in [(in_order, 1), (reversed_order, -1)]:
        strategy.setup(SPACE, 0)
        asked = strategy.ask(2)[::step]
        strategy.tell(asked, [_reward(architecture) for architecture in asked])
    assert len(in_order.ask(2)) == len(reversed_order.ask(2)) == 2


def test_predictions_have_one_value_each(strategy):
    architectures = strategy.ask(3)
    assert np.isnan(strategy.predict(architectures)).all()
    strategy.tell(architectures, [0.1, 0.2, 0.3])
    predicted = strategy.predict(architectures)
    assert predicted.shape == (3,)
    assert strategy.predict([]).shape == (0,)
    predicting = getattr(strategy, "strategy_", strategy)
    always = isinstance(predicting, (ProgressiveStrategy, BayesianStrategy))
    predicts = getattr(predicting, "accuracy_predictor", always)
    assert np.isfinite(predicted).all() if predicts else np.isnan(predicted).all()


def test_predicting_and_reporting_leave_the_sequence_alone(source):
    plain, watched = _build(source), _build(source)
    for strategy in (plain, watched):
        strategy.setup(SPACE, 0)
        _converse(strategy, 1)
    for _ in range(3):
        watched.predict([Architecture((8, "relu"))])
        watched.report()
    assert _converse(watched, 2) == _converse(plain, 2)


def test_rewards_of_any_finite_size_teach_the_same(source):
    # A power of two changes no digit.
    for factor in (1.0, 2.0**996, 2.0**-900):
        strategy = _build(source)
        strategy.setup(SPACE, 0)
        rounds = []
        for _ in range(4):
            rounds.append(strategy.ask(4))
            rewards = [factor * _reward(architecture) for architecture in rounds[-1]]
            strategy.tell(rounds[-1], rewards)
        if factor == 1.0:
            expected = rounds
        if getattr(strategy, "baseline", None) != 0.5:  # which is not multiplied
            assert rounds == expected
        assert all(math.isfinite(value) for value in strategy.report().values())


@pytest.mark.parametrize(
    "mode", [torch.inference_mode, torch.no_grad], ids=["inference mode", "no grad"]
)
def test_the_modes_of_torch_belong_to_the_caller(source, mode):
    expected, strategy = _build(source), _build(source)
    expected.setup(SPACE, 0)
    with mode():
        strategy.setup(SPACE, 0)
        rounds = _converse(strategy, 3)
        assert torch.is_inference_mode_enabled() == (mode is torch.inference_mode)
        assert not torch.is_grad_enabled()
    assert rounds == _converse(expected, 3)
    # What was made inside of the mode goes on outside.
    assert _converse(strategy, 2) == _converse(expected, 2)


def test_a_fit_in_inference_mode_is_the_same(fast, three_class_table):
    X, y = three_class_table
    expected = NASMLPClassifier(**fast).fit(X, y)
    with torch.inference_mode():
        classifier = NASMLPClassifier(**fast).fit(X, y)
    np.testing.assert_array_equal(
        classifier.predict_proba(X), expected.predict_proba(X)
    )


# The strategies are estimators.


def test_a_clone_has_the_parameters_and_nothing_of_the_search(strategy):
    _converse(strategy, 1)
    again = clone(strategy)
    # Of another strategy inside there is a clone.
    assert repr(again.get_params()) == repr(strategy.get_params())
    assert vars(again) == again.get_params(deep=False)


INVALID = [
    ("hidden_size", 0),
    ("hidden_size", 8.0),
    ("n_layers", 0),
    ("n_layers", 2.0),
    ("learning_rate", 0),
    ("learning_rate_decay", -1),
    ("batch_size", 0),
    ("discount", 0),
    ("discount", 1.1),
    ("baseline", "mean"),
    ("baseline", math.nan),
    ("entropy", -1),
    ("n_replays", -1),
    ("accuracy_predictor", None),
    ("predictor_candidates", 0),
    ("predictor_bonus", -1),
    ("cost_weight", -0.1),
]


@pytest.mark.parametrize(
    ("name", "value"),
    INVALID,
    ids=[f"{name}-{position}" for position, (name, _) in enumerate(INVALID)],
)
def test_setup_refuses_invalid_parameters(name, value):
    strategy = ReinforceStrategy().set_params(**{name: value})
    with pytest.raises(
        InvalidParameterError, match=rf"'{name}' parameter of ReinforceStrategy must be"
    ):
        strategy.setup(SPACE, 0)


def test_every_parameter_is_checked():
    names = set(ReinforceStrategy().get_params())
    assert set(ReinforceStrategy._parameter_constraints) == names
    assert {name for name, _ in INVALID} == names


def test_a_grid_varies_a_parameter_of_the_strategy(fast, three_class_table):
    classifier = NASMLPClassifier(**fast)
    grid = GridSearchCV(classifier, {"search_strategy__entropy": [0.0, 0.1]}, cv=2)
    grid.fit(*three_class_table)
    entropies = [
        params["search_strategy__entropy"] for params in grid.cv_results_["params"]
    ]
    assert entropies == [0.0, 0.1]
    best = grid.best_estimator_.search_strategy
    assert best.entropy == grid.best_params_["search_strategy__entropy"]
    assert fast["search_strategy"].entropy == 0.01


def test_a_grid_varies_the_strategy(fast, three_class_table):
    candidates = ["random", ReinforceStrategy(hidden_size=8, entropy=0.1), Evolution()]  # noqa: F821
    grid = GridSearchCV(
        NASMLPClassifier(**fast), {"search_strategy": candidates}, cv=2
    ).fit(*three_class_table)
    assert np.isfinite(grid.cv_results_["mean_test_score"]).all()
    reports = [
        "entropy"
        in NASMLPClassifier(**{**fast, "search_strategy": candidate})
        .fit(*three_class_table)
        .round_results_
        for candidate in candidates
    ]
    assert reports == [False, True, False]


def test_torch_is_not_loaded_before_a_search_by_reinforce(run_python):
    program = """
import sys
from sklearn.base import clone
from sknas import NASMLPClassifier, RandomStrategy, ReinforceStrategy, SearchSpace
clone(NASMLPClassifier(search_strategy=ReinforceStrategy(entropy=0.1))).get_params()
strategy = RandomStrategy()
strategy.setup(SearchSpace((8,), ("relu",), 3), 0)
strategy.tell(strategy.ask(1), [0.5])
print("torch" in sys.modules)
ReinforceStrategy().setup(SearchSpace((8,), ("relu",), 3), 0)
print("torch" in sys.modules)
"""
    assert run_python(program).split() == ["False", "True"]


# The base class.


def test_a_subclass_must_write_draw_and_may_leave_out_the_rest():
    strategy = SearchStrategy()
    strategy.setup(SPACE, 0)
    with pytest.raises(NotImplementedError, match=r"must have a method draw\(n\)"):
        strategy.ask(1)
    repeating = _Repeating()
    repeating.setup(SPACE, 0)
    repeating.tell(repeating.ask(2), [0.1, 0.2])
    assert repeating.report() == {}


def test_the_strategy_of_the_example_writes_four_methods():
    written = {name for name, value in vars(Evolution).items() if callable(value)}  # noqa: F821
    assert written == {"__init__", "begin", "draw", "learn"}


def test_what_is_drawn_must_be_in_the_space():
    class Foreign(SearchStrategy):
        def draw(self, n):
            return [Architecture((9, "relu"))] * n

    strategy = Foreign()
    strategy.setup(SPACE, 0)
    with pytest.raises(ValueError, match=r"draw\(\) of Foreign must return .*\(9,"):
        strategy.ask(1)


def test_a_strategy_can_tell_what_it_asked_for():
    strategy = RandomStrategy()
    strategy.setup(SMALL_SPACE, 0)
    asked = strategy.ask(3)
    others = [a for a in SMALL_SPACE if a not in asked]
    strategy.tell([*others, *asked], [0.5] * SMALL_SPACE.n_architectures)
    assert all(map(strategy.was_asked, asked))
    assert not any(map(strategy.was_asked, others))


class _Repeating(SearchStrategy):
    """Always draws the same architecture, and counts how often it is asked to."""

    def begin(self):
        self.n_draws = 0

    def draw(self, n):
        self.n_draws += 1
        return [Architecture((8, "relu"))] * n


def test_redraws_are_bounded_and_what_is_not_reached_comes_from_the_prior():
    strategy = _Repeating()
    strategy.setup(SMALL_SPACE, 0)
    asked = strategy.ask(5)
    assert len(set(asked)) == 5
    assert asked[0] == Architecture((8, "relu"))
    assert strategy.n_draws <= 20
    strategy.tell(asked, [0.0] * 5)
    assert len(strategy.ask(1000)) == SMALL_SPACE.n_architectures - 5


# Candidates and proposals in place of architectures.

ONLY = SearchSpace((8,), ("relu",), 2)
NETWORK = Architecture((8, "relu"))


class _Scripted(SearchStrategy):
    """Draws what it is given, a list for each call, and records what it learns."""

    def __init__(self, *lists):
        self._lists = list(lists)

    @classmethod
    def on(cls, space, *lists):
        strategy = cls(*lists)
        strategy.setup(space, 0)
        return strategy

    def get_params(self, deep=True):
        del deep
        return {}

    def begin(self):
        self.learned, self.n_wanted = [], []

    def draw(self, n):
        self.n_wanted.append(n)
        return self._lists.pop(0) if self._lists else []

    def learn(self, architectures, rewards):
        self.learned.append((list(architectures), list(rewards)))


def test_two_forms_of_the_same_are_asked_for_once():
    first, second = Architecture((8, "relu")), Architecture((16, "relu"))
    strategy = _Scripted.on(
        SMALL_SPACE, [first, Candidate(first), Proposal(Candidate(second)), second]
    )
    asked = strategy.ask(2)
    # The first of each, in the form in which it was drawn.
    assert asked == [first, Proposal(Candidate(second))]
    assert strategy.n_wanted == [2]
    assert strategy.was_asked(Candidate(first))
    assert strategy.was_asked(second)
    assert not strategy.was_asked(Candidate(first, (("alpha", 0.5),)))


def test_what_was_told_in_one_form_is_not_proposed_in_another():
    first, second = Architecture((8, "relu")), Architecture((16, "relu"))
    strategy = _Scripted.on(SMALL_SPACE, [Candidate(second)], [Candidate(first)])
    asked = strategy.ask(1)
    strategy.tell([first, *asked], [0.5, 0.6])
    assert Candidate(first) not in strategy.ask(1)


@pytest.mark.parametrize("form", [Candidate, lambda a: Proposal(Candidate(a))])
def test_learn_is_given_what_draw_returned(form):
    drawn = form(NETWORK)
    strategy = _Scripted.on(SMALL_SPACE, [drawn])
    assert strategy.ask(1) == [drawn]
    # Another proposer had the same: the search tells it once, as an architecture.
    foreign = Architecture((16, "relu"))
    strategy.tell([NETWORK, foreign], [0.5, 0.6])
    ((told, rewards),) = strategy.learned
    assert told[0] is drawn
    assert (told[1], rewards) == (foreign, [0.5, 0.6])


def test_a_missing_candidate_is_named_as_it_was_drawn():
    drawn = Candidate(NETWORK, (("alpha", 0.5),))
    strategy = _Scripted.on(SMALL_SPACE, [drawn])
    asked = strategy.ask(1)
    # The architecture with other settings is another candidate.
    with pytest.raises(ValueError, match="must be given all that ask") as info:
        strategy.tell([NETWORK], [0.5])
    assert repr(drawn) in str(info.value)
    strategy.tell(asked, [0.5])


@pytest.mark.parametrize("setting", ["alpha", "epochs"])
def test_a_space_of_one_architecture_has_as_many_candidates_as_are_drawn(setting):
    def make(number):
        if setting == "epochs":
            return Proposal(Candidate(NETWORK), number)
        return Candidate(NETWORK, (("alpha", float(number)),))

    lists = [[make(2 * i), make(2 * i + 1)] for i in range(1, 4)]
    strategy = _Scripted.on(ONLY, *lists)
    assert _converse_of_candidates(strategy, 3, 2) == lists
    assert strategy.n_wanted == [2, 2, 2]
    # What comes after that is the architecture alone, once.
    assert _converse_of_candidates(strategy, 2, 2) == [[NETWORK], []]


def test_a_space_that_was_tried_may_be_tried_again_with_settings():
    again = Candidate(NETWORK, (("alpha", 0.5),))
    strategy = _Scripted.on(ONLY, [NETWORK], [again])
    assert _converse_of_candidates(strategy, 3, 1) == [[NETWORK], [again], []]


def test_a_space_that_was_tried_is_not_drawn_from_in_vain():
    strategy = _Repeating()
    strategy.setup(ONLY, 0)
    _converse_of_candidates(strategy, 3, 4)
    assert strategy.n_draws == 3


def _converse_of_candidates(strategy, n_rounds, n):
    rounds = []
    for _ in range(n_rounds):
        rounds.append(strategy.ask(n))
        strategy.tell(rounds[-1], [0.5] * len(rounds[-1]))
    return rounds


@pytest.mark.parametrize("n_candidates", [1, 3])
def test_reinforce_learns_from_the_architectures_of_candidates(n_candidates):
    """Those of others have settings, and so may what a subclass draws."""
    settings = (("alpha", 0.5),)
    strategies = [
        cls(hidden_size=8, predictor_candidates=n_candidates)
        for cls in (ReinforceStrategy, _Settled)
    ]
    for strategy in strategies:
        strategy.setup(SPACE, 0)
    foreign = Architecture((32, "relu"))
    for _ in range(3):
        plain, settled = (strategy.ask(3) for strategy in strategies)
        assert settled == [Candidate(architecture, settings) for architecture in plain]
        rewards = [_reward(architecture) for architecture in (foreign, *plain)]
        strategies[0].tell([foreign, *plain], rewards)
        strategies[1].tell([Candidate(foreign, settings), *settled], rewards)
        assert strategies[0].report() == strategies[1].report()
    np.testing.assert_array_equal(*(s.predict(settled) for s in strategies))


class _Settled(ReinforceStrategy):
    """The policy's architectures, all with one setting."""

    def draw(self, n):
        return [Candidate(a, (("alpha", 0.5),)) for a in super().draw(n)]


# Random search.


def test_random_search_draws_from_the_prior():
    strategy = RandomStrategy()
    # So many tokens that of all depths but the first, repetitions are rare.
    strategy.setup(SearchSpace(tuple(range(1, 61)), ("relu", "tanh"), 7), 0)
    depths = [len(architecture.layers) for architecture in strategy.ask(600)]
    shares = np.bincount(depths, minlength=7)[2:] / np.sum(np.array(depths) > 1)
    assert np.abs(shares - 1 / 5).max() < 5 * math.sqrt(0.2 * 0.8 / 500)


# REINFORCE.


def _arms_strategy(n_arms=5, **settings):
    """Make a bandit: one layer, one arm a width, so that the first token decides."""
    settings = {"hidden_size": 8, "accuracy_predictor": False, **settings}
    strategy = ReinforceStrategy(**settings)
    widths = tuple(range(1, n_arms + 1))
    strategy.setup(SearchSpace(widths, ("relu",), 2, dropout=False), 0)
    return strategy


def _arm_probabilities(strategy):
    learner = strategy._learner
    tokens = learner.tokens(list(strategy.space_))
    with torch.no_grad():
        return learner.controller.log_prob(tokens).exp().numpy()


def _train(strategy, arms, rewards):
    """Teach arms as the policy's own, beneath ask, which never repeats an arm."""
    strategy._learner.learn(arms, rewards, [True] * len(arms))


@pytest.mark.parametrize("best", [0, 3])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"n_layers": 2},
        {"baseline": 0.5},
        {"entropy": 0.0},
        {"discount": 0.9},
        {"batch_size": 4},
        {"accuracy_predictor": True, "predictor_bonus": 0.1},
    ],
    ids=str,
)
def test_reinforce_finds_the_best_arm_of_a_bandit(best, settings):
    strategy = _arms_strategy(**settings)
    before = _arm_probabilities(strategy)
    np.testing.assert_allclose(before, 1 / 5, atol=0.05)
    for _ in range(6):
        arms = strategy.draw(16)
        rewards = [
            0.9 if arm.hidden_layer_sizes == (best + 1,) else 0.4 for arm in arms
        ]
        _train(strategy, arms, rewards)
    after = _arm_probabilities(strategy)
    assert after.argmax() == best
    assert after[best] > 0.95


def test_reinforce_learns_through_ask_and_tell():
    space = SearchSpace((8, 16, 32, 64), ("relu", "tanh", "elu"), 6)
    means = []
    for seed in range(3):
        strategy = ReinforceStrategy(hidden_size=16, accuracy_predictor=False)
        strategy.setup(space, seed)
        rounds = []
        for _ in range(15):
            asked = strategy.ask(8)
            rewards = [
                np.mean([activation == "elu" for _, activation in a.dense_layers])
                for a in asked
            ]
            strategy.tell(asked, rewards)
            rounds.append(np.mean(rewards))
        means.append((rounds[0], np.mean(rounds[-5:])))
    first, last = np.mean(means, axis=0)
    # A third of the layers are elu under the prior.
    assert first < 0.6
    assert last > 0.9


@pytest.mark.parametrize("entropy", [0.0, 0.3])
def test_the_policy_gradient_of_a_bandit_agrees_with_one_by_hand(entropy):
    discount, baseline = 0.9, 0.5
    strategy = _arms_strategy(3, discount=discount, entropy=entropy, baseline=baseline)
    arms, rewards = [0, 2, 2, 1], [0.9, 0.2, 0.4, 0.7]
    learner, space = strategy._learner, list(strategy.space_)
    learner._remember([space[arm] for arm in arms], np.array(rewards))
    policy = learner.controller(learner._tokens)
    loss, report = learner.policy_loss(
        policy, learner._advantages(), torch.arange(len(arms))
    )
    loss.backward()

    p = np.append(_arm_probabilities(strategy), 0.0).astype(float)
    # G_t - b of the arm (one token still to come) and of the end token.
    advantages = np.array([[r * discount - baseline, r - baseline] for r in rewards])
    advantages /= np.sqrt(np.mean(advantages**2))
    # d log pi(a) / d logits = onehot(a) - p. The end token is certain: it adds nothing.
    onehot = np.eye(4)[arms]
    gain = (advantages[:, :1] * (onehot - p)).mean(axis=0)
    # H of four first tokens, averaged over eight tokens; dH/dz = -p (log p + H).
    log_p = np.log(np.where(p > 0, p, 1))
    first_entropy = -(p * log_p).sum()
    entropy_gradient = -p * (log_p + first_entropy) * 4 / 8
    expected = -(gain + entropy * entropy_gradient)
    gradient = learner.controller.head.bias.grad.numpy()
    np.testing.assert_allclose(gradient, expected, atol=1e-5)
    assert np.abs(expected[:3]).min() > 1e-3
    assert report["entropy"] == pytest.approx(first_entropy / 2, rel=1e-4)
    assert report["advantage"] == pytest.approx(advantages.mean(), rel=1e-3)
    objective = (advantages[:, 0] * log_p[arms]).mean() + entropy * first_entropy / 2
    assert loss.item() == pytest.approx(-objective, rel=1e-4)


def _advantages_of_a_long_and_a_short(**settings):
    """Give the advantages of sequences of three and two tokens, told 0.8 and 0.4."""
    strategy = ReinforceStrategy(discount=0.5, **settings)
    strategy.setup(SearchSpace((1, 2), ("relu",), max_layers=3), 0)
    architectures = [
        Architecture((1, "relu"), (2, "relu")),
        Architecture((1, "relu")),
    ]
    strategy._learner._remember(architectures, np.array([0.8, 0.4]))
    return strategy._learner._advantages().numpy()


def test_every_token_is_trained_with_its_discounted_return():
    expected = np.array([[0.1, 0.3, 0.7], [0.1, 0.3, 0.0]])
    expected /= math.sqrt((0.01 + 0.09 + 0.49 + 0.01 + 0.09) / 5)
    advantages = _advantages_of_a_long_and_a_short(baseline=0.1)
    np.testing.assert_allclose(advantages, expected, rtol=1e-5)


def test_the_moving_average_is_one_of_returns_at_the_same_step():
    # Returns 0.2, 0.4, 0.8 and 0.2, 0.4, and then the 0.4 of the sequence that ended.
    expected = np.array([[0.0, 0.0, 0.4], [0.0, 0.0, 0.0]])
    expected /= math.sqrt(0.16 / 5)
    advantages = _advantages_of_a_long_and_a_short()
    np.testing.assert_allclose(advantages, expected, atol=1e-6)


def test_rewards_equal_to_the_baseline_teach_nothing():
    strategy = _arms_strategy(baseline=0.5, entropy=0.0)
    before = _arm_probabilities(strategy)
    arms = strategy.ask(4)
    strategy.tell(arms, [0.5] * 4)
    np.testing.assert_allclose(_arm_probabilities(strategy), before, atol=1e-6)


def test_what_others_proposed_is_left_out_of_the_update(monkeypatch):
    strategy = _arms_strategy(n_replays=0, accuracy_predictor=True)
    rows = []
    policy_loss = strategy._learner.policy_loss

    def record(policy, advantages, of):
        rows.extend(of.tolist())
        return policy_loss(policy, advantages, of)

    monkeypatch.setattr(strategy._learner, "policy_loss", record)
    asked = strategy.ask(2)
    others = [arm for arm in strategy.space_ if arm not in asked]
    strategy.tell([*others, *asked], [0.9, 0.8, 0.7, 0.2, 0.1])
    assert rows == [3, 4]
    # The predictor knows them.
    predicted = strategy.predict([*others, *asked])
    assert predicted[:3].mean() > predicted[3:].mean()


def test_a_single_trial_teaches_no_more_than_its_reward():
    strategy = _arms_strategy(accuracy_predictor=True)
    before = _arm_probabilities(strategy)
    first = Architecture((1, "relu"))
    strategy.ask(0)
    strategy.tell([first], [0.9])
    np.testing.assert_array_equal(_arm_probabilities(strategy), before)
    assert strategy.predict([first])[0] == pytest.approx(0.9, abs=0.1)
    assert strategy.report() == {}


def test_the_predictor_picks_the_most_promising_candidates(monkeypatch):
    settings = {"hidden_size": 8, "predictor_candidates": 10}
    strategy = ReinforceStrategy(**settings)
    strategy.setup(SPACE, 0)
    _converse(strategy, 1)
    offered = []

    def predict(architectures):
        offered.extend(architectures)
        return np.array([_reward(architecture) for architecture in architectures])

    monkeypatch.setattr(strategy, "predict", predict)
    asked = strategy.ask(3)
    assert len(set(offered)) == 30
    best = sorted(map(_reward, offered), reverse=True)[:3]
    assert [_reward(architecture) for architecture in asked] == best


def test_candidates_that_were_not_picked_may_come_later():
    strategy = ReinforceStrategy(hidden_size=8, predictor_candidates=8)
    strategy.setup(SMALL_SPACE, 0)
    proposed = _flat(_converse(strategy, 8, 3))
    assert set(proposed) == set(SMALL_SPACE)


def test_the_predictor_learns_to_rank():
    # With replays the proposals come from a small part of the space, and tell little
    # of the rest.
    strategy = ReinforceStrategy(hidden_size=16, n_replays=0)
    strategy.setup(SPACE, 0)
    _converse(strategy, 12, 8)
    unseen = [
        a
        for position, a in enumerate(SPACE)
        if position % 7 == 0 and not strategy.was_asked(a)
    ]
    truth = [sum(architecture.hidden_layer_sizes) for architecture in unseen]
    ranks = [
        np.argsort(np.argsort(values)) for values in (strategy.predict(unseen), truth)
    ]
    assert np.corrcoef(ranks)[0, 1] > 0.5


def _predict_arms(strategy, monkeypatch, values):
    monkeypatch.setattr(strategy._learner, "_predict", lambda _: np.array(values))


def test_the_bonus_rewards_what_the_predictor_got_wrong(monkeypatch):
    strategy = _arms_strategy(accuracy_predictor=True, predictor_bonus=2.0)
    learner = strategy._learner
    _predict_arms(strategy, monkeypatch, [0.5, 0.1])
    learner._remember(list(strategy.space_)[:2], np.array([0.4, 0.4]))
    np.testing.assert_allclose(learner._bonuses, [2 * 0.1, 2 * 0.3])
    # Returns 0.6 and 1.0, of which each is the other's baseline.
    np.testing.assert_allclose(learner._advantages()[:, 0], [-1.0, 1.0], rtol=1e-6)
    # The predictor itself is taught the truth.
    assert learner._rewards.tolist() == [0.4, 0.4]


@pytest.mark.parametrize(
    ("batch_size", "n_updates"), [(None, 1), (8, 1), (3, 2), (2, 3), (1, 5)]
)
def test_a_round_is_as_many_updates_as_it_has_batches(batch_size, n_updates):
    strategy = _arms_strategy(batch_size=batch_size, learning_rate_decay=1.0)
    arms = strategy.ask(5)
    strategy.tell(arms, [0.1, 0.2, 0.3, 0.4, 0.5])
    (group,) = strategy._learner._optimizer.param_groups
    # The last of the updates was preceded by the others.
    assert group["lr"] == pytest.approx(0.01 / n_updates)


def test_a_step_of_the_controller_is_bounded():
    strategy = _arms_strategy()
    arms = strategy.ask(5)
    strategy.tell(arms, [1e30, 1.0, 1.0, 1.0, -1e30])
    assert np.isfinite(_arm_probabilities(strategy)).all()
    assert _arm_probabilities(strategy).min() > 0.05


def test_the_report_of_an_update_names_its_figures():
    strategy = ReinforceStrategy(hidden_size=8)
    strategy.setup(SPACE, 0)
    assert strategy.report() == {}
    _converse(strategy, 1)
    report = strategy.report()
    assert set(report) == {
        "policy_loss",
        "entropy",
        "advantage",
        "predictor_loss",
        "gradient_norm",
    }
    assert all(math.isfinite(value) for value in report.values())
    report.clear()
    assert strategy.report()


def test_an_architecture_of_another_space_cannot_be_told():
    strategy = ReinforceStrategy(hidden_size=8)
    strategy.setup(SPACE, 0)
    asked = strategy.ask(1)
    foreign = Architecture((9, "relu"))
    with pytest.raises(ValueError, match="is not in SearchSpace"):
        strategy.tell([*asked, foreign], [0.1, 0.2])


def test_predict_before_setup_fails():
    with pytest.raises(RuntimeError, match=r"predict\(\) was called without .*setup"):
        ReinforceStrategy().predict([])


def test_entropy_keeps_the_policy_from_collapsing():
    entropies = []
    for weight in (0.0, 1.0):
        strategy = _arms_strategy(entropy=weight)
        for _ in range(6):
            arms = strategy.draw(16)
            rewards = [float(arm.hidden_layer_sizes == (1,)) for arm in arms]
            _train(strategy, arms, rewards)
        p = _arm_probabilities(strategy)
        entropies.append(-(p * np.log(p)).sum())
    collapsed, kept = entropies
    assert collapsed < 0.05
    assert kept > 0.2


# Replays.


def test_replays_move_the_policy_towards_what_was_good():
    moved = {}
    for n_replays in (0, 20):
        strategy = ReinforceStrategy(
            hidden_size=16, accuracy_predictor=False, n_replays=n_replays
        )
        strategy.setup(SPACE, 0)
        asked = strategy.ask(8)
        rewards = [sum(a.hidden_layer_sizes) for a in asked]
        tokens = strategy._learner.tokens(asked)
        with torch.no_grad():
            before = strategy._learner.controller.log_prob(tokens)
            strategy.tell(asked, rewards)
            change = strategy._learner.controller.log_prob(tokens) - before
        moved[n_replays] = np.corrcoef(change, rewards)[0, 1] * float(change.std())
    assert moved[20] > 3 * abs(moved[0])


@pytest.mark.parametrize("predicts", [False, True])
@pytest.mark.parametrize("reward", [0.7, 1e-12, 0.0, -1e300], ids=str)
def test_equal_rewards_teach_nothing(reward, predicts):
    strategy = ReinforceStrategy(hidden_size=16, accuracy_predictor=predicts)
    strategy.setup(SPACE, 0)
    before = copy.deepcopy(strategy._learner._parameters)
    for _ in range(3):
        strategy.tell(strategy.ask(4), [reward] * 4)
    assert all(map(torch.equal, strategy._learner._parameters, before))


@pytest.fixture
def recorded_losses(monkeypatch):
    """Record the advantages and rows of every step, and the learning rate before."""

    def recorded_losses(strategy):
        learner, calls = strategy._learner, []
        policy_loss = learner.policy_loss

        def record(policy, advantages, rows):
            calls.append((advantages.clone(), rows.tolist(), _learning_rate(strategy)))
            return policy_loss(policy, advantages, rows)

        monkeypatch.setattr(learner, "policy_loss", record)
        return calls

    return recorded_losses


def _learning_rate(strategy):
    (group,) = strategy._learner._optimizer.param_groups
    return group["lr"]


def test_an_update_and_a_replay_maximise_the_same_objective(recorded_losses):
    strategy = ReinforceStrategy(
        hidden_size=8,
        discount=0.5,
        baseline=0.5,
        predictor_bonus=1.0,
        learning_rate_decay=0.5,
        batch_size=4,
        n_replays=3,
    )
    strategy.setup(SPACE, 0)
    _converse(strategy, 2, 8)
    bonuses = strategy._learner._bonuses
    assert not bonuses[:8].any()
    assert bonuses[8:].all()
    calls = recorded_losses(strategy)
    _converse(strategy, 1, 8)
    first_update, second_update, first_replay, *_ = calls
    assert len(calls) == 2 + 3
    assert first_update[1] + second_update[1] == list(range(16, 24))
    assert first_replay[1] == list(range(24))
    # No probability has moved yet when replays begin.
    assert torch.equal(first_replay[0], first_update[0])
    # Four updates came before, in two rounds of two.
    assert [rate for *_, rate in calls] == pytest.approx(
        [0.01 / 3] + [0.01 / 3.5] * 4, rel=1e-9
    )


def test_replays_take_steps_of_the_decayed_learning_rate():
    strategy = _arms_strategy(learning_rate_decay=1e9)
    strategy.tell(strategy.ask(2), [0.1, 0.9])
    before = _arm_probabilities(strategy)
    strategy.tell(strategy.ask(2), [0.1, 0.9])
    np.testing.assert_allclose(_arm_probabilities(strategy), before, atol=1e-6)


@pytest.mark.parametrize(("change", "is_held"), [(0.25, True), (1e9, False)])
def test_replays_stay_in_the_trust_region(change, is_held, monkeypatch):
    monkeypatch.setattr(_learner, "_MAX_RATIO_CHANGE", change)
    strategy = _arms_strategy(entropy=0.0, n_replays=300)
    before = _arm_probabilities(strategy)
    strategy.tell(strategy.ask(5), [0.1, 0.2, 0.3, 0.4, 0.9])
    ratios = _arm_probabilities(strategy) / before
    # Adam goes on a little after the last token has stopped pulling.
    assert (ratios.max() < 2.5) == is_held
    assert ratios.max() > 1.2


def test_a_policy_that_became_nan_names_the_learning_rate():
    strategy = ReinforceStrategy(hidden_size=8, learning_rate=1e30)
    strategy.setup(SPACE, 0)
    with pytest.raises(
        ValueError, match=r"NaN. Decrease learning_rate \(currently 1e\+30\)"
    ):
        _converse(strategy, 5)


@pytest.mark.parametrize("n_replays", [0, 1])
def test_adam_begins_anew_with_a_round_that_has_replays(n_replays):
    strategy = _arms_strategy(n_replays=n_replays)
    for n_rounds in (1, 2):
        strategy.tell(strategy.ask(2), [0.1, 0.9])
        states = strategy._learner._optimizer.state.values()
        n_steps = 2 if n_replays else n_rounds
        assert {int(state["step"]) for state in states} == {n_steps}
