import numpy as np
import pytest

from sknas import Architecture
from sknas._random import SeedSource


def test_a_seed_depends_on_root_and_key_alone():
    seeds = SeedSource(0)
    first = seeds.seed("split")
    seeds.seed("something else", 1)
    assert seeds.seed("split") == first
    assert SeedSource(0).seed("split") == first
    assert SeedSource(1).seed("split") != first
    assert seeds.seed("choice") != first


def test_seeds_of_different_keys_are_different():
    seeds = SeedSource(0)
    architectures = [Architecture((width, "relu")) for width in range(1, 200)]
    drawn = {seeds.seed("search", architecture) for architecture in architectures}
    assert len(drawn) == len(architectures)
    # The key is structured: its parts do not run into each other.
    assert seeds.seed("a", "bc") != seeds.seed("ab", "c")
    assert seeds.seed(1, 23) != seeds.seed(12, 3)


def test_seeds_fit_every_generator():
    seeds = [SeedSource(0).seed(number) for number in range(500)]
    assert min(seeds) >= 0
    assert max(seeds) < 2**32
    # Four uniform bytes: the mean of 500 is within five standard errors of the middle.
    assert abs(np.mean(seeds) / 2**32 - 0.5) < 5 * np.sqrt(1 / 12 / 500)


@pytest.mark.parametrize("integer", [int, np.int64, np.int32, np.uint8])
def test_an_integer_of_any_type_is_the_same_root(integer):
    assert SeedSource(integer(7)).seed("key") == SeedSource(7).seed("key")


def test_a_random_state_gives_one_draw():
    state = np.random.RandomState(3)
    from_state = SeedSource(state).seed("key")
    assert SeedSource(np.random.RandomState(3)).seed("key") == from_state
    # The state has moved on: a second fit differs, as with scikit-learn's own.
    assert SeedSource(state).seed("key") != from_state


def test_none_takes_fresh_entropy():
    assert SeedSource(None).seed("key") != SeedSource(None).seed("key")


def test_seeds_are_the_same_in_a_process_with_another_hash_seed(run_python):
    program = """
from sknas import Architecture
from sknas._random import SeedSource
print(SeedSource(5).seed("search", Architecture((8, "relu"), "dropout"), 2))
"""
    expected = SeedSource(5).seed("search", Architecture((8, "relu"), "dropout"), 2)
    assert int(run_python(program, hash_seed="1")) == expected
    assert int(run_python(program, hash_seed="2")) == expected
