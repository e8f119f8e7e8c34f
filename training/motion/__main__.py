"""Trains the audio encoder and the motion network: `python -m training.motion --speech .data/speech --out
.data/motion`.

Stop it at any time; the same command goes on from the last checkpoint. `--quick` proves the whole path in under a
minute.
"""

import argparse
import os
import signal
import sys
from pathlib import Path

import torch

from avatar.head import Head
from avatar.networks.audio_encoder import AudioEncoder, small_config
from avatar.networks.motion import MotionConfig, MotionNetwork
from training.motion.adversary import Adversary, AdversaryConfig
from training.motion.losses import MotionLoss
from training.motion.restore import restore
from training.motion.sync.contrast import SyncLoss
from training.motion.sync.train import load_judge
from training.motion.targets import Corpus, Track, track_of
from training.motion.train import TrainConfig, Trainer
from training.motion.windows import WindowSampler, shares_with
from training.speech_corpus.augment import AugmentConfig

QUICK_MINUTES = 0.4


def quick_track() -> Track:
    """A few sentences spoken on the spot."""
    from training.speech_corpus import espeak_voice

    sentences = ("My mother baked a warm pumpkin pie.", "Bob will move the big blue van above the barn.", "We love it!")
    return track_of([espeak_voice.speak(sentence, "en-us+f2") for sentence in sentences * 2], seed=0)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m training.motion", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--speech", type=Path, default=Path(".data/speech"), help="folder of training.speech_corpus")
    parser.add_argument(
        "--out", type=Path, default=Path(".data/motion"), help="folder for targets, checkpoint and logs"
    )
    parser.add_argument(
        "--head", type=Path, default=Path("avatars/default/head.npz"), help="head that measures the lips"
    )
    parser.add_argument("--minutes", type=float, default=TrainConfig().minutes)
    parser.add_argument("--batch-size", type=int, default=TrainConfig().batch_size)
    parser.add_argument("--learning-rate", type=float, default=TrainConfig().learning_rate)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch on the CPU")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--audio-encoder", default=os.environ.get("AUDIO_ENCODER"), help="Hugging Face Wav2Vec2 to start from"
    )
    parser.add_argument(
        "--start-from",
        type=Path,
        metavar="MODEL_REPOSITORY",
        help="go on from exported weights, for example what ships",
    )
    parser.add_argument(
        "--distill-from", metavar="NAME", help="Hugging Face Wav2Vec2 whose features the audio encoder shall learn"
    )
    parser.add_argument("--spectrum-share", type=float, default=TrainConfig().spectrum_share)
    parser.add_argument("--encoder-share", type=float, default=TrainConfig().encoder_share)
    parser.add_argument(
        "--sync", type=Path, metavar="FILE", help="judge predicted motion by the sync.pt of training.motion.sync"
    )
    parser.add_argument("--sync-weight", type=float, default=TrainConfig().sync_weight)
    parser.add_argument(
        "--adversary", choices=("motion", "motion+sound"), help="what a discriminator of predicted motion sees"
    )
    parser.add_argument("--adversary-weight", type=float, default=TrainConfig().adversary_weight)
    parser.add_argument(
        "--recorded-share",
        type=float,
        default=0.0,
        help="part of the windows from recorded people, whose licence the weights then carry (docs/data.md)",
    )
    parser.add_argument("--bfloat16", action="store_true", help="faster where the processor has it")
    parser.add_argument("--compiled", action="store_true", help="a quarter faster, needs a C++ compiler")
    parser.add_argument("--targets-only", action="store_true", help="make the targets and stop")
    parser.add_argument("--quick", action="store_true", help="a few sentences, a few steps")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    # Unwinds the loop, which saves.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

    if options.quick:
        tracks, shares = [quick_track()], [1.0]
    else:
        folder = options.speech / "train"
        corpus = Corpus(folder, options.out / "targets", shares_with(options.recorded_share))
        if not corpus.refresh():
            parser.error(f"no speech in {folder}: run `python -m training.speech_corpus --out {options.speech}` first")
        tracks, shares = corpus.tracks, corpus.shares
    if options.targets_only:
        return
    config = TrainConfig(
        minutes=QUICK_MINUTES if options.quick else options.minutes,
        batch_size=4 if options.quick else options.batch_size,
        learning_rate=options.learning_rate,
        device=options.device,
        seed=options.seed,
        spectrum_share=options.spectrum_share,
        encoder_share=options.encoder_share,
        bfloat16=options.bfloat16,
        compiled=options.compiled,
        sync_weight=options.sync_weight,
        adversary_weight=options.adversary_weight,
    )
    encoder = AudioEncoder.from_pretrained(options.audio_encoder) if options.audio_encoder else None
    motion = None
    if options.start_from:
        encoder = encoder or restore(
            AudioEncoder(small_config()), options.start_from / "audio_encoder" / "1" / "model.onnx", "encoder"
        )
        motion = restore(MotionNetwork(MotionConfig()), options.start_from / "motion" / "1" / "model.onnx", "motion")
    teacher = AudioEncoder.from_pretrained(options.distill_from) if options.distill_from else None
    sync = SyncLoss(load_judge(options.sync)) if options.sync else None
    adversary = None
    if options.adversary:
        adversary = Adversary(AdversaryConfig(hears=options.adversary == "motion+sound"), config.device)
    loss = MotionLoss(Head.load(options.head))
    trainer = Trainer(config, loss, options.out, encoder, motion, teacher, sync, adversary)
    # A resumed run must not see the same windows again.
    sampler = WindowSampler(tracks, shares, AugmentConfig(), options.seed + trainer.step)

    def refresh() -> None:
        if corpus.refresh(most=2):
            sampler.replace(corpus.tracks, corpus.shares)

    trainer.run(sampler, log_every=5 if options.quick else 20, refresh=None if options.quick else refresh)


if __name__ == "__main__":
    main()
