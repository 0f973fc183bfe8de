import math

import pytest
import torch

from sknas._search.strategies.predictor import AccuracyPredictor


def _make_predictor(hidden_size=4, seed=0):
    return AccuracyPredictor(hidden_size, torch.Generator().manual_seed(seed))


def _states(n=20, hidden_size=4):
    return torch.randn((n, hidden_size), generator=torch.Generator().manual_seed(1))


def test_predictions_agree_with_a_worked_example():
    predictor = _make_predictor(2)
    with torch.no_grad():
        predictor.unit.weight.copy_(torch.tensor([[1.0, -2.0]]))
        predictor.unit.bias.fill_(0.5)
    states = torch.tensor([[0.5, 0.5], [1.5, 1.0]])
    # Logits 0 and 0: one half of the range; before any reward that is 0 to 1.
    assert predictor(states).tolist() == pytest.approx([0.5, 0.5])
    predictor.set_range(torch.tensor([0.0, 10.0]))  # with a tenth: -1 to 11
    assert predictor(states).tolist() == pytest.approx([5.0, 5.0])
    states = torch.tensor([[math.log(3) - 0.5, 0.0]])  # sigmoid(log 3) = 3/4
    assert predictor(states).item() == pytest.approx(-1 + 12 * 0.75)


def test_the_loss_is_the_squared_error_as_a_share_of_the_range():
    predictor = _make_predictor(1)
    with torch.no_grad():
        for parameter in predictor.parameters():
            parameter.zero_()
    rewards = torch.tensor([0.0, 10.0])
    predictor.set_range(rewards)
    # Predicts 5 where 0 and 10 are true, in a range of 12.
    loss = predictor.loss(torch.zeros(2, 1), rewards)
    assert loss.item() == pytest.approx((5 / 12) ** 2)


@pytest.mark.parametrize("rewards", [[-3.0, -1.0], [0.97, 0.98], [4.0, 4.0], [0.0]])
def test_predictions_stay_in_the_range_of_the_rewards_and_its_margin(rewards):
    predictor = _make_predictor()
    with torch.no_grad():
        predictor.unit.weight.mul_(1000)
    predictor.set_range(torch.tensor(rewards))
    predicted = predictor(_states())
    margin = 0.1 * (max(rewards) - min(rewards)) or 0.1
    assert predicted.isfinite().all()
    assert predicted.min() >= min(rewards) - margin - 1e-6
    assert predicted.max() <= max(rewards) + margin + 1e-6
    # Saturated, so that both ends are reached.
    assert predicted.max() - predicted.min() > max(rewards) - min(rewards)


def test_the_loss_does_not_depend_on_the_units_of_the_rewards():
    states = _states()
    rewards = torch.linspace(0, 1, len(states))
    losses = []
    for scale, shift in [(1.0, 0.0), (100.0, -7.0)]:
        predictor = _make_predictor()
        predictor.set_range(scale * rewards + shift)
        losses.append(predictor.loss(states, scale * rewards + shift).item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_the_loss_trains_the_unit_and_what_made_the_states():
    predictor, states = _make_predictor(), _states().requires_grad_()
    predictor.loss(states, torch.linspace(0, 1, len(states))).backward()
    assert states.grad.any()
    assert all(parameter.grad.any() for parameter in predictor.parameters())


def test_gradient_descent_ranks_what_it_has_seen():
    predictor, states = _make_predictor(), _states()
    rewards = 0.9 + 0.01 * torch.tanh(states[:, 0] - states[:, 1])
    predictor.set_range(rewards)
    optimizer = torch.optim.Adam(predictor.parameters(), lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        predictor.loss(states, rewards).backward()
        optimizer.step()
    predicted = predictor(states).detach()
    assert torch.corrcoef(torch.stack([predicted, rewards]))[0, 1] > 0.95


def test_fresh_weights_come_from_the_generator():
    first, again, other = _make_predictor(), _make_predictor(), _make_predictor(seed=1)
    assert torch.equal(first.unit.weight, again.unit.weight)
    assert not torch.equal(first.unit.weight, other.unit.weight)
    assert first.unit.weight.abs().max() <= 0.1
