import itertools
import math

import numpy as np
import pytest

from sknas import Architecture, NASMLPClassifier, NASMLPRegressor, SearchSpace
from sknas._budget import Budget
from sknas._engine import trainer as _trainer
from sknas._engine.evaluator import Evaluator
from sknas._engine.jobs import TrainingData, TrainingResult, TrainingSettings
from sknas._fit.selection import Selection
from sknas._fit.settings import SelectionSettings
from sknas._progress import Progress
from sknas._random import SeedSource
from sknas._search.problem import Problem
from sknas._search.searcher import AskTellSearcher, SearchSettings
from sknas._search.strategies import (
    RandomStrategy,
    ReinforceStrategy,
    SearchStrategy,
)
from sknas._space import Candidate, Proposal, as_proposal
from sknas._tasks.classification import ClassificationMetric
from sknas._tasks.outputs import SigmoidOutput

SPACE = SearchSpace((8, 16), ("relu", "tanh"), 4)
FIRST = Architecture((16, "relu"), (16, "relu"))
Y = np.tile([0, 1], 200)


def _accuracy(loss):
    """The share of rows that a fake child of such a loss gets right."""
    return round(len(Y) * (0.5 + 0.5 * math.exp(-loss))) / len(Y)


SETTINGS = TrainingSettings(
    max_iter=1,
    batch_size=1,
    learning_rate_init=0.125,
    learning_rate="constant",
    solver="adam",
    alpha="auto",
    label_smoothing=0.0,
    dropout=0.0,
    n_iter_no_change=None,
    auto_decay=0.3,
)


class FakeTrainer:
    """Trains nothing: a child's loss is a function of its architecture."""

    def __init__(self, loss=None, *, interrupt_at=None, n_yielded=None):
        X = np.zeros((len(Y), 3), np.float32)
        self.folds = [TrainingData(X, Y, SigmoidOutput(), X, Y)]
        self.settings = SETTINGS
        self.loss = loss or (lambda a: 1 / sum(a.hidden_layer_sizes))
        self.interrupt_at = interrupt_at
        self.n_yielded = n_yielded
        self.jobs = []
        self.seconds = 0.0

    def train(self, jobs, budget):
        del budget
        for position, job in enumerate(jobs[: self.n_yielded]):
            if len(self.jobs) == self.interrupt_at:
                raise KeyboardInterrupt
            self.jobs.append(job)
            yield position, self._result(job)

    def _result(self, job):
        loss = self.loss(job.architecture)
        failed = not math.isfinite(loss)
        # Calibrated: no temperature makes it better.
        p = 0.0 if failed else _accuracy(loss)
        is_right = np.arange(len(Y)) < p * len(Y)
        predicted = np.where(is_right, Y, 1 - Y)
        probabilities = np.where(predicted[:, None] == [0, 1], p, 1 - p)
        widths = (3, *job.architecture.hidden_layer_sizes, 1)
        weights = [
            (np.full((a, b), loss), np.full(b, loss))
            for a, b in itertools.pairwise(widths)
        ]
        return TrainingResult(
            architecture=job.architecture,
            error="a loss that is not finite" if failed else None,
            weights=[] if failed else weights,
            n_rows=4,
            n_iter=1,
            best_iter=1,
            time=0.5,
            loss_curve=[loss],
            validation_scores=[0.5],
            validation_loss=math.nan if failed else loss,
            validation_predictions=None if failed else probabilities,
        )


class ScriptedStrategy:
    """Proposes what it is told to, and remembers what it hears."""

    def __init__(self, *rounds):
        self.rounds = list(rounds)
        self.asked, self.told = [], []

    def setup(self, space, random_state):
        self.space, self.random_state = space, random_state

    def ask(self, n):
        self.asked.append(n)
        return self.rounds.pop(0) if self.rounds else []

    def tell(self, architectures, rewards):
        self.told.append((list(architectures), list(rewards)))


class Search:
    """A searcher, and the problem that it is to solve."""

    def __init__(
        self, strategy, trainer, *, scoring=None, first_architecture=None, **settings
    ):
        settings = {
            "n_rounds": 3,
            "n_architectures": 2,
            "weight_sharing": False,
            "n_finalists": 0,
            **settings,
        }
        self.evaluator = Evaluator(trainer)
        self.metric = ClassificationMetric(
            scoring, np.array([0, 1]), Y, np.zeros((len(Y), 1))
        )
        self.searcher = AskTellSearcher(
            strategy, SearchSettings(**settings), Progress(1, 0)
        )
        self.problem = Problem(
            SPACE, self.evaluator, self.metric, SeedSource(0), first_architecture
        )
        self.history = self.searcher.history

    def run(self, budget=None):
        self.searcher.run(self.problem, budget or Budget())
        return self


