"""Synthesizes the corpus: `python -m training.speech_corpus --out .data/speech --hours 20`."""

import argparse
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

from training.speech_corpus import (
    espeak_voice,
    festival_voice,
    flite_voice,
    kokoro_voice,
    labelled_recordings,
    pico_voice,
    piper_voice,
    recordings,
    text,
)
from training.speech_corpus.codecs import transmit
from training.speech_corpus.store import Utterance, write_shard
from training.speech_corpus.vocoder import Speaker, revoice

ENGLISH_SHARE = 0.6
"""Part of the espeak-ng and Pico sentences that are by English voices."""

ACCENTED_SHARE = 0.4
"""Part of the sentences of Pico's other voices that are English text read by the rules of their language: their own
phrases hold few words."""

KOKORO_ENGLISH_SHARE = 0.75
"""Part of Kokoro's sentences that are English."""

ENGLISH_VOICES = ("en-us", "en", "en-gb-scotland", "en-gb-x-rp", "en-029", "en-us-nyc")
VARIANTS = (
    "", "+f1", "+f2", "+f3", "+f4", "+f5", "+m1", "+m2", "+m3", "+m4", "+m6", "+m7", "+Alicia", "+Andy", "+Annie",
    "+linda",
    "+Lee", "+Michael", "+john", "+max", "+steph", "+victor", "+belinda", "+anika", "+pablo", "+klatt", "+klatt2",
    "+klatt4",
)  # fmt: skip
HELD_OUT_VARIANTS = ("+steph2", "+m5", "+adam")
"""Formant sets of espeak-ng that training never hears."""

HELD_OUT_SEED = 900_000
"""Sentences drawn with seeds from here on are for validation only."""


def _twice(utterance: Utterance, rng: random.Random) -> Iterator[Utterance]:
    """The sentence, and again by a speaker of the vocoder."""
    yield utterance
    yield revoice(utterance, Speaker.draw(rng))


def piper_sentences(seed: int) -> Iterator[Utterance]:
    """The natural voice at changed pace and, by resampling, changed pitch and formants; every sentence twice."""
    rng = random.Random(seed)
    for sentence in text.english(seed):
        utterance = piper_voice.speak(
            sentence,
            length_scale=rng.uniform(0.85, 1.4),
            noise_scale=rng.uniform(0.4, 0.8),
            speed=rng.choice((1.0, rng.uniform(0.85, 1.35))),
        )
        yield from _twice(utterance, rng)


def flite_sentences(seed: int) -> Iterator[Utterance]:
    """Four speakers at changed pace, pitch and formants; every sentence twice."""
    rng = random.Random(seed)
    for sentence in text.english(seed):
        voice = rng.choice(flite_voice.VOICES)
        utterance = flite_voice.speak(
            sentence,
            voice,
            stretch=rng.uniform(0.8, 1.3),
            pitch_hz=rng.uniform(85.0, 150.0) if voice == "kal16" else None,
            speed=rng.choice((1.0, rng.uniform(0.88, 1.25))),
        )
        yield from _twice(utterance, rng)


def festival_sentences(seed: int) -> Iterator[Utterance]:
    """An unseen engine whose times are exact: two speakers, the diphone voice at changed pace and pitch; for validation
    only."""
    rng = random.Random(seed)
    for sentence in text.english(seed):
        yield festival_voice.speak(
            sentence,
            rng.choice(festival_voice.VOICES),
            stretch=rng.uniform(0.8, 1.3),
            pitch_hz=rng.uniform(85.0, 150.0),
            speed=rng.choice((1.0, rng.uniform(0.88, 1.25))),
        )


def pico_sentences(seed: int) -> Iterator[Utterance]:
    """Five speakers, each in her own language or with its sounds in English, at changed pace and pitch; every sentence
    twice."""
    rng = random.Random(seed)
    english = text.english(seed)
    own = {voice: text.foreign(voice[:2], seed) for voice in pico_voice.VOICES if not voice.startswith("en")}
    while True:
        voice = rng.choice(pico_voice.ENGLISH if rng.random() < ENGLISH_SHARE else tuple(own))
        foreign = voice in own and rng.random() >= ACCENTED_SHARE
        utterance = pico_voice.speak(
            next(own[voice] if foreign else english),
            voice,
            rate=rng.randint(75, 140),
            pitch=rng.randint(70, 150),
            speed=rng.choice((1.0, rng.uniform(0.85, 1.2))),
        )
        yield from _twice(utterance, rng)


def espeak_sentences(seed: int, variants: tuple[str, ...] = VARIANTS) -> Iterator[Utterance]:
    """Formant synthesis in thirteen languages with changed pace, pitch and formants."""
    rng = random.Random(seed)
    english = text.english(seed)
    foreign = {language: text.foreign(language, seed) for language in text.PHRASES}
    while True:
        if rng.random() < ENGLISH_SHARE:
            language, sentence = rng.choice(ENGLISH_VOICES), next(english)
        else:
            language = rng.choice(tuple(foreign))
            sentence = next(foreign[language])
        yield espeak_voice.speak(
            sentence,
            language + rng.choice(variants),
            rate_wpm=rng.randint(115, 200),
            pitch=rng.randint(15, 85),
            pitch_range=rng.randint(20, 80),
            speed=rng.uniform(0.9, 1.2),
        )


def kokoro_sentences(seed: int) -> Iterator[Utterance]:
    """The most natural engine: 44 speakers and mixtures of them in five languages; every sentence twice."""
    rng = random.Random(seed)
    english = text.english(seed)
    foreign = {language: text.foreign(language, seed) for language in kokoro_voice.LANGUAGES if language != "en"}
    while True:
        language = "en" if rng.random() < KOKORO_ENGLISH_SHARE else rng.choice(tuple(foreign))
        utterance = kokoro_voice.speak(
            next(foreign.get(language, english)),
            kokoro_voice.Style.draw(rng, language),
            speed=rng.uniform(0.75, 1.2),
            language=language,
        )
        yield from _twice(utterance, rng)


