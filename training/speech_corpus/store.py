"""Utterances with phone times, and the shard files that keep them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avatar.config import SAMPLE_RATE_HZ


@dataclass(frozen=True, slots=True)
class Phone:
    """One phone on the clock of its utterance.

    Attributes:
        ipa: IPA symbol without stress marks, for example `ɑː` or `tʃ`; the empty string is silence.
        start_s: where it begins.
        end_s: where it ends, equal to the start of the next phone.
        stress: 0 none, 1 secondary, 2 primary.
    """

    ipa: str
    start_s: float
    end_s: float
    stress: int = 0


@dataclass(frozen=True, slots=True)
class Utterance:
    """One sentence as spoken by one voice.

    Attributes:
        audio: float32 [samples], 16 kHz mono in [-1, 1].
        phones: cover the audio from its first to its last sample without gaps.
        text: what was said.
        voice: engine and voice, for example `espeak:de+f2`.
    """

    audio: np.ndarray
    phones: tuple[Phone, ...]
    text: str
    voice: str

    @property
    def duration_s(self) -> float:
        return len(self.audio) / SAMPLE_RATE_HZ


def write_shard(path: Path, utterances: list[Utterance]) -> None:
    """Writes utterances to one `.npz`, atomically, audio as int16."""
    phones = [phone for utterance in utterances for phone in utterance.phones]
    partial = path.with_suffix(".partial.npz")
    np.savez(
        partial,
        audio=np.concatenate([np.round(u.audio * 32767).astype(np.int16) for u in utterances]),
        audio_ends=np.cumsum([len(u.audio) for u in utterances]),
        phone_ipa=np.array([p.ipa for p in phones]),
        phone_start_s=np.array([p.start_s for p in phones]),
        phone_end_s=np.array([p.end_s for p in phones]),
        phone_stress=np.array([p.stress for p in phones], dtype=np.uint8),
        phone_ends=np.cumsum([len(u.phones) for u in utterances]),
        text=np.array([u.text for u in utterances]),
        voice=np.array([u.voice for u in utterances]),
    )
    partial.replace(path)


def read_shard(path: Path) -> list[Utterance]:
    """Reads what `write_shard` wrote."""
    with np.load(path) as shard:
        columns = {name: shard[name] for name in shard.files}
    phones = [
        Phone(str(ipa), float(start_s), float(end_s), int(stress))
        for ipa, start_s, end_s, stress in zip(
            columns["phone_ipa"], columns["phone_start_s"], columns["phone_end_s"], columns["phone_stress"], strict=True
        )
    ]
    utterances, audio_start, phone_start = [], 0, 0
    for audio_end, phone_end, text, voice in zip(
        columns["audio_ends"], columns["phone_ends"], columns["text"], columns["voice"], strict=True
    ):
        audio = columns["audio"][audio_start:audio_end].astype(np.float32) / 32767
        utterances.append(Utterance(audio, tuple(phones[phone_start:phone_end]), str(text), str(voice)))
        audio_start, phone_start = audio_end, phone_end
    return utterances


def conform(
    audio: np.ndarray, rate_hz: float, phones: list[Phone], speed: float = 1.0
) -> tuple[np.ndarray, tuple[Phone, ...]]:
    """Brings engine output to 16 kHz, -20 dBFS and gap-free phones.

    Args:
        audio: float [samples] at `rate_hz`.
        rate_hz: rate of `audio`.
        phones: in order of time, on the clock of `audio`.
        speed: above 1 plays faster, with pitch and formants raised by the same factor (a smaller speaker).

    Returns:
        float32 [samples] at 16 kHz whose root mean square over the phones that sound is 0.1, peaks at most 1;
        phones that cover it without gaps.
    """
    import soxr

    audio = soxr.resample(np.asarray(audio, dtype=np.float32), rate_hz * speed, SAMPLE_RATE_HZ, quality="HQ")
    duration_s = len(audio) / SAMPLE_RATE_HZ
    starts_s = np.clip([phone.start_s / speed for phone in phones], 0.0, duration_s)
    starts_s[0] = 0.0
    ends_s = [*starts_s[1:], duration_s]
    sounding = np.zeros(len(audio), dtype=bool)
    conformed = []
    for phone, start_s, end_s in zip(phones, starts_s, ends_s, strict=True):
        if end_s <= start_s:
            continue
        conformed.append(Phone(phone.ipa, float(start_s), float(end_s), phone.stress))
        if phone.ipa:
            sounding[int(start_s * SAMPLE_RATE_HZ) : int(end_s * SAMPLE_RATE_HZ)] = True
    root_mean_square = float(np.sqrt(np.mean(audio[sounding] ** 2))) if sounding.any() else 1.0
    audio = audio * (0.1 / max(root_mean_square, 1e-4))
    return np.clip(audio, -1.0, 1.0).astype(np.float32), tuple(conformed)