A, B, C, D = (
    Architecture((8, "relu")),
    Architecture((16, "relu")),
    Architecture((8, "tanh"), (8, "tanh")),
    Architecture((16, "tanh"), "dropout", (16, "tanh")),
)


def _reward(architecture):
    p = _accuracy(1 / sum(architecture.hidden_layer_sizes))
    return p + 0.5 * (p * math.log(p) + (1 - p) * math.log(1 - p))


# The reward of a guess between two classes, of which one is in half of the rows.
GUESS = 0.5 + 0.5 * math.log(0.5)


def test_what_is_asked_for_is_trained_told_and_recorded():
    strategy, trainer = ScriptedStrategy([A, B], [C, D]), FakeTrainer()
    search = Search(strategy, trainer)
    search.run()
    assert strategy.space is SPACE
    # The third round got nothing: the search has ended.
    assert strategy.asked == [2, 2, 2]
    assert [job.architecture for job in trainer.jobs] == [A, B, C, D]
    assert strategy.told == [
        ([A, B], [pytest.approx(_reward(A)), pytest.approx(_reward(B))]),
        ([C, D], [pytest.approx(_reward(C)), pytest.approx(_reward(D))]),
    ]
    results = search.history.trials_to_dict()
    assert results["architecture"].tolist() == [A, B, C, D]
    assert results["round"].tolist() == [0, 0, 1, 1]
    assert results["n_parameters"][0] == A.n_parameters(3, 1)
    assert results["reward"] == pytest.approx([_reward(a) for a in (A, B, C, D)])
    assert np.isnan(results["predicted_score"]).all()
    rounds = search.history.rounds_to_dict()
    assert rounds["round"].tolist() == [0, 1]
    assert rounds["n_trials"].tolist() == [2, 2]


def test_trial_zero_is_the_first_architecture_and_counts():
    strategy, trainer = ScriptedStrategy([A], [B, C]), FakeTrainer()
    search = Search(strategy, trainer, first_architecture=FIRST)
    search.run()
    assert strategy.asked[:2] == [1, 2]
    assert trainer.jobs[0].architecture == FIRST
    assert strategy.told[0][0] == [FIRST, A]
    assert [trial.round for trial in search.history.trials] == [0, 0, 1, 1]


def test_trial_zero_alone_may_fill_a_round():
    strategy = ScriptedStrategy([], [A])
    search = Search(
        strategy, FakeTrainer(), n_architectures=1, first_architecture=FIRST
    )
    search.run()
    assert strategy.asked[:2] == [0, 1]
    assert [trial.architecture for trial in search.history.trials] == [FIRST, A]


def test_duplicates_are_trained_and_told_once():
    strategy = ScriptedStrategy([A], [A, B], [A, FIRST], [A])
    trainer = FakeTrainer()
    Search(strategy, trainer, first_architecture=FIRST, n_rounds=5).run()
    assert [job.architecture for job in trainer.jobs] == [FIRST, A, B]
    assert [told for told, _ in strategy.told] == [[FIRST, A], [B]]


@pytest.mark.parametrize(
    "foreign", [Architecture((9, "relu")), Candidate(Architecture((9, "relu")))]
)
def test_what_is_not_in_the_space_is_refused_by_name(foreign):
    search = Search(ScriptedStrategy([foreign]), FakeTrainer())
    with pytest.raises(
        ValueError, match=r"ask\(2\) of ScriptedStrategy must return architectures of"
    ) as info:
        search.run()
    assert repr(foreign) in str(info.value)


def test_a_setting_that_the_estimator_does_not_have_is_refused():
    """A regressor has no labels to smooth."""

    class Smoothing(RandomStrategy):
        def draw(self, n):
            settings = (("alpha", 0.1), ("label_smoothing", 0.5))
            return [Candidate(a, settings) for a in super().draw(n)]

    regressor = NASMLPRegressor(search_strategy=Smoothing(), n_rounds=1)
    X = np.random.default_rng(0).normal(size=(50, 2))
    with pytest.raises(
        ValueError, match=r"of Smoothing must .* parameters of .* of \['alpha', 'batch"
    ) as info:
        regressor.fit(X, X[:, 0])
    assert "label_smoothing" not in str(info.value).split("Got")[0]


