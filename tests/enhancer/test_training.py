"""Training learns, stops and goes on."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from avatar.networks.enhancer import EnhancerConfig  # noqa: E402
from training.enhancer.batches import draw_batch, even_shares, shift  # noqa: E402
from training.enhancer.config import TrainingConfig  # noqa: E402
from training.enhancer.schedule import learning_rate, progress  # noqa: E402
from training.enhancer.synthetic import synthetic_pairs  # noqa: E402
from training.enhancer.trainer import Trainer  # noqa: E402

pytestmark = pytest.mark.training

SMALL = EnhancerConfig(channels=(16, 32, 32), blocks=(1, 1, 1))


@pytest.fixture(scope="module")
def pairs():
    return synthetic_pairs(6, size_px=64)


def config(**changes) -> TrainingConfig:
    return TrainingConfig(**{"steps": 12, "batch": 2, "report_steps": 4, "shift_px": 2, **changes})


def error(trainer: Trainer, pairs) -> float:
    """Mean absolute error of visible color on the scale 0 to 255, of the averaged network."""
    with torch.inference_mode():
        got = trainer.averaged(torch.from_numpy(pairs.raster), torch.from_numpy(pairs.mask)).numpy()
    return float(np.mean(np.abs(got[..., :3].astype(float) - pairs.truth[..., :3])))


def test_training_brings_unseen_frames_closer_to_the_truth(pairs):
    unseen = synthetic_pairs(4, size_px=64, seed=7)
    trainer = Trainer(config(steps=150, learning_rate=4e-3), SMALL)
    before = error(trainer, unseen)
    trainer.run(pairs)
    assert error(trainer, unseen) < 0.6 * before


def test_resumed_run_equals_an_unbroken_one(pairs, tmp_path):
    unbroken = Trainer(config(), SMALL)
    unbroken.run(pairs)

    first = Trainer(config(), SMALL)
    for _ in range(5):
        first._step(pairs)
    first.save(tmp_path / "run.pt")
    second = Trainer(config(), SMALL)
    second.resume(tmp_path / "run.pt")
    assert second.step == 5
    second.run(pairs)
    for name, value in unbroken.averaged.state_dict().items():
        torch.testing.assert_close(second.averaged.state_dict()[name], value, rtol=1e-5, atol=1e-7, msg=name)


def test_new_run_starts_from_the_average_of_another(pairs, tmp_path):
    first = Trainer(config(), SMALL)
    first.run(pairs, tmp_path / "first.pt")
    second = Trainer(config(), SMALL)
    second.start_from(tmp_path / "first.pt")
    assert second.step == 0
    assert error(second, pairs) == error(first, pairs)


def test_reports_name_every_term(pairs):
    reports = []
    Trainer(config(), SMALL).run(pairs, report=reports.append)
    assert [report.step for report in reports] == [4, 8, 12]
    assert reports[-1].done == 1.0
    assert set(reports[0].terms) == {"pixel", "detail", "structure"}


def test_pairs_that_arrive_during_a_run_are_taken_in(pairs, tmp_path):
    seen = []

    def refresh(current):
        seen.append(len(current))
        return current.joined(pairs)

    Trainer(config(steps=3, checkpoint_s=0.0), SMALL).run(pairs, tmp_path / "run.pt", refresh=refresh)
    assert seen == [6, 12, 18]


def test_shift_moves_right_and_down_and_repeats_the_border():
    array = np.arange(12).reshape(3, 4)
    moved = shift(array, dx=1, dy=-1)
    assert moved.tolist() == [[4, 4, 5, 6], [8, 8, 9, 10], [8, 8, 9, 10]]


def test_batch_moves_all_pictures_of_a_pair_together(pairs):
    batch = draw_batch(pairs, size=4, shift_px=5, rng=np.random.default_rng(3))
    assert batch.raster.shape == (4, 64, 64, 4)
    opaque = batch.mask > 0
    assert torch.equal(batch.raster[..., 3] == 255, opaque)
    assert bool((batch.truth[..., 3][opaque] >= 100).all())


def test_every_avatar_is_drawn_equally_often():
    shares = even_shares(["a/x/0", "b/x/0", "b/x/1", "b/y/0", "b/y/1"])
    assert shares.tolist() == pytest.approx([0.5, 0.125, 0.125, 0.125, 0.125])


def test_learning_rate_rises_then_falls_to_nothing():
    settings = config(learning_rate=1.0, warmup=0.1)
    rates = [learning_rate(done, settings) for done in np.linspace(0, 1, 101)]
    assert np.argmax(rates) == 10
    assert max(rates) == pytest.approx(1.0)
    assert rates[-1] == pytest.approx(0.0)
    assert np.all(np.diff(rates[10:]) < 0)


def test_progress_follows_whichever_is_further():
    settings = config(steps=100, minutes=1.0)
    assert progress(50, 6.0, settings) == 0.5
    assert progress(5, 30.0, settings) == 0.5
    assert progress(500, 0.0, settings) == 1.0
    with pytest.raises(ValueError, match="steps or minutes"):
        TrainingConfig(steps=0, minutes=0.0)
