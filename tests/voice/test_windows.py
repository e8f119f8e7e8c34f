"""Batches keep sound and targets together, and imitate the ends of a session."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from avatar.config import FEATURE_HOP_SAMPLES, WindowConfig  # noqa: E402
from avatar.motion import ROW_COUNT, Motion, MotionTrack  # noqa: E402
from avatar.session_config import LOOKAHEADS_MS  # noqa: E402
from training.motion.losses import row_weights  # noqa: E402
from training.motion.targets import Track, join  # noqa: E402
from training.motion.windows import WindowSampler, encoded_pieces, whole_windows  # noqa: E402
from training.speech_corpus.augment import HISTORY_SAMPLES, AugmentConfig, Augmenter  # noqa: E402

CLEAN = AugmentConfig(
    vocal_tract=0, reverberation=0, coloring=0, missing_band=0, telephone=0, noise=0, noise_only=0, gaps=0,
    level_db=(-20.0, -20.0),
)  # fmt: skip


def marked_track(rows: int = 2000) -> Track:
    """Row r sounds as a constant that its first coefficient repeats."""
    value = np.random.default_rng(0).uniform(0.05, 0.9, rows)
    blendshapes = np.zeros((rows, 52), np.float16)
    blendshapes[:, 0] = value
    audio = np.repeat(np.round(value * 0.5 * 32767).astype(np.int16), FEATURE_HOP_SAMPLES)
    ones = np.ones(rows, np.uint8)
    return Track(
        audio, blendshapes, np.zeros((rows, 6), np.float16), ones, ones, ones.astype(bool), np.arange(0, rows, 200)
    )


@pytest.mark.parametrize("lookahead_ms", LOOKAHEADS_MS)
def test_rows_of_pieces_make_up_the_window(lookahead_ms):
    window = WindowConfig.for_lookahead(lookahead_ms)
    rows = torch.arange(3.0 * window.window_rows).reshape(3, -1)
    audio = rows.repeat_interleave(FEATURE_HOP_SAMPLES, dim=1)
    pieces = encoded_pieces(audio, window.encoded_samples)
    assert pieces.shape[1] == window.encoded_samples
    encoded = pieces.unflatten(1, (-1, FEATURE_HOP_SAMPLES))[..., :1]
    assert torch.equal(whole_windows(encoded, window.window_rows)[..., 0], rows)


def test_sound_and_targets_stay_together_at_every_speed():
    batch = WindowSampler([marked_track()], [1.0], CLEAN, seed=1).batch(64)
    level = batch.audio.reshape(64, -1, FEATURE_HOP_SAMPLES)
    off = (level[..., FEATURE_HOP_SAMPLES // 2] - 0.5 * batch.blendshapes[:, :, 0]).abs()
    # A center may fall between the last sample of one row and the first of the next.
    assert float((off < 2e-3).float().mean()) > 0.99
    # A row as it was spoken has one level throughout; faster and slower ones meet their neighbors.
    as_spoken = (level.amax(dim=-1) - level.amin(dim=-1) < 2e-3).all(dim=1)
    assert 0.2 < float(as_spoken.float().mean()) < 0.6


def test_outside_of_the_session_is_digital_silence_at_rest():
    noisy = AugmentConfig(noise=1.0, snr_db=(0.0, 0.0), gaps=0.0)
    batch = WindowSampler([marked_track()], [1.0], noisy, seed=2).batch(64)
    unheard = batch.viseme == 0
    silent = batch.audio.reshape(64, -1, FEATURE_HOP_SAMPLES).abs().amax(dim=-1) == 0
    assert silent.any()
    assert (unheard | ~silent).all()
    assert batch.blendshapes[unheard].abs().max() == 0
    assert not batch.bilabial[unheard].any()


def test_noise_alone_moves_nothing():
    batch = WindowSampler([marked_track()], [1.0], AugmentConfig(noise_only=1.0), seed=3).batch(16)
    assert batch.audio.abs().amax(dim=1).min() > 0
    assert batch.blendshapes.abs().max() == 0
    assert batch.viseme.max() == 0


def test_augmentation_is_reproducible_and_bounded():
    speech = np.zeros(16_000 * 40, np.int16)
    audio = np.random.default_rng(0).standard_normal(HISTORY_SAMPLES + 24_000).astype(np.float32) * 0.1
    first = [Augmenter(AugmentConfig(), speech, seed=5)(audio)[0] for _ in range(2)]
    assert np.array_equal(*first)
    assert first[0].shape == (24_000,)
    assert np.abs(first[0]).max() <= 1.0


def test_lost_packets_are_silent_and_leave_the_targets_alone():
    lossy = replace(CLEAN, gaps=1.0)
    batch = WindowSampler([marked_track()], [1.0], lossy, seed=4).batch(32)
    heard = batch.viseme != 0
    lost = batch.audio.reshape(32, -1, FEATURE_HOP_SAMPLES).abs().amax(dim=-1) == 0
    assert 0.01 < float((lost & heard).float().mean()) < 0.2
    assert (batch.blendshapes[lost & heard][:, 0] > 0).all()


def test_joined_tracks_keep_their_sentence_starts():
    joined = join([marked_track(400), marked_track(600)])
    assert joined.starts.tolist() == [0, 200, 400, 600, 800]
    with pytest.raises(ValueError, match="320 samples"):
        Track(
            joined.audio[:-1],
            joined.blendshapes,
            joined.pose,
            joined.viseme,
            joined.phone,
            joined.bilabial,
            joined.starts,
        )


@pytest.mark.parametrize("lookahead_ms", LOOKAHEADS_MS)
def test_the_rows_that_the_motion_track_takes_weigh_most(lookahead_ms):
    window = WindowConfig.for_lookahead(lookahead_ms)
    track = MotionTrack(window)
    for _ in range(100 // window.hop_rows):
        packed = np.zeros((window.window_rows, ROW_COUNT), np.float32)
        packed[:, 0] = np.arange(window.window_rows)
        track.add(Motion.unpack(packed))
    # Sampled at row centers, the marker tells the row of a window that was taken; fades lie between two of them.
    taken = {float(track.sample((row + 0.5) / 50).blendshapes[0]) for row in range(20, 60)}
    weights = row_weights(window)
    heaviest = torch.nonzero(weights == weights.max()).flatten().tolist()
    assert set(range(int(min(taken)), int(max(taken)) + 1)) <= set(heaviest)
    assert float(weights.mean()) == pytest.approx(1.0)