def test_a_strategy_may_predict_and_report():
    class Predicting(ScriptedStrategy):
        def predict(self, architectures):
            return [0.125] * len(architectures)

        def report(self):
            return {"entropy": 2.0}

    search = Search(Predicting([A, B], [C]), FakeTrainer())
    search.run()
    assert [t.predicted_score for t in search.history.trials] == [0.125] * 3
    assert search.history.rounds_to_dict()["entropy"].tolist() == [2.0, 2.0]


def test_predictions_of_another_length_are_refused():
    class Predicting(ScriptedStrategy):
        def predict(self, architectures):
            return [0.125] * (len(architectures) + 1)

    search = Search(Predicting([A, B]), FakeTrainer())
    with pytest.raises(
        ValueError, match=r"predict\(\) of Predicting must return one .*, 2 here"
    ):
        search.run()


def _loss_failing(*failing):
    return lambda a: math.nan if a in failing else 1 / sum(a.hidden_layer_sizes)


def test_a_failed_child_is_recorded_and_told_the_worst_reward():
    strategy = ScriptedStrategy([A, B], [C, D])
    search = Search(strategy, FakeTrainer(_loss_failing(B, C)))
    search.run()
    # Nothing did worse than a guess between two classes.
    guess = pytest.approx(GUESS)
    assert strategy.told[0] == ([A, B], [pytest.approx(_reward(A)), guess])
    assert strategy.told[1][1] == pytest.approx([GUESS, _reward(D)])
    results = search.history.trials_to_dict()
    assert results["status"].tolist() == ["trained", "failed", "failed", "trained"]
    assert np.isnan(results["score"]).tolist() == [False, True, True, False]
    assert np.isnan(results["loss"]).tolist() == [False, True, True, False]
    assert np.isfinite(results["reward"]).all()
    rounds = search.history.rounds_to_dict()
    best = [_accuracy(1 / 8), _accuracy(1 / 32)]
    assert rounds["best_score"].tolist() == pytest.approx(best)


def test_a_score_that_is_nan_is_a_failure():
    def scoring(estimator, X, y):
        del X, y
        return math.nan if estimator.probabilities.max() < 0.95 else 1.0

    strategy = ScriptedStrategy([A, D])
    search = Search(strategy, FakeTrainer(), scoring=scoring)
    search.run()
    assert [t.status for t in search.history.trials] == ["failed", "trained"]
    assert strategy.told[0][1] == [1.0, 1.0]


def test_failures_never_look_better_than_a_guess():
    strategy = ScriptedStrategy([A, B], [C, D], [FIRST])
    search = Search(
        strategy, FakeTrainer(_loss_failing(A, B, FIRST)), scoring="neg_log_loss"
    )
    search.run()
    # Rewards are negative here: a 0 would be the best of all.
    guess = pytest.approx(-math.log(2))
    assert strategy.told[0][1] == [guess, guess]
    assert min(strategy.told[1][1]) > -math.log(2)
    assert strategy.told[2][1] == [guess]


def test_if_every_child_fails_the_error_says_why_and_what_to_do():
    strategy = ScriptedStrategy([A, B], [C])
    search = Search(strategy, FakeTrainer(_loss_failing(A, B, C)))
    with pytest.raises(
        ValueError,
        match=r"All 3 children .* not finite.*_rate_init \(currently 0.125\)",
    ):
        search.run()
    assert strategy.told[0] == ([A, B], pytest.approx([GUESS, GUESS]))


@pytest.mark.parametrize("given", [((8, "relu"),), None, "relu"], ids=repr)
def test_what_is_no_architecture_is_refused(given):
    search = Search(ScriptedStrategy([given]), FakeTrainer())
    with pytest.raises(TypeError, match="must propose architectures") as info:
        search.run()
    assert repr(given) in str(info.value)


@pytest.mark.parametrize("asked", [[A, B, C], A, None, {A: 1}], ids=repr)
def test_too_many_or_no_list_is_refused(asked):
    search = Search(ScriptedStrategy(asked), FakeTrainer())
    with pytest.raises(
        TypeError, match=r"ask\(2\) of ScriptedStrategy .* at most 2 architectures"
    ):
        search.run()


def test_a_strategy_that_proposes_nothing_is_told_so():
    trainer = FakeTrainer()
    with pytest.raises(ValueError, match=r"ask\(2\) of .* at least one architecture"):
        Search(ScriptedStrategy([]), trainer).run()
    assert trainer.jobs == []


