"""From engines' symbols to phones, and shards."""

import ctypes.util
from itertools import pairwise

import numpy as np
import pytest

from training.speech_corpus import Phone, Utterance, read_shard, text, write_shard
from training.speech_corpus.piper_voice import blanks_to_neighbours, phones_from_symbols
from training.speech_corpus.store import conform


def test_shards_give_back_what_they_got(tmp_path):
    rng = np.random.default_rng(0)
    utterances = [
        Utterance(
            rng.uniform(-1, 1, count).astype(np.float32),
            (Phone("", 0.0, 0.01), Phone("ɑː", 0.01, count / 16_000, 2)),
            f"text {count}",
            "engine:voice",
        )
        for count in (1600, 3200)
    ]
    write_shard(tmp_path / "shard.npz", utterances)
    for got, expected in zip(read_shard(tmp_path / "shard.npz"), utterances, strict=True):
        assert np.abs(got.audio - expected.audio).max() < 1e-4
        assert (got.phones, got.text, got.voice) == (expected.phones, expected.text, expected.voice)


def test_conform_scales_time_with_pitch_and_fills_gaps():
    rate_hz = 22_050
    audio = np.sin(2 * np.pi * 200 * np.arange(rate_hz) / rate_hz) * 0.3
    conformed, phones = conform(
        audio, rate_hz, [Phone("", 0.1, 0.2), Phone("ɑ", 0.2, 0.9), Phone("", 0.9, 1.0)], speed=1.25
    )
    assert len(conformed) == pytest.approx(16_000 / 1.25, abs=2)
    assert phones[0].start_s == 0.0
    assert phones[-1].end_s == len(conformed) / 16_000
    assert all(a.end_s == b.start_s for a, b in pairwise(phones))
    assert phones[1].start_s == pytest.approx(0.16)
    sounding = conformed[int(0.2 * 16_000) : int(0.6 * 16_000)]
    assert np.sqrt(np.mean(sounding**2)) == pytest.approx(0.1, rel=0.02)
    strongest_hz = np.argmax(np.abs(np.fft.rfft(sounding))) * 16_000 / len(sounding)
    assert strongest_hz == pytest.approx(250, abs=3)


def test_blanks_keep_the_total_and_go_to_the_next_symbol():
    shared = blanks_to_neighbours(["^", "_", "h", "_", "ə", "_", "$"], np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0]))
    assert shared == [("^", 1.0), ("h", 6.0), ("ə", 24.0), ("$", 96.0)]


def test_stress_and_length_belong_to_the_vowel_and_quiet_commas_are_pauses():
    rate_hz = 1000
    audio = np.ones(1000)
    audio[600:800] = 0.0
    symbols = [("b", 0.1), ("ˈ", 0.1), ("ɑ", 0.2), ("ː", 0.2), (",", 0.2), ("b", 0.1), (" ", 0.1)]
    phones = phones_from_symbols(symbols, audio, rate_hz)
    assert [(p.ipa, p.stress) for p in phones] == [("b", 0), ("ɑː", 2), ("", 0), ("b", 0)]
    assert phones[1].start_s == pytest.approx(0.1)
    assert phones[1].end_s == pytest.approx(0.6)


def test_text_is_reproducible_and_training_text_differs_from_held_out_text():
    from itertools import islice

    def first(seed):
        return list(islice(text.english(seed), 30))

    assert first(1) == first(1)
    assert not set(first(1)) & set(first(900_001))
    assert not any("{" in sentence for sentence in first(2))


@pytest.mark.skipif(ctypes.util.find_library("espeak-ng") is None, reason="needs Debian's libespeak-ng1")
def test_espeak_gives_phones_that_cover_the_sound():
    from training.speech_corpus import espeak_voice

    utterance = espeak_voice.speak("My mother bumped the van.", "en-us+f2")
    spoken = [phone.ipa for phone in utterance.phones if phone.ipa]
    assert spoken[0] == "m"
    assert {"b", "v", "æ"} <= set(spoken)
    assert utterance.phones[-1].end_s == pytest.approx(utterance.duration_s)
    with pytest.raises(ValueError, match="no voice"):
        espeak_voice.speak("Hello", "nobody")


def test_flite_says_when_each_phone_sounds():
    from training.speech_corpus import flite_voice

    if ctypes.util.find_library("flite") is None:
        pytest.skip("needs Debian's libflite1")
    utterance = flite_voice.speak("Susie sells shoes.", "kal16", stretch=1.2)
    assert [phone.ipa for phone in utterance.phones if phone.ipa][:4] == ["s", "uː", "z", "iː"]
    assert utterance.phones[-1].end_s == pytest.approx(utterance.duration_s)
    high = np.abs(np.diff(utterance.audio, prepend=0.0))

    def buzz(symbols):
        pieces = [high[int(p.start_s * 16_000) : int(p.end_s * 16_000)] for p in utterance.phones if p.ipa in symbols]
        levels = [
            np.abs(utterance.audio[int(p.start_s * 16_000) : int(p.end_s * 16_000)]).sum()
            for p in utterance.phones
            if p.ipa in symbols
        ]
        return sum(piece.sum() for piece in pieces) / sum(levels)

    assert buzz({"s", "ʃ", "z"}) > 2 * buzz({"uː", "iː", "ɛ"})


