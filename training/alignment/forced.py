"""Phone times for all that one speaker said, from its text.

The words' phones are those of eSpeak NG's rules. The model places them, learns from where it placed them how this
speaker sounds, and places them again: embedded training, as for speech recognizers without labelled speech (Young et
al., "The HTK Book", 2006, ch. 8).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from avatar.config import FEATURE_HOP_SAMPLES, FEATURE_RATE_HZ, SAMPLE_RATE_HZ
from training.alignment.encode import encode
from training.alignment.phone_model import PhoneModel
from training.alignment.viterbi import align
from training.audio_encoder import OTHER, classes_of
from training.speech_corpus import Phone, Utterance, espeak_voice
from training.speech_corpus.recordings import Recording
from training.speech_corpus.store import conform

LEAST_ROWS = 2
"""Of each phone, 40 ms. On recorded Russian it leaves 6 % of m, b, p more than 40 ms from the truth; where a phone may
last one row, 17 %: what the model does not hear is then passed through anywhere."""

ROUNDS = 7
"""Of placing and learning. From the fourth on fewer than 3 % of the rows move from round to round."""


@dataclass(frozen=True, eq=False)
class Said:
    """Phones in order, and the classes they are heard as.

    Attributes:
        phones: without times; silences between them need not be there.
        classes: int [places], of `training.audio_encoder.PHONES`. A place takes a row or more: a phone has `LEAST_ROWS`
            of them, a diphthong twice as many, a silence one.
        phone_of_place: int [places], index into `phones`.
    """

    phones: tuple[Phone, ...]
    classes: np.ndarray
    phone_of_place: np.ndarray

    @property
    def optional(self) -> np.ndarray:
        """bool [places]."""
        return self.classes == 0


def said(phones: Sequence[Phone]) -> Said:
    """Of phones in order, with a silence at either end."""
    kept, classes, owner = [Phone("", 0.0, 0.0)], [0], [0]
    for phone in (*phones, Phone("", 0.0, 0.0)):
        heard = [index for index in classes_of(phone.ipa) if index != OTHER]
        if not heard or (heard == [0] and classes[-1] == 0):
            continue
        kept.append(phone)
        places = [index for index in heard for _ in range(LEAST_ROWS if index else 1)]
        classes += places
        owner += [len(kept) - 1] * len(places)
    return Said(tuple(kept), np.array(classes), np.array(owner))


def said_in(text: str, language: str) -> Said:
    """Of a text, by the rules of eSpeak NG."""
    return said(espeak_voice.speak(text, language).phones)


def _utterance(recording: Recording, words: Said, path: np.ndarray) -> Utterance:
    owner = words.phone_of_place[path]
    edges = [0, *(np.flatnonzero(np.diff(owner)) + 1), len(owner)]
    phones = [
        Phone(words.phones[owner[first]].ipa, first / FEATURE_RATE_HZ, last / FEATURE_RATE_HZ,
              words.phones[owner[first]].stress)
        for first, last in pairwise(edges)
    ]  # fmt: skip
    audio, conformed = conform(recording.audio, SAMPLE_RATE_HZ, phones)
    return Utterance(audio, conformed, recording.text, f"recorded:{recording.speaker}")


def align_speaker(
    recordings: Sequence[Recording], language: str, model: PhoneModel, rounds: int = ROUNDS
) -> list[Utterance | None]:
    """Places the phones of each recording; none where there are more phones than rows of 20 ms.

    Args:
        recordings: all of one speaker: the more, the better the model learns the voice.
        language: of the text, a voice of eSpeak NG.
        model: to begin with.
        rounds: the last places and does not learn.
    """
    aligned: list[Utterance | None] = [None] * len(recordings)
    words = [said_in(recording.text, language) for recording in recordings]
    fitting = [
        number
        for number, (recording, spoken) in enumerate(zip(recordings, words, strict=True))
        if len(recording.audio) // FEATURE_HOP_SAMPLES >= len(spoken.classes)
    ]
    features = {number: encode(model.encoder, recordings[number].audio) for number in fitting}
    speaker = model
    for round_number in range(rounds):
        paths = {
            number: align(speaker.log_likelihood(rows), words[number].classes, words[number].optional)
            for number, rows in features.items()
        }
        if round_number + 1 < rounds:
            heard = np.concatenate([words[number].classes[path] for number, path in paths.items()])
            # Always from the first model, so that what was placed wrongly is not kept.
            speaker = model.adapted(torch.cat(list(features.values())), torch.from_numpy(heard))
    for number, path in paths.items():
        aligned[number] = _utterance(recordings[number], words[number], path)
    return aligned