def test_candidates_and_proposals_have_settings_and_epochs_of_their_own():
    candidate = Candidate(A, (("alpha", 0.5),))
    strategy, trainer = ScriptedStrategy([candidate, Proposal(candidate, 7)]), None
    trainer = FakeTrainer()
    search = Search(strategy, trainer).run()
    assert [dict(job.settings) for job in trainer.jobs] == [{"alpha": 0.5}] * 2
    assert [job.epochs for job in trainer.jobs] == [None, 7]
    # The strategy hears of what it asked for, in its own form.
    assert strategy.told[0][0] == [candidate, Proposal(candidate, 7)]
    assert [trial.architecture for trial in search.history.trials] == [A, A]


def test_what_was_proposed_is_in_the_record():
    candidate = Candidate(A, (("alpha", 0.5),))
    proposed = [A, Candidate(B)], [Proposal(candidate, 7), candidate]
    search = Search(ScriptedStrategy(*proposed), FakeTrainer()).run()
    assert [trial.proposal for trial in search.history.trials] == [
        Proposal(Candidate(A)),
        Proposal(Candidate(B)),
        Proposal(candidate, 7),
        Proposal(candidate),
    ]
    # One epoch is the trainer's.
    assert search.history.trials_to_dict()["max_iter"].tolist() == [1, 1, 7, 1]


@pytest.mark.parametrize("form", [Candidate, lambda a: Proposal(Candidate(a))])
def test_a_strategy_may_propose_trial_zero_in_another_form(form):
    class Repeating(SearchStrategy):
        def draw(self, n):
            del n
            return [form(FIRST), A, form(A), form(B), B, form(C)]

        def learn(self, architectures, rewards):
            learned.append((list(architectures), len(rewards)))

    learned = []
    trainer = FakeTrainer()
    settings = {"n_rounds": 2, "n_architectures": 3}
    Search(Repeating(), trainer, first_architecture=FIRST, **settings).run()
    # Trained once each, and told in the strategy's own words.
    trained = [job.architecture for job in trainer.jobs]
    assert trained[:4] == [FIRST, A, B, C]
    assert len(set(trained)) == len(trained) == 5
    assert learned[0] == ([form(FIRST), A], 2)
    assert learned[1] == ([form(B), form(C), trained[4]], 3)


@pytest.mark.parametrize("n_trained", [1, 2, 3])
def test_an_interrupt_keeps_the_trials_there_are(n_trained):
    strategy = ScriptedStrategy([A, B], [C, D])
    search = Search(strategy, FakeTrainer(interrupt_at=n_trained))
    with pytest.raises(KeyboardInterrupt, match=r"^"):
        search.run()
    kept = [A, B, C][:n_trained]
    assert [trial.architecture for trial in search.history.trials] == kept
    assert search.searcher.best[1].architecture in kept


def test_an_interrupt_before_anything_is_trained_leaves_nothing():
    search = Search(ScriptedStrategy([A, B]), FakeTrainer(interrupt_at=0))
    with pytest.raises(KeyboardInterrupt, match=r"^"):
        search.run()
    assert search.searcher.best is None


# Errors of a strategy or of a scorer.


class Faulty(ScriptedStrategy):
    """Raises in the given call of one of its methods."""

    def __init__(self, method, number):
        super().__init__([A, B], [C, D])
        self.fails, self.n_calls = (method, number), {"ask": 0, "tell": 0}

    def _count(self, method):
        self.n_calls[method] += 1
        if (method, self.n_calls[method]) == self.fails:
            raise ZeroDivisionError("a bug of the user")

    def ask(self, n):
        self._count("ask")
        return super().ask(n)

    def tell(self, architectures, rewards):
        self._count("tell")
        super().tell(architectures, rewards)


@pytest.mark.parametrize(("method", "n_trials"), [("ask", 2), ("tell", 4)])
def test_an_error_in_a_late_round_ends_the_search_with_a_warning(method, n_trials):
    search = Search(Faulty(method, 2), FakeTrainer())
    with pytest.warns(UserWarning, match="round 2 of 3 .* ZeroDivisionError: a bug"):
        search.run()
    assert len(search.history) == n_trials
    assert len(search.searcher.strategy.told) == 1


@pytest.mark.parametrize("method", ["ask", "tell"])
def test_an_error_in_the_first_round_is_raised(method):
    with pytest.raises(ZeroDivisionError, match="a bug of the user"):
        Search(Faulty(method, 1), FakeTrainer()).run()


