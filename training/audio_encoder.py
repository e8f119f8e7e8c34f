"""What teaches the audio encoder to hear: the phone of every row, from the corpus' exact times."""

import unicodedata
from functools import cache

import numpy as np
import torch
from torch import nn

from avatar.config import FEATURE_HOP_SAMPLES, FEATURE_RATE_HZ, SAMPLE_RATE_HZ
from avatar.networks.audio_encoder import FEATURE_DIM, RECEPTIVE_FIELD_SAMPLES
from avatar.visemes import VISEMES, visemes_of
from training.speech_corpus import Phone

PHONES = (
    "", "p", "b", "m", "f", "v", "β", "θ", "ð", "t", "d", "ɖ", "ʈ", "r", "ɾ", "k", "g", "ɡ", "x", "ɣ", "ʁ", "ŋ", "c",
    "ɟ", "ç", "tʃ", "dʒ", "ʃ", "ʒ", "tɕ", "dʑ", "ɕ", "ʂ", "s", "z", "ts", "n", "ɲ", "ɳ", "l", "ɫ", "ʎ", "ɹ", "h", "ʔ",
    "a", "ɑ", "æ", "ə", "ʌ", "ɐ", "ɜ", "e", "ɛ", "ɪ", "ɨ", "ɯ", "i", "j", "ɔ", "ɒ", "œ", "o", "ʊ", "ø", "ɵ", "u", "w",
    "y", "ʉ", "ʋ", "ʍ", "ɚ", "ᵻ",
)  # fmt: skip
"""Classes of the phone head; the empty string is silence. Diphthongs are two of them in sequence."""

_INDEX = {phone: index for index, phone in enumerate(PHONES)}
OTHER = len(PHONES)
"""Class of a phone that the table lacks; the loss passes it over."""


def classes_of(ipa: str) -> list[int]:
    """Classes in sequence, affricates as one."""
    if not ipa:
        return [0]
    classes, position = [], 0
    ipa = "".join(symbol if symbol in _INDEX else unicodedata.normalize("NFD", symbol) for symbol in ipa)
    while position < len(ipa):
        for length in (2, 1):
            symbol = ipa[position : position + length]
            if len(symbol) == length and symbol in _INDEX:
                classes.append(_INDEX[symbol])
                position += length
                break
        else:
            position += 1
    if classes:
        return classes
    return [OTHER] if visemes_of(ipa) != (VISEMES[0],) else [0]


def phone_rows(phones: tuple[Phone, ...], rows: int) -> np.ndarray:
    """Class [rows] uint8 at the center of each row of 20 ms."""
    ends_s, classes = [], []
    for phone in phones:
        parts = classes_of(phone.ipa)
        for part, index in enumerate(parts):
            classes.append(index)
            ends_s.append(phone.start_s + (phone.end_s - phone.start_s) * (part + 1) / len(parts))
    times_s = (np.arange(rows) + 0.5) / FEATURE_RATE_HZ
    return np.array(classes, np.uint8)[np.clip(np.searchsorted(ends_s, times_s, side="right"), 0, len(classes) - 1)]


