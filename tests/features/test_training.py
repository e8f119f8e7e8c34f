"""A feature network learns its tasks, and the distortions are what their labels say."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from training.enhancer.config import CropConfig  # noqa: E402
from training.enhancer.synthetic import synthetic_pairs  # noqa: E402
from training.features.config import FeatureConfig  # noqa: E402
from training.features.distance import perceptual_distance  # noqa: E402
from training.features.distortions import BLUR_PX, CLASS_COUNT, GRAIN, blurred, celled, distort, distorted  # noqa: E402
from training.features.trainer import accuracy, train  # noqa: E402

pytestmark = pytest.mark.training

TINY = FeatureConfig(
    layout=((8,), (16,), (24,)), steps=60, frames=2, crops=CropConfig(size_px=32), learning_rate=1e-2, report_steps=1000
)


def test_parts_of_unseen_faces_are_told_apart_after_a_few_steps():
    learned, unseen = synthetic_pairs(6, size_px=64), synthetic_pairs(6, size_px=64, seed=7)
    parts, _ = accuracy(*train(learned, TINY), unseen, TINY, draws=8)
    assert parts > 0.8


def test_the_same_seed_gives_the_same_weights():
    pairs = synthetic_pairs(3, size_px=64)
    config = FeatureConfig(layout=((4,), (4,)), steps=3, crops=CropConfig(size_px=32))
    first, second = (train(pairs, config)[0].state_dict() for _ in range(2))
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def test_labels_say_what_was_done():
    picture = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    rng = np.random.default_rng(0)
    assert torch.equal(distorted(picture, 0, rng), picture)
    for level, sigma_px in enumerate(BLUR_PX):
        torch.testing.assert_close(distorted(picture, 1 + level, rng), blurred(picture, sigma_px))
    for level, deviation in enumerate(GRAIN):
        assert float((distorted(picture, 4 + level, rng) - picture).std()) == pytest.approx(deviation, rel=0.1)
    torch.testing.assert_close(distorted(picture, 9, rng), celled(picture))


def test_blur_is_a_normalized_gaussian():
    point = torch.zeros(1, 1, 33, 33)
    point[0, 0, 16, 16] = 1.0
    soft = blurred(point, 1.5)[0, 0]
    assert float(soft.sum()) == pytest.approx(1.0, abs=1e-5)
    assert float(soft[16, 17] / soft[16, 16]) == pytest.approx(np.exp(-0.5 / 1.5**2), abs=1e-5)
    assert torch.allclose(soft, soft.T)


def test_every_class_is_drawn():
    pictures = torch.rand(200, 3, 8, 8)
    changed, classes = distort(pictures, np.random.default_rng(0))
    assert changed.shape == pictures.shape
    assert set(classes.tolist()) == set(range(CLASS_COUNT))


@pytest.fixture
def one_thread():
    """Sums of several threads differ in the last digit, and a thousand steps on in everything."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.slow
def test_learned_features_take_another_sample_of_a_texture_for_nearer_than_its_mean(one_thread):
    """The absolute difference prefers the mean, which is why it averages texture away."""

    def texture(seed: int):
        noise = blurred(torch.randn(1, 1, 96, 96, generator=torch.Generator().manual_seed(seed)), 0.8)
        return (0.5 + 0.12 * noise / noise.std()).expand(1, 3, 96, 96)

    config = FeatureConfig(steps=1000, crops=CropConfig(size_px=64))
    features, _ = train(synthetic_pairs(12, size_px=256), config)
    truth, other = texture(1), texture(2)
    mean = torch.full_like(truth, 0.5)
    assert (mean - truth).abs().mean() < (other - truth).abs().mean()
    assert perceptual_distance(features, mean, truth) > 1.3 * perceptual_distance(features, other, truth)
