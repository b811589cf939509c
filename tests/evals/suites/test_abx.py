"""An ABX data set in miniature: phones are tones, and an encoder that hears them."""

import json

import numpy as np
import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.evals.benchmarks import ABX
from spirit_jax.evals.evaluation import Evaluation
from spirit_jax.evals.layouts.abx import read_realisations
from spirit_jax.evals.results import summarize, to_json
from spirit_jax.evals.task import measure
from spirit_jax.speech import audio
from tests.evals.fakes import PlantedModel
from tests.generation.world import UNITS, Tones
from tests.speech_codes import make_speech

HEADER = "#file onset offset #phone prev-phone next-phone speaker\n"
PHONES, SPEAKERS, FRAMES = "abcd", ("s1", "s2"), 5  # a frame is 40 ms


class Hears:
    """A unit encoder that counts a tone's hertz; a feature is the unit, as one of UNITS axes."""

    stream = Tones.streams[0]

    def encode(self, sounds):
        return [speech.units for speech in Tones().encode_batch(sounds.wavs)]

    def features(self, sounds):
        return [np.eye(UNITS, dtype=np.float32)[units] for units in self.encode(sounds)]


class Codec:
    unit_encoder, fingerprint = Hears(), "tones"


def tone(phone, speaker):
    """Each phone is a tone of its own, and speakers do not differ."""
    return 8 * PHONES.index(phone) + 4


