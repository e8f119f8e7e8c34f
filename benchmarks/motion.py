"""How well the motion follows held-out speech: `python -m benchmarks.motion --speech .data/speech`.

Every sentence goes through the streaming windows and the motion track that a session uses, and is compared with the
teacher. Needs the validation shards of `python -m training.speech_corpus`.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avatar.config import FEATURE_RATE_HZ, SAMPLE_RATE_HZ, WindowConfig
from avatar.motion import Motion
from avatar.speech import Speech
from avatar.visemes import VISEME_INDEX
from training.motion.lip_gap import LipGap
from training.speech_corpus import Utterance, read_shard
from training.speech_corpus.pauses import with_pauses
from training.teacher import Targets, teach
from training.teacher.track import VOWEL_INDICES

CLOSED_MM = 1.0
"""Lips count as closed below this mean opening, 1 % of the face's height."""

LONGEST_LAG_ROWS = 10
SETTLED_SILENCE_ROWS = 12
"""Silence is judged from this long after speech and before it: the lips ease in and out."""

Networks = Callable[[np.ndarray], Motion]


def load_networks(repository: Path, threads: int) -> Networks:
    """The two stages from the model repository, run by ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    encoder, motion = (
        onnxruntime.InferenceSession(str(repository / stage / "1" / "model.onnx"), options, ["CPUExecutionProvider"])
        for stage in ("audio_encoder", "motion")
    )

    def run(windows: np.ndarray) -> Motion:
        (features,) = encoder.run(["FEATURES"], {"AUDIO": windows})
        return Motion(*motion.run(["BLENDSHAPES", "POSE", "VISEME"], {"FEATURES": features}))

    return run


def stream(audio: np.ndarray, networks: Networks, window: WindowConfig) -> Motion:
    """The settled motion track of a whole sound.

    Args:
        audio: float32 [samples], 16 kHz.
        networks: windows [batch, window_samples] to motion rows.
        window: where the windows lie.

    Returns:
        One row per 20 ms of sound.
    """
    speech = Speech(SAMPLE_RATE_HZ, window)
    speech.push(np.round(audio * 32767).astype(np.int16))
    speech.end()
    rows = len(audio) * FEATURE_RATE_HZ // SAMPLE_RATE_HZ
    for item in speech.windows(len(audio) / SAMPLE_RATE_HZ):
        if not item.is_active:
            speech.settle(Motion.rest(window.window_rows))
            continue
        motion = networks(item.audio[None])
        speech.settle(Motion(motion.blendshapes[0], motion.pose[0], motion.viseme[0]))
    return Motion.unpack(np.stack([speech.track.sample((row + 0.5) / FEATURE_RATE_HZ).packed() for row in range(rows)]))


@dataclass(frozen=True, eq=False)
class Comparison:
    """One sentence, R rows.

    Attributes:
        targets: of the teacher.
        motion: of the networks.
        gap_mm: mean opening of the lips [R].
        target_gap_mm: the teacher's [R].
    """

    targets: Targets
    motion: Motion
    gap_mm: np.ndarray
    target_gap_mm: np.ndarray


def compare(
    utterance: Utterance, heard: np.ndarray, networks: Networks, window: WindowConfig, lips: LipGap
) -> Comparison:
    """Teaches the clean `utterance`, streams what is `heard` of it."""
    targets = teach(utterance)
    motion = stream(heard, networks, window)
    return Comparison(targets, motion, lips(motion.blendshapes), lips(targets.blendshapes))


def lag_ms(gap_mm: np.ndarray, target_mm: np.ndarray) -> float:
    """Time by which the lips follow the teacher's, positive when late: the peak of the cross-correlation, between rows
    by a parabola."""
    ours, theirs = gap_mm - gap_mm.mean(), target_mm - target_mm.mean()
    lags = np.arange(-LONGEST_LAG_ROWS, LONGEST_LAG_ROWS + 1)
    inner = slice(LONGEST_LAG_ROWS, -LONGEST_LAG_ROWS)
    scores = np.array([np.dot(np.roll(ours, -lag)[inner], theirs[inner]) for lag in lags])
    best = int(np.clip(np.argmax(scores), 1, len(lags) - 2))
    left, middle, right = scores[best - 1 : best + 2]
    fraction = 0.5 * (left - right) / (left - 2.0 * middle + right + 1e-12)
    return float((lags[best] + fraction) * 1000.0 / FEATURE_RATE_HZ)


def closures(bilabial: np.ndarray) -> list[slice]:
    """Runs of rows in which the lips must be closed."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], bilabial.astype(int), [0]])))
    return [slice(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def settled_silence(viseme: np.ndarray) -> np.ndarray:
    """Rows of silence away from speech."""
    near = np.convolve((viseme != 0).astype(float), np.ones(2 * SETTLED_SILENCE_ROWS + 1), mode="same")
    return near == 0


def summarize(comparisons: list[Comparison]) -> dict[str, float]:
    """The measures of one set, by name of the column."""
    viseme = np.concatenate([c.targets.viseme for c in comparisons])
    predicted = np.concatenate([c.motion.viseme.argmax(axis=-1) for c in comparisons])
    gap = np.concatenate([c.gap_mm for c in comparisons])
    target = np.concatenate([c.target_gap_mm for c in comparisons])
    speech = viseme != 0
    closed = [c.gap_mm[rows].min() < CLOSED_MM for c in comparisons for rows in closures(c.targets.bilabial)]
    bilabial = np.concatenate([c.targets.bilabial for c in comparisons])
    silence = np.concatenate([settled_silence(c.targets.viseme) for c in comparisons])
    still = np.abs(np.diff(gap))[silence[1:] & silence[:-1]]
    open_vowels = np.isin(viseme, [VISEME_INDEX["AA"], VISEME_INDEX["AE"], VISEME_INDEX["AO"]])
    vowels = np.isin(viseme, VOWEL_INDICES)
    lips_error = np.abs(gap - target)
    return {
        "viseme %": 100.0 * np.mean(predicted == viseme),
        "in speech %": 100.0 * np.mean((predicted == viseme)[speech]),
        "closed m b p %": 100.0 * np.mean(closed),
        "gap m b p mm": np.maximum(gap[bilabial], 0.0).mean(),
        "gap open vowels mm": gap[open_vowels].mean(),
        "teacher's mm": target[open_vowels].mean(),
        "gap error mm": lips_error[vowels].mean(),
        "gap correlation": np.corrcoef(gap, target)[0, 1],
        "lag ms": float(np.mean([lag_ms(c.gap_mm, c.target_gap_mm) for c in comparisons])),
        "gap in silence mm": gap[silence].mean(),
        "its p99 mm": np.percentile(gap[silence], 99),
        "its motion mm": still.mean(),
    }


def with_noise(audio: np.ndarray, snr_db: float, seed: int) -> np.ndarray:
    """Pink noise under speech of root mean square 0.1."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(len(audio)))
    noise = np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(len(spectrum)), 20.0)), len(audio))
    noise *= 0.1 * 10 ** (-snr_db / 20) / np.sqrt(np.mean(noise**2))
    return np.clip(audio + noise, -1.0, 1.0).astype(np.float32)


CONDITIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "": lambda audio: audio,
    ", 10 dB noise": lambda audio: with_noise(audio, 10.0, seed=1),
    ", -36 dBFS": lambda audio: (audio * 10 ** (-16 / 20)).astype(np.float32),
}


def table(rows: dict[str, dict[str, float]]) -> str:
    """Markdown, one line per set."""
    names = list(next(iter(rows.values())))
    lines = ["| held-out set | " + " | ".join(names) + " |", "| --- |" + " --- |" * len(names)]
    for title, values in rows.items():
        lines.append(f"| {title} | " + " | ".join(f"{values[name]:.2f}" for name in names) + " |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.motion", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--speech", type=Path, default=Path(".data/speech"))
    parser.add_argument("--repository", type=Path, default=Path("model_repository"))
    parser.add_argument("--head", type=Path, default=Path("avatars/default/head.npz"))
    parser.add_argument("--sentences", type=int, default=40, help="of each set")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clean-only", action="store_true", help="leave out noise and quiet speech")
    options = parser.parse_args(arguments)

    networks, window, lips = (
        load_networks(options.repository, options.threads),
        WindowConfig(),
        LipGap.load(options.head),
    )
    shards = sorted((options.speech / "validation").glob("*.npz"))
    if not shards:
        parser.error(
            f"no validation shards in {options.speech}: run `python -m training.speech_corpus --out {options.speech}`"
        )
    conditions = {"": CONDITIONS[""]} if options.clean_only else CONDITIONS
    rows, spoken_s, started_s = {}, 0.0, time.monotonic()
    for shard in shards:
        rng = np.random.default_rng(0)
        utterances = [with_pauses(utterance, rng) for utterance in read_shard(shard)[: options.sentences]]
        for condition, change in conditions.items():
            comparisons = [compare(u, change(u.audio), networks, window, lips) for u in utterances]
            rows[f"{shard.stem}{condition}"] = summarize(comparisons)
            spoken_s += sum(u.duration_s for u in utterances)
    print(table(rows))
    pace = spoken_s / (time.monotonic() - started_s)
    print(f"\n{spoken_s:.0f} s of speech, {pace:.1f} x real time on {options.threads} threads, teacher included")


if __name__ == "__main__":
    main()
