"""Recordings are labelled from their text."""

import ctypes.util
from itertools import pairwise

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from avatar.networks.audio_encoder import AudioEncoder, small_config  # noqa: E402
from training.alignment.encode import MARGIN_ROWS, PIECE_ROWS, encode  # noqa: E402
from training.alignment.forced import align_speaker, said  # noqa: E402
from training.alignment.phone_model import PhoneModel, shipped_encoder  # noqa: E402
from training.audio_encoder import OTHER, PHONES, phone_rows  # noqa: E402
from training.speech_corpus import Phone  # noqa: E402
from training.speech_corpus.recordings import Recording  # noqa: E402

needs_espeak = pytest.mark.skipif(ctypes.util.find_library("espeak-ng") is None, reason="needs Debian's libespeak-ng1")


def test_words_are_said_between_silences_and_diphthongs_have_two_places():
    words = said([Phone("", 0, 0), Phone("m", 0, 0), Phone("a\u026a", 0, 0, 2), Phone("", 0, 0), Phone("", 0, 0)])
    assert [PHONES[index] for index in words.classes] == ["", "m", "m", "a", "a", "\u026a", "\u026a", ""]
    assert [words.phones[owner].ipa for owner in words.phone_of_place] == ["", "m", "m", *["a\u026a"] * 4, ""]
    assert words.optional.tolist() == [True, *[False] * 6, True]


def test_a_long_sound_is_encoded_piece_by_piece_without_a_seam():
    torch.manual_seed(0)
    encoder = AudioEncoder(small_config()).eval()
    rng = np.random.default_rng(0)
    rows = PIECE_ROWS - MARGIN_ROWS
    audio = (0.1 * rng.standard_normal(2 * rows * 320)).astype(np.float32)
    features = encode(encoder, audio)
    assert features.shape == (2 * rows, 768)
    with torch.inference_mode():
        alone = encoder(torch.from_numpy(audio[None, : PIECE_ROWS * 320 - MARGIN_ROWS * 320]))[0]
    taken = PIECE_ROWS - 2 * MARGIN_ROWS
    assert torch.allclose(features[:taken], alone[:taken], atol=1e-5)


def test_the_model_learns_which_direction_is_which_phone_and_moves_with_the_speaker(tmp_path):
    generator = torch.Generator().manual_seed(0)
    phone = torch.randint(0, len(PHONES), (4000,), generator=generator)
    features = 0.3 * torch.randn(4000, 768, generator=generator)
    features[torch.arange(4000), phone] += 3.0
    phone[:100] = OTHER
    encoder = AudioEncoder(small_config()).eval()
    model = PhoneModel.fit(encoder, features, phone, steps=100)
    known = phone != OTHER
    assert float(model.prior.sum()) == pytest.approx(1.0)
    right = model.log_likelihood(features[known]).argmax(axis=1) == phone[known].numpy()
    assert right.mean() > 0.97

    # Another room moves all features alike.
    moved = features[known] + 2.0 * torch.randn(768, generator=generator)
    before = (model.log_likelihood(moved).argmax(axis=1) == phone[known].numpy()).mean()
    adapted = model.adapted(moved, phone[known])
    after = (adapted.log_likelihood(moved).argmax(axis=1) == phone[known].numpy()).mean()
    assert before < 0.3 and after > 0.97

    model.save(tmp_path / "model.npz")
    again = PhoneModel.load(tmp_path / "model.npz", encoder)
    assert np.array_equal(again.log_likelihood(features[:50]), model.log_likelihood(features[:50]))
    with pytest.raises(FileNotFoundError, match=r"python -m training\.alignment"):
        PhoneModel.load(tmp_path / "none.npz", encoder)
    with pytest.raises(ValueError, match="fitted to another"):
        PhoneModel.load(tmp_path / "model.npz", AudioEncoder(small_config()).eval())


@needs_espeak
@pytest.mark.slow
def test_sentences_are_labelled_from_their_text_where_their_engine_had_them():
    from pathlib import Path

    from training.speech_corpus import espeak_voice

    sentences = (
        "The boat is moving past the pier.", "Bob will buy a map of the park.", "My mother keeps bees in the garden.",
        "Please put the big blue box on the table.", "We have never seen a fish like this.",
        "Four people came from the village.", "She should have told him about the weather.",
        "A warm breeze moved the heavy curtain.",
    )  # fmt: skip
    encoder = shipped_encoder(Path("model_repository"))
    taught = [espeak_voice.speak(sentence, f"en-us{variant}") for variant in ("", "+f2") for sentence in sentences]
    features = torch.cat([encode(encoder, u.audio) for u in taught])
    phone = np.concatenate([phone_rows(u.phones, len(u.audio) // 320) for u in taught])
    model = PhoneModel.fit(encoder, features, torch.from_numpy(phone.astype(np.int64)), steps=200)

    unheard = [espeak_voice.speak(sentence, "en-us+m3", rate_wpm=130) for sentence in sentences[::-1]]
    recordings = [Recording(u.audio, u.text, "someone") for u in unheard]
    too_short = Recording(unheard[0].audio[:3200], unheard[0].text, "someone")
    *labelled, left_out = align_speaker([*recordings, too_short], "en-us", model, rounds=2)
    assert left_out is None
    right = []
    for truth, found in zip(unheard, labelled, strict=True):
        assert found.voice == "recorded:someone"
        assert found.phones[0].start_s == 0.0
        assert all(a.end_s == b.start_s for a, b in pairwise(found.phones))
        labels, classes = (phone_rows(u.phones, len(found.audio) // 320) for u in (truth, found))
        right.append((labels == classes)[labels != 0])
    assert np.concatenate(right).mean() > 0.75