def write_items(folder, sound_of=tone, name="triphone-dev", repeats=2, lines=()):
    """Each speaker says every phone `repeats` times in one recording, between x and y."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for speaker in SPEAKERS:
        said = [(phone, sound_of(phone, speaker)) for phone in PHONES for _ in range(repeats)]
        units = np.repeat([unit for _, unit in said], FRAMES)
        audio.save(folder / f"{speaker}-1.wav", Tones().decode(make_speech(units)))
        for place, (phone, _) in enumerate(said):
            begin, end = (0.04 * FRAMES * at for at in (place, place + 1))
            rows.append(f"{speaker}-1 {begin:.3f} {end:.3f} {phone} x y {speaker}")
    text = HEADER + "\n".join([*rows, *lines]) + "\n"
    (folder / f"{name}.item").write_text(text)
    return folder.parent


def ask(name, root, **options):
    model = PlantedModel()
    model.codec = Codec()
    return measure(ABX[name], Evaluation(model, [], data=root, **options))


@pytest.mark.parametrize("name", ABX)
def test_an_encoder_that_tells_phones_apart_has_no_errors(name, tmp_path):
    result = ask(name, write_items(tmp_path / "abx"))
    assert (result.value, result.interval, result.n) == (0.0, (0.0, 0.0), 4)
    assert result.chance == 0.5
    assert result.details["realisations"] == 16
    assert result.details["by_part"] == {"triphone-dev": 0.0}
    assert len(result.rows) == 12
    assert result.extent == "4 phones"
    json.dumps(to_json(result))


@pytest.mark.parametrize("name", ABX)
def test_an_encoder_that_hears_nothing_is_at_chance(name, tmp_path):
    assert ask(name, write_items(tmp_path / "abx", lambda phone, speaker: 7)).value == 0.5


@pytest.mark.parametrize(("name", "value"), [("abx_units_within", 0.0), ("abx_units_across", 1.0)])
def test_a_speaker_who_says_another_phone_is_wrong_across_speakers_alone(name, value, tmp_path):
    """s2 says a as s1 says b and so on in a ring of two: a is b, c is d."""

    def swapped(phone, speaker):
        return tone("badc"[PHONES.index(phone)] if speaker == "s2" else phone, speaker)

    result = ask(name, write_items(tmp_path / "abx", swapped))
    rows = {(row["phone"], row["other"]): row["error"] for row in result.rows}
    assert rows["a", "b"] == rows["d", "c"] == value
    assert rows["a", "c"] == (0.5 if value else 0.0)


def test_a_phone_is_cut_at_its_stretch(tmp_path):
    """Stretches that begin and end a little off have the same frames."""
    root = write_items(tmp_path / "abx")
    path = root / "abx" / "triphone-dev.item"
    shifted = [line.split() for line in path.read_text().splitlines()[1:]]
    rows = [
        [name, f"{float(begin) + 0.015}", f"{float(end) - 0.015}", *rest]
        for name, begin, end, *rest in shifted
    ]
    path.write_text(HEADER + "\n".join(" ".join(row) for row in rows))
    assert ask("abx_units_across", root).value == 0.0


TRAPS = {
    "no_recording": "nobody-1 0.0 0.2 a x y s1",
    "past_end": "s1-1 1.5 1.8 a x y s1",
    "no_frames": "s1-1 0.101 0.102 a x y s1",
    "bad_row": "s1-1 0.3 0.2 a x y s1",
    "duplicate_row": "s1-1 0.000 0.200 a x y s1",
    "one_speaker": "s1-1 0.0 0.2 z x q s1",
}


def test_what_cannot_be_compared_is_set_aside_and_counted(tmp_path):
    root = write_items(tmp_path / "abx", lines=[*TRAPS.values(), "s1-1 0.1 a", "s2-1 nan 0.2 a x y s2"])
    result = ask("abx_units_across", root)
    assert result.details["set_aside"] == dict.fromkeys(TRAPS, 1) | {"bad_row": 3}
    assert result.value == 0.0
    assert "1 past_end" in summarize(result)
    within = ask("abx_units_within", root).details["set_aside"]
    assert within["said_once"] == 1
    assert "one_speaker" not in within


def test_a_damaged_and_a_silent_recording_are_set_aside(tmp_path):
    root = write_items(tmp_path / "abx", lines=["bad-1 0 0.2 a x y s3", "still-1 0 0.2 a x y s3"])
    (root / "abx" / "bad-1.wav").write_bytes(b"RIFF nothing")
    audio.save(root / "abx" / "still-1.wav", np.zeros(640, np.float32))
    aside = ask("abx_units_across", root).details["set_aside"]
    assert sum(aside.values()) == 2


def test_recordings_may_be_in_the_folder_of_the_item_file_s_name(tmp_path):
    root = write_items(tmp_path / "abx" / "triphone-dev")
    (root / "triphone-dev" / "triphone-dev.item").rename(root / "triphone-dev.item")
    assert ask("abx_within", tmp_path).value == 0.0


def test_item_files_are_never_mixed_and_each_has_its_value(tmp_path):
    write_items(tmp_path / "abx" / "one", name="dev-clean")
    write_items(tmp_path / "abx" / "two", lambda phone, speaker: 7, name="dev-other")
    write_items(tmp_path / "abx" / "three", name="test-clean")
    result = ask("abx_units_within", tmp_path)
    assert result.details["by_part"] == {"dev-clean": 0.0, "dev-other": 0.5}
    assert result.value == 0.25
    assert ask("abx_units_within", tmp_path, split="dev-clean").value == 0.0


def test_a_missing_data_set_is_named_with_its_layout(tmp_path):
    with pytest.raises(UserError, match="item"):
        read_realisations(tmp_path, "dev")
    root = write_items(tmp_path / "abx")
    with pytest.raises(UserError, match="no item file with test"):
        read_realisations(root, "test")
    (root / "abx" / "triphone-dev.item").write_text(HEADER + TRAPS["no_recording"])
    with pytest.raises(UserError, match="no_recording"):
        read_realisations(root, "dev")


def test_the_fingerprint_changes_with_what_is_compared(tmp_path):
    root = write_items(tmp_path / "abx")
    before = ABX["abx_within"].fingerprint(root, "dev")
    assert before == ABX["abx_within"].fingerprint(root, "dev")
    write_items(tmp_path / "abx", repeats=3)
    assert ABX["abx_within"].fingerprint(root, "dev") != before