def test_an_error_of_the_scorer_in_a_late_round_keeps_what_was_scored():
    n_calls = []

    def scoring(estimator, X, y):
        n_calls.append(1)
        if len(n_calls) == 5:
            raise ZeroDivisionError("a bug of the scorer")
        return (estimator.predict(X) == y).mean()

    # The first call is that of the guess.
    search = Search(ScriptedStrategy([A, B], [C, D]), FakeTrainer(), scoring=scoring)
    with pytest.warns(UserWarning, match="ZeroDivisionError: a bug of the scorer"):
        search.run()
    assert [trial.architecture for trial in search.history.trials] == [A, B, C]


# Weight sharing.


def test_a_round_reads_the_store_as_it_stood_when_the_round_began():
    strategy = ScriptedStrategy([A, Architecture((8, "relu"), "dropout")], [D, B], [C])
    trainer = FakeTrainer()
    search = Search(strategy, trainer, weight_sharing=True)
    search.run()
    inherited = [job.inherited for job in trainer.jobs]
    assert inherited[0] == inherited[1] == [None, None]
    assert inherited[2] == [None, None, None]
    again = Architecture((8, "relu"), (16, "tanh"))
    found = search.searcher._stores[0].retrieve(again)
    assert [entry is None for entry in found] == [False, True, False]
    assert found[0][0].shape == (3, 8)


def test_the_better_childs_weights_are_inherited():
    good = Architecture((16, "relu"), (16, "relu"))
    poor = Architecture((16, "relu"), (8, "relu"))
    for order in ([good, poor], [poor, good]):
        trainer = FakeTrainer()
        strategy = ScriptedStrategy(order, [B])
        Search(strategy, trainer, weight_sharing=True).run()
        input_weights, output_weights = trainer.jobs[2].inherited
        assert input_weights[0].flat[0] == pytest.approx(1 / 32)
        assert output_weights[0].flat[0] == pytest.approx(1 / 32)


def test_failed_children_leave_no_weights():
    trainer = FakeTrainer(_loss_failing(A))
    strategy = ScriptedStrategy([A, C], [Architecture((8, "relu"), "dropout")])
    Search(strategy, trainer, weight_sharing=True).run()
    assert trainer.jobs[2].inherited == [None, None]


def test_without_sharing_nothing_is_inherited():
    trainer = FakeTrainer()
    Search(ScriptedStrategy([A, B], [C, D]), trainer).run()
    assert [job.inherited for job in trainer.jobs] == [None] * 4


def test_seeds_of_children_depend_on_the_architecture_alone():
    seeds = []
    for rounds in ([[A, B], [C]], [[C, A], [B]]):
        trainer = FakeTrainer()
        Search(ScriptedStrategy(*rounds), trainer).run()
        seeds.append({job.architecture: job.seed for job in trainer.jobs})
    assert seeds[0] == seeds[1]
    assert len(set(seeds[0].values())) == 3


# The selection.


class FakeWorkbench:
    """Trains finalists with a fake trainer, whatever the encoding."""

    views = {"scale": None}
    search_view = "scale"

    def __init__(self, trainer):
        self.trainer = trainer

    def folds(self, view):
        del view
        return self.trainer.folds

    def evaluator(self, folds, settings):
        del folds
        self.trainer.settings = settings
        return Evaluator(self.trainer)


def _select(search, trainer, n_finalists):
    """Run a selection and return it with its choice."""
    selection = Selection(
        search.searcher,
        search.problem,
        SelectionSettings(n_finalists, 1, (1.0,), "best"),
        SETTINGS,
        FakeWorkbench(trainer),
        search.metric,
        Progress(1, 0),
    )
    try:
        selection.run(Budget())
    except KeyboardInterrupt:
        search.interrupted = True
    return selection, selection.choice()


def _finished_search(loss=None, first=None):
    return Search(
        ScriptedStrategy([A] if first else [A, B], [C, D]),
        FakeTrainer(loss),
        first_architecture=first,
    ).run()


def _indices(selection):
    return {finalist.index for finalist in selection.finalists}


def test_finalists_are_the_best_trials_trained_from_scratch():
    search, trainer = _finished_search(), FakeTrainer()
    selection, choice = _select(search, trainer, 2)
    assert {job.architecture for job in trainer.jobs} in ({B, D}, {C, D})
    assert all(job.inherited is None for job in trainer.jobs)
    seeds = {job.seed for job in search.evaluator.trainer.jobs}
    assert seeds.isdisjoint(job.seed for job in trainer.jobs)
    assert choice.evaluation.architecture == D
    assert choice.index == 3
    assert _indices(selection) == {3, search.history.best_first()[1]}
    assert choice.score == pytest.approx(_accuracy(1 / 32))
    records = search.history.finalists_to_dict(choice.position)
    assert records["index"][records["chosen"]].tolist() == [3]


