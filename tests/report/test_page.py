import base64
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import soundfile

from spirit_jax.report import page
from spirit_jax.report.examples import find_recording, make_examples, player, show_utterance
from spirit_jax.report.numbers import facts, loss_rows, report_numbers, result_rows, tiles, transcripts
from spirit_jax.speech import audio
from spirit_jax.tokens.streams import duration_s
from tests.generation.world import Tones, record, records, sentence, tiny_lm, vocabulary
from tests.report.test_numbers import AFTER, BEFORE, ROWS

TITLES = ["Speech → text", "Text → speech", "Speech → speech", "Reading aloud", "Transcribing"]


@pytest.fixture(scope="module")
def examples():
    return make_examples(tiny_lm(), records(6), 2)


def render(examples, title="runs/tiny", **more):
    numbers = report_numbers(ROWS, BEFORE, AFTER)
    context = {
        "title": title,
        "tiles": tiles(numbers),
        "facts": facts(numbers, 960_000),
        "choice_rows": result_rows(BEFORE, AFTER, "choice"),
        "wer_rows": result_rows(BEFORE, AFTER, "wer"),
        "loss_rows": loss_rows(BEFORE, AFTER),
        "loss_svg": "<svg></svg>",
        "utterance": show_utterance(tiny_lm(), records(1), None),
        "examples": examples,
        "transcripts": transcripts(AFTER),
        "config": json.dumps({"a": 1}),
        "axes": (0.1, 0.9),
    }
    return page.render({**context, **more})


class Checker(HTMLParser):
    """Collects what the page refers to and holds that tags close in order."""

    VOID = {"meta", "br", "img", "link", "line", "circle"}

    def __init__(self):
        super().__init__()
        self.open, self.references = [], []

    def handle_starttag(self, tag, attrs):
        self.references += [
            value
            for name, value in attrs
            if name in ("src", "href", "xlink:href", "poster", "action") and value
        ]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.references += [value for name, value in attrs if name in ("src", "href", "xlink:href") and value]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_and_refers_to_nothing_outside(examples):
    html = render(examples)
    checker = Checker()
    checker.feed(html)
    assert checker.open == []
    assert checker.references
    assert all(reference.startswith(("data:", "#")) for reference in checker.references)
    assert not re.search(r"url\((?!#)", html)
    assert "@import" not in html


def test_all_that_was_measured_is_on_the_page(examples):
    html = render(examples)
    for shown in ("0.900", "0.500", "960 K", *TITLES, sentence(0).split(", ")[1]):
        assert shown in html
    assert html.index(TITLES[0]) < html.index(TITLES[-1])


def test_text_from_outside_is_escaped(examples):
    assert "<b>x</b>" not in render(examples, title="<b>x</b>")


def test_a_run_with_little_to_show_has_a_page_too():
    html = render(
        [], utterance=None, transcripts=transcripts({}), choice_rows=[], wer_rows=[], loss_rows=[], tiles=[]
    )
    assert "What it says" not in html
    assert "audio controls" not in html


def test_examples_stand_beside_what_was_said(examples):
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
    manifest.write_text('{"id": "other", "audio": null}\n{"id": "r0", "audio": "wav/r0.wav"}\n')
    assert find_recording(manifest, "r0") == tmp_path / "wav/r0.wav"
    assert find_recording(manifest, "nobody") is None
    shown = show_utterance(tiny_lm(), [record(1, aligned=False), one], manifest)
    assert shown["text"] == sentence(0)
    assert shown["caption"].startswith("As recorded")
    assert seconds(shown["audio"]) == pytest.approx(2 * duration_s(one.speech, vocabulary().streams))
    assert show_utterance(tiny_lm(), [one], None)["caption"].startswith("Resynthesised")
    assert show_utterance(tiny_lm(), [record(1, aligned=False)], None) is None


def test_words_are_told_apart():
    assert page.difference("the big cat", "The cat sat.") == [
        ("same", "the"),
        ("extra", "big"),
        ("same", "cat"),
        ("missing", "sat"),
    ]
    assert page.difference("", "") == []
    assert [page.compact(n) for n in (7, 12_345, 960_000, 7e9)] == ["7", "12.3 K", "960 K", "7 B"]
