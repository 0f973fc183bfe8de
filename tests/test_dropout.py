import math

import pytest
import torch

from sknas._engine.dropout import DropoutMasks


def _make_masks(
    *dropped, widths=(40, 24), seeds=(7, 8), n_rows=13, dropout=0.3, n_children=None
):
    """Make masks; for each layer, whether children drop, a bool for all or one each."""
    seeds = torch.tensor(seeds[:n_children])[:, None]
    children = [torch.tensor(drops).expand(len(seeds)) for drops in dropped]
    return DropoutMasks(
        seeds,
        widths[: len(dropped)],
        children,
        n_rows=n_rows,
        dropout=torch.tensor(dropout).expand(len(seeds)).tolist(),
    )


def _draw(masks, n_steps=1, n_layers=2):
    for _ in range(n_steps):
        masks.draw()
    return [
        None if masks[layer] is None else masks[layer].clone()
        for layer in range(n_layers)
    ]


@pytest.mark.parametrize("dropout", [0.1, 0.25, 0.5, 0.9, 0.999])
def test_masks_have_the_rate_and_keep_the_expectation(dropout):
    masks = _make_masks(True, widths=(203,), n_rows=101, dropout=dropout)
    share = min(round(dropout * 256), 255) / 256
    for _ in range(3):
        (mask,) = _draw(masks, n_layers=1)
        assert mask.unique().tolist() == pytest.approx([0, 1 / (1 - share)])
        for child in mask:
            dropped = (child == 0).double().mean().item()
            standard_error = math.sqrt(share * (1 - share) / child.numel())
            assert abs(dropped - share) < 5 * standard_error


def test_no_unit_row_or_step_knows_of_another():
    masks = _make_masks(True, widths=(64,), n_rows=64, dropout=0.5, seeds=(1, 2))
    drawn = torch.stack([_draw(masks, n_layers=1)[0] > 0 for _ in range(64)])
    signs = 2.0 * drawn - 1  # (step, child, row, unit)
    axes = {"step": 0, "child": 1, "row": 2, "unit": 3}
    n = signs[1:].numel()
    for axis in axes.values():
        for distance in (1, 2, 8):
            if distance >= signs.shape[axis]:
                continue
            ahead = signs.narrow(axis, distance, signs.shape[axis] - distance)
            behind = signs.narrow(axis, 0, signs.shape[axis] - distance)
            assert abs((ahead * behind).mean().item()) < 5 / math.sqrt(n / 2)
        # Nor does any one of them drop more than others.
        means = signs.mean(dim=[a for a in range(4) if a != axis])
        per_mean = signs.numel() / signs.shape[axis]
        assert means.abs().max() < 5 / math.sqrt(per_mean)


def test_bits_of_a_byte_are_balanced():
    # A threshold of one half looks at the first bit only; these look at each.
    for dropout in (1 / 256, 2 / 256, 4 / 256, 16 / 256):
        masks = _make_masks(True, widths=(512,), n_rows=512, dropout=dropout)
        (mask,) = _draw(masks, n_layers=1)
        dropped = (mask == 0).double().mean().item()
        assert dropped == pytest.approx(dropout, rel=0.15)


def test_a_childs_masks_do_not_depend_on_what_is_beside_it():
    both = _draw(_make_masks(True, True), n_steps=3)
    alone = _draw(_make_masks(True, True, seeds=(8,)), n_steps=3)
    narrower = _draw(_make_masks(True, True, widths=(17, 24), seeds=(8,)), n_steps=3)
    fewer_layers = _draw(_make_masks(False, True, seeds=(8,)), n_steps=3)
    fewer_rows = _draw(_make_masks(True, True, n_rows=5, seeds=(8,)), n_steps=3)
    for layer in range(2):
        assert torch.equal(both[layer][1:], alone[layer])
        assert not torch.equal(both[layer][:1], alone[layer])
        assert torch.equal(alone[layer][:, :5], fewer_rows[layer])
    assert torch.equal(alone[0][:, :, :17], narrower[0])
    assert torch.equal(alone[1], narrower[1])
    assert fewer_layers[0] is None
    assert torch.equal(alone[1], fewer_layers[1])
    assert not torch.equal(alone[0][:, :, :24], alone[1])


def test_children_without_dropout_keep_all():
    mask, other = _draw(_make_masks([True, False], [False, True]))
    assert (mask[1] == 1).all()
    assert (other[0] == 1).all()
    assert (mask[0] == 0).any()
    assert (other[1] == 0).any()


@pytest.mark.parametrize(
    ("dropped", "dropout"), [((False, False), 0.5), ((True, True), 0.0)]
)
def test_where_nothing_is_dropped_nothing_is_drawn(dropped, dropout):
    masks = _make_masks(*dropped, dropout=dropout)
    before = masks._seeds.clone()
    assert _draw(masks) == [None, None]
    assert torch.equal(masks._seeds, before)


def test_steps_differ_and_repeat_from_equal_seeds():
    masks = _make_masks(True, True)
    first, second = _draw(masks), _draw(masks)
    again = _make_masks(True, True)
    assert torch.equal(first[0], _draw(again)[0])
    assert torch.equal(second[0], _draw(again)[0])
    assert not torch.equal(first[0], second[0])
