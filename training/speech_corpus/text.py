"""Sentences to speak: our own prose from templates, lists of dictionary words, and words of twelve more languages."""

import random
from collections.abc import Iterator
from pathlib import Path

from training.speech_corpus.phrases import FILLERS, PHRASES, TEMPLATES

DICTIONARY = Path("/usr/share/dict/american-english")
"""Debian's `wamerican` (SCOWL, permissive). Without it only the templates are spoken."""


def dictionary_words(path: Path = DICTIONARY) -> list[str]:
    """Lower-case words of two to twelve letters, or none where no dictionary is installed."""
    if not path.exists():
        return []
    words = path.read_text(encoding="utf-8").split()
    return [word for word in words if word.isascii() and word.isalpha() and word.islower() and 2 <= len(word) <= 12]


def _fill(template: str, rng: random.Random) -> str:
    while "{" in template:
        start, end = template.index("{"), template.index("}")
        template = template[:start] + rng.choice(FILLERS[template[start + 1 : end]]) + template[end + 1 :]
    return template[0].upper() + template[1:]


def _word_list(words: list[str], rng: random.Random) -> str:
    chosen = rng.choices(words, k=rng.randint(4, 9))
    if rng.random() < 0.5:
        chosen[rng.randrange(1, len(chosen) - 1)] += ","
    return " ".join(chosen).capitalize() + rng.choice("...?!")


def english(seed: int) -> Iterator[str]:
    """Endless English: three parts prose, two parts dictionary words in random order.

    Prose gives natural stress and phrasing, word lists give phones in contexts that prose hardly has.
    """
    rng = random.Random(seed)
    words = dictionary_words()
    while True:
        if words and rng.random() < 0.4:
            yield _word_list(words, rng)
        else:
            yield _fill(rng.choice(TEMPLATES), rng)


def foreign(language: str, seed: int) -> Iterator[str]:
    """Endless sentences in a language of `PHRASES`: its phrases, and its words in random order."""
    rng = random.Random(f"{language}{seed}")
    phrases = PHRASES[language]
    words = sorted({word.strip(",.?!") for phrase in phrases for word in phrase.lower().split()})
    while True:
        yield rng.choice(phrases) if rng.random() < 0.25 else _word_list(words, rng)
