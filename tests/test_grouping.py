import dataclasses
import functools

import numpy as np
import pytest
import torch

from sknas import Architecture, SearchSpace
from sknas._engine.grouping import CPU, CUDA, cost_model, group, n_useful_threads

SHAPE = {"n_rows": 64, "n_features": 64, "n_outputs": 10}


def _group(architectures, model=CPU, **shape):
    cost = functools.partial(model.cost, **(SHAPE | shape))
    return group(architectures, cost, model.max_children), cost


def _draw_paper_space(n):
    space = SearchSpace(
        (8, 16, 32, 64, 128, 256, 512), ("sigmoid", "tanh", "relu", "elu"), 10
    )
    generator = np.random.default_rng(0)
    return [space.sample(generator) for _ in range(n)]


def test_a_worked_example():
    model = dataclasses.replace(CPU, step=100, layer=10, megaflop=2, kilounit=5)
    # Two hidden layers; weights 64 x 128 + 128 x 32 + 32 x 10 = 12,608 at the widest,
    # three products each but one of the first: 2 * 64 * (3 * 12,608 - 8,192) flops.
    flops = 2 * 64 * (3 * 12608 - 64 * 128)
    each = 2 * flops / 1e6 + 5 * 64 * (128 + 32) / 1e3
    pair = [
        Architecture((128, "relu"), (16, "tanh")),
        Architecture((8, "relu"), "dropout", (32, "elu")),
    ]
    assert model.cost(pair, **SHAPE) == pytest.approx(100 + 2 * 10 + 2 * each)


@pytest.mark.parametrize("model", [CPU, CUDA], ids=["CPU", "CUDA"])
def test_stacks_hold_every_child_once_and_are_worth_it(model):
    architectures = _draw_paper_space(100)
    stacks, cost = _group(architectures, model)
    assert sorted(position for stack in stacks for position in stack) == list(
        range(100)
    )
    alone = sum(cost([architecture]) for architecture in architectures)
    costs = [cost([architectures[p] for p in stack]) for stack in stacks]
    assert sum(costs) < alone
    assert costs == sorted(costs, reverse=True)
    for stack in stacks:
        assert len(stack) <= model.max_children
        assert len({len(architectures[p].dense_layers) for p in stack}) == 1


def test_equal_shapes_go_together_up_to_the_limit():
    copies = [Architecture((128, "relu"), (64, "relu"))] * 20
    stacks, _ = _group(copies)
    assert [len(stack) for stack in stacks] == [8, 8, 4]


def test_a_cpu_does_not_stack_equals_that_are_large():
    large = [Architecture((512, "relu"), (512, "relu"), (512, "relu"))] * 4
    assert _group(large)[0] == [[0], [1], [2], [3]]


def test_a_cpu_does_not_pad_what_is_large_and_a_gpu_does():
    architectures = [
        Architecture((512, "relu"), (256, "relu")),
        Architecture((256, "relu"), (512, "relu")),
    ]
    assert len(_group(architectures, CPU)[0]) == 2
    assert len(_group(architectures, CUDA)[0]) == 1


def test_a_cpu_pads_what_is_small():
    architectures = [
        Architecture((8, "relu"), (16, "relu")),
        Architecture((16, "tanh"), (8, "relu")),
    ]
    assert len(_group(architectures, CPU)[0]) == 1


def test_depths_are_never_mixed():
    architectures = [Architecture((8, "relu")), Architecture((8, "relu"), (8, "relu"))]
    assert len(_group(architectures, CUDA)[0]) == 2


def test_nothing_to_train_is_no_stack():
    assert _group([])[0] == []


def test_small_steps_have_one_thread_and_large_ones_several():
    assert n_useful_threads(100.0) == n_useful_threads(399.0) == 1
    assert n_useful_threads(400.0) == 2
    assert n_useful_threads(2000.0) == 10


def test_each_device_has_its_model():
    assert cost_model(torch.device("cpu")) is CPU
    assert cost_model(torch.device("cuda", 1)) is CUDA


def test_a_sparse_table_costs_what_is_stored_and_the_weights():
    model = dataclasses.replace(CPU, step=0, layer=0, kilounit=0, stored=20)
    architectures = [Architecture((128, "relu"))]

    def cost(**changes):
        return model.cost(architectures, **{**SHAPE, "n_outputs": 1, **changes})

    # 20 times 1/100 + 1/50 of the columns; the output layer has 128 weights.
    sparse = cost(n_features=1000, n_rows=50, density=0.01)
    assert sparse == pytest.approx(cost(n_features=600, n_rows=50))
    # Never more than the dense form, and as much where that is what is computed with.
    assert cost(density=0.9) == cost()
    assert CUDA.cost(architectures, **SHAPE, density=0.01) == CUDA.cost(
        architectures, **SHAPE
    )


@pytest.mark.parametrize("density", [1.0, 0.001])
def test_stacks_of_wide_tables_have_bounded_weights(density):
    shape = {"n_rows": 256, "n_features": 10_000, "density": density}
    architectures = _draw_paper_space(100)
    stacks, _ = _group(architectures, **shape)
    assert (max(map(len, stacks)) > 1) is (density < 1)
    for stack in stacks:
        widths = [architectures[p].dense_layers[0][0] for p in stack]
        # In the first layer, padding included; a child of 512 units has 5 million.
        assert 10_000 * max(widths) * len(stack) <= 5_120_000


def test_skip_connections_cost_and_children_that_have_them_are_neighbours():
    plain = Architecture((64, "relu"), (64, "relu"), (32, "relu"))
    identity = Architecture((64, "relu"), (64, "relu"), "skip", (32, "relu"))
    projection = Architecture((64, "relu"), (64, "relu"), (32, "relu"), "skip")

    def cost(architectures):
        return CPU.cost(architectures, n_rows=64, n_features=20, n_outputs=3)

    costs = [cost([each]) for each in (plain, identity, projection)]
    assert costs[0] < costs[1] < costs[2] < 1.5 * costs[0]
    mixed = cost([plain, identity, projection])
    of_each = [cost([plain, plain, each]) for each in (identity, projection)]
    assert mixed == pytest.approx(sum(of_each) - cost([plain] * 3))
    (stack,) = group([identity, plain, identity, plain], cost, 8)
    assert stack == [1, 3, 0, 2]