def kokoro_unseen_sentences(seed: int) -> Iterator[Utterance]:
    """Speakers of the same engine whom training never hears, for validation only."""
    rng = random.Random(seed)
    for sentence, voice in zip(text.english(seed), cycle(kokoro_voice.HELD_OUT_VOICES)):
        yield kokoro_voice.speak(sentence, kokoro_voice.Style.of(voice), speed=rng.uniform(0.85, 1.1))


@dataclass(frozen=True, slots=True)
class Source:
    """One engine's part of the corpus.

    Attributes:
        generate: endless utterances from a seed.
        share: part of the training hours, 0 for validation only.
        validation_s: seconds of held-out speech.
    """

    generate: Callable[[int], Iterator[Utterance]]
    share: float
    validation_s: float


SOURCES = {
    "flite": Source(flite_sentences, 0.15, 0.0),
    "pico": Source(pico_sentences, 0.2, 0.0),
    "espeak": Source(espeak_sentences, 0.15, 0.0),
    "piper": Source(piper_sentences, 0.2, 240.0),
    "kokoro": Source(kokoro_sentences, 0.3, 0.0),
    "espeak-unseen": Source(lambda seed: espeak_sentences(seed, HELD_OUT_VARIANTS), 0.0, 240.0),
    "kokoro-unseen": Source(kokoro_unseen_sentences, 0.0, 240.0),
    "festival": Source(festival_sentences, 0.0, 240.0),
}

CODED_SHARE = 0.15
"""Part of the training sentences that come through a codec."""

RECORDED_PROMPTS = 60
"""Of a language, for tests."""

SHARD_S = 600.0
"""Speech in one shard; a build that was stopped goes on at the first shard that is missing."""


def build(source_name: str, split: str, total_s: float, out: Path) -> None:
    """Writes shards `<split>/<source>-<number>.npz` until they hold `total_s` seconds, keeping those that exist."""
    source = SOURCES[source_name]
    folder = out / split
    folder.mkdir(parents=True, exist_ok=True)
    number = 0
    while total_s > 0:
        shard_s = min(SHARD_S, total_s)
        path = folder / f"{source_name}-{number:03d}.npz"
        if not path.exists():
            started_s, spoken_s, utterances, rng = time.monotonic(), 0.0, [], random.Random(f"{source_name}{number}")
            for utterance in source.generate(number + (HELD_OUT_SEED if split == "validation" else 0)):
                if split == "train" and rng.random() < CODED_SHARE:
                    utterance = transmit(utterance, rng)
                utterances.append(utterance)
                spoken_s += utterance.duration_s
                if spoken_s >= shard_s:
                    break
            write_shard(path, utterances)
            pace = spoken_s / (time.monotonic() - started_s)
            print(f"{path}: {len(utterances)} sentences, {spoken_s:.0f} s, {pace:.1f} x real time", flush=True)
        total_s -= shard_s
        number += 1


def write_recordings(folder: Path, out: Path, phones: Path, repository: Path) -> None:
    """Test sets of recorded people, and shards of their other prompts, which training takes on request only.

    Args:
        folder: where the packages were unpacked.
        out: of the corpus.
        phones: see `training.alignment`.
        repository: whose audio encoder the phone model reads.
    """
    from training.alignment.forced import align_speaker
    from training.alignment.phone_model import PhoneModel, shipped_encoder

    model = PhoneModel.load(phones, shipped_encoder(repository))
    sets = {"en": list(recordings.aligned_english(folder))}
    for language in recordings.SPEAKERS:
        if language not in sets:
            aligned = align_speaker(list(recordings.recordings(folder, language)), language, model)
            sets[language] = [utterance for utterance in aligned if utterance is not None]
    sets["ru-read"] = list(labelled_recordings.labelled(folder))
    for name, utterances in sets.items():
        parts = {"validation": utterances[:RECORDED_PROMPTS]}
        if name in recordings.ADAPTATION:
            parts["train"] = utterances[RECORDED_PROMPTS:]
        for split, part in parts.items():
            path = out / split / f"recorded-{name}-000.npz"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_shard(path, part)
            print(f"{path}: {len(part)} prompts, {sum(u.duration_s for u in part):.0f} s", flush=True)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.speech_corpus", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(".data/speech"), help="folder for the shards")
    parser.add_argument("--hours", type=float, default=20.0, help="training speech over all engines")
    parser.add_argument("--sources", nargs="+", choices=SOURCES, default=list(SOURCES), help="engines to run")
    parser.add_argument(
        "--recordings", type=Path, metavar="FOLDER", help="make the test sets of recorded people from here and stop"
    )
    parser.add_argument(
        "--phones", type=Path, default=Path(".data/alignment.npz"), help="phone model of training.alignment"
    )
    parser.add_argument("--repository", type=Path, default=Path("model_repository"), help="whose encoder it reads")
    parser.add_argument("--show-text", type=int, metavar="N", help="print N sentences and stop")
    options = parser.parse_args(arguments)
    if options.show_text:
        print("\n".join(islice(text.english(0), options.show_text)))
        return
    if options.recordings:
        write_recordings(options.recordings, options.out, options.phones, options.repository)
        return
    for name in options.sources:
        build(name, "validation", SOURCES[name].validation_s, options.out)
        build(name, "train", SOURCES[name].share * options.hours * 3600, options.out)


if __name__ == "__main__":
    main()
