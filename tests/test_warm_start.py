"""A second fit that continues the search of the first."""

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone

from sknas import NASMLPClassifier, NASMLPRegressor, RandomStrategy, SearchStrategy
from sknas._engine import trainer


def _assert_equal(first, second):
    assert list(first) == list(second)
    for name in first:
        if not name.startswith("time"):
            np.testing.assert_array_equal(first[name], second[name], err_msg=name)


@pytest.mark.parametrize("weight_sharing", [False, True])
def test_two_fits_on_the_same_rows_are_one_longer_fit(
    fast, binary_table, weight_sharing
):
    X, y = binary_table
    fast["weight_sharing"] = weight_sharing
    whole = NASMLPClassifier(**fast).set_params(n_rounds=3).fit(X, y)
    parts = NASMLPClassifier(**fast, warm_start=True).set_params(n_rounds=1).fit(X, y)
    assert parts.continued_on_ is None
    # What continues may have been stored and loaded, and have other limits.
    parts = pickle.loads(pickle.dumps(parts)).set_params(n_rounds=2).fit(X, y)
    assert parts.continued_on_ == "same rows"
    for name in ("search_results_", "round_results_", "finalist_results_"):
        _assert_equal(getattr(whole, name), getattr(parts, name))
    np.testing.assert_array_equal(whole.predict_proba(X), parts.predict_proba(X))


def test_it_continues_without_an_int_as_random_state(fast, binary_table):
    fast["random_state"] = None
    classifier = NASMLPClassifier(**fast, warm_start=True).fit(*binary_table)
    before = classifier.search_results_["score"]
    classifier.fit(*binary_table)
    assert classifier.continued_on_ == "same rows"
    after = classifier.search_results_["score"]
    np.testing.assert_array_equal(after[: len(before)], before)
    assert len(after) > len(before)


@pytest.mark.parametrize(
    "change", ["rows", "target", "weights", "training", "splits", "scorer"]
)
def test_scores_of_another_measure_are_not_taken_over(fast, binary_table, change):
    X, y = binary_table
    classifier = NASMLPClassifier(**fast, warm_start=True)
    classifier.set_params(n_architectures=4).fit(X, y)
    best = classifier.search_results_["architecture"][
        np.argsort(-classifier.search_results_["reward"], kind="stable")[0]
    ]
    weights = None
    if change == "rows":
        X = X[:-10]
        y = y[:-10]
    elif change == "target":
        y = np.append(y[1:], y[0])
    elif change == "weights":
        weights = np.arange(1.0, len(y) + 1)
    else:
        parameters = {
            "training": {"search_epochs": 3},
            "splits": {"validation_fraction": 0.3},
            "scorer": {"scoring": "f1"},
        }
        classifier.set_params(**parameters[change])
    classifier.fit(X, y, weights)
    is_of_rows = change in ("rows", "target", "weights")
    assert classifier.continued_on_ == ("new rows" if is_of_rows else "new settings")
    trials = classifier.search_results_
    assert len(trials["round"]) <= 8
    assert trials["round"][0] == 0
    # What was best is tried again, in the first round.
    assert best in set(trials["architecture"][trials["round"] == 0])


@pytest.mark.parametrize("kind", ["pandas", "objects", "array", "sparse"])
def test_rows_are_the_same_however_they_lie_in_memory(fast, mixed_frame, kind):
    frame, y = mixed_frame
    frame = frame.assign(
        date=pd.date_range("2020", periods=60), object=frame["object"].astype(object)
    )
    halves = pd.concat([frame[:30], frame[30:]]).set_axis(range(60, 120))
    numbers = np.array(frame[["count", "flag"]], dtype=float)
    first, second = {
        "pandas": (frame, halves),
        "objects": (frame.to_numpy(object), np.asfortranarray(halves.to_numpy(object))),
        "array": (numbers, np.asfortranarray(numbers)),
        "sparse": (sparse.csr_matrix(numbers), sparse.csc_array(numbers)),
    }[kind]
    classifier = NASMLPClassifier(**fast, warm_start=True).fit(first, y)
    assert classifier.fit(second, y.copy()).continued_on_ == "same rows"
    changed = second.copy()
    if kind == "pandas":
        changed.iloc[7, 6] = "violet"
    else:
        changed[7, 0] = 11
    assert classifier.fit(changed, y).continued_on_ == "new rows"


