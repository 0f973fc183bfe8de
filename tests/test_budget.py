import math
import pickle
import time

import pytest

from sknas._budget import Budget


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still but for what a test adds to it."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_without_a_limit_time_is_endless():
    budget = Budget()
    assert budget.seconds_left() == math.inf
    assert not budget.is_limited
    assert not budget.is_over()
    assert not budget.share(0.5).is_limited
    assert budget.at_most(2.0).is_limited


def test_seconds_run_out(clock):
    budget = Budget(10.0)
    clock[0] += 4
    assert budget.seconds_left() == 6
    assert not budget.is_over()
    clock[0] += 6
    assert budget.is_over()
    clock[0] += 1
    assert budget.seconds_left() == -1


def test_the_count_may_have_begun_before(clock):
    assert Budget(10.0, began=clock[0] - 3).seconds_left() == 7


def test_a_share_is_one_of_what_is_left(clock):
    budget = Budget(10.0)
    clock[0] += 2
    share = budget.share(0.25)
    assert share.seconds_left() == 2
    clock[0] += 2
    assert share.is_over()
    assert budget.seconds_left() == 6


def test_a_part_never_ends_after_the_whole(clock):
    budget = Budget(10.0)
    assert budget.at_most(60.0).seconds_left() == 10
    clock[0] += 11
    assert budget.share(0.5).is_over()
    assert budget.at_most(5.0).is_over()


def test_a_pickled_budget_ends_when_the_original_does(clock):
    budget = Budget(10.0)
    data = pickle.dumps(budget)
    clock[0] += 4
    assert pickle.loads(data).seconds_left() == 6
