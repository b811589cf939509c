"""Sound files and manifests for the tests of corpora."""

import json

import numpy as np
import soundfile


def put_audio(path, seconds=0.5):
    path.parent.mkdir(parents=True, exist_ok=True)
    opus = {"format": "OGG", "subtype": "OPUS"} if path.suffix == ".opus" else {}
    soundfile.write(path, 0.1 * np.sin(np.arange(int(16_000 * seconds)) / 20), 16_000, **opus)
    return path


def put_manifest(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
