"""Speech with exact phone times, synthesized by engines that know them.

`python -m training.speech_corpus` writes shards of `Utterance`; `training.teacher` turns their phones into face motion.
"""

from training.speech_corpus.store import Phone, Utterance, read_shard, write_shard

__all__ = ["Phone", "Utterance", "read_shard", "write_shard"]
