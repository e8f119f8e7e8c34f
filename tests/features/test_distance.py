"""The perceptual distance against its definition, and what it sees that the absolute difference does not."""

import pytest

torch = pytest.importorskip("torch")

from benchmarks.lpips import lpips  # noqa: E402
from training.enhancer.synthetic import synthetic_pairs  # noqa: E402
from training.features.distance import load_calibration, perceptual_distance  # noqa: E402
from training.features.distortions import blurred  # noqa: E402
from training.features.network import Features  # noqa: E402

pytestmark = pytest.mark.training


@pytest.fixture(scope="module")
def features():
    torch.manual_seed(0)
    return Features(((8, 8), (16, 16), (32, 32))).requires_grad_(False)


@pytest.fixture(scope="module")
def picture():
    truth = torch.from_numpy(synthetic_pairs(2, size_px=128).truth)
    return truth.permute(0, 3, 1, 2)[:, :3].float() / 255.0


def test_equal_pictures_are_at_no_distance_and_others_at_some(features, picture):
    assert perceptual_distance(features, picture, picture).tolist() == [0.0, 0.0]
    distance = perceptual_distance(features, picture, picture.flip(0))
    assert distance.min() > 0
    torch.testing.assert_close(distance, perceptual_distance(features, picture.flip(0), picture))


def test_the_distance_is_its_formula(features, picture):
    """Equation 1 of Zhang et al. (2018)."""
    weights = [torch.rand(block[-1]) for block in features.layout]
    other = blurred(picture, 1.0)
    expected = torch.zeros(2)
    for a, b, weight in zip(features(picture), features(other), weights, strict=True):
        a, b = (x.double() / x.double().norm(dim=1, keepdim=True).clamp(min=1e-12) for x in (a, b))
        apart = (weight.double()[:, None, None] * (a - b) ** 2).sum(1)
        expected += apart.mean((1, 2)).float()
    torch.testing.assert_close(perceptual_distance(features, picture, other, weights), expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("sigma_px", [0.7, 2.0])
def test_blur_costs_more_than_noise_or_brightness_of_the_same_absolute_difference(features, picture, sigma_px):
    soft = blurred(picture, sigma_px)
    size = (soft - picture).abs().mean()
    noise = torch.randn(picture.shape, generator=torch.Generator().manual_seed(0))
    noise = noise * size / noise.abs().mean()
    blur, grain, light = (
        perceptual_distance(features, picture, other).mean() for other in (soft, picture + noise, picture + size)
    )
    assert blur > 2 * grain > 4 * light


def test_more_blur_is_further(features, picture):
    distances = [perceptual_distance(features, picture, blurred(picture, s)).mean() for s in (0.5, 1.0, 2.0, 4.0)]
    assert distances == sorted(distances)


def test_a_picture_follows_the_gradient_toward_the_other(features, picture):
    moved = blurred(picture, 1.5).requires_grad_(True)
    optimizer = torch.optim.Adam([moved], lr=0.01)
    distances = []
    for _ in range(15):
        distance = perceptual_distance(features, moved, picture).sum()
        optimizer.zero_grad()
        distance.backward()
        assert torch.isfinite(moved.grad).all()
        optimizer.step()
        distances.append(distance.item())
    assert distances[-1] < 0.5 * distances[0]


def test_the_gradient_is_finite_where_nothing_is_active(features):
    black = torch.zeros(1, 3, 16, 16, requires_grad=True)
    perceptual_distance(features, black, torch.rand(1, 3, 16, 16)).sum().backward()
    assert torch.isfinite(black.grad).all()


def test_a_calibration_must_fit_the_features(features, tmp_path):
    path = tmp_path / "calibration.pth"
    stored = {f"lin{i}.model.1.weight": torch.full((1, width, 1, 1), 0.5) for i, width in enumerate((8, 16, 32))}
    torch.save(stored, path)
    assert [tuple(weight.shape) for weight in load_calibration(path, features)] == [(8,), (16,), (32,)]
    with pytest.raises(ValueError, match="each channel"):
        load_calibration(path, Features(((8,), (16,))))


def test_the_benchmark_measures_with_the_files_it_is_given(features, picture, tmp_path):
    torch.save(features.state_dict(), tmp_path / "vgg.pth")
    weights = [torch.rand(1, block[-1], 1, 1) for block in features.layout]
    torch.save({f"lin{i}.model.1.weight": weight for i, weight in enumerate(weights)}, tmp_path / "lpips.pth")
    measure = lpips(tmp_path / "vgg.pth", tmp_path / "lpips.pth")
    first, second = ((p.permute(1, 2, 0) * 255.0).round().to(torch.uint8).numpy() for p in picture)
    expected = perceptual_distance(features, picture[:1], picture[1:], weights)
    assert measure(first, first) == 0.0
    assert measure(first, second) == pytest.approx(float(expected), rel=1e-3)
