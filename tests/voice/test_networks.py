"""What the networks promise, whatever their weights."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from transformers import Wav2Vec2Config  # noqa: E402

from avatar.networks.audio_encoder import AudioEncoder, small_config  # noqa: E402
from avatar.networks.motion import POSE_SCALE, CoarseAttention, MotionConfig, MotionNetwork  # noqa: E402


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return AudioEncoder(small_config()).eval()


@pytest.fixture(scope="module")
def motion():
    torch.manual_seed(0)
    return MotionNetwork(MotionConfig()).eval()


@pytest.fixture
def audio():
    return torch.from_numpy(np.random.default_rng(0).standard_normal((2, 24_000)).astype(np.float32) * 0.1)


@torch.inference_mode()
def test_a_window_gives_75_rows_of_768(encoder, audio):
    assert encoder(audio).shape == (2, 75, 768)


@torch.inference_mode()
def test_row_i_hears_the_20_ms_from_20_i_ms(encoder, audio):
    changed = audio[:1].clone()
    row = 37
    changed[:, row * 320 : (row + 1) * 320] += 0.2 * torch.sin(torch.arange(320) * 0.8)
    margin = torch.nn.functional.pad
    before, after = (
        encoder.wav2vec2.feature_extractor(margin(sound, (40, 40))).transpose(1, 2)[0] for sound in (audio[:1], changed)
    )
    assert int((after - before).abs().mean(dim=1).argmax()) == row


@torch.inference_mode()
def test_level_does_not_matter(encoder, audio):
    loud, quiet = encoder(audio), encoder(audio * 0.15)
    assert (loud - quiet).abs().mean() < 0.15 * loud.std()


@torch.inference_mode()
@pytest.mark.parametrize("value", [0.0, 1.0, -1.0])
def test_constant_sound_is_finite(encoder, motion, value):
    for output in motion(encoder(torch.full((1, 24_000), value))):
        assert torch.isfinite(output).all()


@torch.inference_mode()
def test_the_batch_does_not_mix(encoder, motion, audio):
    together = motion(encoder(audio))
    alone = motion(encoder(audio[1:]))
    for a, b in zip(together, alone, strict=True):
        assert torch.allclose(a[1:], b, atol=1e-4)


@torch.inference_mode()
def test_the_coarse_attention_begins_as_the_identity_and_sees_the_whole_window(motion):
    rows = torch.randn(1, 75, 512)
    assert torch.equal(motion.coarse(rows), rows)
    trained = CoarseAttention(MotionConfig())
    torch.nn.init.normal_(trained.spread[1].weight, std=0.01)
    changed = rows.clone()
    changed[:, 2] += 1.0
    assert (trained(changed) - trained(rows))[:, 70:].abs().max() > 1e-5


def test_the_motion_network_has_the_size_that_was_asked_for(motion):
    assert 15e6 <= sum(parameter.numel() for parameter in motion.parameters()) <= 30e6


def test_rows_that_do_not_fall_into_groups_are_refused():
    with pytest.raises(ValueError, match="coarse_rows"):
        MotionNetwork(MotionConfig(coarse_rows=4))


@torch.inference_mode()
def test_outputs_are_in_range(motion):
    blendshapes, pose, viseme = motion(torch.randn(3, 75, 768) * 20)
    assert blendshapes.shape == (3, 75, 52)
    assert blendshapes.min() >= 0
    assert blendshapes.max() <= 1
    assert (pose.abs() <= 2 * torch.tensor(POSE_SCALE) + 1e-6).all()
    assert torch.allclose(viseme.sum(dim=-1), torch.ones(3, 75), atol=1e-5)


def test_exact_rest_is_within_reach(motion):
    coefficients, _ = motion.activate(torch.full((1, 1, 52), -6.0), torch.zeros(1, 1, 6))
    assert coefficients.max() < 0
    logits = torch.full((1, 1, 52), -4.0, requires_grad=True)
    motion.activate(logits, torch.zeros(1, 1, 6))[0].sum().backward()
    assert logits.grad.min() > 0


@pytest.mark.parametrize(
    "change", [{"hidden_size": 384, "num_attention_heads": 6}, {"conv_stride": (5, 2, 2, 2, 2, 2, 1)}]
)
def test_another_interface_is_refused(change):
    config = Wav2Vec2Config(**{**small_config().to_dict(), **change})
    with pytest.raises(ValueError, match="768 values every 320 samples"):
        AudioEncoder(config)