class Counting(SearchStrategy):
    """Counts what it was told, and how often it was set up."""

    def begin(self):
        self.n_begun_ = getattr(self, "n_begun_", 0) + 1
        self.n_told_ = 0

    def draw(self, n):
        return [self.space_.sample(self.generator_) for _ in range(n)]

    def learn(self, architectures, rewards):
        assert len(architectures) == len(rewards)
        self.n_told_ += len(rewards)

    def report(self):
        return {"n_begun": self.n_begun_, "n_told": self.n_told_}


@pytest.mark.parametrize("n_rows", [90, 80])
def test_the_strategy_goes_on_with_what_it_has_learned(fast, binary_table, n_rows):
    X, y = binary_table
    fast["search_strategy"] = Counting()
    classifier = NASMLPClassifier(**fast, warm_start=True).fit(X, y)
    n_first = len(classifier.search_results_["round"])
    classifier.fit(X[:n_rows], y[:n_rows])
    rounds = classifier.round_results_
    assert set(rounds["n_begun"]) == {1}
    n_second = len(classifier.search_results_["round"])
    n_all = n_second if n_rows == 90 else n_first + n_second
    assert rounds["n_told"][-1] == n_all


def test_another_space_begins_anew_with_a_warning(fast, binary_table):
    classifier = NASMLPClassifier(**fast, warm_start=True).fit(*binary_table)
    for change in ({"max_layers": 3}, {"search_strategy": RandomStrategy()}):
        classifier.set_params(**change)
        with pytest.warns(UserWarning, match="begins a new search"):
            classifier.fit(*binary_table)
        assert classifier.continued_on_ is None
        assert classifier.round_results_["round"][0] == 0


def test_other_classes_columns_and_outputs_are_refused(fast, binary_table):
    X, y = binary_table
    classifier = NASMLPClassifier(**fast, warm_start=True).fit(X, y)
    before = vars(classifier).copy()
    with pytest.raises(ValueError, match=r"the classes \[0 1\]. Got \[1 2\]"):
        classifier.fit(X, y + 1)
    with pytest.raises(ValueError, match="X has 5 features, but"):
        classifier.fit(X[:, 1:], y)
    assert vars(classifier) == before
    del fast["search_strategy"]
    regressor = NASMLPRegressor(**fast, warm_start=True).fit(X, y)
    with pytest.raises(ValueError, match=r"have 1 with .*\. Got 2 with"):
        regressor.fit(X, np.column_stack([y, y]))


def test_a_class_without_weight_is_no_other_class(fast, three_class_table):
    X, y = three_class_table
    classifier = NASMLPClassifier(**fast, warm_start=True)
    for _ in range(2):
        classifier.fit(X, y, (y != 2).astype(float))
    assert classifier.continued_on_ == "same rows"
    assert classifier.classes_.tolist() == [0, 1]


def test_nothing_is_kept_unless_asked_for(fast, binary_table):
    classifier = NASMLPClassifier(**fast).fit(*binary_table)
    assert not any(name.startswith("_") for name in vars(classifier))
    classifier.set_params(warm_start=True).fit(*binary_table)
    assert classifier.continued_on_ is None
    # A clone knows nothing of the search, and neither does a fit without it.
    assert not any(name.startswith("_") for name in vars(clone(classifier)))
    classifier.set_params(warm_start=False).fit(*binary_table)
    assert not any(name.startswith("_") for name in vars(classifier))
    assert classifier.continued_on_ is None


