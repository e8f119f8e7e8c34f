"""Speaks the example: `python -m training.speech_corpus.hello` writes `examples/hello.wav` and the times of its phones.

The voice draws random numbers, so that every run speaks a little differently; the phones belong to the file written
with them.
"""

import json
from pathlib import Path

import numpy as np

from training.speech_corpus.piper_voice import phones_from_symbols, speak_native

SENTENCES = (
    "Hello! My name is Bob, and I am a talking avatar.",
    "Every word moves my lips: maps and pebbles, warm apples, far away boats. What would you like to hear?",
)
LEAD_S, PAUSE_S, TAIL_S = 0.4, 0.9, 0.4
LENGTH_SCALE, NOISE_SCALE = 1.06, 0.5
PEAK = 0.7

WAV = Path("examples/hello.wav")
PHONES = Path("tests/voice/hello_phones.json")


def main() -> None:
    import soundfile

    pieces, phones, clock_s, rate_hz = [], [], 0.0, 0
    for pause_s, sentence in zip((LEAD_S, PAUSE_S), SENTENCES, strict=True):
        audio, rate_hz, symbols = speak_native(sentence, LENGTH_SCALE, NOISE_SCALE)
        pieces += [np.zeros(int(pause_s * rate_hz)), audio * (PEAK / np.abs(audio).max())]
        phones.append(["", round(clock_s, 4)])
        clock_s += len(pieces[-2]) / rate_hz
        phones += [[p.ipa, round(clock_s + p.start_s, 4)] for p in phones_from_symbols(symbols, audio, rate_hz)]
        clock_s += len(audio) / rate_hz
    pieces.append(np.zeros(int(TAIL_S * rate_hz)))
    phones.append(["", round(clock_s, 4)])
    soundfile.write(WAV, np.round(np.concatenate(pieces) * 32767).astype(np.int16), rate_hz, subtype="PCM_16")
    PHONES.write_text(json.dumps(phones, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
    print(f"{WAV}: {clock_s + TAIL_S:.1f} s, {len(phones)} phones")


if __name__ == "__main__":
    main()
