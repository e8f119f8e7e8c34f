"""How well the motion follows held-out speech: `python -m benchmarks.motion --speech .data/speech`.

Every sentence goes through the streaming windows and the motion track that a session uses, and is compared with the
teacher. Needs the validation shards of `python -m training.speech_corpus`; with `--recordings` there it also makes
those of recorded people. A second table tells of the face beside the lips: jitter, blinks, gaze, path of the head.
`--sync .data/motion/sync.pt` adds what a judge of `python -m training.motion.sync` finds: offset, distance, confidence.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from avatar.blendshapes import INDEX
from avatar.config import FEATURE_RATE_HZ, FRAME_SIZE, SAMPLE_RATE_HZ, WindowConfig
from avatar.head import Head
from avatar.motion import Motion
from avatar.rasterizer.camera import Camera
from avatar.session import Session
from avatar.session_config import LOOKAHEADS_MS, SessionConfig
from avatar.speech import Speech, Window, whole_features
from avatar.visemes import VISEME_INDEX
from training.motion.lip_gap import LipGap
from training.motion.spectrum import BANDS_HZ, SEGMENT_ROWS, velocity_power
from training.speech_corpus import Utterance, augment, read_shard
from training.speech_corpus.pauses import with_pauses
from training.teacher import Targets, teach
from training.teacher.track import VOWEL_INDICES

if TYPE_CHECKING:
    from training.motion.sync.network import SyncNetwork

CLOSED_MM = 1.0
"""Lips count as closed below this mean opening, 1 % of the face's height."""

LONGEST_LAG_ROWS = 10
ALIGNMENT_ROWS = 2
"""By so much the phone times of recorded people may be off: a closure counts if the lips meet within 40 ms of it."""

SETTLED_SILENCE_ROWS = 12
"""Silence is judged from this long after speech and before it: the lips ease in and out."""


class Networks:
    """The two stages from the model repository, run by ONNX Runtime."""

    def __init__(self, repository: Path, threads: int):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._encoder, self._motion = (
            onnxruntime.InferenceSession(
                str(repository / stage / "1" / "model.onnx"), options, ["CPUExecutionProvider"]
            )
            for stage in ("audio_encoder", "motion")
        )

    def encode(self, audio: np.ndarray) -> np.ndarray:
        """[samples] float32 to [rows, 768] float16."""
        return self._encoder.run(["FEATURES"], {"AUDIO": audio[None]})[0][0]

    def move(self, features: np.ndarray) -> Motion:
        """[rows, 768] float16 to motion rows."""
        rows = self._motion.run(["BLENDSHAPES", "POSE", "VISEME"], {"FEATURES": features[None]})
        return Motion(*(batch[0] for batch in rows))

    def motions(self, windows: Iterator[Window], config: WindowConfig) -> Iterator[Motion | None]:
        """The motion of each window as a session gets it, None where the networks rest."""
        features = None
        for window in windows:
            features = whole_features(self.encode(window.audio), features, config) if window.is_active else None
            yield None if features is None else self.move(features)


def stream(audio: np.ndarray, networks: Networks, window: WindowConfig) -> Motion:
    """The settled motion track of a whole sound.

    Args:
        audio: float32 [samples], 16 kHz.
        window: where the windows lie.

    Returns:
        One row per 20 ms of sound.
    """
    speech = Speech(SAMPLE_RATE_HZ, window)
    speech.push(np.round(audio * 32767).astype(np.int16))
    speech.end()
    rows = len(audio) * FEATURE_RATE_HZ // SAMPLE_RATE_HZ
    for motion in networks.motions(speech.windows(len(audio) / SAMPLE_RATE_HZ), window):
        speech.settle(motion or Motion.rest(window.window_rows))
    return Motion.unpack(np.stack([speech.track.sample((row + 0.5) / FEATURE_RATE_HZ).packed() for row in range(rows)]))


@dataclass(frozen=True, eq=False)
class Comparison:
    """One sentence, R rows.

    Attributes:
        audio: as spoken, undisturbed, float32 [samples].
        targets: of the teacher.
        motion: of the networks.
        gap_mm: mean opening of the lips [R].
        target_gap_mm: the teacher's [R].
        slack_rows: by so much its phone times may be off.
    """

    audio: np.ndarray
    targets: Targets
    motion: Motion
    gap_mm: np.ndarray
    target_gap_mm: np.ndarray
    slack_rows: int = 0


