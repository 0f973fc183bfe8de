import math
from collections import Counter

import pytest
import torch

from sknas import SearchSpace
from sknas._search.strategies.controller import LSTMController

SPACES = {
    "with dropout": SearchSpace((8, 16), ("relu",), 4),
    "without dropout": SearchSpace((8, 16), ("relu", "tanh"), 4, dropout=False),
    "one architecture": SearchSpace((8,), ("relu",), 2),
}
every_space = pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
every_depth = pytest.mark.parametrize("n_layers", [1, 2])
HIDDEN_SIZE = 6


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def _make_controller(space, scale=15.0, n_layers=1):
    """Make a policy that is far from the prior: fresh weights are nearly zero."""
    controller = LSTMController(space, HIDDEN_SIZE, _generator(), n_layers)
    with torch.no_grad():
        for parameter in controller.parameters():
            parameter.mul_(scale)
    return controller


def _pad(space, sequences):
    tokens = torch.full((len(sequences), space.max_layers), space.end_token)
    for row, sequence in enumerate(sequences):
        tokens[row, : len(sequence)] = torch.tensor(sequence)
    return tokens


def _all_tokens(space):
    return _pad(space, [space.encode(architecture) for architecture in space])


def _is_legal(space, before, token):
    if token == space.end_token:
        return len(before) > 0
    if len(before) == space.max_layers - 1:
        return False
    if token == space.dropout_token:
        return len(before) > 0 and before[-1] != space.dropout_token
    return True


def _run_lstm(controller, sequence):
    """Compute the last layer before each token and after the last one, in float64."""
    values = {
        name: parameter.detach().double()
        for name, parameter in controller.named_parameters()
    }
    n_layers = controller.lstm.num_layers
    h, c = torch.zeros(2, n_layers, HIDDEN_SIZE, dtype=torch.float64)
    read = [controller.space.n_tokens, *sequence]
    for token in read:
        below = values["embedding.weight"][token]
        for layer in range(n_layers):
            gates = (
                values[f"lstm.weight_ih_l{layer}"] @ below
                + values[f"lstm.bias_ih_l{layer}"]
                + values[f"lstm.weight_hh_l{layer}"] @ h[layer]
                + values[f"lstm.bias_hh_l{layer}"]
            )
            i, f, g, o = gates.chunk(4)
            c[layer] = torch.sigmoid(f) * c[layer] + torch.sigmoid(i) * torch.tanh(g)
            h[layer] = below = torch.sigmoid(o) * torch.tanh(c[layer])
        yield below


def _distributions(controller, sequence):
    """Compute the policy of each step in float64, by its equations."""
    space = controller.space
    weight = controller.head.weight.detach().double()
    bias = controller.head.bias.detach().double()
    *states, _ = _run_lstm(controller, sequence)
    for position, h in enumerate(states):
        logits = weight @ h + bias
        before = list(sequence[:position])
        after_dropout = bool(before) and before[-1] == space.dropout_token
        weights = torch.tensor(
            [
                math.exp(space.log_prior[position, int(after_dropout), token] + logit)
                if _is_legal(space, before, token)
                else 0.0
                for token, logit in enumerate(logits.tolist())
            ]
        ).double()
        yield weights / weights.sum()


@every_space
@pytest.mark.parametrize("scale", [1.0, 15.0], ids=["fresh", "far from the prior"])
def test_probabilities_of_all_architectures_sum_to_one(space, scale):
    log_prob = _make_controller(space, scale).log_prob(_all_tokens(space))
    assert len(log_prob) == space.n_architectures
    assert log_prob.double().exp().sum().item() == pytest.approx(1, abs=1e-5)


@every_space
@every_depth
def test_log_prob_agrees_with_the_equations_step_by_step(space, n_layers):
    controller = _make_controller(space, n_layers=n_layers)
    sequences = [space.encode(architecture) for architecture in space]
    expected = [
        sum(
            math.log(distribution[token].item())
            for token, distribution in zip(
                sequence, _distributions(controller, sequence), strict=True
            )
        )
        for sequence in sequences
    ]
    log_prob = controller.log_prob(_pad(space, sequences)).tolist()
    assert log_prob == pytest.approx(expected, rel=1e-4, abs=1e-5)
    if len(sequences) > 1:
        assert max(expected) - min(expected) > 1


@every_space
def test_log_prob_of_a_sample_is_what_it_was_sampled_with(space, monkeypatch):
    controller = _make_controller(space)
    drawn = []
    multinomial = torch.multinomial

    def record(probabilities, *arguments, **keywords):
        tokens = multinomial(probabilities, *arguments, **keywords)
        drawn.append(probabilities.gather(1, tokens)[:, 0].log())
        return tokens

    monkeypatch.setattr(torch, "multinomial", record)
    tokens = controller.sample(50, _generator(1))
    expected = torch.zeros(50)
    for position, log_p in enumerate(drawn):
        ended = (tokens[:, :position] == space.end_token).any(dim=1)
        expected += torch.where(ended, 0.0, log_p)
    torch.testing.assert_close(controller.log_prob(tokens), expected)


@every_space
def test_illegal_tokens_have_probability_zero(space, monkeypatch):
    controller = _make_controller(space)
    offered = []
    multinomial = torch.multinomial

    def record(probabilities, *arguments, **keywords):
        offered.append(probabilities)
        return multinomial(probabilities, *arguments, **keywords)

    monkeypatch.setattr(torch, "multinomial", record)
    tokens = controller.sample(300, _generator(1)).tolist()
    for position, probabilities in enumerate(offered):
        for row, before in zip(
            probabilities.tolist(), (t[:position] for t in tokens), strict=True
        ):
            if space.end_token in before:
                continue
            assert sum(row) == pytest.approx(1, abs=1e-5)
            for token, probability in enumerate(row):
                if _is_legal(space, before, token):
                    assert probability > 0
                else:
                    assert probability == 0


