"""Festival, two American voices, with the segment times of its synthesis.

Needs Debian's `festival`, `festvox-kdlpc16k` (diphones of one man) and `festvox-us-slt-hts` (statistical, of the
speaker that Flite calls `slt`), all under permissive licences of Edinburgh and Carnegie Mellon University.
"""

import shutil
import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from training.speech_corpus.flite_voice import IPA
from training.speech_corpus.store import Phone, Utterance, conform

VOICES = ("ked_diphone", "cmu_us_slt_arctic_hts")
FOLDERS = (Path("/usr/share/festival/voices/english"), Path("/usr/share/festival/voices/us"))

SILENCES = ("pau", "#", "h#")


@cache
def missing() -> tuple[str, ...]:
    """What has to be installed first."""
    absent = [] if shutil.which("festival") else ["festival"]
    return (*absent, *(voice for voice in VOICES if not any((folder / voice).exists() for folder in FOLDERS)))


def _script(text: str, voice: str, stretch: float, pitch_hz: float | None, folder: Path) -> str:
    spoken = "".join(character for character in text if character.isascii() and character not in '"\\')
    lines = [f"(voice_{voice})", f"(Parameter.set 'Duration_Stretch {stretch})"]
    if pitch_hz is not None:
        lines.append(f"(set! int_lr_params '((target_f0_mean {pitch_hz}) (target_f0_std {0.13 * pitch_hz})"
                     " (model_f0_mean 170) (model_f0_std 34)))")  # fmt: skip
    lines += [
        f'(set! spoken (utt.synth (Utterance Text "{spoken}")))',
        f'(utt.save.wave spoken "{folder}/spoken.wav" \'riff)',
        '(mapcar (lambda (segment) (format t "%s %f %s\\n" (item.name segment) (item.feat segment \'end)'
        " (item.feat segment 'R:SylStructure.parent.stress))) (utt.relation.items spoken 'Segment))",
    ]
    return "\n".join(lines)


def speak(text: str, voice: str, stretch: float = 1.0, pitch_hz: float | None = None, speed: float = 1.0) -> Utterance:
    """Speaks English.

    Args:
        text: English; what is not ASCII is passed over.
        voice: one of `VOICES`.
        stretch: above 1 speaks slower at the same pitch; the diphone voice only.
        pitch_hz: mean of the intonation, the voice's own if none; the diphone voice only.
        speed: see `conform`.

    Raises:
        RuntimeError: if Festival or a voice is not installed, or it spoke nothing.
    """
    from scipy.io import wavfile

    if missing():
        raise RuntimeError(
            f"Festival lacks {', '.join(missing())}: apt-get install festival festvox-kdlpc16k festvox-us-slt-hts"
        )
    with TemporaryDirectory() as folder:
        script = Path(folder) / "speak.scm"
        script.write_text(_script(text, voice, stretch, pitch_hz, Path(folder)), encoding="ascii")
        done = subprocess.run(["festival", "-b", str(script)], capture_output=True, text=True, check=False)
        lines = [line.split() for line in done.stdout.splitlines()]
        if done.returncode or not lines:
            raise RuntimeError(f"Festival did not speak {text!r}: {done.stderr.strip() or 'no segments'}")
        rate_hz, pcm = wavfile.read(Path(folder) / "spoken.wav")
    phones, start_s = [], 0.0
    for name, end, stress in lines:
        ipa = "" if name in SILENCES else IPA[name]
        end_s = float(end)
        phones.append(Phone(ipa, start_s, end_s, 2 if stress == "1" and ipa else 0))
        start_s = end_s
    audio, conformed = conform(pcm.astype(np.float32) / 32768, rate_hz, phones, speed)
    return Utterance(audio, conformed, text, f"festival:{voice}")
