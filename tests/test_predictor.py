import math

import numpy as np
import pytest
import torch

from sknas._search.strategies.predictor import AccuracyPredictor, RewardScale


def _make_predictor(hidden_size=4, seed=0):
    return AccuracyPredictor(hidden_size, torch.Generator().manual_seed(seed))


def _states(n=20, hidden_size=4):
    return torch.randn((n, hidden_size), generator=torch.Generator().manual_seed(1))


# The scale.


def test_the_scale_agrees_with_a_worked_example():
    scale = RewardScale(np.array([5.0, 0.0, 10.0, 5.0]))
    # Ranks 2.5, 1, 4 and 2.5, less a half, of four.
    assert scale.shares().tolist() == [0.5, 0.125, 0.875, 0.5]
    shares = torch.tensor([0.0, 0.125, 0.3125, 0.5, 0.6875, 0.875, 1.0])
    rewards = scale.to_rewards(shares)
    assert rewards.tolist() == pytest.approx([0.0, 0.0, 2.5, 5.0, 7.5, 10.0, 10.0])


@pytest.mark.parametrize(
    "rewards",
    [
        [-3.0, -1.0],
        [0.97, 0.98],
        [1e6, 1e6 + 0.01],
        [4.0, 4.0],
        [0.0],
        [-1e300, 1e300],
        [1e-310, 2e-310],
        [-1.7e308, 0.0, 1.7e308],
    ],
    ids=str,
)
def test_the_scale_covers_the_rewards_and_loses_nothing(rewards):
    rewards = np.array(rewards)
    scale = RewardScale(rewards)
    shares = scale.shares()
    assert shares.dtype == torch.float32
    assert 0 < shares.min() <= shares.max() < 1
    assert scale.to_rewards(shares) == pytest.approx(rewards, rel=1e-6)


def test_an_outlier_leaves_the_shares_of_the_others_where_they_are():
    near = RewardScale(np.array([0.5, 0.97, 0.98])).shares()
    far = RewardScale(np.array([-1e9, 0.97, 0.98])).shares()
    assert torch.equal(near, far)


def test_the_ends_of_the_scale_are_finite():
    scale = RewardScale(np.array([-1.7e308, 1.7e308]))
    assert np.isfinite(scale.to_rewards(torch.tensor([0.0, 0.5, 1.0]))).all()
    assert np.isnan(scale.to_rewards(torch.tensor([math.nan]))).all()


# The unit.


def test_predictions_agree_with_a_worked_example():
    predictor = _make_predictor(2)
    with torch.no_grad():
        predictor.unit.weight.copy_(torch.tensor([[1.0, -2.0]]))
        predictor.unit.bias.fill_(0.5)
    states = torch.tensor([[0.5, 0.5], [1.5, 1.0]])  # logits 0 and 0
    assert predictor(states).tolist() == pytest.approx([0.5, 0.5])
    states = torch.tensor([[math.log(3) - 0.5, 0.0]])  # sigmoid(log 3) = 3/4
    assert predictor(states).item() == pytest.approx(0.75)


def test_the_loss_is_the_mean_squared_error():
    predictor = _make_predictor(1)
    with torch.no_grad():
        for parameter in predictor.parameters():
            parameter.zero_()
    # Predicts a half.
    loss = predictor.loss(torch.zeros(2, 1), torch.tensor([0.1, 0.7]))
    assert loss.item() == pytest.approx((0.4**2 + 0.2**2) / 2)


def test_the_loss_trains_the_unit_and_what_made_the_states():
    predictor, states = _make_predictor(), _states().requires_grad_()
    predictor.loss(states, torch.linspace(0, 1, len(states))).backward()
    assert states.grad.any()
    assert all(parameter.grad.any() for parameter in predictor.parameters())


def test_fitting_the_unit_ranks_what_it_has_seen_and_leaves_the_states():
    predictor, states = _make_predictor(), _states().requires_grad_()
    shares = torch.sigmoid(states[:, 0] - states[:, 1]).detach()
    predictor.fit(states, shares, learning_rate=0.05)
    predicted = predictor(states).detach()
    assert torch.corrcoef(torch.stack([predicted, shares]))[0, 1] > 0.95
    assert states.grad is None


def test_fresh_weights_come_from_the_generator():
    first, again, other = _make_predictor(), _make_predictor(), _make_predictor(seed=1)
    assert torch.equal(first.unit.weight, again.unit.weight)
    assert not torch.equal(first.unit.weight, other.unit.weight)
    assert first.unit.weight.abs().max() <= 0.1
