"""Sound files of every kind come out as int16 mono, and what is no sound is refused in plain words."""

import os
import resource
import subprocess
import sys

import numpy as np
import pytest
from avatar_client import InvalidAudio
from avatar_client.media import AudioFile, delivered_rate_hz

from tests.client import sounds


def read(path, chunk_s: float = 0.5):
    with AudioFile(path) as audio:
        chunks = list(audio.chunks(chunk_s))
        return audio, chunks, np.concatenate(chunks)


def dominant_hz(samples: np.ndarray, rate_hz: int) -> float:
    spectrum = np.abs(np.fft.rfft(samples.astype(float) * np.hanning(samples.size)))
    return float(np.argmax(spectrum)) * rate_hz / samples.size


@pytest.mark.parametrize("rate_hz", [4000, 8000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000])
def test_rates(tmp_path, rate_hz):
    path = sounds.write(tmp_path / "a.wav", sounds.tone(1.25, rate_hz)[None], rate_hz, "pcm_s16le")
    audio, chunks, samples = read(path)
    assert audio.sample_rate_hz == {4000: 16_000, 96_000: 48_000}.get(rate_hz, rate_hz)
    assert audio.duration_s == pytest.approx(1.25, abs=1e-3)
    assert samples.dtype == np.int16 and samples.ndim == 1
    assert samples.size / audio.sample_rate_hz == pytest.approx(1.25, abs=2e-3)
    assert dominant_hz(samples, audio.sample_rate_hz) == pytest.approx(440, abs=2)
    assert np.abs(samples.astype(int)).max() == pytest.approx(16_384, rel=0.03)
    assert [chunk.size for chunk in chunks[:-1]] == [audio.sample_rate_hz // 2] * 2


@pytest.mark.parametrize(
    ("suffix", "codec", "tolerance"),
    [
        ("wav", "pcm_u8", 0.02), ("wav", "pcm_s24le", 1e-4), ("wav", "pcm_s32le", 1e-4), ("wav", "pcm_f32le", 1e-4),
        ("wav", "pcm_f64le", 1e-4), ("wav", "pcm_mulaw", 0.05), ("wav", "pcm_alaw", 0.05), ("flac", "flac", 1e-4),
        ("mp3", "libmp3lame", 0.05), ("ogg", "libvorbis", 0.05), ("ogg", "libopus", 0.1), ("m4a", "aac", 0.1),
        ("aiff", "pcm_s16be", 1e-4),
    ],
)  # fmt: skip
@pytest.mark.parametrize("channels", [1, 2])
def test_formats(tmp_path, suffix, codec, tolerance, channels):
    rate_hz = 48_000
    wave = sounds.tone(1.0, rate_hz)
    path = sounds.write(tmp_path / f"a.{suffix}", np.stack([wave] * channels), rate_hz, codec)
    audio, _, samples = read(path)
    assert audio.sample_rate_hz == rate_hz
    assert samples.size / rate_hz == pytest.approx(1.0, abs=0.05)
    assert dominant_hz(samples, rate_hz) == pytest.approx(440, abs=2)
    loudness = np.sqrt(np.mean((samples[4800:-9600] / 32768.0) ** 2))
    assert loudness == pytest.approx(0.5 / np.sqrt(2), rel=max(tolerance, 2e-3))


def test_int16_wav_is_exact(tmp_path):
    samples = np.random.default_rng(0).integers(-32768, 32768, 12_345).astype(np.int16)
    _, _, got = read(sounds.write_wav(tmp_path / "a.wav", samples, 16_000), chunk_s=0.123)
    np.testing.assert_array_equal(got, samples)


def test_stereo_is_averaged(tmp_path):
    left = np.full(8000, 8000, np.int16)
    path = sounds.write_wav(tmp_path / "a.wav", np.stack([left, -left // 2], axis=1), 16_000, channels=2)
    _, _, got = read(path)
    assert got[100:-100] == pytest.approx(np.full(7800, 2000), abs=1)


def test_floats_beyond_full_scale_are_clipped(tmp_path):
    _, _, got = read(sounds.write_wav(tmp_path / "a.wav", np.array([0.0, 1.7, -1.7, 0.25], np.float32), 16_000))
    np.testing.assert_array_equal(got, [0, 32767, -32768, 8192])


def test_a_name_without_a_known_suffix_does_not_matter(tmp_path):
    path = sounds.write_wav(tmp_path / "speech of ünïcode.bin", np.ones(100, np.int16), 8000)
    assert read(path)[2].size == 100


def test_standard_input(tmp_path):
    path = sounds.write_wav(tmp_path / "a.wav", np.ones(16_000, np.int16), 16_000)
    script = "from avatar_client.media import AudioFile; print(sum(c.size for c in AudioFile('-').chunks()))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with open(path, "rb") as file:
        done = subprocess.run(
            [sys.executable, "-c", script], stdin=file, capture_output=True, text=True, env=environment
        )
    assert done.stdout.strip() == "16000", done.stderr


def _text(path):
    path.write_text("This is no sound, whatever its name says.\n" * 40)


def _picture(path):
    from avatar_client.pictures import png

    path.write_bytes(png(np.zeros((8, 8, 3), np.uint8)))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        pytest.param(lambda path: None, "there is no file", id="missing"),
        pytest.param(lambda path: path.mkdir(), "got a folder", id="folder"),
        pytest.param(lambda path: path.write_bytes(b""), "is empty: 0 bytes", id="empty"),
        pytest.param(_text, "not a sound file", id="text"),
        pytest.param(lambda path: path.write_bytes(bytes(range(256)) * 40), "not a sound file", id="bytes"),
        pytest.param(lambda path: path.write_bytes(b"RIFF"), "not a sound file", id="cut-header"),
        pytest.param(_picture, "audio stream, got video", id="picture"),
        pytest.param(
            lambda path: sounds.write_wav(path, np.zeros(0, np.int16), 16_000), "0 samples at 16000 Hz", id="no-samples"
        ),
    ],
)
def test_what_is_no_sound_is_refused_on_opening(tmp_path, make, words):
    path = tmp_path / "a.wav"
    make(path)
    with pytest.raises(InvalidAudio, match=words) as caught:
        AudioFile(path)
    assert str(path) in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_refused(tmp_path):
    path = sounds.write_wav(tmp_path / "a.wav", np.ones(10, np.int16), 16_000)
    path.chmod(0)
    with pytest.raises(InvalidAudio, match="permission denied"):
        AudioFile(path)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_samples_that_are_not_finite_are_refused_with_their_time(tmp_path, channels, bad):
    samples = np.zeros((48_000, channels), np.float32)
    samples[36_000, channels - 1] = bad
    path = sounds.write_wav(tmp_path / "a.wav", samples, 16_000, channels=channels)
    with AudioFile(path) as audio, pytest.raises(InvalidAudio, match=r"NaN or infinity at 2\.250 s"):
        list(audio.chunks())


def test_a_file_that_was_cut_off_gives_what_is_there(tmp_path):
    whole = sounds.write(tmp_path / "a.mp3", sounds.tone(2.0, 44_100)[None], 44_100, "libmp3lame")
    whole.write_bytes(whole.read_bytes()[:-3000])
    assert 1.5 < read(whole)[2].size / 44_100 < 2.0
    wav = sounds.write_wav(tmp_path / "b.wav", np.ones(8000, np.int16), 16_000, claimed_samples=80_000)
    assert read(wav)[2].size == 8000


def test_delivered_rates():
    assert [delivered_rate_hz(rate) for rate in (6000, 7999, 8000, 48_000, 48_001, 192_000)] == [
        16_000,
        16_000,
        8000,
        48_000,
        48_000,
        48_000,
    ]


@pytest.mark.slow
def test_three_hours_are_read_in_bounded_memory(tmp_path):
    path = sounds.write_silent_hours(tmp_path / "long.wav", 3.0, 16_000)
    with AudioFile(path) as audio:
        assert audio.duration_s == pytest.approx(3 * 3600)
        chunks = audio.chunks(0.5)
        next(chunks)
        before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        samples = 8_000 + sum(chunk.size for chunk in chunks)
        grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib
    assert samples == 3 * 3600 * 16_000
    assert grown_kib < 32 * 1024
