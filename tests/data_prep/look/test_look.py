"""`data_prep look` on shards, a units folder, a manifest and recordings."""

import re

import numpy as np
import pytest

from data_prep.look.items import open_subject
from data_prep.look.look import Choice
from data_prep.look.sequence import runs_of
from data_prep.look.statistics import Statistics
from spirit_jax.datasets.manifest import read_corpus
from spirit_jax.datasets.shards import open_shards
from spirit_jax.tokens.interleave import Arrangement, Spans, arrange
from spirit_jax.tokens.text import TextTokenizer
from spirit_jax.tokens.vocabulary import merge
from tests.data_prep.conftest import prepare

SHORT = ("--text-span", 2, 4, "--speech-span", 2, 4)  # of the short sentences of the corpus


def look(data, out, *options):
    assert prepare("look", "--data", data, "--out", out, "--count", 2, *options) == 0
    return (out / "look.html").read_text()


def plain(html):
    shown = re.sub(r"<(style|script|svg).*?</\1>", "", html, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", shown).split())


def test_shards_show_codes_sequences_and_counts(stages, tmp_path):
    page = look(stages.shards, tmp_path, "--codec", stages.codec, "--ids", "heldout-000001")
    (row,) = (row for row in read_corpus(stages.manifest) if row["id"] == "heldout-000001")
    assert row["text"] in page
    assert page.count("<audio") == page.count("data:audio/wav") == 1
    assert "spoken from its codes" in page
    for strip in ("wave", "spectrum", "words", "units", "pitch", "style"):
        assert f">{strip}</text>" in page
    assert "[Speech]" in page
    assert "29" in plain(page)  # utterances
    assert not re.search(r'(?:src|href)="(?!data:|#)', page)


def test_shards_without_a_codec_say_that_there_is_no_sound(stages, tmp_path):
    page = look(stages.shards, tmp_path)
    assert "<audio" not in page
    assert "give the manifest of the recordings with --audio" in page
    page = look(stages.shards, tmp_path, "--audio", stages.manifest)
    assert page.count("<audio") == 2
    assert "as recorded" in page


def test_a_units_folder_has_sound_and_with_a_tokenizer_sequences(stages, tmp_path):
    page = look(stages.units, tmp_path)
    assert page.count("<audio") == 2
    assert "sequences of tokens: give --tokenizer" in page
    assert "[Speech]" not in page
    page = look(stages.units, tmp_path, "--tokenizer", stages.tokenizer, *SHORT)
    assert "[Speech]" in page
    assert "give --tokenizer" not in page


@pytest.mark.parametrize("folder", [False, True])
def test_a_manifest_and_recordings_have_no_units_and_say_so(stages, tmp_path, folder):
    page = look(stages.corpus / "wav" if folder else stages.manifest, tmp_path)
    assert "make units" in page
    assert ">units</text>" not in page
    assert page.count("<audio") == 2
    assert (">words</text>" in page) == (not folder)
    assert "29" in plain(page)


def test_shards_of_finished_documents_show_them(stages, tmp_path):
    options = ("--config", "interleaved", *SHORT)
    assert prepare("shards", *stages.shard_options, *options, "--out", tmp_path / "shards") == 0
    page = look(tmp_path / "shards", tmp_path / "out", "--split", "heldout", "--tokenizer", stages.tokenizer)
    assert "finished documents" in page
    assert "[Text]" in page
    said = " ".join(row["text"] for row in read_corpus(stages.manifest) if row["split"] == "heldout")
    words = re.findall(r'<span class="text" title="[^"]*">([^<]+)</span>', page)
    assert len(words) > 2
    assert all(word in said for word in words)
    without = look(tmp_path / "shards", tmp_path / "again", "--split", "heldout")
    assert "text tokens)" in without


def test_unusable_rows_are_counted(stages, tmp_path):
    lines = ['{"id": "a", "audio": "a.wav", "text": "hi"}', '{"audio": 3}', "no json", ""]
    (tmp_path / "manifest.jsonl").write_text("\n".join(lines))
    page = plain(look(tmp_path / "manifest.jsonl", tmp_path / "out"))
    assert "1 rows that cannot be used: bad_row" in page
    assert "1 rows that cannot be used: bad_json" in page
    assert "no sound, missing" in page


def test_equal_calls_give_equal_pages_and_another_seed_others(stages, tmp_path):
    one, again, other = (look(stages.units, tmp_path, "--seed", seed) for seed in (1, 1, 2))
    assert one == again != other


def test_statistics_count_what_a_model_reads(stages):
    subject = open_subject(stages.shards, None, "train")
    statistics = Statistics(subject.streams)
    rows = open_shards(stages.shards, split="train")
    for item in subject.items():
        statistics.add(item)
    statistics.finish()
    counts = statistics.splits["train"]
    merged = [merge(record.speech, subject.streams)[0] for record in rows if record.speech]
    wanted = np.bincount(np.concatenate(merged), minlength=len(subject.streams))
    assert [counts.tokens[stream.name] for stream in subject.streams] == wanted.tolist()
    assert counts.text_tokens == sum(len(record.text_ids) for record in rows)
    assert (counts.utterances, counts.aligned) == (len(merged), len(merged)) == (18, 18)
    assert statistics.durations.count == 18
    assert sum(statistics.voices.values()) == pytest.approx(counts.seconds)


@pytest.mark.parametrize("with_tokenizer", [True, False])
def test_runs_are_the_document_in_order(stages, with_tokenizer):
    rows = open_shards(stages.shards, split="heldout")
    vocabulary, tokenizer = rows.metadata.vocabulary, TextTokenizer.load(stages.tokenizer)
    record, spans = rows[0], Spans((2, 3), (2, 3))
    items = {item.id: item for item in open_subject(stages.shards, None, "heldout").items()}
    words = [word for word, _, _ in items[record.id].words]
    rng = np.random.default_rng(3)
    (ids,) = arrange(record, Arrangement.INTERLEAVED, vocabulary, spans, rng)
    runs = runs_of(ids, vocabulary, tokenizer if with_tokenizer else None, record, words)
    assert sum(run.count for run in runs) == len(ids)
    assert all(run.shown[0] in " ".join(words) for run in runs if run.kind == "text")
    marks = {stream.name: stream.mark for stream in vocabulary.streams}
    spelled = [f"[{marks[run.kind]}{code}]" for run in runs if run.kind in marks for code in run.shown]
    names = dict(enumerate(vocabulary.added_tokens(), vocabulary.text_size))
    assert spelled == [names[id] for id in ids.tolist() if id >= vocabulary.speech_start]


def test_items_are_drawn_evenly():
    class Fake:
        spoken = True

        def __init__(self, id):
            self.id = id

    times = np.zeros(10)
    for seed in range(600):
        choice = Choice(3, seed, ())
        for id in range(10):
            choice.add(Fake(id))
        assert len(drawn := {item.id for item in choice.items()}) == 3
        times[list(drawn)] += 1
    assert times.min() > 130
    assert times.max() < 230


@pytest.mark.parametrize(
    "options",
    [
        ("--count", -1),
        ("--seconds", 0),
        ("--text-span", 3, 2),
        ("--ids", "nobody"),
        ("--split", "nowhere"),
        ("--tokenizer", "nowhere"),
    ],
)
def test_wrong_options_end_with_one_line(options, stages, tmp_path, capsys):
    assert prepare("look", "--data", stages.shards, "--out", tmp_path / "out", *options) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert prepare("look", "--data", tmp_path / "nowhere", "--out", tmp_path / "out") == 2
