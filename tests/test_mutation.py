import numpy as np
import pytest

from sknas import Architecture, SearchSpace
from sknas._space.mutation import KINDS, crossover, neighbours

SPACE = SearchSpace((8, 16, 32), ("relu", "tanh"), max_layers=5)
SKIPS = SearchSpace((8, 16, 32), ("relu", "tanh"), max_layers=6, skip=True)
A = Architecture((8, "relu"), "dropout", (16, "tanh"))


def test_steps_of_each_kind():
    found = neighbours(A, SPACE)
    assert tuple(found) == KINDS
    assert set(found["width"]) == {
        Architecture((16, "relu"), "dropout", (16, "tanh")),
        Architecture((8, "relu"), "dropout", (8, "tanh")),
        Architecture((8, "relu"), "dropout", (32, "tanh")),
    }
    assert set(found["activation"]) == {
        Architecture((8, "tanh"), "dropout", (16, "tanh")),
        Architecture((8, "relu"), "dropout", (16, "relu")),
    }
    assert set(found["delete"]) == {
        Architecture((16, "tanh")),
        Architecture((8, "relu"), "dropout"),
    }
    assert set(found["dropout"]) == {
        Architecture((8, "relu"), (16, "tanh")),
        Architecture((8, "relu"), "dropout", (16, "tanh"), "dropout"),
    }
    assert found["skip"] == []
    # Six layers at three places, of which an equal one before or after is one.
    assert len(found["insert"]) == 3 * 6 - 1
    assert (
        Architecture((8, "relu"), "dropout", (16, "tanh"), (8, "relu"))
        in (found["insert"])
    )


def test_steps_stay_in_the_space_and_lead_back():
    generator = np.random.default_rng(0)
    for space in (SPACE, SKIPS) * 12:
        architecture = space.sample(generator)
        for kind, steps in neighbours(architecture, space).items():
            assert len(set(steps)) == len(steps)
            for step in steps:
                assert step in space
                assert step != architecture
                back = neighbours(step, space)
                # Who deletes a layer with its dropout comes back in two steps.
                if kind != "delete":
                    assert any(architecture in of_kind for of_kind in back.values())


def test_every_architecture_can_be_reached():
    space = SearchSpace((8, 16), ("relu",), max_layers=5, skip=True)
    known, new = set(), {Architecture((8, "relu"))}
    while new:
        known |= new
        steps = {s for a in new for of in neighbours(a, space).values() for s in of}
        new = steps - known
    assert known == set(space)


def test_steps_around_skip_connections():
    architecture = Architecture((8, "relu"), (16, "tanh"), "skip", (8, "relu"))
    found = neighbours(architecture, SKIPS)
    assert set(found["skip"]) == {
        Architecture((8, "relu"), (16, "tanh"), (8, "relu")),
        Architecture((8, "relu"), (16, "tanh"), "skip", (8, "relu"), "skip"),
    }
    # What becomes the first layer has nothing to skip from.
    assert Architecture((16, "tanh"), (8, "relu")) in found["delete"]
    dropped = Architecture((8, "relu"), (16, "tanh"), "dropout", "skip", (8, "relu"))
    assert dropped in found["dropout"]
    longer = Architecture((8, "tanh"), (8, "relu"), (16, "tanh"), "skip", (8, "relu"))
    assert longer in found["insert"]


def test_a_space_of_one_has_no_step():
    alone = SearchSpace((8,), ("relu",), max_layers=2, dropout=False)
    assert not any(neighbours(Architecture((8, "relu")), alone).values())


@pytest.mark.parametrize("dropout", [False, True])
def test_a_space_without_dropout_has_no_such_steps(dropout):
    space = SearchSpace((8, 16), ("relu",), max_layers=4, dropout=dropout)
    steps = neighbours(Architecture((8, "relu")), space)
    assert bool(steps["dropout"]) is dropout


def test_a_crossing_is_a_beginning_and_an_end_that_fit():
    generator = np.random.default_rng(0)
    second = Architecture((32, "relu"), (32, "tanh"))
    drawn = [crossover(A, second, SPACE, generator) for _ in range(90)]
    # Both as a whole are too long for the space.
    expected = {
        Architecture((8, "relu"), "dropout", (32, "relu"), (32, "tanh")),
        Architecture((8, "relu"), "dropout", (32, "tanh")),
        Architecture((8, "relu"), "dropout", (16, "tanh"), (32, "tanh")),
    }
    assert set(drawn) == expected
    assert min(map(drawn.count, expected)) > 15


def test_a_crossing_takes_skip_connections_with_their_layers():
    first = Architecture((8, "relu"), (8, "tanh"), "dropout", "skip")
    second = Architecture((16, "relu"), (32, "tanh"), "skip")
    generator = np.random.default_rng(0)
    space = SearchSpace((8, 16, 32), ("relu", "tanh"), max_layers=7, skip=True)
    drawn = {crossover(first, second, space, generator) for _ in range(60)}
    assert drawn == {
        Architecture((8, "relu"), (16, "relu"), (32, "tanh"), "skip"),
        Architecture((8, "relu"), (32, "tanh"), "skip"),
        Architecture((8, "relu"), (8, "tanh"), "dropout", "skip", (32, "tanh"), "skip"),
    }


def test_a_crossing_that_does_not_fit_is_the_first_parent():
    space = SearchSpace((8, 16), ("relu",), max_layers=2)
    first, second = Architecture((8, "relu")), Architecture((16, "relu"))
    assert crossover(first, second, space, np.random.default_rng(0)) == first