def test_illegal_sequences_have_log_probability_minus_infinity():
    space = SPACES["with dropout"]
    dense, dropout, end = 0, space.dropout_token, space.end_token
    illegal = [
        (end,),
        (dropout, end),
        (dense, dropout, dropout, end),
        (dense, dense, dense, dense),
    ]
    log_prob = _make_controller(space).log_prob(_pad(space, illegal))
    assert log_prob.tolist() == [-math.inf] * len(illegal)


@every_space
def test_samples_are_architectures_padded_with_end_tokens(space):
    tokens = _make_controller(space).sample(200, _generator(2))
    assert tokens.shape == (200, space.max_layers)
    for row in tokens.tolist():
        architecture = space.decode(row)
        assert architecture in space
        n_tokens = len(architecture.layers) + 1
        assert tuple(row[:n_tokens]) == space.encode(architecture)
        assert set(row[n_tokens:]) <= {space.end_token}


@every_space
def test_samples_follow_the_probabilities(space):
    controller = _make_controller(space)
    n_draws = 5000
    counts = Counter(
        space.decode(row) for row in controller.sample(n_draws, _generator(3)).tolist()
    )
    log_prob = controller.log_prob(_all_tokens(space)).tolist()
    for architecture, log_p in zip(space, log_prob, strict=True):
        p = min(math.exp(log_p), 1.0)
        standard_error = math.sqrt(max(p * (1 - p), 0) / n_draws) + 1e-6
        assert abs(counts[architecture] / n_draws - p) < 5 * standard_error + 1e-4


def test_samples_depend_on_the_generator_alone():
    space = SPACES["with dropout"]
    controller = _make_controller(space)
    first = controller.sample(20, _generator(4))
    assert torch.equal(controller.sample(20, _generator(4)), first)
    assert not torch.equal(controller.sample(20, _generator(5)), first)
    again = _make_controller(space)
    assert torch.equal(again.sample(20, _generator(4)), first)


@every_space
def test_a_policy_without_weights_is_the_prior(space):
    controller = _make_controller(space, scale=0.0)
    sequences = [space.encode(architecture) for architecture in space]
    expected = []
    for sequence in sequences:
        rows = [
            space.log_prior[
                position,
                int(position > 0 and sequence[position - 1] == space.dropout_token),
                token,
            ]
            for position, token in enumerate(sequence)
        ]
        expected.append(sum(rows))
    log_prob = controller.log_prob(_pad(space, sequences)).tolist()
    assert log_prob == pytest.approx(expected, abs=1e-5)


@every_space
def test_entropies_are_those_of_the_distributions_drawn_from(space):
    controller = _make_controller(space)
    sequences = [space.encode(architecture) for architecture in space]
    policy = controller(_pad(space, sequences))
    for row, sequence in enumerate(sequences):
        expected = [
            -sum(p * math.log(p) for p in distribution.tolist() if p > 0)
            for distribution in _distributions(controller, sequence)
        ]
        padding = [0.0] * (space.max_layers - len(sequence))
        assert policy.entropies[row].tolist() == pytest.approx(
            expected + padding, abs=1e-4
        )
        assert policy.is_token[row].tolist() == [True] * len(sequence) + [
            False for _ in padding
        ]


@every_space
@every_depth
def test_states_are_those_after_the_last_token(space, n_layers):
    controller = _make_controller(space, n_layers=n_layers)
    sequences = [space.encode(architecture) for architecture in space]
    states = controller(_pad(space, sequences)).states
    for row, sequence in enumerate(sequences):
        *_, expected = _run_lstm(controller, sequence)
        torch.testing.assert_close(states[row].double(), expected, rtol=1e-4, atol=1e-5)


@every_space
def test_gradients_are_finite_although_some_probabilities_are_zero(space):
    controller = _make_controller(space)
    policy = controller(_all_tokens(space))
    (policy.log_probabilities.sum() + policy.entropies.sum()).backward()
    gradients = [parameter.grad for parameter in controller.parameters()]
    assert all(gradient.isfinite().all() for gradient in gradients)
    if space.n_architectures > 1:
        assert all(gradient.any() for gradient in gradients)


def test_a_sequence_is_read_the_same_in_a_batch_and_alone():
    space = SPACES["with dropout"]
    controller = _make_controller(space)
    tokens = _all_tokens(space)
    together = controller(tokens)
    for row in range(len(tokens)):
        alone = controller(tokens[row : row + 1])
        torch.testing.assert_close(
            alone.log_probabilities[0], together.log_probabilities[row]
        )
        torch.testing.assert_close(alone.states[0], together.states[row])
    assert len(together.states.unique(dim=0)) == space.n_architectures


def test_fresh_weights_come_from_the_generator_and_are_small():
    first = LSTMController(SPACES["with dropout"], HIDDEN_SIZE, _generator(0))
    again = LSTMController(SPACES["with dropout"], HIDDEN_SIZE, _generator(0))
    other = LSTMController(SPACES["with dropout"], HIDDEN_SIZE, _generator(1))
    for (name, a), b, c in zip(
        first.named_parameters(), again.parameters(), other.parameters(), strict=True
    ):
        assert torch.equal(a, b)
        assert not torch.equal(a, c)
        if name == "lstm.bias_ih_l0":
            # The forget gates, the second of four, are open.
            gates = a.detach().reshape(4, HIDDEN_SIZE)
            a = gates - torch.tensor([0.0, 2.0, 0.0, 0.0])[:, None]
        assert a.abs().max() <= 0.1 + 1e-6
