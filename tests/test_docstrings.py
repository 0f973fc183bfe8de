import ast
import inspect
import re

import pytest
from numpydoc.docscrape import ClassDoc
from numpydoc.validate import validate

import sknas
from sknas import (
    Architecture,
    BayesianStrategy,
    Candidate,
    DartsStrategy,
    EnasStrategy,
    EvolutionStrategy,
    HalvingStrategy,
    HyperbandStrategy,
    MorphNetStrategy,
    NASMLPClassifier,
    NASMLPRegressor,
    Outcome,
    ProgressiveStrategy,
    Proposal,
    RandomStrategy,
    ReinforceStrategy,
    SearchSpace,
    SearchStrategy,
)

CHECKS = {
    "GL01",
    "GL02",
    "GL03",
    "GL07",
    "GL08",
    "SS03",
    "SS05",
    "PR01",
    "PR02",
    "PR03",
    "PR04",
    "PR06",
    "PR07",
    "RT01",
    "RT03",
}
PUBLIC_CLASSES = (
    NASMLPClassifier,
    NASMLPRegressor,
    SearchStrategy,
    ReinforceStrategy,
    RandomStrategy,
    EvolutionStrategy,
    HalvingStrategy,
    HyperbandStrategy,
    MorphNetStrategy,
    ProgressiveStrategy,
    BayesianStrategy,
    EnasStrategy,
    DartsStrategy,
    Architecture,
    Candidate,
    Proposal,
    Outcome,
    SearchSpace,
)


def _public_methods(cls):
    # Inherited ones too, but for those of scikit-learn.
    return [
        name
        for name, value in inspect.getmembers(cls, inspect.isfunction)
        if value.__module__.startswith("sknas") and not name.startswith("_")
    ]


# Names that users import, and their methods.
OBJECTS = [
    *(f"sknas.{cls.__name__}" for cls in PUBLIC_CLASSES),
    *(
        f"sknas.{cls.__name__}.{name}"
        for cls in PUBLIC_CLASSES
        for name in _public_methods(cls)
    ),
]


@pytest.mark.parametrize("name", OBJECTS)
def test_docstrings_are_numpydoc(name):
    errors = [error for error in validate(name)["errors"] if error[0] in CHECKS]
    assert errors == []


def test_the_public_objects_are_found():
    assert {"sknas.NASMLPClassifier.fit", "sknas.SearchSpace.decode"} <= set(OBJECTS)
    classes = {name for name in sknas.__all__ if inspect.isclass(getattr(sknas, name))}
    assert classes == {cls.__name__ for cls in PUBLIC_CLASSES}


@pytest.mark.parametrize(
    "cls",
    [
        NASMLPClassifier,
        NASMLPRegressor,
        ReinforceStrategy,
        EvolutionStrategy,
        MorphNetStrategy,
        ProgressiveStrategy,
        EnasStrategy,
        DartsStrategy,
    ],
)
def test_documented_defaults_are_those_of_the_signature(cls):
    documented = {}
    for parameter in ClassDoc(cls)["Parameters"]:
        match = re.search(r"default=(.*)$", parameter.type)
        assert match, f"{parameter.name} documents no default"
        documented[parameter.name] = ast.literal_eval(match.group(1))
    actual = {
        name: parameter.default
        for name, parameter in inspect.signature(cls).parameters.items()
    }
    assert list(documented) == list(actual)
    assert documented == actual


@pytest.mark.parametrize("cls", PUBLIC_CLASSES)
def test_every_public_class_has_an_example_that_runs(cls):
    assert ">>> " in "\n".join(ClassDoc(cls)["Examples"])


@pytest.mark.parametrize("cls", PUBLIC_CLASSES)
def test_every_public_property_is_documented(cls):
    attributes = {attribute.name for attribute in ClassDoc(cls)["Attributes"]}
    for name, value in vars(cls).items():
        is_property = isinstance(value, property) or hasattr(value, "attrname")
        if is_property and not name.startswith("_"):
            assert name in attributes or inspect.getdoc(value), name


def _entries(cls, section):
    return {
        entry.name: (entry.type, " ".join(entry.desc))
        for entry in ClassDoc(cls)[section]
    }


# What is said of these depends on what is predicted.
PARAMETERS_OF_THEIR_OWN = {"alpha", "dropout", "n_ensemble", "scoring"}
ATTRIBUTES_OF_THEIR_OWN = {
    "best_score_",
    "loss_curve_",
    "n_outputs_",
    "out_activation_",
    "search_results_",
    "validation_scores_",
}


@pytest.mark.parametrize(
    ("section", "own"),
    [("Parameters", PARAMETERS_OF_THEIR_OWN), ("Attributes", ATTRIBUTES_OF_THEIR_OWN)],
)
def test_classifier_and_regressor_say_the_same_of_the_same(section, own):
    classifier, regressor = (
        _entries(cls, section) for cls in (NASMLPClassifier, NASMLPRegressor)
    )
    shared = set(classifier) & set(regressor)
    assert len(shared) > 15
    assert {name for name in shared if classifier[name] != regressor[name]} == own
