"""Writes small corpora for tests."""

import json

import numpy as np
import soundfile


def put_audio(path, seconds=0.5, channels=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = 0.1 * np.sin(np.arange(int(16_000 * seconds)) / 20)
    wave_NC = np.stack([wave * (1 + i) for i in range(channels)], axis=1)
    known = path.suffix in (".wav", ".flac", ".mp3")
    soundfile.write(path, wave_NC, 16_000, **({} if known else {"format": "OGG"}))
    return path


def put_text(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def put_jsonl(path, *rows):
    return put_text(path, "".join(json.dumps(row) + "\n" for row in rows))


def reasons_of(corpus):
    """Reason and id of each row that is set aside."""
    return [(row["reason"], row["id"]) for row in corpus.set_aside]
