import math

import numpy as np
import pandas as pd
import pytest

from sknas import Architecture
from sknas._search.history import SearchHistory, columns_of
from sknas._search.journal import (
    FAILED,
    TRAINED,
    FinalistRecord,
    MemoryJournal,
    Round,
    Trial,
)
from sknas._space import Candidate, Proposal

NETWORK = Architecture((8, "relu"))


def _trial(candidate=Candidate(NETWORK), epochs=None, **values):  # noqa: B008
    defaults = {
        "proposal": Proposal(candidate, epochs),
        "round": 0,
        "status": TRAINED,
        "score": 0.5,
        "loss": 0.7,
        "predicted_score": math.nan,
        "reward": 0.5,
        "n_parameters": 10,
        "max_iter": epochs or 5,
        "n_iter": 3,
        "cost": 0.2,
        "time": 0.1,
        "curve": (0.4, 0.5, 0.5),
    }
    return Trial(**{**defaults, **values})


def _history(*trials):
    history = SearchHistory()
    for trial in trials:
        history.record(trial)
    return history


def test_trials_become_columns_in_their_order():
    deep = Architecture((8, "relu"), "dropout", (16, "tanh"))
    history = _history(
        _trial(score=0.5),
        _trial(candidate=Candidate(deep), score=0.9, round=1),
        _trial(status=FAILED, score=math.nan),
        _trial(score=0.9),
    )
    assert len(history) == 4
    columns = history.trials_to_dict()
    assert list(columns) == [
        "architecture",
        "round",
        "status",
        "score",
        "loss",
        "predicted_score",
        "reward",
        "n_parameters",
        "max_iter",
        "n_iter",
        "cost",
        "time",
        "rank_score",
    ]
    assert {len(column) for column in columns.values()} == {4}
    assert columns["architecture"].dtype == object
    assert columns["architecture"][1] == deep
    assert columns["status"].tolist() == ["trained", "trained", "failed", "trained"]
    # Equals share the better rank, failures the last.
    assert columns["rank_score"].tolist() == [3, 1, 4, 1]
    assert columns["rank_score"].dtype.kind == "i"


def test_failed_trials_share_the_last_rank():
    failed = _trial(status=FAILED, score=math.nan)
    columns = _history(failed, _trial(score=-5.0), failed).trials_to_dict()
    assert columns["rank_score"].tolist() == [2, 1, 2]


def test_columns_are_ready_for_a_data_frame():
    frame = pd.DataFrame(_history(_trial(), _trial(score=0.9)).trials_to_dict())
    frame = frame.sort_values("rank_score")
    assert frame["score"].tolist() == [0.9, 0.5]


def test_the_best_come_first_and_of_equals_the_smallest():
    history = _history(
        _trial(reward=0.5, n_parameters=5),
        _trial(reward=0.9, n_parameters=20),
        _trial(reward=1.0, status=FAILED),
        _trial(reward=0.9, n_parameters=10),
        _trial(reward=0.9, n_parameters=10),
    )
    assert history.trained() == [0, 1, 3, 4]
    assert history.best_first() == [3, 4, 1, 0]


def test_trials_of_more_epochs_come_first_whatever_their_rewards():
    history = _history(
        _trial(reward=0.9, epochs=2),
        _trial(reward=0.5),
        _trial(reward=0.4, epochs=9),
        _trial(reward=0.6, epochs=5),
        _trial(reward=1.0, epochs=9, status=FAILED),
    )
    # None is the five epochs of the settings.
    assert history.best_first() == [2, 3, 1, 0]
    assert history.trials_to_dict()["max_iter"].tolist() == [2, 5, 9, 5, 9]


def test_an_empty_history_has_no_rows():
    history = SearchHistory()
    assert len(history) == 0
    assert history.trained() == history.best_first() == []
    assert history.rounds_to_dict() == {}


def test_rounds_become_columns_and_what_one_lacks_is_nan():
    history = SearchHistory()
    history.record(Round({"round": 0, "n_trials": 2}))
    history.record(Round({"round": 1, "n_trials": 2, "entropy": 0.5}))
    columns = history.rounds_to_dict()
    assert list(columns) == ["round", "n_trials", "entropy"]
    np.testing.assert_array_equal(columns["entropy"], [math.nan, 0.5])
    np.testing.assert_array_equal(columns["round"], [0, 1])


def test_architectures_of_one_depth_stay_objects():
    rows = [{"architecture": Architecture((width, "relu"))} for width in (8, 16)]
    column = columns_of(rows, ["architecture"])["architecture"]
    assert column.shape == (2,)
    assert all(isinstance(value, Architecture) for value in column)


def test_a_trial_cannot_be_changed():
    with pytest.raises(AttributeError, match="cannot assign to field 'score'"):
        _trial().score = 1.0


def _finalist(index):
    candidate = Candidate(Architecture((8, "relu")))
    return FinalistRecord(index, candidate, "scale", 15, 0.9, 0.3, 15, 2.0)


def test_finalists_become_columns_and_one_is_chosen():
    history = SearchHistory()
    for index in (3, 1):
        history.record(_finalist(index))
    columns = history.finalists_to_dict(1)
    assert columns["index"].tolist() == [3, 1]
    assert columns["chosen"].tolist() == [False, True]
    assert len(pd.DataFrame(columns)) == 2


def test_without_finalists_the_columns_are_there():
    columns = SearchHistory().finalists_to_dict(None)
    assert list(columns) == [
        "index",
        "architecture",
        "encoding",
        "max_iter",
        "score",
        "loss",
        "n_iter",
        "time",
        "chosen",
    ]
    assert {len(column) for column in columns.values()} == {0}
    frame = pd.DataFrame(columns)
    assert list(frame[frame["chosen"]].columns) == list(columns)


def test_a_history_is_read_again_from_its_journal():
    journal = MemoryJournal()
    history = SearchHistory(journal)
    history.record(_trial(score=0.75))
    history.record(Round({"round": 0}))
    history.record(_finalist(0))
    again = SearchHistory(journal)
    assert again.trials == history.trials
    assert again.rounds == history.rounds
    assert again.finalists == history.finalists
    assert again.best_score() == 0.75
    # What is recorded now goes to the same journal.
    again.record(_trial())
    assert len(list(journal)) == 4


def test_settings_of_candidates_are_columns_of_their_own():
    history = _history(
        _trial(),
        _trial(Candidate(NETWORK, (("alpha", 0.5),))),
        _trial(Candidate(NETWORK, (("solver", "adam"), ("alpha", 0.1)))),
    )
    columns = history.trials_to_dict()
    np.testing.assert_array_equal(columns["param_alpha"], [math.nan, 0.5, 0.1])
    assert pd.isna(columns["param_solver"]).tolist() == [True, True, False]
    assert columns["param_solver"][2] == "adam"
    assert columns["architecture"].tolist() == [NETWORK] * 3