def test_another_speaker_says_the_same_at_the_same_times():
    pytest.importorskip("pyworld")
    from training.speech_corpus.vocoder import Speaker, revoice

    times_s = np.arange(16_000) / 16_000
    buzz = sum(np.sin(2 * np.pi * 120 * n * times_s) * np.exp(-((120 * n - 600) ** 2) / 2e5) for n in range(1, 40))
    loud = np.where((times_s > 0.3) & (times_s < 0.7), 1.0, 0.02)
    utterance = Utterance((0.2 * buzz * loud).astype(np.float32), (Phone("ɑ", 0.0, 1.0),), "", "test")
    other = revoice(utterance, Speaker(pitch=1.5, formants=1.2))
    assert len(other.audio) == len(utterance.audio) and other.phones == utterance.phones
    spectra = [np.abs(np.fft.rfft(u.audio[5600:10400] * np.hanning(4800))) for u in (utterance, other)]
    pitch_hz = [np.argmax(np.fft.irfft(s**2)[80:250]) + 80 for s in spectra]
    assert pitch_hz[0] / pitch_hz[1] == pytest.approx(1.5, rel=0.05)
    hz = np.arange(len(spectra[0])) * 16_000 / 4800
    centers = [np.sum(hz * s**2) / np.sum(s**2) for s in spectra]
    assert centers[1] / centers[0] == pytest.approx(1.2, rel=0.12)
    level = np.abs(other.audio).reshape(-1, 320).max(axis=1)
    assert level[18:33].min() > 5 * level[2:12].max()


def test_labelled_recordings_keep_their_times_and_tell_soft_phones(tmp_path):
    from scipy.io import wavfile

    from training.speech_corpus.labelled_recordings import VOICE, labelled

    voice = tmp_path / VOICE
    for folder in ("etc", "wav", "lab"):
        (voice / folder).mkdir(parents=True)
    sentences = [f'( ru_{number:04d} "Пята, пят+а." )' for number in range(1, 12)]
    (voice / "etc/txt.done.data").write_text("\n".join(sentences), encoding="utf-8")
    pcm = np.zeros(16_000, np.int16)
    pcm[8_000:12_000] = 16_384 * np.sin(np.arange(4_000))
    for name in ("ru_0001", "ru_0011"):
        wavfile.write(voice / "wav" / f"{name}.wav", 16_000, pcm)
        lines = ("separator ;", "#", "0.5 125 pau", "0.6 125 pp", "0.75 125 aa", "1.0 125 pau")
        (voice / "lab" / f"{name}.lab").write_text("\n".join(lines))
    first, second = labelled(tmp_path)
    assert [phone.ipa for phone in first.phones] == ["", "pʲ", "a", ""]
    assert [phone.stress for phone in first.phones] == [0, 0, 2, 0]
    closed = first.phones[1]
    edge_s = np.flatnonzero(np.abs(first.audio) > 0.1)[0] / 16_000
    assert abs(closed.start_s - edge_s) < 0.002 and abs(closed.end_s - closed.start_s - 0.1) < 1e-6
    assert first.text == "Пята, пята." and first.voice.startswith("recorded:")
    np.testing.assert_array_equal(first.audio, second.audio)


def test_labelled_recordings_say_what_to_install(tmp_path):
    from training.speech_corpus.labelled_recordings import labelled

    with pytest.raises(FileNotFoundError, match="festvox-ru"):
        next(labelled(tmp_path))


def test_a_breath_lies_in_the_silence_before_speech():
    from training.speech_corpus.pauses import with_breath

    quiet = Utterance(np.zeros(16_000, np.float32), (Phone("", 0.0, 0.6), Phone("ɑ", 0.6, 1.0)), "", "test")
    breaths = [with_breath(quiet, np.random.default_rng(seed)).audio for seed in range(40)]
    taken = [audio for audio in breaths if np.any(audio)]
    assert 3 < len(taken) < 25
    assert all(np.all(audio[int(0.6 * 16_000) :] == 0) and np.abs(audio).max() < 0.2 for audio in taken)


@pytest.mark.parametrize("name", ["libopus", "libmp3lame", "pcm_mulaw"])
def test_a_codec_changes_the_sound_and_not_its_time(name):
    pytest.importorskip("av")
    from scipy.io import wavfile

    from training.speech_corpus.codecs import CODECS, through

    rate_hz, pcm = wavfile.read("examples/hello.wav")
    import soxr

    audio = soxr.resample(pcm[: 3 * rate_hz].astype(np.float32) / 32768, rate_hz, 16_000)
    codec = next(codec for codec in CODECS if codec.name == name)
    heard = through(audio, codec, codec.rates_hz[0], codec.bit_rates[1])
    assert heard.shape == audio.shape and heard.dtype == np.float32
    assert np.abs(heard - audio).max() > 0.001
    level, coded = (np.abs(sound[: len(sound) // 80 * 80]).reshape(-1, 80).mean(axis=1) for sound in (audio, heard))
    assert np.corrcoef(level, coded)[0, 1] > 0.95
    shifts = [np.corrcoef(level[4:-4], np.roll(coded, shift)[4:-4])[0, 1] for shift in range(-3, 4)]
    assert np.argmax(shifts) == 3, "within 5 ms"
