"""Recordings in batches: what is heard of each, and why nothing is."""

import numpy as np
import pytest

from spirit_jax.core.sound_part import Part
from spirit_jax.evals import hearing
from spirit_jax.evals.hearing import encode_sounds, hear, load_sounds
from spirit_jax.evals.layouts.trials import Sound, sound_of
from spirit_jax.speech import audio
from spirit_jax.speech.audio import BadAudio
from tests.generation.world import Tones
from tests.speech_codes import make_speech

UNITS = ([3, 3, 9], [21], [30, 5, 5, 8, 8])


@pytest.fixture
def sounds(tmp_path):
    """Three recordings, the second in a bad file."""
    made = []
    for number, units in enumerate(UNITS):
        path = tmp_path / f"{number}.wav"
        audio.save(path, Tones().decode(make_speech(np.array(units))))
        made.append(Sound(path, str(number)))
    made[1].path.write_bytes(b"RIFF nothing")
    return made


@pytest.mark.parametrize("at_a_time", [1, 2, 128])
def test_each_recording_has_its_own_units_or_a_reason(sounds, monkeypatch, at_a_time):
    monkeypatch.setattr(hearing, "SOUNDS", at_a_time)
    heard = hear(Tones(), sounds)
    assert isinstance(heard[sounds[1]], BadAudio)
    for sound, units in zip(sounds, UNITS):
        if sound is not sounds[1]:
            assert heard[sound].units.tolist() == units


def test_a_recording_without_units_is_too_short(sounds):
    class Deaf(Tones):
        def encode_batch(self, wavs):
            return [make_speech(np.zeros(0, np.int64)) for _ in wavs]

    assert hear(Deaf(), sounds[:1])[sounds[0]].reason == "too_short"


def test_what_is_encoded_comes_by_size_and_bad_files_do_not_shift_it(sounds):
    pairs = list(encode_sounds(sounds, lambda wavs: [len(wav) for wav in wavs]))
    assert [sound for sound, _ in pairs] == sorted(sounds, key=lambda sound: sound.size)
    lengths = {sound.name: found for sound, found in pairs if not isinstance(found, BadAudio)}
    assert lengths == {"0": 640 * 3, "2": 640 * 5}


def test_a_row_that_is_a_part_of_a_recording_is_read_as_that_part(sounds):
    row = {"id": "a", "audio": str(sounds[2].path), "offset": 0.04, "duration": 0.08}
    sound = sound_of(row)
    assert sound.part == Part(0.04, 0.08)
    [wav] = load_sounds([sound])
    assert len(wav) == 1280
    assert len(set(hear(Tones(), [sound, sounds[2]]))) == 2
