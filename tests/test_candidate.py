"""What a strategy may propose: one meaning in three forms."""

import numpy as np
import pytest

from sknas import Architecture, Candidate, NASMLPClassifier, Proposal
from sknas._space import as_proposal
from sknas._space.candidate import SETTINGS

A = Architecture((8, "relu"))


@pytest.mark.parametrize(
    "settings",
    [None, (("alpha",),), [("alpha", 1.0)], (("alpha", 1.0),) * 2, ((1, 1.0),)],
    ids=repr,
)
def test_malformed_settings_are_refused(settings):
    with pytest.raises(ValueError, match="settings of a Candidate must be a tuple"):
        Candidate(A, settings)


def test_settings_of_other_names_are_refused():
    with pytest.raises(ValueError, match=r"must be among .* Got 'momentum' instead"):
        Candidate(A, (("momentum", 0.9),))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("alpha", "auto"),
        ("alpha", "0.1"),
        ("alpha", True),
        ("alpha", -1.0),
        ("alpha", [0.1]),
        ("alpha", {}),
        ("alpha", None),
        ("batch_size", 0),
        ("batch_size", 16.7),
        ("batch_size", True),
        ("batch_size", "auto"),
        ("dropout", 1.0),
        ("label_smoothing", 3),
        ("learning_rate_init", 0.0),
        ("learning_rate_init", float("inf")),
        ("learning_rate_init", float("nan")),
        ("learning_rate", 0.1),
        ("solver", "newton"),
        ("solver", ["adam"]),
    ],
    ids=str,
)
def test_a_value_that_the_estimator_would_refuse_is_refused(name, value):
    with pytest.raises(ValueError, match=f"The setting '{name}' of a Candidate") as got:
        Candidate(A, ((name, value),))
    assert f"Got {value!r} instead" in str(got.value)


def test_the_values_are_those_of_the_estimators_parameters():
    constraints = NASMLPClassifier._parameter_constraints
    for name, constraint in SETTINGS.items():
        assert str(constraint) in map(str, constraints[name])


def test_equal_candidates_have_one_hash_and_one_repr():
    """The order of the settings and NumPy's numbers do not matter; seeds use `repr`."""
    candidate = Candidate(A, (("alpha", 1.0), ("batch_size", 16), ("solver", "adam")))
    settings = {
        "solver": np.str_("adam"),
        "batch_size": np.int64(16),
        "alpha": np.float32(1),
    }
    other = Candidate(A, tuple(settings.items()))
    assert other == candidate
    assert hash(other) == hash(candidate)
    assert repr(other) == repr(candidate)
    assert dict(Candidate(A, (("alpha", 1),)).settings) == {"alpha": 1.0}


@pytest.mark.parametrize("epochs", [0, -1, 1.5, float("nan"), True, "3"], ids=repr)
def test_malformed_epochs_are_refused(epochs):
    with pytest.raises(ValueError, match="epochs of a Proposal must be None or an"):
        Proposal(Candidate(A), epochs)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rows", 0),
        ("rows", 1.5),
        ("rows", float("nan")),
        ("rows", True),
        ("folds", 0),
        ("folds", None),
        ("parent", -1),
        ("parent", 0.5),
    ],
)
def test_malformed_fidelities_are_refused(name, value):
    with pytest.raises(ValueError, match=f"The {name} of a Proposal must be"):
        Proposal(Candidate(A), **{name: value})


def test_a_parent_is_no_part_of_what_is_proposed():
    of_other_rows = Proposal(Candidate(A), rows=0.5)
    assert Proposal(Candidate(A), parent=3) == Proposal(Candidate(A)) != of_other_rows


def test_a_proposal_has_a_candidate():
    with pytest.raises(ValueError, match="must be a Candidate"):
        Proposal(A)


def test_epochs_may_be_numpys():
    proposal = Proposal(Candidate(A), np.int64(5))
    assert proposal == Proposal(Candidate(A), 5)
    assert repr(proposal) == repr(Proposal(Candidate(A), 5))


def test_the_three_forms_mean_the_same():
    forms = [A, Candidate(A), Proposal(Candidate(A))]
    assert {as_proposal(form) for form in forms} == {forms[-1]}
    with pytest.raises(TypeError, match="must propose architectures"):
        as_proposal(((8, "relu"),))
