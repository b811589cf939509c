import base64
import dataclasses
import io

import numpy as np
import pytest
import soundfile

from spirit_jax.pages.sound import player
from spirit_jax.report.examples import hear, make_examples, show_utterance
from spirit_jax.speech import audio
from spirit_jax.tokens.streams import duration_s
from tests.generation.world import Tones, record, records, sentence, tiny_lm, vocabulary

TITLES = ["Speech → text", "Text → speech", "Speech → speech", "Reading aloud", "Transcribing"]


@pytest.fixture(scope="module")
def examples():
    return make_examples(tiny_lm(), records(6), 2)


@pytest.fixture
def twice(tmp_path):
    """A recording of record 0: its sound, twice."""
    wav = Tones().decode(record(0).speech)
    audio.save(tmp_path / "r0.wav", np.concatenate([wav, wav]))
    return {"r0": {"id": "r0", "audio": str(tmp_path / "r0.wav")}}


def test_examples_have_the_references_of_their_records(examples):
    assert [example.title for example in examples] == [title for title in TITLES for _ in range(2)]
    first, second = sentence(0).split(", ")
    for example in examples[::2]:
        if example.title in TITLES[:3]:
            assert (example.prompt.words, example.reference.words) == (first + ",", second)
            assert (example.prompt.audio is not None) == example.title.startswith("Speech")
            assert (example.reference.audio is not None) == example.title.endswith("speech")
            assert (example.generated.audio is not None) == example.title.endswith("speech")
    reading, transcribing = examples[6], examples[8]
    assert reading.prompt.words == transcribing.reference.words == sentence(0)
    assert transcribing.prompt.words == ""
    assert seconds(transcribing.prompt.audio) == pytest.approx(
        duration_s(record(0).speech, vocabulary().streams)
    )


def test_examples_are_repeatable(examples):
    assert make_examples(tiny_lm(), records(6), 2) == examples


def test_records_that_cannot_be_cut_give_no_examples():
    assert make_examples(tiny_lm(), [record(1, aligned=False)], 3) == []
    assert make_examples(tiny_lm(), records(3), 0) == []


def seconds(uri):
    wav, rate = soundfile.read(io.BytesIO(base64.b64decode(uri.removeprefix("data:audio/wav;base64,"))))
    return len(wav) / rate


def test_a_player_holds_its_sound():
    assert seconds(player(np.zeros(8_000, np.float32))) == 0.5


def test_the_utterance_is_shown_as_recorded_where_the_recording_is_known(twice):
    one = record(0)
    shown = show_utterance(tiny_lm(), [record(1, aligned=False), one], twice)
    assert shown["text"] == sentence(0)
    assert shown["caption"].startswith("As recorded")
    assert seconds(shown["audio"]) == pytest.approx(2 * duration_s(one.speech, vocabulary().streams))
    assert show_utterance(tiny_lm(), [one], {})["caption"].startswith("Resynthesised")
    assert show_utterance(tiny_lm(), [record(1, aligned=False)], {}) is None


def test_known_recordings_come_first_beside_their_resynthesis(twice, examples):
    made = make_examples(tiny_lm(), records(6), 2, recordings=twice)
    assert made[1:] == examples
    assert (made[0].title, made[0].reference.words) == ("Resynthesis", sentence(0))
    length = duration_s(record(0).speech, vocabulary().streams)
    assert seconds(made[0].prompt.audio) == pytest.approx(2 * length)
    assert seconds(made[0].generated.audio) == pytest.approx(length)


def test_a_recogniser_writes_beside_every_sound_and_nothing_else_changes(examples):
    class Ears:
        about = "ears"

        def transcribe(self, wavs):
            return [f"{len(wav)} samples" for wav in wavs]

    heard = hear(examples, Ears())
    for one, before in zip(heard, examples):
        for part in ("prompt", "generated", "reference"):
            passage = getattr(one, part)
            if passage.audio:
                assert passage.heard == f"{round(seconds(passage.audio) * 16_000)} samples"
            else:
                assert passage.heard is None
            assert dataclasses.replace(passage, heard=None) == getattr(before, part)


def test_a_recording_that_has_moved_is_named_and_resynthesised(tmp_path, capsys):
    moved = {"r0": {"id": "r0", "audio": str(tmp_path / "wav/r0.wav")}}
    assert show_utterance(tiny_lm(), [record(0)], moved)["caption"].startswith("Resynthesised")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: ")
    assert "wav/r0.wav" in line
