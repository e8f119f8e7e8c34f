"""Fits the phone model of forced alignment: `python -m training.alignment --speech .data/speech --out
.data/alignment.npz`.

It reads the features of the audio encoder as it is; three minutes on a core.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from avatar.config import FEATURE_HOP_SAMPLES
from training.alignment.encode import encode
from training.alignment.phone_model import PhoneModel, shipped_encoder
from training.audio_encoder import phone_rows
from training.motion.windows import SHARES
from training.speech_corpus import read_shard


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m training.alignment", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--speech", type=Path, default=Path(".data/speech"), help="folder of training.speech_corpus")
    parser.add_argument("--repository", type=Path, default=Path("model_repository"), help="whose encoder hears")
    parser.add_argument("--out", type=Path, default=Path(".data/alignment.npz"))
    parser.add_argument("--shards", type=int, default=2, help="of each engine")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    folder = options.speech / "train"
    shards = [shard for source in SHARES for shard in sorted(folder.glob(f"{source}-*[0-9].npz"))[: options.shards]]
    if not shards:
        parser.error(f"no speech in {folder}: run `python -m training.speech_corpus --out {options.speech}` first")
    encoder = shipped_encoder(options.repository)
    features, phones = [], []
    for shard in shards:
        for utterance in read_shard(shard):
            features.append(encode(encoder, utterance.audio).half())
            phones.append(phone_rows(utterance.phones, len(utterance.audio) // FEATURE_HOP_SAMPLES))
        print(f"{shard.stem}: {sum(map(len, phones))} rows in all", flush=True)
    phone = torch.from_numpy(np.concatenate(phones).astype(np.int64))
    PhoneModel.fit(encoder, torch.cat(features), phone).save(options.out)


if __name__ == "__main__":
    main()