def test_of_equal_finalists_the_first_architecture_is_chosen():
    search = _finished_search(first=FIRST)
    _, choice = _select(search, FakeTrainer(lambda _: 0.1), 4)
    assert choice.evaluation.architecture == FIRST
    assert choice.index == 0


def test_the_final_training_decides_and_not_the_search():
    search = _finished_search()
    best_last = FakeTrainer(lambda architecture: 0.1 if architecture == B else 3.0)
    assert _select(search, best_last, 4)[1].evaluation.architecture == B


def test_without_finalists_the_best_trial_is_taken_as_it_is():
    search, trainer = _finished_search(), FakeTrainer()
    selection, choice = _select(search, trainer, 0)
    assert trainer.jobs == selection.finalists == []
    assert (choice.index, choice.evaluation.architecture) == (3, D)
    assert choice.position is None
    assert choice.score == search.history.trials[3].score
    records = search.history.finalists_to_dict(None)
    assert {len(column) for column in records.values()} == {0}
    assert {"index", "score", "chosen"} <= set(records)


def test_the_first_architecture_is_among_two_finalists_or_more():
    poor = _loss_failing()
    search = _finished_search(lambda a: 5.0 if a == FIRST else poor(a), first=FIRST)
    assert search.history.best_first()[-1] == 0
    trainer = FakeTrainer()
    assert 0 in _indices(_select(search, trainer, 2)[0])
    assert len(trainer.jobs) == 2
    trainer = FakeTrainer()
    _select(search, trainer, 1)
    assert [job.architecture for job in trainer.jobs] != [FIRST]


def test_a_failed_first_architecture_is_no_finalist():
    search = _finished_search(_loss_failing(FIRST), first=FIRST)
    trainer = FakeTrainer()
    _select(search, trainer, 2)
    assert FIRST not in [job.architecture for job in trainer.jobs]
    assert len(trainer.jobs) == 2


def test_failed_finalists_are_left_out():
    search = _finished_search()
    selection, choice = _select(search, FakeTrainer(_loss_failing(D)), 4)
    assert choice.evaluation.architecture != D
    assert 3 not in _indices(selection)
    selection, choice = _select(search, FakeTrainer(_loss_failing(A, B, C, D)), 4)
    assert (choice.index, selection.finalists) == (3, [])


def _finalists_of(*rounds, first=None, n_finalists=3):
    """Return the rows of the finalists of a search that proposed these."""
    search = Search(
        ScriptedStrategy(*rounds),
        FakeTrainer(lambda a: 1 / sum(a.hidden_layer_sizes)),
        first_architecture=first,
        n_architectures=3,
    ).run()
    selection, choice = _select(search, FakeTrainer(), n_finalists)
    return [finalist.index for finalist in selection.finalists], choice


def test_finalists_are_different_candidates():
    tried_twice = [Candidate(D), Proposal(Candidate(D), 2), Proposal(Candidate(D), 3)]
    # Row 2 had the most epochs; of the others, B is the better.
    indices, choice = _finalists_of(tried_twice, [A, B])
    assert indices == [2, 4, 3]
    assert choice.evaluation.architecture == D


def test_finalists_of_the_most_epochs_are_taken_first():
    # D is the best by far, but was trained for one epoch only.
    indices, _ = _finalists_of(
        [D, Proposal(Candidate(A), 5), Proposal(Candidate(B), 5)], n_finalists=2
    )
    assert indices == [2, 1]


def test_the_first_architecture_is_a_finalist_by_its_longest_trial():
    longer = [Proposal(Candidate(each), 5) for each in (A, B, FIRST)]
    indices, choice = _finalists_of(longer[:1], longer[1:], first=FIRST, n_finalists=2)
    # Rows 0 and 3 are the first architecture, once as trial 0.
    assert indices == [3, 2]
    assert choice.index == 3
    # Even where it is none of the best.
    indices, _ = _finalists_of(
        [Proposal(Candidate(D), 5)], longer[:2], first=FIRST, n_finalists=2
    )
    assert indices == [1, 0]


def test_without_finalists_the_best_trial_is_one_of_the_most_epochs():
    indices, choice = _finalists_of([D, Proposal(Candidate(A), 5)], n_finalists=0)
    assert indices == []
    assert (choice.index, choice.max_iter) == (1, 5)
    assert choice.evaluation.architecture == A


@pytest.mark.parametrize("n_trained", [0, 1])
def test_an_interrupt_among_finalists_keeps_those_trained(n_trained):
    search = _finished_search()
    selection, choice = _select(search, FakeTrainer(interrupt_at=n_trained), 4)
    assert search.interrupted
    assert choice.evaluation.architecture == D
    assert len(selection.finalists) == n_trained


