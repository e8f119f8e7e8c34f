"""The training loop runs, learns, and goes on where it stopped."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from avatar.blendshapes import INDEX  # noqa: E402
from avatar.config import WindowConfig  # noqa: E402
from avatar.head import Head  # noqa: E402
from avatar.networks.motion import MotionConfig, MotionNetwork  # noqa: E402
from training.audio_encoder import (  # noqa: E402
    BILABIAL_WEIGHT,
    MEL_BANDS,
    MEL_RANGE_HZ,
    OTHER,
    PHONES,
    classes_of,
    log_mel,
    phone_loss,
    phone_rows,
)
from training.motion.adversary import Adversary, AdversaryConfig  # noqa: E402
from training.motion.lip_gap import landmark_basis  # noqa: E402
from training.motion.losses import WINDOWS, MotionLoss  # noqa: E402
from training.motion.sync.contrast import SyncLoss  # noqa: E402
from training.motion.sync.network import SyncConfig, SyncNetwork  # noqa: E402
from training.motion.sync.train import SyncTrainConfig, SyncTrainer  # noqa: E402
from training.motion.targets import track_of  # noqa: E402
from training.motion.train import WHOLE_EVERY, TrainConfig, Trainer, learning_rate  # noqa: E402
from training.motion.windows import SHARES, WindowSampler, shares_with  # noqa: E402
from training.speech_corpus import Phone, write_shard  # noqa: E402
from training.speech_corpus.augment import AugmentConfig  # noqa: E402

from .test_teacher import spoken  # noqa: E402


@pytest.fixture(scope="module")
def head():
    return Head.load("avatars/default/head.npz")


@pytest.fixture(scope="module")
def loss(head):
    return MotionLoss(head)


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


def test_misheard_bilabials_cost_more():
    logits = torch.zeros(1, 2, len(PHONES))
    bilabial, other = phone_loss(logits, torch.tensor([[PHONES.index("b"), PHONES.index("d")]]))[0]
    assert bilabial == pytest.approx(BILABIAL_WEIGHT * float(other)) and BILABIAL_WEIGHT > 1


class Says(MotionNetwork):
    """Moves as it is told."""

    def __init__(self, coefficients):
        super().__init__(MotionConfig())
        self.says = coefficients

    def logits(self, features):
        batch = len(self.says)
        return self.says, torch.zeros(batch, 75, 6), torch.zeros(batch, 75, 20)

    def activate(self, blendshapes, pose):
        return blendshapes, pose


def test_open_lips_in_a_closure_cost_and_closed_ones_do_not(loss, track):
    batch = WindowSampler([track], [1.0], AugmentConfig(), seed=0).batch(8)
    assert batch.bilabial.any()
    phones = torch.zeros(8, 75, len(PHONES))
    perfect = loss(Says(batch.blendshapes), None, phones, batch)[1]
    agape = batch.blendshapes.clone()
    agape[:, :, 17] += 0.1
    wrong = loss(Says(agape), None, phones, batch)[1]
    for name in ("coefficients", "velocity", "acceleration", "landmarks", "closure", "lip_gap"):
        assert perfect[name] == 0
    assert wrong["closure"] > 0.05
    assert wrong["lip_gap"] > 0.3


def test_tremor_costs_more_than_the_same_error_at_rest(loss, track):
    batch = WindowSampler([track], [1.0], AugmentConfig(), seed=0).batch(2)
    phones = torch.zeros(2, 75, len(PHONES))
    sign = torch.tensor([1.0, -1.0]).repeat(38)[:75, None]
    still, shaken = (loss(Says(batch.blendshapes + 0.05 * s), None, phones, batch)[1] for s in (1.0, sign))
    assert still["coefficients"] == pytest.approx(shaken["coefficients"], rel=1e-4)
    assert still["acceleration"] == pytest.approx(0.0, abs=1e-6)
    assert shaken["acceleration"] == pytest.approx(2.0 * shaken["velocity"], rel=0.05)


def test_landmarks_move_as_on_the_posed_head(head):
    coefficients = np.random.default_rng(0).uniform(0, 0.3, 52).astype(np.float32)
    for name, column in INDEX.items():
        if name.startswith("eyeLook"):  # The eyeballs turn beside the linear part.
            coefficients[column] = 0.0
    posed = head.landmarks(head.pose(coefficients, np.zeros(6, np.float32)))
    rest = head.landmarks(head.pose(np.zeros(52, np.float32), np.zeros(6, np.float32)))
    assert np.allclose(landmark_basis(head) @ coefficients, posed - rest, atol=2e-5)


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
    totals = [trainer.train_step(sampler)["total"] for _ in range(20)]
    assert np.mean(totals[-5:]) < 0.9 * np.mean(totals[:5])
    trainer.save()

    resumed = Trainer(config, loss, tmp_path)
    assert resumed.step == 20
    assert resumed.elapsed_s == pytest.approx(trainer.elapsed_s)
    for a, b in zip(trainer.networks.state_dict().values(), resumed.networks.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    resumed.train_step(sampler)
    assert resumed.step == 21


def test_judges_teach_the_motion_and_resume_with_it(loss, track, tmp_path):
    config = TrainConfig(
        minutes=10.0, batch_size=2, warmup=0.001, spectrum_share=0.0, encoder_share=0.0, sync_weight=1.0
    )

    def trainer(folder, seed, judged=True):
        torch.manual_seed(seed)
        judges = SyncLoss(SyncNetwork(SyncConfig(width=16))), Adversary(AdversaryConfig(width=16, lead_steps=1))
        return Trainer(config, loss, folder, None, None, None, *(judges if judged else ()))

    def judge_weights(one):
        modules = (one.sync, one.adversary.discriminator)
        return [value.clone() for module in modules for value in module.state_dict().values()]

    sampler = WindowSampler([track], [1.0], AugmentConfig(), seed=0)
    first = trainer(tmp_path, 1)
    frozen = [value.clone() for value in first.sync.state_dict().values()]
    parts = [first.train_step(sampler) for _ in range(3)]
    assert {"sync", "sync_cosine", "adversary", "discriminator", "told_apart"} <= parts[0].keys()
    assert not {"sync", "adversary"} & parts[1].keys()
    assert parts[0]["adversary"] == 0.0 and parts[2]["adversary"] > 0.0
    assert all(torch.equal(a, b) for a, b in zip(frozen, first.sync.state_dict().values(), strict=True))
    first.save()

    resumed = trainer(tmp_path, 2)
    assert all(torch.equal(a, b) for a, b in zip(judge_weights(first), judge_weights(resumed), strict=True))
    for one in (first, resumed):
        torch.manual_seed(3)
        again = WindowSampler([track], [1.0], AugmentConfig(), seed=5)
        for _ in range(2):
            one.elapsed_s = 1.0
            one.train_step(again)
    assert all(torch.equal(a, b) for a, b in zip(judge_weights(first), judge_weights(resumed), strict=True))
    ours, theirs = (one.networks.state_dict().values() for one in (first, resumed))
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))

    alone = trainer(tmp_path, 4, judged=False)
    assert not {"sync", "adversary"} & alone.train_step(sampler).keys()


@pytest.mark.slow
def test_the_command_takes_judges(track, tmp_path, monkeypatch, capsys):
    from training.motion import __main__ as command

    SyncTrainer(SyncTrainConfig(), tmp_path / "judge", SyncConfig(width=16)).save()
    monkeypatch.setattr(command, "QUICK_MINUTES", 0.1)
    monkeypatch.setattr(command, "quick_track", lambda: track)
    shares = ["--spectrum-share", "0", "--encoder-share", "0"]
    judges = ["--sync", str(tmp_path / "judge" / "sync.pt"), "--adversary", "motion+sound", "--bfloat16"]
    command.main(["--quick", "--out", str(tmp_path), *shares, *judges])
    state = torch.load(tmp_path / "motion.pt", weights_only=True)
    assert state["adversary"]["steps"] == -(-state["step"] // 2) > 0
    assert state["adversary"]["config"]["hears"] and "sync" in state
    assert "sync_cosine" in capsys.readouterr().out


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


@pytest.fixture(scope="module")
def tiny_wav2vec2(tmp_path_factory):
    """A checkpoint in the format of Hugging Face with the interface of wav2vec2-base and random weights."""
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    folder = tmp_path_factory.mktemp("wav2vec2")
    config = Wav2Vec2Config(
        hidden_size=768, num_hidden_layers=1, num_attention_heads=12, intermediate_size=64, conv_dim=(8,) * 7,
        num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=16,
    )  # fmt: skip
    torch.manual_seed(3)
    Wav2Vec2Model(config).save_pretrained(folder)
    return folder


def test_any_wav2vec2_trains_with_the_same_command(tiny_wav2vec2, track, tmp_path, monkeypatch):
    from training.motion import __main__ as command

    monkeypatch.setattr(command, "QUICK_MINUTES", 0.02)
    monkeypatch.setattr(command, "quick_track", lambda: track)
    monkeypatch.setenv("AUDIO_ENCODER", str(tiny_wav2vec2))
    command.main(["--quick", "--out", str(tmp_path), "--bfloat16"])
    state = torch.load(tmp_path / "motion.pt", weights_only=True)
    assert state["step"] > 0
    assert state["audio_encoder_config"]["conv_dim"] == [8] * 7


def test_features_of_another_encoder_can_be_learned(tiny_wav2vec2, loss, track, tmp_path):
    from avatar.networks.audio_encoder import AudioEncoder

    teacher = AudioEncoder.from_pretrained(str(tiny_wav2vec2))
    before = [parameter.clone() for parameter in teacher.parameters()]
    config = TrainConfig(minutes=10.0, batch_size=2, warmup=0.001, spectrum_share=0.0, encoder_share=1.0)
    trainer = Trainer(config, loss, tmp_path, teacher=teacher)
    sampler = WindowSampler([track], [1.0], AugmentConfig(), seed=0)
    distances = [trainer.train_step(sampler)["distillation"] for _ in range(8)]
    assert np.mean(distances[-2:]) < 0.9 * np.mean(distances[:2])
    assert all(torch.equal(a, b) for a, b in zip(before, teacher.parameters(), strict=True))


def test_first_the_convolutions_then_the_encoder_then_all(loss, track, tmp_path):
    config = TrainConfig(minutes=1.0, batch_size=2, spectrum_share=0.2, encoder_share=0.3)
    trainer = Trainer(config, loss, tmp_path)
    sampler = WindowSampler([track], [1.0], AugmentConfig(), seed=0)

    def changed(elapsed_s):
        trainer.elapsed_s = elapsed_s
        before = {name: value.clone() for name, value in trainer.networks.named_parameters()}
        trainer.train_step(sampler)
        moved = [name for name, value in trainer.networks.named_parameters() if not torch.equal(before[name], value)]
        return {name.split(".")[0] if "feature_extractor" not in name else "convolutions" for name in moved}

    assert changed(1.0) == {"convolutions", "audio_encoder", "spectrum_head"}
    assert changed(20.0) == {"convolutions", "audio_encoder", "spectrum_head", "phone_head"}
    assert changed(50.0) == {"convolutions", "audio_encoder", "spectrum_head", "phone_head", "motion"}


def test_the_spectrum_of_a_tone_lies_in_its_band():
    times_s = torch.arange(24_080) / 16_000
    bands = log_mel(torch.sin(2 * torch.pi * 1000 * times_s)[None])
    assert bands.shape == (1, 75, MEL_BANDS)
    loudest = bands[0, 10:60].mean(dim=0).argmax()
    corners = np.linspace(*(2595 * np.log10(1 + np.array(MEL_RANGE_HZ) / 700)), MEL_BANDS + 2)
    assert abs(700 * (10 ** (corners[loudest + 1] / 2595) - 1) - 1000) < 60


def test_weights_come_back_from_the_exported_file(tmp_path):
    from avatar.networks.audio_encoder import AudioEncoder, small_config
    from export.__main__ import main as export
    from training.motion.restore import restore

    torch.manual_seed(5)
    encoder, motion = AudioEncoder(small_config()).eval(), MotionNetwork(MotionConfig()).eval()
    for parameter in (*encoder.parameters(), *motion.parameters()):
        # The export stores equal parameters once, and after training none are equal.
        parameter.data += 0.01 * torch.randn_like(parameter)
    state = {
        "audio_encoder": encoder.state_dict(),
        "audio_encoder_config": encoder.wav2vec2.config.to_dict(),
        "motion": motion.state_dict(),
        "motion_config": motion.config.to_dict(),
    }
    torch.save(state, tmp_path / "motion.pt")
    for stage in ("audio_encoder", "motion"):
        export([stage, "--checkpoint", str(tmp_path / "motion.pt"), "--out", str(tmp_path)])
    audio = torch.randn(1, 24_000) * 0.1
    with torch.inference_mode():
        features = encoder(audio)
        again = restore(AudioEncoder(small_config()), tmp_path / "audio_encoder/1/model.onnx", "encoder").eval()
        assert torch.allclose(again(audio), features, atol=1e-2)
        moved = restore(MotionNetwork(MotionConfig()), tmp_path / "motion/1/model.onnx", "motion").eval()
        for ours, theirs in zip(moved(features), motion(features), strict=True):
            assert torch.allclose(ours, theirs, atol=2e-3)
    with pytest.raises(ValueError, match="another configuration"):
        restore(MotionNetwork(MotionConfig(width=256)), tmp_path / "motion/1/model.onnx", "motion")


def test_a_deeper_network_begins_as_the_exported_one(tmp_path):
    from avatar.networks.audio_encoder import AudioEncoder, small_config
    from export.__main__ import main as export
    from training.motion.restore import restore

    torch.manual_seed(6)
    shallow = small_config()
    shallow.num_hidden_layers = 1
    encoder = AudioEncoder(shallow).eval()
    for parameter in encoder.parameters():
        parameter.data += 0.01 * torch.randn_like(parameter)
    state = {"audio_encoder": encoder.state_dict(), "audio_encoder_config": shallow.to_dict()}
    torch.save(state, tmp_path / "motion.pt")
    export(["audio_encoder", "--checkpoint", str(tmp_path / "motion.pt"), "--out", str(tmp_path)])
    deep = restore(AudioEncoder(small_config()), tmp_path / "audio_encoder/1/model.onnx", "encoder").eval()
    audio = torch.randn(1, 24_000) * 0.1
    with torch.inference_mode():
        assert torch.allclose(deep(audio), encoder(audio), atol=1e-2)
    assert sum(p.numel() for p in deep.parameters()) > sum(p.numel() for p in encoder.parameters())


def test_new_speech_is_taken_in_while_training_runs(tmp_path):
    from training.motion.targets import Corpus

    sentence = spoken(("", 0.3), ("m", 0.1), ("ɑː", 0.3), ("", 0.3))
    write_shard(tmp_path / "flite-000.npz", [sentence] * 2)
    write_shard(tmp_path / "espeak-000.npz", [sentence])
    corpus = Corpus(tmp_path, tmp_path / "targets", {"flite": 0.6, "espeak": 0.4})
    assert corpus.refresh() and not corpus.refresh()
    write_shard(tmp_path / "flite-001.npz", [sentence] * 2)
    write_shard(tmp_path / "kokoro-000.npz", [sentence])
    assert corpus.refresh()
    assert len(corpus.tracks) == 3 and sum(corpus.shares) == pytest.approx(1.0)
    assert corpus.shares[0] + corpus.shares[2] == pytest.approx(0.4) or corpus.shares[1] + corpus.shares[2] == (
        pytest.approx(0.6)
    )


def test_every_source_of_training_speech_has_its_part_of_the_windows():
    sources = pytest.importorskip("training.speech_corpus.__main__").SOURCES
    assert set(SHARES) == {name for name, source in sources.items() if source.share > 0}
    assert sum(SHARES.values()) == pytest.approx(1.0)


def test_recorded_people_have_a_part_only_on_request_and_never_those_of_the_tests():
    assert shares_with(0.0) == SHARES
    shares = shares_with(0.25)
    assert sum(shares.values()) == pytest.approx(1.0)
    people = {name: share for name, share in shares.items() if name not in SHARES}
    assert set(people) == {"recorded-en", "recorded-es", "recorded-fr"}
    assert sum(people.values()) == pytest.approx(0.25)
    with pytest.raises(ValueError, match=r"in \[0, 1\), got 1"):
        shares_with(1.0)


def test_windows_match_the_motion_network():
    config = MotionConfig()
    assert config.rows == WindowConfig().window_rows == max(window.window_rows for window in WINDOWS)
    assert all(window.window_rows % config.coarse_rows == 0 for window in WINDOWS)


def test_the_encoder_sees_windows_of_every_length_whole_now_and_then():
    seen = {WINDOWS[step % len(WINDOWS)].window_rows for step in range(0, 100, WHOLE_EVERY)}
    assert seen == {window.window_rows for window in WINDOWS}


def test_the_last_rows_of_a_batch(track):
    batch = WindowSampler([track], [1.0], AugmentConfig(), seed=0).batch(2)
    tail = batch.tail(40)
    assert torch.equal(tail.audio, batch.audio[:, 35 * 320 :])
    for name in ("blendshapes", "pose", "viseme", "phone", "bilabial"):
        assert torch.equal(getattr(tail, name), getattr(batch, name)[:, 35:])