def compare(
    utterance: Utterance, heard: np.ndarray, networks: Networks, window: WindowConfig, lips: LipGap
) -> Comparison:
    """Teaches the clean `utterance`, streams what is `heard` of it."""
    targets = teach(utterance)
    motion = stream(heard, networks, window)
    slack_rows = ALIGNMENT_ROWS if utterance.voice.startswith("recorded") else 0
    return Comparison(utterance.audio, targets, motion, lips(motion.blendshapes), lips(targets.blendshapes), slack_rows)


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


def agrees_nearby(predicted: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Frames whose predicted class is the label there or one row (20 ms) away, as far as engines round phone times."""
    padded = np.pad(labels, 1, mode="edge")
    return (predicted == labels) | (predicted == padded[:-2]) | (predicted == padded[2:])


def settled_silence(viseme: np.ndarray) -> np.ndarray:
    """Rows of silence away from speech."""
    near = np.convolve((viseme != 0).astype(float), np.ones(2 * SETTLED_SILENCE_ROWS + 1), mode="same")
    return near == 0


def velocity_shares(comparisons: list[Comparison]) -> dict[str, float]:
    """Velocity of all coefficients against the teacher's, as root mean square in each band, %; NaN where no sentence is
    long enough. Below 100 motion was averaged; above, it moves more than it should."""
    ours, theirs = (
        [velocity_power(rows) for rows in sequences if len(rows) > SEGMENT_ROWS]
        for sequences in ([c.motion.blendshapes for c in comparisons], [c.targets.blendshapes for c in comparisons])
    )
    return {
        f"{band} velocity %": 100.0 * np.sqrt(np.sum([p[band] for p in ours]) / np.sum([p[band] for p in theirs]))
        if theirs
        else float("nan")
        for band in BANDS_HZ
    }


def sync_measures(comparisons: list[Comparison], judge: "SyncNetwork") -> dict[str, float]:
    """What the judge finds for the networks' motion, and how sure it is of the teacher's."""
    from training.motion.sync.measure import measure, offset_distances

    ours, theirs = (
        measure(sum(offset_distances(judge, c.audio, rows, c.targets.viseme) for c, rows in pairs))
        for pairs in (
            [(c, c.motion.blendshapes) for c in comparisons],
            [(c, c.targets.blendshapes) for c in comparisons],
        )
    )
    return {
        "sync offset ms": ours.offset_ms,
        "distance": ours.distance,
        "confidence": ours.confidence,
        "teacher's offset ms": theirs.offset_ms,
        "its distance": theirs.distance,
        "its confidence": theirs.confidence,
    }


def summarize(comparisons: list[Comparison]) -> dict[str, float]:
    """The measures of one set, by name of the column."""
    viseme = np.concatenate([c.targets.viseme for c in comparisons])
    predicted = np.concatenate([c.motion.viseme.argmax(axis=-1) for c in comparisons])
    near = np.concatenate([agrees_nearby(c.motion.viseme.argmax(axis=-1), c.targets.viseme) for c in comparisons])
    gap = np.concatenate([c.gap_mm for c in comparisons])
    target = np.concatenate([c.target_gap_mm for c in comparisons])
    speech = viseme != 0
    closed = [
        c.gap_mm[max(0, rows.start - c.slack_rows) : rows.stop + c.slack_rows].min() < CLOSED_MM
        for c in comparisons
        for rows in closures(c.targets.bilabial)
    ]
    bilabial = np.concatenate([c.targets.bilabial for c in comparisons])
    silence = np.concatenate([settled_silence(c.targets.viseme) for c in comparisons])
    still = np.abs(np.diff(gap))[silence[1:] & silence[:-1]]
    open_vowels = np.isin(viseme, [VISEME_INDEX["AA"], VISEME_INDEX["AE"], VISEME_INDEX["AO"]])
    vowels = np.isin(viseme, VOWEL_INDICES)
    lips_error = np.abs(gap - target)
    return {
        "viseme %": 100.0 * np.mean(predicted == viseme),
        "within 20 ms %": 100.0 * np.mean(near),
        "in speech %": 100.0 * np.mean((predicted == viseme)[speech]),
        "closed m b p %": 100.0 * np.mean(closed),
        "gap m b p mm": np.maximum(gap[bilabial], 0.0).mean(),
        "gap open vowels mm": gap[open_vowels].mean(),
        "teacher's mm": target[open_vowels].mean(),
        "gap error mm": lips_error[vowels].mean(),
        "gap correlation": np.corrcoef(gap, target)[0, 1],
        "lag ms": float(np.mean([lag_ms(c.gap_mm, c.target_gap_mm) for c in comparisons])),
        "open / m b p": gap[open_vowels].mean() / max(0.1, np.maximum(gap[bilabial], 0.0).mean()),
        "gap in silence mm": gap[silence].mean(),
        "its p99 mm": np.percentile(gap[silence], 99),
        "its motion mm": still.mean(),
        **velocity_shares(comparisons),
    }


def with_noise(audio: np.ndarray, snr_db: float, seed: int) -> np.ndarray:
    """Pink noise under speech of root mean square 0.1."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(len(audio)))
    noise = np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(len(spectrum)), 20.0)), len(audio))
    noise *= 0.1 * 10 ** (-snr_db / 20) / np.sqrt(np.mean(noise**2))
    return np.clip(audio + noise, -1.0, 1.0).astype(np.float32)


