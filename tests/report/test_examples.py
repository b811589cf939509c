import base64
import io

import numpy as np
import pytest
import soundfile

from spirit_jax.pages.sound import player
from spirit_jax.report.examples import find_recording, make_examples, show_utterance
from spirit_jax.speech import audio
from spirit_jax.tokens.streams import duration_s
from tests.generation.world import Tones, record, records, sentence, tiny_lm, vocabulary

TITLES = ["Speech → text", "Text → speech", "Speech → speech", "Reading aloud", "Transcribing"]


@pytest.fixture(scope="module")
def examples():
    return make_examples(tiny_lm(), records(6), 2)


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


def test_the_utterance_is_shown_as_recorded_where_the_recording_is_known(tmp_path):
    one = record(0)
    audio.save(
        tmp_path / "wav" / "r0.wav", np.concatenate([Tones().decode(one.speech), Tones().decode(one.speech)])
    )
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text('{"id": "other", "audio": null, "text": "a"}\n{"id": "r0", "audio": "wav/r0.wav"}\n')
    assert find_recording(manifest, "r0")["audio"] == str(tmp_path / "wav/r0.wav")
    assert find_recording(manifest, "nobody") is None
    shown = show_utterance(tiny_lm(), [record(1, aligned=False), one], manifest)
    assert shown["text"] == sentence(0)
    assert shown["caption"].startswith("As recorded")
    assert seconds(shown["audio"]) == pytest.approx(2 * duration_s(one.speech, vocabulary().streams))
    assert show_utterance(tiny_lm(), [one], None)["caption"].startswith("Resynthesised")
    assert show_utterance(tiny_lm(), [record(1, aligned=False)], None) is None


def test_a_manifest_may_leave_out_what_is_optional(tmp_path):
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text('{"text": "a"}\n{"id": "other", "text": "b"}\n{"audio": "wav/r0.wav"}\n')
    assert find_recording(manifest, "wav/r0")["audio"] == str(tmp_path / "wav/r0.wav")
    assert find_recording(manifest, "other") is None


def test_a_recording_that_has_moved_is_named_and_resynthesised(tmp_path, capsys):
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text('{"id": "r0", "audio": "wav/r0.wav"}\n')
    assert show_utterance(tiny_lm(), [record(0)], manifest)["caption"].startswith("Resynthesised")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: ")
    assert "wav/r0.wav" in line
