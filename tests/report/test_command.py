"""Evaluation and report from folders on disk, as a user runs them."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from data_prep.token_shards import Draws, write_shards
from spirit_jax import cli
from spirit_jax.core import commands
from spirit_jax.core.files import write_jsonl
from spirit_jax.datasets.shards import Layout, Metadata
from spirit_jax.generation.spirit_lm import SpiritLM
from spirit_jax.model.checkpoint import save_weights
from spirit_jax.speech.codec import EmbeddedCodec
from spirit_jax.tokens.vocabulary import Vocabulary
from tests.generation.tiny import random_llama
from tests.generation.world import UNITS, record, sentence, tiny_lm, tokenizer
from tests.report.test_numbers import ROWS


def spirit(*words) -> int:
    return commands.run("spirit", "", cli.COMMANDS, [str(word) for word in words])


def write_held_out(out, count, fingerprint) -> None:
    rows = []
    for number in range(count):
        one = record(number * 37)
        times = [
            [word, float(start), float(end)]
            for word, start, end in zip(sentence(number * 37).split(), one.word_start_s, one.word_end_s)
        ]
        speech = {
            "audio": "a.wav",
            "units": one.speech.units.tolist(),
            "pitch": None,
            "style": None,
            "words": times,
            "duration_s": 1.0,
        }
        rows.append(
            {
                "id": one.id,
                "source": "test",
                "voice": one.voice,
                "split": "heldout",
                "text": sentence(number * 37),
                **speech,
            }
        )
    metadata = Metadata(
        Layout.ALIGNED, Vocabulary(tokenizer().size, UNITS), tokenizer().fingerprint, fingerprint
    )
    write_shards(
        SimpleNamespace(metadata=metadata, tokenizer=tokenizer(), draws=Draws(), rows=lambda: iter(rows)), out
    )


@pytest.fixture(scope="module")
def at(tmp_path_factory):
    """A run folder, weights alone, shards that fit, and shards of another encoder."""
    root = tmp_path_factory.mktemp("report")
    codec = EmbeddedCodec.train(
        [np.sin(np.arange(16_000) * pitch / 2500).astype(np.float32) for pitch in (110.0, 220.0, 440.0)],
        units=UNITS,
    )
    codec.save(root / "codec")
    tokenizer().save(root / "tokenizer")
    save_weights(root / "run", tiny_lm().llama, tiny_lm().vocabulary, root / "tokenizer", root / "codec")
    write_jsonl(root / "run" / "metrics.jsonl", ROWS)
    write_held_out(root / "shards", 8, codec.fingerprint)
    write_held_out(root / "foreign", 2, "0123456789abcdef")
    return root


def test_a_checkpoint_is_loaded_with_all_that_belongs_to_it(at):
    lm = SpiritLM.load(at / "run")
    assert lm.vocabulary == tiny_lm().vocabulary
    assert lm.tokenizer.fingerprint == tokenizer().fingerprint
    assert lm.codec.unit_count == UNITS
    assert not lm.learned_eos
    pair = (np.array([1, 5], np.int32), np.array([7, 8], np.int32))
    np.testing.assert_array_equal(lm.score([pair]).sums, tiny_lm().score([pair]).sums)


def test_eval_then_report(at, capsys):
    assert (
        spirit(
            "eval",
            "--checkpoint",
            at / "run",
            "--shards",
            at / "shards",
            "--tasks",
            "loss,choice_s2t,choice_t2s",
            "--out",
            at / "eval.json",
        )
        == 0
    )
    assert capsys.readouterr().out.splitlines()[1].startswith("choice_s2t: 0.")
    results = json.loads((at / "eval.json").read_text())
    assert results["records"] == 8
    assert results["tasks"]["choice_t2s"]["pairs"] == 8 * 3
    words = [
        "--run",
        at / "run",
        "--eval-before",
        at / "eval.json",
        "--eval-after",
        at / "eval.json",
        "--shards",
        at / "shards",
        "--examples",
        0,
    ]
    assert spirit("report", *words, "--title", "tiny & small", "--out", at / "out") == 0
    numbers = json.loads((at / "out" / "report.json").read_text())
    assert (
        numbers["choice_s2t_accuracy"]
        == numbers["choice_s2t_accuracy_before"]
        == results["tasks"]["choice_s2t"]["value"]
    )
    assert (numbers["n_pairs"], numbers["steps"]) == (24, 20)
    page = (at / "out" / "report.html").read_text()
    assert "<h1>tiny &amp; small</h1>" in page
    assert any(sentence(number * 37) in page for number in range(8))


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--checkpoint", "nowhere", "--shards", "shards"], "nowhere"),
        (["--checkpoint", "run", "--shards", "foreign"], "0123456789abcdef"),
        (["--checkpoint", "run", "--shards", "shards", "--split", "tset"], "tset"),
        (["--checkpoint", "run", "--shards", "shards", "--tasks", "chioce"], "chioce"),
        (["--checkpoint", "run", "--shards", "shards", "--max-records", "0"], "--max-records"),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(at, capsys, monkeypatch, words, complaint):
    monkeypatch.chdir(at)
    assert spirit("eval", *words, "--out", "none.json") == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: ")
    assert complaint in error
    assert "\n" not in error
    assert not (at / "none.json").exists()


def test_an_evaluation_that_is_none_is_one_line(at, capsys):
    words = [
        "--run",
        at / "run",
        "--eval-after",
        at / "run/config.json",
        "--shards",
        at / "shards",
        "--out",
        at / "none",
    ]
    assert spirit("report", *words) == 2
    assert "config.json: has no tasks" in capsys.readouterr().err
    assert not (at / "none").exists()


def test_a_result_never_replaces_a_folder(at, capsys, monkeypatch):
    monkeypatch.chdir(at)
    assert spirit("eval", "--checkpoint", "run", "--shards", "shards", "--tasks", "loss", "--out", "run") == 2
    assert "--out = run: is a folder" in capsys.readouterr().err
    assert (at / "run/config.json").is_file()


def test_a_folder_without_tokenizer_is_refused(at, capsys):
    save_weights(at / "bare", random_llama(tiny_lm().llama.cfg, 0.1), tiny_lm().vocabulary)
    assert spirit("generate", "--checkpoint", at / "bare", "--prompt-text", "a") == 2
    assert "no tokenizer" in capsys.readouterr().err
