"""Forced alignment: phone times of recorded people whose words are known."""

from training.alignment.forced import Said, align_speaker, said
from training.alignment.phone_model import PhoneModel, shipped_encoder

__all__ = ["PhoneModel", "Said", "align_speaker", "said", "shipped_encoder"]
