"""The judge of sync tells motion in step from motion out of it, names the offset, and pulls motion into step."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from avatar.config import SAMPLE_RATE_HZ  # noqa: E402
from avatar.motion import Motion  # noqa: E402
from benchmarks.motion import Comparison, sync_measures, velocity_shares  # noqa: E402
from training.motion.sync.__main__ import late_by, report  # noqa: E402
from training.motion.sync.__main__ import main as command  # noqa: E402
from training.motion.sync.contrast import SyncLoss, belongs_loss, spoken_clips  # noqa: E402
from training.motion.sync.measure import measure, offset_distances  # noqa: E402
from training.motion.sync.network import CLIP_ROWS, LIP_COLUMNS, SyncConfig, SyncNetwork  # noqa: E402
from training.motion.sync.train import SyncTrainConfig, SyncTrainer, in_step, load_judge  # noqa: E402
from training.motion.targets import track_of  # noqa: E402
from training.motion.windows import Batch, WindowSampler  # noqa: E402
from training.speech_corpus import Phone, Utterance, write_shard  # noqa: E402
from training.teacher import teach  # noqa: E402

from .test_windows import CLEAN  # noqa: E402

BANDS_HZ = {
    "m": (150, 350), "b": (100, 250), "f": (5500, 7500), "ɑː": (700, 1300), "iː": (2100, 3000), "uː": (300, 700),
    "s": (4200, 6500), "ɔː": (500, 900),
}  # fmt: skip
"""Where the noise of each phone lies."""

SMALL = SyncConfig(width=48, embedding=32)
ROW_MS = 20.0


def babble(seed: int, phones: int = 40) -> Utterance:
    """Random phones, each heard as noise in a band of its own."""
    rng = np.random.default_rng(seed)
    timed = [("", 0.3), *((str(rng.choice(list(BANDS_HZ))), rng.uniform(0.08, 0.2)) for _ in range(phones)), ("", 0.3)]
    ends_s = np.cumsum([duration_s for _, duration_s in timed])
    said, pieces, start_s = [], [], 0.0
    for (ipa, _), end_s in zip(timed, ends_s, strict=True):
        said.append(Phone(ipa, start_s, float(end_s)))
        count = round(end_s * SAMPLE_RATE_HZ) - round(start_s * SAMPLE_RATE_HZ)
        spectrum = np.fft.rfft(rng.standard_normal(count))
        low_hz, high_hz = BANDS_HZ.get(ipa, (0, 0))
        frequency_hz = np.fft.rfftfreq(count, 1 / SAMPLE_RATE_HZ)
        piece = np.fft.irfft(spectrum * ((frequency_hz >= low_hz) & (frequency_hz < high_hz)), count)
        pieces.append(0.1 * piece / max(np.sqrt(np.mean(piece**2)), 1e-3))
        start_s = float(end_s)
    return Utterance(np.concatenate(pieces).astype(np.float32), tuple(said), "", "test")


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """A trainer of a judge that has heard a minute of babble."""
    torch.set_num_threads(1)
    trainer = SyncTrainer(
        SyncTrainConfig(minutes=1.0, batch_size=12, learning_rate=2e-3), tmp_path_factory.mktemp("sync"), SMALL
    )
    sampler = WindowSampler([track_of([babble(seed) for seed in range(12)], seed=0)], [1.0], CLEAN, seed=0)
    for _ in range(80):
        trainer.train_step(sampler.batch(12))
    trainer.network.eval()
    return trainer


@pytest.fixture(scope="module")
def unseen() -> Batch:
    """Windows of babble that the judge has not heard."""
    return WindowSampler([track_of([babble(seed) for seed in range(100, 104)], seed=1)], [1.0], CLEAN, seed=1).batch(16)


def shifted(blendshapes: torch.Tensor, late_rows: float) -> torch.Tensor:
    """[batch, R, 52] later by a fraction of a row or more, differentiable in `late_rows`."""
    rows = blendshapes.shape[1]
    place = (torch.arange(rows) - late_rows).clamp(0, rows - 1)
    before = place.detach().floor().long().clamp(max=rows - 2)
    part = (place - before)[:, None]
    return (1 - part) * blendshapes[:, before] + part * blendshapes[:, before + 1]


def test_an_embedding_sees_its_clip_and_nothing_else():
    network = SyncNetwork(SMALL).eval()
    audio, motion = 0.1 * torch.randn(1, 24_000), torch.rand(1, 75, 52)
    with torch.inference_mode():
        sound, lips = network.embed_sound(audio), network.embed_motion(motion)
        assert sound.shape == lips.shape == (1, 75 - CLIP_ROWS + 1, SMALL.embedding)
        assert torch.allclose(sound.norm(dim=-1), torch.ones(1, 61), atol=1e-5)
        changed = motion.clone()
        changed[:, 40, list(LIP_COLUMNS)] += 0.3
        moved = ((network.embed_motion(changed) - lips).abs().amax(dim=-1)[0] > 1e-5).nonzero().flatten()
        assert moved.tolist() == list(range(40 - CLIP_ROWS + 1, 41))
        blink = motion.clone()
        blink[:, :, [i for i in range(52) if i not in LIP_COLUMNS]] = 0.0
        assert torch.equal(network.embed_motion(blink), lips)


def test_the_loss_counts_shifts_and_other_windows_but_not_neighbors():
    one = torch.nn.functional.normalize(torch.randn(2, 20, 8), dim=-1)
    scale = torch.tensor(30.0)
    assert belongs_loss(one, one, scale).mean() < belongs_loss(one, one.roll(3, dims=1), scale).mean() - 3.0
    assert belongs_loss(one, one, scale).mean() < belongs_loss(one, one.roll(1, dims=0), scale).mean() - 3.0
    # Alike clips at the nearest rows cost nothing; further away they do.
    pairs = one[:, ::4].repeat_interleave(2, dim=1)
    far = torch.cat([one[:, ::4]] * 2, dim=1)
    assert belongs_loss(pairs, pairs, scale).mean() < belongs_loss(far, far, scale).mean() - 0.3


def test_silence_is_not_judged():
    viseme = torch.zeros(1, 75, dtype=torch.int64)
    viseme[:, 30:50] = 5
    spoken = spoken_clips(viseme)[0].nonzero().flatten()
    assert spoken.tolist() == list(range(23, 43))
    batch = Batch(torch.zeros(1, 24_000), torch.rand(1, 75, 52), *(torch.zeros(1, 75, dtype=torch.int64),) * 4)
    loss, _ = SyncLoss(SyncNetwork(SMALL))(batch.blendshapes, batch)
    assert loss == 0


def test_it_tells_unseen_motion_in_step_from_shifted(learned, unseen):
    assert in_step(SyncNetwork(SMALL), unseen) == pytest.approx(0.5, abs=0.1)
    assert in_step(learned.network, unseen) > 0.9


@pytest.mark.parametrize("late_rows", [-6, -2, 0, 3, 7])
def test_the_offset_comes_back(learned, late_rows):
    sums = 0
    for seed in (200, 201, 202):
        utterance = babble(seed)
        targets = teach(utterance)
        late = late_by(targets.blendshapes, late_rows)
        sums = sums + offset_distances(learned.network, utterance.audio, late, targets.viseme)
    found = measure(sums)
    assert found.offset_ms == pytest.approx(late_rows * ROW_MS, abs=15.0)
    assert found.confidence > 0.2


def test_motion_of_other_words_wins_no_confidence(learned):
    right, wrong = babble(210), babble(211)
    targets, others = teach(right), teach(wrong)
    rows = min(len(targets.viseme), len(others.viseme))
    own = measure(offset_distances(learned.network, right.audio, targets.blendshapes, targets.viseme))
    other = measure(offset_distances(learned.network, right.audio, others.blendshapes[:rows], targets.viseme[:rows]))
    assert other.confidence < 0.5 * own.confidence
    assert other.distance > own.distance + 0.2


def test_too_little_speech_is_refused(learned):
    sums = offset_distances(learned.network, np.zeros(320 * 10, np.float32), np.zeros((10, 52)), np.ones(10, int))
    with pytest.raises(ValueError, match="600 ms or more"):
        measure(sums)


@pytest.mark.parametrize("late_rows", [-4.0, 4.0])
def test_its_gradient_pulls_motion_into_step(learned, unseen, late_rows):
    judge = SyncLoss(learned.network)
    true = unseen.blendshapes
    off = shifted(true, late_rows).requires_grad_()
    loss, numbers = judge(off, unseen)
    loss.backward()
    in_place, better = judge(true, unseen)
    assert in_place < loss - 0.5
    assert better["sync_cosine"] > numbers["sync_cosine"] + 0.2
    # Downhill for free coefficients is towards the motion in step, on the lips only.
    way, downhill = (true - off).detach(), -off.grad
    assert torch.nn.functional.cosine_similarity(way.flatten(), downhill.flatten(), dim=0) > 0.1
    assert not off.grad[..., [i for i in range(52) if i not in LIP_COLUMNS]].any()
    # A clip that may only slide, slides into step.
    late = torch.tensor(late_rows, requires_grad=True)
    optimizer = torch.optim.Adam([late], 0.8)
    for _ in range(15):
        optimizer.zero_grad()
        judge(shifted(true, late), unseen)[0].backward()
        optimizer.step()
    assert abs(late.item()) < 1.0
    assert all(not parameter.requires_grad for parameter in judge.parameters())


def test_it_goes_on_where_it_stopped(tmp_path):
    sampler = WindowSampler([track_of([babble(0), babble(1)], seed=0)], [1.0], CLEAN, seed=0)
    batches = [sampler.batch(2) for _ in range(3)]
    config = SyncTrainConfig(minutes=10.0, learning_rate=1e-3)
    trainer = SyncTrainer(config, tmp_path, SMALL)
    for batch in batches[:2]:
        trainer.train_step(batch)
    trainer.save()
    resumed = SyncTrainer(config, tmp_path, SMALL)
    assert resumed.step == 2 and resumed.elapsed_s == trainer.elapsed_s
    for one in (trainer, resumed):
        one.train_step(batches[2], started_s=one._clock_s())
    for a, b in zip(trainer.network.state_dict().values(), resumed.network.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    with pytest.raises(ValueError, match="holds a judge of"):
        SyncTrainer(config, tmp_path, SyncConfig(width=32))
    judge = load_judge(tmp_path / "sync.pt")
    assert judge.config == SMALL and not judge.training
    with pytest.raises(FileNotFoundError, match="training.motion.sync"):
        load_judge(tmp_path / "none.pt")
    assert "late by 100 ms: offset" in report(judge, [babble(1)])


def test_the_benchmark_tells_offset_and_amplitude(learned):
    comparisons = []
    for seed in (220, 221):
        utterance = babble(seed)
        targets = teach(utterance)
        late = Motion(0.5 * late_by(targets.blendshapes, 3), targets.pose, np.zeros((len(targets.pose), 20)))
        gap_mm = np.zeros(len(targets.pose))
        comparisons.append(Comparison(utterance.audio, targets, late, gap_mm, gap_mm))
    found = sync_measures(comparisons, learned.network)
    assert found["sync offset ms"] == pytest.approx(60.0, abs=15.0)
    assert found["teacher's offset ms"] == pytest.approx(0.0, abs=15.0)
    shares = velocity_shares(comparisons)
    assert shares["slow velocity %"] == pytest.approx(50.0, abs=5.0)
    assert shares["fast velocity %"] == pytest.approx(50.0, abs=5.0)


def test_the_command_trains_goes_on_and_reports(tmp_path, capsys):
    for split, seeds in (("train", (0, 1)), ("validation", (2,))):
        (tmp_path / split).mkdir()
        write_shard(tmp_path / split / "espeak-000.npz", [babble(seed) for seed in seeds])
    arguments = ["--speech", str(tmp_path), "--out", str(tmp_path / "out"), "--batch-size", "2", "--minutes"]
    command([*arguments, "0.01"])
    assert "espeak-000: late by -100 ms: offset" in capsys.readouterr().out
    command([*arguments, "0.02"])
    assert "sync: resumed at step" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        command(["--speech", str(tmp_path / "none"), "--out", str(tmp_path / "out")])
