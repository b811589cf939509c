import numpy as np
import pytest

from spirit_jax.evals.recordings import find_recordings, load_recording
from spirit_jax.speech import audio


def test_recordings_are_found_by_id_and_optional_keys_may_be_missing(tmp_path):
    wav = 0.5 * np.sin(np.arange(16_000, dtype=np.float32) / 20)
    audio.save(tmp_path / "wav/r0.wav", wav)
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text(
        '{"text": "a"}\n{"id": "other", "audio": null, "text": "b"}\n{"audio": "wav/r0.wav"}\n'
        '{"id": "part", "audio": "wav/r0.wav", "offset": 0.25, "duration": 0.5}\n'
    )
    found = find_recordings(manifest, ["wav/r0", "other", "part", "nobody"])
    assert found.keys() == {"wav/r0", "part"}
    assert found["wav/r0"]["audio"] == str(tmp_path / "wav/r0.wav")
    assert [len(load_recording(found[id])) for id in ("wav/r0", "part")] == [16_000, 8_000]


def test_a_recording_that_cannot_be_read_says_why(tmp_path):
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text('{"id": "r0", "audio": "gone.wav", "text": "a"}\n')
    with pytest.raises(audio.BadAudio):
        load_recording(find_recordings(manifest, ["r0"])["r0"])
