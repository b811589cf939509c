"""Outputs on disk: speech as wav files, the rest as JSON."""

from collections.abc import Sequence
from pathlib import Path

from spirit_jax.generation.output import Output, SpeechPart
from spirit_jax.speech import audio

DECIMALS = 4  # of log-probabilities


def save_speech(output: Output, folder: Path, stem: str) -> list[Path]:
    """Writes each part that is speech as a 16 kHz wav: stem.wav, stem-1.wav, ...; returns the files."""
    files = []
    for number, part in enumerate(output.speech):
        files.append(folder / (f"{stem}-{number}.wav" if number else f"{stem}.wav"))
        audio.save(files[-1], part.wav)
    return files


def summarize_output(output: Output, files: Sequence[Path]) -> dict:
    """The keys of a line that is printed. log_prob: the mean of the tokens', in nats; None without tokens."""
    mean = round(float(output.log_probs.mean()), DECIMALS) if len(output.ids) else None
    return {
        "text": output.text,
        "audio": [str(file) for file in files],
        "tokens": len(output.ids),
        "finish": output.finish.value,
        "log_prob": mean,
    }


def describe_parts(output: Output, files: Sequence[Path]) -> list[dict]:
    """Each part with its ids and their log-probabilities; speech with its file and its token string."""
    names, parts = iter(files), []
    for part in output.parts:
        is_speech = isinstance(part, SpeechPart)
        said = {"audio": str(next(names)), "tokens": part.tokens} if is_speech else {"text": part.text}
        log_probs = [round(float(value), DECIMALS) for value in part.log_probs]
        parts.append({**said, "ids": part.ids.tolist(), "log_probs": log_probs})
    return parts
