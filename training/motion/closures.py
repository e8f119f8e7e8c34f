"""Trains the motion network alone, closures first: `python -m training.motion.closures --checkpoint motion.pt`.

The audio encoder stays as it is. Closures of m, b, p weigh more than in the joint training, because the eye catches an
open one first; the price is a slightly lower correlation of the lip gap.
"""

import argparse
import time
from pathlib import Path

import torch

from export.audio_encoder import load as load_audio_encoder
from export.motion import load as load_motion
from training.audio_encoder import PHONES
from training.motion.__main__ import SHARES
from training.motion.lip_gap import LipGap
from training.motion.losses import LossWeights, MotionLoss
from training.motion.targets import Corpus
from training.motion.train import moving_average
from training.motion.windows import WindowSampler
from training.speech_corpus.augment import AugmentConfig

BATCH_SIZE = 12
LEARNING_RATE = 2e-4
GRADIENT_LIMIT = 4.0
REPORT_STEPS = 10
SEED = 77777


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.motion.closures", description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True, help="of training.motion; holds both networks")
    parser.add_argument("--speech", type=Path, default=Path(".data/speech"), help="folder of training.speech_corpus")
    parser.add_argument("--targets", type=Path, default=Path(".data/motion/targets"), help="targets of training.motion")
    parser.add_argument("--out", type=Path, default=Path(".data/motion/closures.pt"))
    parser.add_argument("--minutes", type=float, default=8.5)
    parser.add_argument("--closure-weight", type=float, default=1.0, help="of the loss on open lips in m, b, p")
    parser.add_argument("--bfloat16", action="store_true", help="faster where the processor has it")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    train = options.speech / "train"
    corpus = Corpus(train, options.targets, SHARES)
    corpus.refresh()
    sampler = WindowSampler(corpus.tracks, corpus.shares, AugmentConfig(), SEED)
    encoder, motion = load_audio_encoder(options.checkpoint).eval(), load_motion(options.checkpoint).train()
    loss = MotionLoss(LipGap.load(), LossWeights(closure=options.closure_weight, phone=0.0))
    optimizer = torch.optim.AdamW(motion.parameters(), LEARNING_RATE, weight_decay=0.01)
    average = torch.optim.swa_utils.AveragedModel(motion, multi_avg_fn=moving_average(0.98))
    no_phones = torch.zeros(BATCH_SIZE, 75, len(PHONES))
    start_s, step = time.monotonic(), 0
    while (done := (time.monotonic() - start_s) / (60 * options.minutes)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * max(0.05, 1 - done)
        batch = sampler.batch(BATCH_SIZE)
        with torch.autocast("cpu", torch.bfloat16, enabled=options.bfloat16):
            with torch.no_grad():
                features = encoder(batch.audio)
            total, parts = loss(motion, features.float(), no_phones, batch)
        optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(motion.parameters(), GRADIENT_LIMIT)
        optimizer.step()
        average.update_parameters(motion)
        step += 1
        if step % REPORT_STEPS == 0:
            print(
                f"step {step} {100 * done:.0f} %", *(f"{name} {value:.3f}" for name, value in parts.items()), flush=True
            )
    checkpoint = torch.load(options.checkpoint, weights_only=True)
    torch.save({"motion": average.module.state_dict(), "motion_config": checkpoint["motion_config"]}, options.out)


if __name__ == "__main__":
    main()
