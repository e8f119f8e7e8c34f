"""The training loop runs, learns, and goes on where it stopped."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from avatar.config import WindowConfig  # noqa: E402
from avatar.networks.motion import MotionConfig, MotionNetwork  # noqa: E402
from training.audio_encoder import OTHER, PHONES, classes_of, phone_loss, phone_rows  # noqa: E402
from training.motion.lip_gap import LipGap  # noqa: E402
from training.motion.losses import MotionLoss  # noqa: E402
from training.motion.targets import track_of  # noqa: E402
from training.motion.train import TrainConfig, Trainer, learning_rate  # noqa: E402
from training.motion.windows import WindowSampler  # noqa: E402
from training.speech_corpus import Phone  # noqa: E402
from training.speech_corpus.augment import AugmentConfig  # noqa: E402

from .test_teacher import spoken  # noqa: E402


@pytest.fixture(scope="module")
def loss():
    return MotionLoss(LipGap.load())


@pytest.fixture(scope="module")
def track():
    sentence = spoken(("", 0.3), ("m", 0.1), ("ɑː", 0.3), ("b", 0.1), ("iː", 0.3), ("s", 0.2), ("uː", 0.3), ("", 0.3))
    return track_of([sentence] * 4, seed=0)


def test_phone_classes():
    assert [PHONES[i] for i in classes_of("tʃ")] == ["tʃ"]
    assert [PHONES[i] for i in classes_of("aɪ")] == ["a", "ɪ"]
    assert [PHONES[i] for i in classes_of("ɑː")] == ["ɑ"]
    assert classes_of("") == [0]
    assert classes_of("ɮ") == [OTHER]
    rows = phone_rows((Phone("", 0.0, 0.1), Phone("aɪ", 0.1, 0.3), Phone("", 0.3, 0.4)), 20)
    assert [PHONES[i] for i in rows] == [""] * 5 + ["a"] * 5 + ["ɪ"] * 5 + [""] * 5


def test_unknown_phones_do_not_count():
    logits = torch.randn(1, 2, len(PHONES))
    assert phone_loss(logits, torch.tensor([[OTHER, 3]]))[0, 0] == 0


def test_open_lips_in_a_closure_cost_and_closed_ones_do_not(loss, track):
    batch = WindowSampler([track], [1.0], AugmentConfig(), seed=0).batch(8)
    assert batch.bilabial.any()

    class Says(MotionNetwork):
        def __init__(self, coefficients):
            super().__init__(MotionConfig())
            self.says = coefficients

        def logits(self, features):
            return self.says, torch.zeros(8, 75, 6), torch.zeros(8, 75, 20)

        def activate(self, blendshapes, pose):
            return blendshapes, pose

    phones = torch.zeros(8, 75, len(PHONES))
    perfect = loss(Says(batch.blendshapes), None, phones, batch)[1]
    agape = batch.blendshapes.clone()
    agape[:, :, 17] += 0.1
    wrong = loss(Says(agape), None, phones, batch)[1]
    assert perfect["coefficients"] == perfect["closure"] == perfect["lip_gap"] == 0
    assert wrong["closure"] > 0.05
    assert wrong["lip_gap"] > 0.3


def test_learning_rate_rises_and_falls():
    config = TrainConfig()
    rates = [learning_rate(config, progress) for progress in np.linspace(0, 1, 101)]
    assert max(rates) == pytest.approx(config.learning_rate, rel=0.05)
    assert rates[0] < 0.1 * config.learning_rate
    assert rates[-1] < 0.02 * config.learning_rate


def test_it_learns_and_resumes_with_the_same_state(loss, track, tmp_path):
    torch.manual_seed(0)
    config = TrainConfig(minutes=10.0, batch_size=2, warmup=0.001)
    sampler = WindowSampler([track], [1.0], AugmentConfig(), seed=0)
    trainer = Trainer(config, loss, tmp_path)
    totals = [trainer.train_step(sampler)["total"] for _ in range(5)]
    assert min(totals[-2:]) < totals[0]
    trainer.save()

    resumed = Trainer(config, loss, tmp_path)
    assert resumed.step == 5
    assert resumed.elapsed_s == pytest.approx(trainer.elapsed_s)
    for a, b in zip(trainer.networks.state_dict().values(), resumed.networks.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    resumed.train_step(sampler)
    assert resumed.step == 6


def test_quick_mode_leaves_a_checkpoint_that_exports(tmp_path, monkeypatch):
    import ctypes.util

    if ctypes.util.find_library("espeak-ng") is None:
        pytest.skip("needs Debian's libespeak-ng1")
    from export.__main__ import main as export
    from training.motion import __main__ as command

    monkeypatch.setattr(command, "QUICK_MINUTES", 0.1)
    command.main(["--quick", "--out", str(tmp_path)])
    assert any(path.name.startswith("events") for path in tmp_path.iterdir())
    for stage in ("audio_encoder", "motion"):
        export([stage, "--checkpoint", str(tmp_path / "motion.pt"), "--out", str(tmp_path)])
        assert (tmp_path / stage / "1" / "model.onnx").exists()


def test_window_config_matches_the_motion_network():
    assert MotionConfig().rows == WindowConfig().window_rows