class PhoneHead(nn.Module):
    """Features to phone logits. Only training uses it."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(FEATURE_DIM, len(PHONES))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """[batch, rows, 768] to [batch, rows, phones]."""
        return self.linear(features)


BILABIALS = ("p", "b", "m")
BILABIAL_WEIGHT = 2.0
"""What a row of them counts: nothing else that is misheard shows as much on the lips."""


@cache
def _phone_weights() -> torch.Tensor:
    weights = torch.ones(len(PHONES))
    weights[[_INDEX[phone] for phone in BILABIALS]] = BILABIAL_WEIGHT
    return weights


def phone_loss(logits: torch.Tensor, phone: torch.Tensor) -> torch.Tensor:
    """Cross-entropy per row, `BILABIALS` by their weight.

    Args:
        logits: [batch, rows, phones].
        phone: int64 [batch, rows].

    Returns:
        [batch, rows], 0 where the phone is `OTHER`.
    """
    weights = _phone_weights().to(logits)
    return nn.functional.cross_entropy(logits.transpose(1, 2), phone, weights, ignore_index=OTHER, reduction="none")


MEL_BANDS = 64
MEL_RANGE_HZ = (60.0, 7600.0)
SPECTRUM_FLOOR = 1e-3
"""Added to the power of a band: 30 dB under a sound of unit variance whose power is spread over all bands evenly."""


def mel_filters(bins: int) -> torch.Tensor:
    """[bins, MEL_BANDS] triangles, evenly spaced on the mel scale of O'Shaughnessy (1987), each of sum 1."""
    low, high = (2595.0 * np.log10(1.0 + frequency_hz / 700.0) for frequency_hz in MEL_RANGE_HZ)
    corners_hz = 700.0 * (10.0 ** (np.linspace(low, high, MEL_BANDS + 2) / 2595.0) - 1.0)
    frequency_hz = np.linspace(0.0, SAMPLE_RATE_HZ / 2, bins)[:, None]
    rising = (frequency_hz - corners_hz[:-2]) / (corners_hz[1:-1] - corners_hz[:-2])
    falling = (corners_hz[2:] - frequency_hz) / (corners_hz[2:] - corners_hz[1:-1])
    filters = np.maximum(0.0, np.minimum(rising, falling))
    return torch.from_numpy((filters / np.maximum(filters.sum(axis=0), 1e-9)).astype(np.float32))


def log_mel(normalized: torch.Tensor) -> torch.Tensor:
    """Spectrum of the 25 ms under each row.

    Args:
        normalized: float32 [batch, samples], see `AudioEncoder.normalize`.

    Returns:
        float32 [batch, rows, MEL_BANDS], natural logarithm of the power.
    """
    frames = normalized.unfold(1, RECEPTIVE_FIELD_SAMPLES, FEATURE_HOP_SAMPLES)
    window = torch.hann_window(RECEPTIVE_FIELD_SAMPLES, device=normalized.device)
    power = torch.fft.rfft(frames * window, n=1024).abs().square() / RECEPTIVE_FIELD_SAMPLES
    return torch.log(power @ mel_filters(power.shape[-1]).to(power) + SPECTRUM_FLOOR)


class SpectrumHead(nn.Module):
    """A linear reading of the log-mel spectrum from the encoder's convolutions: what they must keep of the sound.

    Convolutions over raw audio learn slowly from phones alone; the spectrum tells them at once what to pass on.
    """

    def __init__(self, conv_dim: int):
        super().__init__()
        self.linear = nn.Linear(conv_dim, MEL_BANDS)

    def forward(self, convolved: torch.Tensor) -> torch.Tensor:
        """[batch, rows, conv_dim] of `AudioEncoder.convolve` to [batch, rows, MEL_BANDS]."""
        return self.linear(convolved)


def spectrum_loss(predicted: torch.Tensor, normalized: torch.Tensor) -> torch.Tensor:
    """Mean absolute error of the log-mel spectrum, in its unit (1 is 4.3 dB)."""
    return (predicted.float() - log_mel(normalized)).abs().mean()


def distillation_loss(features: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """How far the features are from another encoder's: squared error, angle, and error of the change from row to row.

    Both have the same interface, so they are compared as they are: a motion network trained on the teacher's features
    understands a student's.

    Args:
        features, teacher: [batch, rows, 768].
    """
    change, teacher_change = features[:, 1:] - features[:, :-1], teacher[:, 1:] - teacher[:, :-1]
    scale = teacher.square().mean() + 1e-6
    squared = (features - teacher).square().mean() / scale
    angle = 1.0 - nn.functional.cosine_similarity(features, teacher, dim=-1).mean()
    return squared + angle + (change - teacher_change).square().mean() / scale
