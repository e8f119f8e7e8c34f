"""What the network adds is asked to move with the surface."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from avatar.networks.enhancer import BLOCK_PX, Enhancer, EnhancerConfig  # noqa: E402
from training.enhancer.config import LossConfig, TrainingConfig  # noqa: E402
from training.enhancer.steadiness import Moment, carry, rendered_moments, unsteadiness  # noqa: E402
from training.enhancer.synthetic import synthetic_pairs  # noqa: E402
from training.enhancer.trainer import Trainer  # noqa: E402

pytestmark = pytest.mark.training

AVATAR = Path(__file__).resolve().parents[2] / "avatars" / "default"
SMALL = EnhancerConfig(channels=(16, 32, 32), blocks=(1, 1, 1))


class Adds:
    """In place of a network: adds a picture [4, h, w] that may depend on the raster."""

    def __init__(self, what):
        self.what = what

    def enhance(self, raster, mask):
        picture = raster.permute(0, 3, 1, 2).float() / 255.0
        picture = picture + self.what(picture)
        batch, _, height, width = picture.shape
        return picture.reshape(batch, 4, height, width // BLOCK_PX, BLOCK_PX).permute(0, 4, 1, 2, 3).flatten(1, 2)


def moved(pairs, index: int, dx: int, dy: int) -> Moment:
    """The whole picture moves right by `dx` and down by `dy`."""
    before = torch.from_numpy(pairs.raster[index][None]), torch.from_numpy(pairs.mask[index][None])
    now = [torch.roll(array, (dy, dx), (1, 2)) for array in before]
    vectors = torch.tensor([-dx, -dy], dtype=torch.float32).expand(1, *before[1].shape[1:], 2)
    return Moment(*now, *before, vectors)


@pytest.fixture(scope="module")
def pairs():
    return synthetic_pairs(6, size_px=64)


def test_pictures_are_carried_along_the_vectors(pairs):
    moment = moved(pairs, 0, 3, -2)
    before, now = (raster.permute(0, 3, 1, 2).float() for raster in (moment.before_raster, moment.raster))
    carried, is_known = carry(before, moment.motion_vectors)
    assert is_known.float().mean() == pytest.approx(61 / 64 * 62 / 64)
    assert torch.allclose(carried * is_known, now * is_known, atol=1e-3)
    vectors = moment.motion_vectors.clone()
    vectors[:, 10:20] = torch.nan
    assert not carry(before, vectors)[1][:, :, 10:20].any()


def test_what_moves_with_the_surface_costs_nothing_and_what_stays_in_place_does(pairs):
    moment = moved(pairs, 1, 2, 1)
    grain = torch.rand(4, 64, 64, generator=torch.manual_seed(0))
    assert unsteadiness(Adds(torch.zeros_like), moment) == 0
    assert unsteadiness(Adds(lambda picture: 0.5 - picture), moment) < 1e-5
    assert unsteadiness(Adds(lambda picture: grain), moment) == pytest.approx(1 / 3, abs=0.02)


def test_moments_of_an_avatar():
    draw = rendered_moments([AVATAR])
    for seed in range(4):
        moment = draw(np.random.default_rng(seed))
        before, now = (raster.permute(0, 3, 1, 2).float() for raster in (moment.before_raster, moment.raster))
        carried, is_known = carry(before, moment.motion_vectors)
        shown = (moment.mask[:, None] > 0) & is_known
        assert shown.float().mean() > 0.2
        error, still = (((other - now).abs() * shown).sum() / shown.sum() for other in (carried, before))
        assert error < 0.7 * still, "the rest is light and what one frame alone shows"


def test_training_makes_the_network_steadier(pairs):
    def moments(rng):
        return moved(pairs, int(rng.integers(6)), *rng.integers(-3, 4, 2).tolist())

    def trained(temporal):
        config = TrainingConfig(
            steps=120, batch=2, shift_px=2, learning_rate=4e-3, loss=LossConfig(temporal=temporal, temporal_steps=1)
        )
        trainer = Trainer(config, SMALL, moments=moments)
        trainer.run(pairs)
        rng = np.random.default_rng(99)
        return np.mean([unsteadiness(trainer.averaged, moments(rng)).item() for _ in range(20)])

    assert trained(2.0) < 0.8 * trained(0.0)


def test_the_term_enters_every_so_many_steps(pairs):
    config = TrainingConfig(steps=4, batch=1, loss=LossConfig(temporal=1.0, temporal_steps=2))
    trainer = Trainer(config, SMALL, moments=lambda rng: moved(pairs, 0, 1, 0))
    assert ["temporal" in trainer._step(pairs) for _ in range(4)] == [True, False, True, False]
    with pytest.raises(ValueError, match="needs moments"):
        Trainer(config, SMALL)


def test_gradients_reach_the_later_frame_only(pairs):
    torch.manual_seed(0)
    network = Enhancer(SMALL)
    torch.nn.init.normal_(network.head.weight, std=0.1)
    unsteadiness(network, moved(pairs, 2, 1, 1)).backward()
    assert network.stem.weight.grad.abs().sum() > 0
