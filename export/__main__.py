"""`python -m export <stage> --checkpoint FILE --out model_repository` writes `<out>/<stage>/1/model.onnx`.

The audio encoder also takes any Wav2Vec2 of 768 values at 50 Hz in Hugging Face format, as a folder or a name:
`AUDIO_ENCODER=facebook/wav2vec2-base-960h python -m export audio_encoder`.
"""

import argparse
import os
import time
from importlib import import_module
from pathlib import Path

import numpy as np

from avatar.config import FRAME_SIZE, WindowConfig

STAGES = ("audio_encoder", "motion", "enhancer")
RUNS = 30


def example_inputs(stage: str, batch: int, window: WindowConfig = WindowConfig()) -> tuple[np.ndarray, ...]:
    """A batch of each of the stage's inputs from a fixed seed; networks of speech get such windows."""
    rng = np.random.default_rng(0)
    if stage == "audio_encoder":
        return ((rng.standard_normal((batch, window.window_samples)) * 0.1).astype(np.float32),)
    if stage == "motion":
        return (rng.standard_normal((batch, window.window_rows, 768)).astype(np.float16),)
    frame = (batch, FRAME_SIZE, FRAME_SIZE)
    return rng.integers(0, 256, (*frame, 4)).astype(np.uint8), rng.integers(0, 9, frame).astype(np.uint8)


def main(arguments: list[str] | None = None) -> None:
    from export.onnx import ENGINES, largest_difference

    parser = argparse.ArgumentParser(
        prog="python -m export", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--checkpoint", help="checkpoint; for the audio encoder also a Hugging Face folder or name")
    parser.add_argument("--out", type=Path, default=Path("model_repository"), help="the model repository")
    parser.add_argument("--engine", choices=ENGINES, nargs="*", default=[], help="engines to compare and time")
    options = parser.parse_args(arguments)

    checkpoint = options.checkpoint
    if options.stage == "audio_encoder":
        checkpoint = checkpoint or os.environ.get("AUDIO_ENCODER")
    path = options.out / options.stage / "1" / "model.onnx"
    network = import_module(f"export.{options.stage}").export(checkpoint, path)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB" + ("" if checkpoint else ", random weights"))
    for engine in options.engine:
        differences = largest_difference(path, network, example_inputs(options.stage, 2), engine)
        run, values = ENGINES[engine](path), example_inputs(options.stage, 1)
        best_s = min(_seconds(run, values) for _ in range(RUNS))
        print(f"{engine}: largest difference {max(differences):.2g}, {1000 * best_s:.1f} ms at best")


def _seconds(run, values) -> float:
    started_s = time.perf_counter()
    run(*values)
    return time.perf_counter() - started_s


if __name__ == "__main__":
    main()