# The same, with real strategies, children and the estimator around them.


@pytest.mark.parametrize("weight_sharing", [False, True])
@pytest.mark.parametrize("accuracy_predictor", [False, True])
def test_a_search_with_and_without_sharing_and_predictor(
    weight_sharing, accuracy_predictor, fast, three_class_table
):
    X, y = three_class_table
    fast.update(n_rounds=3, n_architectures=3)
    classifier = NASMLPClassifier(**fast, weight_sharing=weight_sharing)
    classifier.set_params(search_strategy__accuracy_predictor=accuracy_predictor)
    classifier.fit(X, y)
    results = classifier.search_results_
    assert len(set(results["architecture"])) == len(results["architecture"]) >= 8
    predicted = np.isfinite(results["predicted_score"])
    in_first_round = results["round"] == 0
    assert not predicted[in_first_round].any()
    assert predicted[~in_first_round].all() == accuracy_predictor
    assert predicted.any() == accuracy_predictor


@pytest.mark.usefixtures("one_by_one")
def test_shared_weights_reach_the_children(fast, three_class_table, monkeypatch):
    jobs = []
    original = _trainer.train_stack

    def record(data, stack, *arguments):
        jobs.extend(stack)
        return original(data, stack, *arguments)

    monkeypatch.setattr(_trainer, "train_stack", record)
    fast.update(layer_widths=(8,), activations=("relu",), n_finalists=1)
    NASMLPClassifier(**fast, weight_sharing=True).fit(*three_class_table)
    # The last are a finalist and the two of the refit.
    in_search, last = jobs[:-3], jobs[-3:]
    inherits = [
        job.inherited is not None and any(entry is not None for entry in job.inherited)
        for job in in_search
    ]
    assert not any(inherits[:2])
    # Every architecture begins with the same layer.
    assert all(inherits[2:])
    assert [job.inherited for job in last] == [None] * 3


def test_the_users_strategy_is_copied_and_used(fast, three_class_table):
    X, y = three_class_table
    strategy = ScriptedStrategy([A], [B, C])
    fast.update(
        activations=("relu", "tanh"),
        search_strategy=strategy,
        first_architecture=FIRST,
    )
    classifier = NASMLPClassifier(**fast)
    classifier.fit(X, y)
    assert classifier.search_results_["architecture"].tolist() == [FIRST, A, B, C]
    assert strategy.rounds == [[A], [B, C]]
    assert not hasattr(strategy, "space")
    assert classifier.search_strategy is strategy
    # So that a second fit does the same.
    again = classifier.fit(X, y).search_results_["architecture"].tolist()
    assert again == [FIRST, A, B, C]


@pytest.mark.parametrize("cls", [RandomStrategy, ReinforceStrategy])
def test_a_built_in_strategy_may_be_given_as_an_object(cls, fast, three_class_table):
    strategy = cls()
    classifier = NASMLPClassifier(**{**fast, "search_strategy": strategy})
    classifier.fit(*three_class_table)
    assert len(classifier.search_results_["score"]) >= 3
    assert not hasattr(strategy, "space_")


def test_a_foreign_architecture_of_the_users_strategy_is_refused(fast, binary_table):
    strategy = ScriptedStrategy([Architecture((9, "relu"))])
    classifier = NASMLPClassifier(**{**fast, "search_strategy": strategy})
    with pytest.raises(ValueError, match="of the space that it was set up with"):
        classifier.fit(*binary_table)


def test_a_space_smaller_than_the_budget_is_tried_in_full(fast, three_class_table):
    fast.update(n_rounds=50, n_architectures=4)
    small = {"layer_widths": (4,), "activations": ("relu",), "max_layers": 4}
    space = SearchSpace((4,), ("relu",), 4)
    for strategy in ("reinforce", "random", "evolution"):
        fast["search_strategy"] = strategy
        classifier = NASMLPClassifier(**{**fast, **small})
        classifier.fit(*three_class_table)
        assert set(classifier.search_results_["architecture"]) == set(space)
        n_trials = len(classifier.search_results_["score"])
        assert n_trials == space.n_architectures == 6
        assert len(classifier.round_results_["round"]) <= 4


