"""The discriminator learns, its terms are their formulas, and the enhancer regains texture by it."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from avatar.head import Part  # noqa: E402
from avatar.networks.enhancer import EnhancerConfig  # noqa: E402
from benchmarks.spectrum import band_energy  # noqa: E402
from training.enhancer.adversary import Adversary, gradient_penalty  # noqa: E402
from training.enhancer.batches import draw_batch  # noqa: E402
from training.enhancer.config import AdversaryConfig, CropConfig, LossConfig, TrainingConfig  # noqa: E402
from training.enhancer.crops import cut, draw_windows  # noqa: E402
from training.enhancer.losses import over  # noqa: E402
from training.enhancer.synthetic import synthetic_pairs  # noqa: E402
from training.enhancer.trainer import Trainer  # noqa: E402
from training.features.distortions import blurred  # noqa: E402
from training.features.network import Features  # noqa: E402

pytestmark = pytest.mark.training

SMALL = EnhancerConfig(channels=(16, 32, 32), blocks=(1, 1, 1))
CROPS = CropConfig(size_px=64, focus=0, hair=1, skin=2)


def crops(pairs, seed: int):
    """Raster and truth of six crops."""
    rng = np.random.default_rng(seed)
    batch = draw_batch(pairs, 2, 4, rng)
    windows = draw_windows(batch.mask, batch.attention, CROPS, rng)
    return (
        cut(over(picture.permute(0, 3, 1, 2).float() / 255.0, batch.background), windows, CROPS.size_px)
        for picture in (batch.raster, batch.truth)
    )


def test_the_discriminator_learns_to_tell_soft_from_sharp():
    learned, unseen = synthetic_pairs(6, size_px=128), synthetic_pairs(4, size_px=128, seed=5)
    torch.manual_seed(0)
    adversary = Adversary(AdversaryConfig(learning_rate=1e-3))
    for step in range(80):
        raster, truth = crops(learned, step)
        adversary.learn(blurred(truth, 1.5), truth, raster)
    with torch.inference_mode():
        raster, truth = crops(unseen, 1000)
        sharp, soft = adversary.network(truth, raster)[0], adversary.network(blurred(truth, 1.5), raster)[0]
    for verdicts, other in zip(sharp, soft, strict=True):
        assert verdicts.mean() > other.mean() + 0.5
    assert sharp.mean() > 0.5 > -0.5 > soft.mean()


def test_the_pull_moves_the_picture_and_not_the_discriminator():
    torch.manual_seed(0)
    adversary = Adversary()
    picture, raster = torch.rand(2, 4, 64, 64, requires_grad=True), torch.rand(2, 4, 64, 64)
    pull = adversary.pull(picture, raster)
    pull.backward()
    assert picture.grad.abs().max() > 0
    assert all(parameter.grad is None for parameter in adversary.network.parameters())
    with torch.no_grad():
        assert adversary.pull(picture - 0.1 * picture.grad / picture.grad.norm(), raster) < pull
    assert adversary.learn(picture, torch.rand(2, 4, 64, 64), raster) > 0
    assert all(parameter.grad is not None for parameter in adversary.network.parameters())


def test_the_penalty_is_the_square_of_the_gradient_of_a_patch():
    """A linear verdict on patches that do not overlap has its weights as its gradient."""
    weight = torch.randn(1, 4, 8, 8)

    def linear(truth, raster):
        return [torch.nn.functional.conv2d(truth, weight, stride=8)]

    for size_px in (16, 64):
        penalty = gradient_penalty(linear, torch.rand(3, 4, size_px, size_px), None)
        assert penalty.item() == pytest.approx(float(weight.square().sum()), rel=1e-4)


def test_the_term_begins_at_its_start_and_rises_to_its_weight():
    adversary = Adversary(AdversaryConfig(start=0.2, ramp=0.4))
    assert [adversary.strength(done) for done in (0.0, 0.2, 0.4, 0.6, 1.0)] == pytest.approx([0, 0, 0.5, 1, 1])
    with pytest.raises(ValueError, match="ramp positive"):
        AdversaryConfig(ramp=0.0)


def trainer(steps: int, perceptual: float, adversarial: float, r1_steps: int = 16, **changes) -> Trainer:
    torch.manual_seed(1)
    config = TrainingConfig(
        steps=steps,
        batch=2,
        report_steps=4,
        shift_px=4,
        loss=LossConfig(perceptual=perceptual, adversarial=adversarial),
        adversary=AdversaryConfig(start=0.2, ramp=0.2, learning_rate=1e-3, r1_steps=r1_steps),
        **{"crops": CropConfig(size_px=32), **changes},
    )
    return Trainer(config, SMALL, Features(((4,), (8,))).requires_grad_(False))


@pytest.mark.parametrize("saved_after", [1, 5])
def test_a_resumed_run_equals_an_unbroken_one_with_its_discriminator(tmp_path, saved_after):
    """Before the discriminator begins, and after: it and its optimizer go on where they were."""
    pairs = synthetic_pairs(4, size_px=64)
    unbroken = trainer(10, 0.1, 0.1, r1_steps=3)
    unbroken.run(pairs)

    first = trainer(10, 0.1, 0.1, r1_steps=3)
    for _ in range(saved_after):
        first._step(pairs)
    first.save(tmp_path / "run.pt")
    second = trainer(10, 0.1, 0.1, r1_steps=3)
    second.resume(tmp_path / "run.pt")
    second.run(pairs)
    assert second.adversary.step == unbroken.adversary.step == 7
    for got, wanted in ((second.network, unbroken.network), (second.adversary.network, unbroken.adversary.network)):
        for name, value in wanted.state_dict().items():
            torch.testing.assert_close(got.state_dict()[name], value, rtol=1e-5, atol=1e-7, msg=name)


def test_a_checkpoint_without_a_discriminator_is_gone_on_with(tmp_path):
    pairs = synthetic_pairs(2, size_px=64)
    plain = trainer(10, 0.0, 0.0)
    for _ in range(3):
        plain._step(pairs)
    plain.save(tmp_path / "run.pt")
    further = trainer(10, 0.0, 0.1)
    further.resume(tmp_path / "run.pt")
    assert further.step == 3 and further.adversary.step == 0
    assert {"adversarial", "discriminator"} <= further._step(pairs).keys()


def test_terms_without_a_weight_change_nothing_and_are_not_told():
    pairs = synthetic_pairs(2, size_px=64)
    plain, other = trainer(4, 0.0, 0.0), Trainer(trainer(4, 0.0, 0.0).config, SMALL)
    assert plain.features is None and plain.adversary is None
    assert plain._step(pairs) == other._step(pairs)
    assert "perceptual" in trainer(4, 0.1, 0.0)._step(pairs)


def test_a_perceptual_weight_needs_features():
    with pytest.raises(ValueError, match="needs features"):
        Trainer(TrainingConfig(loss=LossConfig(perceptual=0.1)), SMALL)


def texture(trainer: Trainer, pairs) -> float:
    """Energy of the finest texture on unseen figures as a share of the truth's."""
    with torch.inference_mode():
        got = trainer.averaged(torch.from_numpy(pairs.raster), torch.from_numpy(pairs.mask)).numpy()
    regions = [mask == Part.SKIN for mask in pairs.mask]
    found, wanted = (
        [
            band_energy(picture[..., :3], region, window_px=16)[0]
            for picture, region in zip(pictures, regions, strict=True)
        ]
        for pictures in (got, pairs.truth)
    )
    return sum(found) / sum(wanted)


@pytest.mark.slow
def test_the_enhancer_regains_texture_that_the_absolute_difference_averages_away():
    learned, unseen = synthetic_pairs(6, size_px=128), synthetic_pairs(3, size_px=128, seed=7)
    shares = []
    for weight in (0.0, 0.4):
        run = trainer(200, 0.0, weight, crops=CROPS, learning_rate=3e-3, average_decay=0.97)
        run.run(learned)
        shares.append(texture(run, unseen))
    without, with_adversary = shares
    assert without < 0.1
    assert with_adversary > 2 * without