@pytest.mark.parametrize("n_trained", [2, 3])
def test_a_round_that_was_interrupted_is_ended_by_the_next_fit(
    fast, binary_table, monkeypatch, one_by_one, n_trained
):
    del one_by_one
    X, y = binary_table
    fast["n_finalists"] = 0
    whole = NASMLPClassifier(**fast).set_params(n_rounds=3).fit(X, y)
    parts = NASMLPClassifier(**fast, warm_start=True)
    original, calls = trainer.train_stack, []

    def interrupt(*arguments):
        if len(calls) == n_trained:
            raise KeyboardInterrupt
        calls.append(1)
        return original(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(trainer, "train_stack", interrupt)
        with pytest.raises(KeyboardInterrupt, match=r"^"):
            parts.fit(X, y)
    assert parts.interrupted_ == "search"
    parts.fit(X, y)
    for name in ("architecture", "score", "reward"):
        np.testing.assert_array_equal(
            whole.search_results_[name], parts.search_results_[name]
        )
    assert len(whole.search_results_["score"]) == 6


def test_an_interrupted_round_is_told_of_other_rows(fast, binary_table, monkeypatch):
    X, y = binary_table
    fast["search_strategy"] = Counting()
    classifier = NASMLPClassifier(**fast, warm_start=True)
    # The second round is asked for, and then the time is over.
    original = Counting.draw

    def draw(self, n):
        if self.n_told_:
            monkeypatch.setattr(trainer, "train_stack", lambda *_: [])
        return original(self, n)

    with monkeypatch.context() as patched:
        patched.setattr(Counting, "draw", draw)
        patched.setattr(trainer, "train_stack", trainer.train_stack)
        classifier.set_params(n_finalists=0).fit(X, y)
    assert len(classifier.round_results_["round"]) == 1
    classifier.fit(X[:80], y[:80])
    assert classifier.continued_on_ == "new rows"
    assert classifier.round_results_["n_told"][-1] >= 6


def test_a_space_without_anything_new_is_left_at_peace(binary_table):
    one = NASMLPClassifier.from_architecture(
        ((8, "relu"),), dropout=0.0, max_iter=1, warm_start=True
    )
    for _ in range(3):
        one.fit(*binary_table)
        assert len(one.search_results_["score"]) == 1
    assert one.continued_on_ == "same rows"


class FailsOnce(Counting):
    def learn(self, architectures, rewards):
        super().learn(architectures, rewards)
        if self.n_told_ == 4:
            raise OSError("the disk is full")


def test_a_search_goes_on_after_an_error_of_its_strategy(fast, binary_table):
    fast["search_strategy"] = FailsOnce()
    classifier = NASMLPClassifier(**fast, warm_start=True)
    with pytest.warns(UserWarning, match="the disk is full"):
        classifier.fit(*binary_table)
    classifier.fit(*binary_table)
    assert classifier.round_results_["n_trials"].tolist() == [2, 2, 2, 2]


class Unpicklable(Counting):
    def begin(self):
        super().begin()
        self.line_ = (each for each in ())


def test_a_strategy_that_cannot_be_stored_is_named(fast, binary_table):
    fast["search_strategy"] = Unpicklable()
    classifier = NASMLPClassifier(**fast, warm_start=True)
    with pytest.warns(UserWarning, match="cannot continue this search.*TypeError"):
        classifier.fit(*binary_table)
    assert classifier.predict(binary_table[0]).shape == (90,)
    pickle.dumps(classifier)


def test_it_says_on_which_rows_it_continues(fast, binary_table, capsys):
    X, y = binary_table
    classifier = NASMLPClassifier(**fast, warm_start=True, verbose=1).fit(X, y)
    assert "continuing" not in capsys.readouterr().err
    classifier.fit(X, y)
    assert "last fit (same rows)" in capsys.readouterr().err
    classifier.fit(X[:80], y[:80])
    assert "last fit (new rows)" in capsys.readouterr().err


def test_two_scorers_that_cannot_be_told_apart_by_name_are_two(fast, binary_table):
    def scorer(sign):
        return lambda estimator, X, y: sign * (estimator.predict(X) == y).mean()

    fast["scoring"] = scorer(1)
    classifier = NASMLPClassifier(**fast, warm_start=True).fit(*binary_table)
    assert classifier.fit(*binary_table).continued_on_ == "same rows"
    classifier.set_params(scoring=scorer(-1)).fit(*binary_table)
    assert classifier.continued_on_ == "new settings"
    assert classifier.search_results_["score"].max() <= 0