def by_telephone(audio: np.ndarray) -> np.ndarray:
    """8 kHz, 300 to 3400 Hz, mu-law of 8 bits (ITU-T G.711)."""
    import soxr
    from scipy.signal import butter, sosfiltfilt

    narrow = sosfiltfilt(butter(4, (300, 3400), "band", fs=SAMPLE_RATE_HZ, output="sos"), audio)
    narrow = soxr.resample(narrow.astype(np.float32), SAMPLE_RATE_HZ, 8000)
    compressed = np.sign(narrow) * np.log1p(255 * np.abs(narrow).clip(0, 1)) / np.log(256)
    compressed = np.round(compressed * 127) / 127
    narrow = np.sign(compressed) * (256 ** np.abs(compressed) - 1) / 255
    wide = soxr.resample(narrow.astype(np.float32), 8000, SAMPLE_RATE_HZ)
    return np.pad(wide, (0, max(0, len(audio) - len(wide))))[: len(audio)].astype(np.float32)


def at_level(audio: np.ndarray, level_db: float) -> np.ndarray:
    """The sound at a level, root mean square against full scale, clipped where it is louder than that."""
    return np.clip(audio * (10 ** (level_db / 20) / augment.SPEECH_RMS), -1.0, 1.0).astype(np.float32)


def with_second_voice(audio: np.ndarray) -> np.ndarray:
    """The same voice with other words, 6 dB below: the sound itself, later and from its middle on."""
    other = np.roll(audio, len(audio) // 2 + 1234)
    return np.clip(audio + 0.5 * other, -1.0, 1.0).astype(np.float32)


CONDITIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "": lambda audio: audio,
    ", 10 dB noise": lambda audio: with_noise(audio, 10.0, seed=1),
    ", 0 dB noise": lambda audio: with_noise(audio, 0.0, seed=2),
    ", telephone": by_telephone,
    ", -36 dBFS": lambda audio: at_level(audio, -36.0),
    ", -6 dBFS": lambda audio: at_level(audio, -6.0),
    ", two voices": with_second_voice,
}
DISTURBED = "festival"
"""The set that is also heard under all conditions."""

WITHOUT_SPEECH: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "silence": lambda rng, count: np.zeros(count),
    "white noise, -30 dBFS": lambda rng, count: 0.03 * rng.standard_normal(count),
    "hum": lambda rng, count: 0.03 * augment.hum(rng, count),
    "music": lambda rng, count: 0.05 * augment.music(rng, count),
    "typing": lambda rng, count: 0.05 * augment.clicks(rng, count),
}


def without_speech(networks: Networks, window: WindowConfig, lips: LipGap) -> dict[str, dict[str, float]]:
    """What 10 s without speech do to the lips."""
    rows = {}
    for name, make in WITHOUT_SPEECH.items():
        audio = make(np.random.default_rng(0), 10 * SAMPLE_RATE_HZ).astype(np.float32)
        gap_mm = lips(stream(audio, networks, window).blendshapes)
        rows[name] = {
            "largest opening beyond rest mm": float((gap_mm - lips.rest.mean()).max()),
            "mean motion mm a frame": float(np.abs(np.diff(gap_mm)).mean()),
        }
    return rows


