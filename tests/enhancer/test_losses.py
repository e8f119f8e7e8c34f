"""Loss terms against their definitions."""

import pytest

torch = pytest.importorskip("torch")

from training.enhancer.config import LossConfig  # noqa: E402
from training.enhancer.losses import detail_difference, losses, over, ssim_map  # noqa: E402

pytestmark = pytest.mark.training


def picture(seed: int, channels: int = 4, size_px: int = 32):
    return torch.rand(1, channels, size_px, size_px, generator=torch.Generator().manual_seed(seed))


def terms(got, truth, attention=None):
    attention = torch.ones_like(truth[:, :1]) if attention is None else attention
    background = torch.full((1, 3, 1, 1), 0.4)
    return losses(got, truth, attention, background, LossConfig())


def test_equal_pictures_cost_nothing():
    truth = picture(0)
    assert float(terms(truth, truth).total(LossConfig())) == pytest.approx(0.0, abs=1e-6)


def test_a_color_without_alpha_shines_through():
    truth = torch.zeros(1, 4, 32, 32)
    got = truth.clone()
    got[:, :3] += 0.25
    assert float(terms(got, truth).pixel) == pytest.approx(0.25 * 3 / 4, abs=1e-6)


def test_wrong_alpha_costs_in_color_and_in_alpha():
    truth = torch.ones(1, 4, 32, 32)
    got = truth.clone() * 0.5
    # Color: 0.5 + 0.5 * 0.4 = 0.7 instead of 1 in three channels; alpha: 0.5 in one.
    assert float(terms(got, truth).pixel) == pytest.approx((3 * 0.3 + 0.5) / 4, abs=1e-6)


def test_alpha_beyond_one_is_pulled_back_but_not_shown():
    beyond = torch.ones(1, 4, 8, 8) * 1.5
    shown = over(beyond, torch.full((1, 3, 1, 1), 0.3))
    assert torch.allclose(shown[:, :3], torch.tensor(1.5))
    assert torch.allclose(shown[:, 3:], torch.tensor(1.5))


def test_attention_scales_the_error_where_it_lies():
    truth = torch.ones(1, 4, 32, 32) * 0.5
    truth[:, 3] = 1.0
    got = truth.clone()
    got[:, :3, :16] += 0.1
    attention = torch.ones(1, 1, 32, 32)
    attention[:, :, :16] = 3.0
    assert float(terms(got, truth, attention).pixel) == pytest.approx(1.5 * float(terms(got, truth).pixel), rel=1e-5)


def test_detail_does_not_see_a_constant_but_sees_blur():
    weight = torch.ones(1, 1, 32, 32)
    assert float(detail_difference(torch.full((1, 4, 32, 32), 0.3), weight, 3)) == pytest.approx(0.0, abs=1e-6)
    checks = (torch.arange(32)[:, None] + torch.arange(32)[None]) % 2
    alternating = checks.float().expand(1, 4, 32, 32) - 0.5
    # One band holds all of it, with amplitude a half; the others are empty.
    assert float(detail_difference(alternating, weight, 3)) == pytest.approx(0.5 / 3, abs=1e-6)


def test_ssim_is_its_formula_in_each_window():
    first, second = picture(2, channels=1), picture(3, channels=1)
    got = ssim_map(first, second)
    assert got.shape == (1, 1, 7, 7)
    for row, column in ((0, 0), (3, 5), (6, 6)):
        a = first[0, 0, 4 * row : 4 * row + 8, 4 * column : 4 * column + 8].double()
        b = second[0, 0, 4 * row : 4 * row + 8, 4 * column : 4 * column + 8].double()
        covariance = ((a - a.mean()) * (b - b.mean())).mean()
        expected = (2 * a.mean() * b.mean() + 1e-4) * (2 * covariance + 9e-4)
        expected /= (a.mean() ** 2 + b.mean() ** 2 + 1e-4) * (a.var(correction=0) + b.var(correction=0) + 9e-4)
        assert float(got[0, 0, row, column]) == pytest.approx(float(expected), abs=1e-4)
