"""How far lips are from the sound, and how sure the judge is of it.

As in SyncNet's evaluation: the distance of sound and motion is averaged over all clips for every offset up to 300 ms;
its minimum is the distance at the best offset (LSE-D), the median minus the minimum the confidence (LSE-C). Both
embeddings have length 1, so distances lie in [0, 2] and are not SyncNet's own, which reads pictures.
"""

from dataclasses import dataclass

import numpy as np
import torch

from avatar.config import FEATURE_HOP_SAMPLES, FEATURE_RATE_HZ
from training.motion.sync.contrast import spoken_clips
from training.motion.sync.network import CLIP_ROWS, SyncNetwork

LARGEST_OFFSET_ROWS = 15


@dataclass(frozen=True, slots=True)
class SyncMeasure:
    """Of one or more sounds.

    Attributes:
        offset_ms: by which the lips are late; negative where they lead.
        distance: at that offset, in [0, 2]; less is better.
        confidence: median over all offsets minus `distance`; more is better.
    """

    offset_ms: float
    distance: float
    confidence: float


def offset_distances(
    network: SyncNetwork, audio: np.ndarray, blendshapes: np.ndarray, viseme: np.ndarray
) -> np.ndarray:
    """Sums over the spoken clips of one sound, so that those of several can be added.

    Args:
        network: the judge.
        audio: float32 [samples], 16 kHz, at least 320·R.
        blendshapes: [R, 52].
        viseme: int [R] as truly spoken, 0 in silence.

    Returns:
        float64 [31, 2]: for lips that are late by -15 to 15 rows, the sum of distances and the number of clips.
    """
    sums = np.zeros((2 * LARGEST_OFFSET_ROWS + 1, 2))
    rows = min(len(blendshapes), len(audio) // FEATURE_HOP_SAMPLES)
    if rows < CLIP_ROWS:
        return sums
    with torch.inference_mode():
        sound = network.embed_sound(torch.from_numpy(audio[None, : rows * FEATURE_HOP_SAMPLES].astype(np.float32)))[0]
        motion = network.embed_motion(torch.from_numpy(blendshapes[None, :rows].astype(np.float32)))[0]
    spoken = spoken_clips(torch.from_numpy(viseme[None, :rows].astype(np.int64)))[0].numpy()
    distances = torch.cdist(sound, motion).double().numpy()
    count = len(spoken)
    for number, late in enumerate(range(-LARGEST_OFFSET_ROWS, LARGEST_OFFSET_ROWS + 1)):
        clip = np.arange(max(0, -late), min(count, count - late))
        clip = clip[spoken[clip]]
        sums[number] = distances[clip, clip + late].sum(), len(clip)
    return sums


def measure(sums: np.ndarray) -> SyncMeasure:
    """Of added `offset_distances`; the offset lies between rows by a parabola.

    Raises:
        ValueError: if an offset has no clip, as where a sound is shorter than 600 ms.
    """
    if (sums[:, 1] == 0).any():
        raise ValueError("sync needs speech of 600 ms or more, got an offset without any clip: give longer sounds")
    mean = sums[:, 0] / sums[:, 1]
    best = int(np.clip(mean.argmin(), 1, len(mean) - 2))
    left, middle, right = mean[best - 1 : best + 2]
    fraction = np.clip(0.5 * (left - right) / (left - 2.0 * middle + right + 1e-12), -1.0, 1.0)
    offset_ms = (best + fraction - LARGEST_OFFSET_ROWS) * 1000.0 / FEATURE_RATE_HZ
    return SyncMeasure(float(offset_ms), float(mean.min()), float(np.median(mean) - mean.min()))