def face_measures(audio: np.ndarray, networks: Networks, head: Head, camera: Camera, fps: int = 30) -> dict[str, float]:
    """The face of a session beside its lips, over all of `audio` (float32, 16 kHz)."""
    from scipy.signal import savgol_filter

    session = Session(SessionConfig(fps=fps))
    session.push(np.round(audio * 32767).astype(np.int16))
    session.end()
    controls, windows, skipped = [], 0, 0
    for motion in networks.motions(session.windows(), session.window):
        windows += 1
        skipped += motion is None
        session.settle(session.epoch, motion or Motion.rest(session.window.window_rows))
        controls += list(session.controls())
    poses = np.stack([c.pose for c in controls])
    face = np.stack([c.blendshapes for c in controls])
    matrix = camera.matrix()
    tracks = []
    for pose in poses:
        bridge = head.landmarks(head.pose(np.zeros(face.shape[1]), pose))[27:31]
        clip = np.concatenate([bridge, np.ones((4, 1))], axis=1) @ matrix.T
        tracks.append((clip[:, :2] / clip[:, 3:] * 0.5 + 0.5) * FRAME_SIZE)
    tracks = np.stack(tracks)
    jitter_px = np.sqrt(np.mean(np.sum((tracks - savgol_filter(tracks, 9, 3, axis=0)) ** 2, axis=-1)))
    lid = face[:, INDEX["eyeBlinkLeft"]]
    blinks = np.count_nonzero((lid[1:] >= 0.5) & (lid[:-1] < 0.5))
    gaze_deg = 30 * (face[:, INDEX["eyeLookOutLeft"]] - face[:, INDEX["eyeLookInLeft"]])
    turns_deg = np.degrees(poses[:, :3])
    return {
        "minutes": len(controls) / fps / 60,
        "jitter of the nose's bridge px": float(jitter_px),
        "blinks a minute": blinks / (len(controls) / fps / 60),
        "head, standard deviation deg": float(np.linalg.norm(turns_deg.std(axis=0))),
        "head, mean speed deg/s": float(np.mean(np.linalg.norm(np.diff(turns_deg, axis=0), axis=1)) * fps),
        "gaze, standard deviation deg": float(gaze_deg.std()),
        "windows at rest %": 100.0 * skipped / windows,
    }


def camera_of(folder: Path) -> Camera:
    """Of an avatar."""
    import tomllib

    return Camera(**tomllib.loads((folder / "avatar.toml").read_text())["camera"])


def table(rows: dict[str, dict[str, float]], title: str = "held-out set") -> str:
    """Markdown, one line per set."""
    names = list(next(iter(rows.values())))
    lines = [f"| {title} | " + " | ".join(names) + " |", "| --- |" + " --- |" * len(names)]
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
    parser.add_argument("--clean-only", action="store_true", help="leave out noise, telephone and what moves no lips")
    parser.add_argument("--sets", nargs="+", metavar="NAME", help="only shards whose name begins so")
    parser.add_argument("--sync", type=Path, metavar="FILE", help="judge of sync, see training.motion.sync")
    parser.add_argument("--lookahead-ms", type=int, choices=LOOKAHEADS_MS, default=WindowConfig().lookahead_ms)
    options = parser.parse_args(arguments)

    networks, window, lips = (
        Networks(options.repository, options.threads),
        WindowConfig.for_lookahead(options.lookahead_ms),
        LipGap.load(options.head),
    )
    shards = sorted((options.speech / "validation").glob("*.npz"))
    if not shards:
        parser.error(
            f"no validation shards in {options.speech}: run `python -m training.speech_corpus --out {options.speech}`"
        )
    shards = [shard for shard in shards if not options.sets or shard.stem.startswith(tuple(options.sets))]
    judged = None
    if options.sync:
        from training.motion.sync.train import load_judge

        judged = partial(sync_measures, judge=load_judge(options.sync))
    rows, sync_rows, spoken_s, started_s = {}, {}, 0.0, time.monotonic()
    for shard in shards:
        disturbed = shard.stem.startswith(DISTURBED) and not options.clean_only
        conditions = CONDITIONS if disturbed else {"": CONDITIONS[""]}
        rng = np.random.default_rng(0)
        utterances = [with_pauses(utterance, rng) for utterance in read_shard(shard)[: options.sentences]]
        for condition, change in conditions.items():
            comparisons = [compare(u, change(u.audio), networks, window, lips) for u in utterances]
            rows[f"{shard.stem}{condition}"] = summarize(comparisons)
            if judged:
                sync_rows[f"{shard.stem}{condition}"] = judged(comparisons)
            spoken_s += sum(u.duration_s for u in utterances)
    print(table(rows))
    if sync_rows:
        print("\n" + table(sync_rows, "judge of sync"))
    pace = spoken_s / (time.monotonic() - started_s)
    print(f"\n{spoken_s:.0f} s of speech, {pace:.1f} x real time on {options.threads} threads, teacher included")
    if options.clean_only:
        return
    print("\n" + table(without_speech(networks, window, lips), "10 s of"))
    head, camera = Head.load(options.head), camera_of(options.head.parent)
    audio = np.concatenate([u.audio for u in utterances])[: 120 * SAMPLE_RATE_HZ]
    print("\n" + table({"speech": face_measures(audio, networks, head, camera)}, "the face"))


if __name__ == "__main__":
    main()