def test_a_chosen_candidate_keeps_its_settings_to_the_end(
    fast, three_class_table, monkeypatch
):
    X, y = three_class_table
    candidate = Candidate(A, (("alpha", 0.125), ("label_smoothing", 0.0)))
    jobs = []
    original = _trainer.train_stack

    def record(data, stack, *arguments):
        jobs.extend(stack)
        return original(data, stack, *arguments)

    monkeypatch.setattr(_trainer, "train_stack", record)
    fast.update(
        search_strategy=ScriptedStrategy([candidate]),
        first_architecture=None,
        n_rounds=1,
        n_architectures=1,
    )
    classifier = NASMLPClassifier(**fast).fit(X, y)
    # One in the search, one finalist, two of the refit.
    assert [job.settings for job in jobs] == [candidate.settings] * 4
    assert [job.epochs for job in jobs] == [None, 3, 3, 3]
    assert classifier.search_results_["param_alpha"].tolist() == [0.125]
    assert classifier.finalist_results_["param_label_smoothing"].tolist() == [0.0]


class Settled(RandomStrategy):
    """Random search over architectures and their weight decay."""

    def draw(self, n):
        alphas = self.generator_.choice([0.01, 0.1, 1.0], size=n).tolist()
        return [
            Candidate(architecture, (("alpha", alpha),))
            for architecture, alpha in zip(super().draw(n), alphas, strict=True)
        ]


def test_a_strategy_that_inherits_may_draw_candidates(fast, three_class_table):
    fast.update(search_strategy=Settled(), n_rounds=3, n_architectures=3)
    classifier = NASMLPClassifier(**fast).fit(*three_class_table)
    alphas = classifier.search_results_["param_alpha"]
    # Trial 0 has the estimator's.
    assert np.isnan(alphas[0])
    assert set(alphas[1:]) <= {0.01, 0.1, 1.0}
    # There is no bound over candidates that cannot be counted.
    assert np.isnan(classifier.score_bound_)


@pytest.mark.parametrize("searched", ["alpha", "epochs"])
def test_a_search_over_settings_alone_has_all_its_trials(
    searched, fast, three_class_table
):
    class OneArchitecture(SearchStrategy):
        def draw(self, n):
            if searched == "epochs":
                return [Proposal(Candidate(A), i) for i in range(1, 3 * n)]
            alphas = self.generator_.random(n).tolist()
            return [Candidate(A, (("alpha", alpha),)) for alpha in alphas]

    fast.update(layer_widths=(8,), activations=("relu",), max_layers=2, dropout=0.0)
    fast.update(search_strategy=OneArchitecture(), n_rounds=3)
    classifier = NASMLPClassifier(**fast).fit(*three_class_table)
    assert len(classifier.search_results_["score"]) == 6
    epochs = [2, 1, 2, 3, 4, 5] if searched == "epochs" else [2] * 6
    assert classifier.search_results_["max_iter"].tolist() == epochs
    n_finalists = {"alpha": 2, "epochs": 1}[searched]
    assert len(classifier.finalist_results_["index"]) == n_finalists


def test_rows_and_folds_of_a_proposal_are_what_it_is_trained_on(
    fast, three_class_table
):
    class Rising(SearchStrategy):
        def draw(self, n):
            fidelities = [(0.25, 1), (0.5, 1), (1.0, 3), (1.0, 99)]
            candidate = Candidate(Architecture((8, "tanh")))
            return [Proposal(candidate, rows=r, folds=f) for r, f in fidelities][:n]

        def observe(self, outcomes):
            self.observed = outcomes

        def learn(self, architectures, rewards):
            proposals = [as_proposal(each) for each in architectures]
            assert [o.proposal for o in self.observed] == proposals
            assert [o.reward for o in self.observed] == list(rewards)
            assert [o.trial for o in self.observed] == [0, 1, 2, 3, 4]
            learned.append(self.observed)

    learned = []
    fast.update(search_strategy=Rising(), n_rounds=1, n_architectures=5, n_splits=3)
    classifier = NASMLPClassifier(**fast).fit(*three_class_table)
    results = classifier.search_results_
    # Rows cost what they are, and so do folds; there are three of them.
    cost = results["cost"][1:] / results["n_iter"][1:]
    assert cost[0] < cost[1] < cost[2] / 2
    assert cost[2] == cost[3]
    assert results["score"][3:].tolist() == [results["score"][3]] * 2
    # Those at the highest fidelity are the first finalists.
    assert classifier.finalist_results_["index"][0] in (0, 3, 4)
    (outcomes,) = learned
    assert [len(o.curve) for o in outcomes] == results["n_iter"].tolist()
    assert [o.cost for o in outcomes] == results["cost"].tolist()
    assert outcomes[0].objectives["score"] == results["score"][0]
