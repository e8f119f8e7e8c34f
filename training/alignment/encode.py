"""Features of sounds of any length."""

import numpy as np
import torch

from avatar.config import FEATURE_HOP_SAMPLES
from avatar.networks.audio_encoder import AudioEncoder

PIECE_ROWS, MARGIN_ROWS = 150, 25
"""The encoder sees 3 s at once; the rows of the half seconds at either end come from the pieces beside them."""


@torch.inference_mode()
def encode(encoder: AudioEncoder, audio: np.ndarray) -> torch.Tensor:
    """Encodes a sound piece by piece.

    Args:
        encoder: in evaluation mode.
        audio: float32 [samples], 16 kHz, at least 320.

    Returns:
        float32 [samples / 320, 768].
    """
    rows, taken_rows = len(audio) // FEATURE_HOP_SAMPLES, PIECE_ROWS - 2 * MARGIN_ROWS
    parts = []
    for begin in range(0, rows, taken_rows):
        first, last = max(0, begin - MARGIN_ROWS), min(rows, begin + taken_rows + MARGIN_ROWS)
        piece = audio[first * FEATURE_HOP_SAMPLES : last * FEATURE_HOP_SAMPLES].astype(np.float32)
        parts.append(encoder(torch.from_numpy(piece)[None])[0, begin - first : begin - first + taken_rows])
    return torch.cat(parts).clone()
