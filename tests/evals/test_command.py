"""Evaluation from folders on disk, as a user runs it."""

import dataclasses
import json

import numpy as np
import pytest

from spirit_jax.evals.registry import DEFAULT_TASKS, GROUPS, HELD_OUT, TASKS, TRANSCRIPTION, expand
from spirit_jax.evals.task import Result, ResultKind
from spirit_jax.generation.spirit_lm import SpiritLM
from tests.evals.data_sets import Writer, write_lexical, write_mmlu
from tests.evals.folders import spirit, write_folders
from tests.evals.suites.test_abx import write_items
from tests.generation.tiny import random_llama
from tests.generation.world import UNITS, record, tiny_lm, tokenizer
from tests.verbs import run_verb
from tests.weights_folder import save_weights


@pytest.fixture(scope="module")
def at(tmp_path_factory):
    root = tmp_path_factory.mktemp("evals")
    write_folders(root)
    writer = Writer(root / "data")
    write_lexical(writer, 3)
    write_mmlu(writer, 1, 3)
    return root


def test_a_checkpoint_is_loaded_with_all_that_belongs_to_it(at):
    lm = SpiritLM.load(at / "run")
    assert lm.vocabulary == tiny_lm().vocabulary
    assert lm.tokenizer.fingerprint == tokenizer().fingerprint
    assert lm.codec.streams[0].size == UNITS
    assert not lm.learned_eos
    pair = (np.array([1, 5], np.int32), np.array([7, 8], np.int32))
    np.testing.assert_array_equal(lm.score([pair]).sums, tiny_lm().score([pair]).sums)


def test_results_are_written_and_printed(at, capsys):
    words = ["--checkpoint", at / "run", "--shards", at / "shards", "--tasks", "loss,choice_s2t,choice_t2s"]
    assert spirit("eval", *words, "--out", at / "eval.json") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[0] for line in lines] == ["loss", "choice_s2t", "choice_t2s"]
    assert lines[1].startswith("choice_s2t: 0.")
    assert lines[1].endswith(" of 24 pairs, 8 items")
    results = json.loads((at / "eval.json").read_text())
    assert results["records"] == 8
    assert results["tasks"]["choice_t2s"]["pairs"] == 8 * 3
    assert results["tasks"]["choice_t2s"]["kind"] == "accuracy"
    assert results["tasks"]["loss"]["interleaved"]["nll"].keys() == {"text", "speech", "tag"}


def test_a_model_of_text_alone_is_measured_on_the_text_of_spoken_shards(at, capsys):
    words = ["--checkpoint", at / "text", "--shards", at / "shards", "--out", at / "text.json"]
    assert spirit("eval", *words) == 0
    lines = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())
    assert list(lines) == expand(list(DEFAULT_TASKS))
    measured = {name for name, line in lines.items() if line != "not measured: the model is text-only"}
    assert measured == {"loss", "choice_t2t"}
    assert lines["choice_t2t"].endswith(" of 24 pairs, 8 items")
    loss = json.loads((at / "text.json").read_text())["tasks"]["loss"]
    assert loss["text"]["tokens"]["text"] == sum(len(record(number * 37).text_ids) for number in range(8))
    assert "speech" not in loss


def test_converted_weights_leave_out_transcription_unless_it_is_asked_for(at, capsys):
    words = [
        "--checkpoint",
        at / "run",
        "--shards",
        at / "shards",
        "--max-records",
        1,
        "--out",
        at / "a.json",
    ]
    assert spirit("eval", *words) == 0
    lines = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())
    for name, result in json.loads((at / "a.json").read_text())["tasks"].items():
        assert (
            ("not_measured" in result)
            == lines[name].startswith("not measured: no ")
            == (name in TRANSCRIPTION)
        )
    assert spirit("eval", *words, "--tasks", "wer_s2t") == 0
    assert "not measured" not in capsys.readouterr().out
    assert json.loads((at / "a.json").read_text())["tasks"]["wer_s2t"]["n"] == 1


def test_benchmarks_and_held_out_tasks_are_measured_together(at, capsys):
    words = ["swuggy", "mmlu", "--checkpoint", at / "run", "--data", at / "data", "--out", at / "both.json"]
    assert spirit("eval", *words, "--shards", at / "shards", "--tasks", "loss") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[0] for line in lines] == ["loss", "swuggy", "mmlu"]
    assert lines[1].endswith(" of 9 pairs, 3 items")
    results = json.loads((at / "both.json").read_text())
    known = {"spirit_jax", "python", "jax", "numpy", "jiwer"}
    assert known <= results["versions"].keys() <= known | {"whisper-normalizer"}
    assert results["model_options"] == {"codec": None, "dtype": None, "int8": False, "mesh": []}
    assert results["unfinished"] == []
    assert results["tasks"]["swuggy"]["data"]["sounds"] == 18
    assert len((at / "both_scores/swuggy.jsonl").read_text().splitlines()) == 9
    assert len((at / "both_scores/submission/lexical/dev.txt").read_text().splitlines()) == 18
    table = (at / "both_scores/results.md").read_text().splitlines()
    assert [line.split(" | ")[0] for line in table[4:]] == ["| `loss`", "| `swuggy`", "| `mmlu`"]
    assert "| 0.690 | 0.650 |" in table[5]
    assert "<td" in (at / "both_scores/results.html").read_text()


def test_a_model_that_is_split_over_devices_has_the_same_values(at):
    words = ["loss", "choice_s2t", "alignment", "swuggy", "--checkpoint", at / "run", "--data", at / "data"]
    words += ["--shards", at / "shards"]
    found = []
    for name, more in (("one", []), ("two", ["--mesh", "tensor=2"])):
        assert spirit("eval", *words, "--out", at / f"{name}.json", *more) == 0
        found.append(json.loads((at / f"{name}.json").read_text()))
    assert found[1]["model_options"]["mesh"] == ["tensor=2"]
    for name, result in found[0]["tasks"].items():
        assert found[1]["tasks"][name]["value"] == pytest.approx(result["value"], rel=1e-4), name


def test_the_verb_takes_a_folder_of_data_sets(at, capsys):
    out = at / "verb.json"
    assert run_verb("eval", CKPT=at / "text", DATA=at / "data", TASKS="swuggy_text mmlu", OUT=out) == 0
    lines = [line.split(": ")[0] for line in capsys.readouterr().out.splitlines()]
    assert lines == ["swuggy_text", "mmlu"]


@dataclasses.dataclass
class Broken:
    """A task that fails until it is mended."""

    measured: list
    broken: bool = True
    title: str = "Broken"
    kind: ResultKind = ResultKind.LOSS
    needs_speech: bool = False
    learned_from: tuple = ()
    judges: tuple = ()

    def items(self, evaluation):
        return []

    def score(self, evaluation, items):
        if self.broken:
            raise OSError("no space left on device")
        self.measured.append(self)
        return Result(1.0, None, 0, self.kind)


def test_an_evaluation_that_stops_keeps_what_it_has_and_continues(at, monkeypatch, capsys):
    measured = []
    first, second = Broken(measured, broken=False), Broken(measured)
    for name, task in (("first", first), ("second", second)):
        monkeypatch.setitem(HELD_OUT, name, task)
        monkeypatch.setitem(TASKS, name, task)
    words = ["first", "second", "--checkpoint", at / "run", "--shards", at / "shards"]
    words += ["--out", at / "stopped.json"]
    assert spirit("eval", *words) == 1
    results = json.loads((at / "stopped.json").read_text())
    assert (list(results["tasks"]), results["unfinished"]) == (["first"], ["second"])
    assert (results["model"], results["checkpoint"]) == (str(at / "run"), str(at / "run"))
    second.broken = False
    assert spirit("eval", *words) == 0
    assert measured == [first, second]
    assert "1 of 2 tasks; continuing" in capsys.readouterr().err
    done = json.loads((at / "stopped.json").read_text())
    assert (list(done["tasks"]), done["unfinished"]) == (["first", "second"], [])
    assert spirit("eval", *words) == 0, "a finished one is measured again"
    assert measured == [first, second, first, second]


@pytest.mark.parametrize("change", ["seed", "data", "file", "dtype"])
def test_an_interrupted_evaluation_of_something_else_is_not_continued(at, monkeypatch, change, capsys):
    words = ["swuggy_text", "mmlu", "--checkpoint", at / "text", "--data", at / "data"]
    words += ["--out", at / "changed.json"]
    assert spirit("eval", *words) == 0
    stored = json.loads((at / "changed.json").read_text())
    (at / "changed.json").write_text(json.dumps({**stored, "unfinished": ["mmlu"]}))
    if change == "seed":
        words += ["--seed", 5]
    if change == "dtype":
        words += ["--dtype", "bfloat16"]
    if change == "data":
        table = next((at / "data/mmlu/test").glob("*.csv"))
        table.write_text(table.read_text() + "one more?,a,b,c,d,A\n")
    if change == "file":
        (at / "changed.json").write_text("not what eval writes")
    capsys.readouterr()
    assert spirit("eval", *words) == 0
    assert "continuing" not in capsys.readouterr().err
    assert json.loads((at / "changed.json").read_text())["unfinished"] == []


def test_missing_data_is_found_before_the_model_is_loaded(at, capsys):
    words = ["sblimp", "--checkpoint", at / "nowhere", "--data", at / "data", "--out", at / "none.json"]
    assert spirit("eval", *words) == 2
    error = capsys.readouterr().err.strip()
    assert "no folder syntactic" in error
    assert "download.zerospeech.com" in error
    assert "transcription" in error
    assert "\n" not in error


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["swuggy", "--checkpoint", "run", "--shards", "shards"], "--data = None"),
        (["tts", "--checkpoint", "run", "--data", "data"], "--asr = None"),
        (["stsp_s2t", "--checkpoint", "run", "--data", "data"], "--text-classifier = None"),
        (
            ["resynthesis", "--checkpoint", "run", "--data", "data", "--asr", "data"],
            "--speech-classifier = None",
        ),
        (["asr", "--checkpoint", "run", "--data", "data"], "no folder LibriSpeech"),
        (["--checkpoint", "run", "--data", "data"], "--shards = None"),
        (["swuggy", "--checkpoint", "run", "--data", "nowhere"], "nowhere"),
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


def test_a_result_never_replaces_a_folder(at, capsys, monkeypatch):
    monkeypatch.chdir(at)
    assert spirit("eval", "--checkpoint", "run", "--shards", "shards", "--tasks", "loss", "--out", "run") == 2
    assert "--out = run: is a folder" in capsys.readouterr().err
    assert (at / "run/config.json").is_file()


def test_a_folder_without_tokenizer_is_refused(at, capsys):
    save_weights(at / "bare", random_llama(tiny_lm().llama.cfg, 0.1), tiny_lm().vocabulary)
    assert spirit("generate", "--checkpoint", at / "bare", "--prompt-text", "a") == 2
    assert "no tokenizer" in capsys.readouterr().err


def test_a_data_set_of_sounds_that_nobody_can_read_is_an_error(at, tmp_path, capsys):
    write_lexical(Writer(tmp_path), 2)
    for sound in tmp_path.rglob("*.wav"):
        sound.write_bytes(b"no sound")
    words = ["swuggy", "--checkpoint", at / "run", "--data", tmp_path, "--out", tmp_path / "eval.json"]
    assert spirit("eval", *words) == 2
    said = capsys.readouterr()
    assert "swuggy: nothing to measure, of 0 items; set aside: 6 unreadable" in said.out
    assert "needs an item that can be asked" in said.err
    assert json.loads((tmp_path / "eval.json").read_text())["tasks"]["swuggy"]["n"] == 0


def test_a_language_model_judges_what_a_model_says(at, capsys):
    words = ["eval", "gen_ppl_t2t", "gen_ppl_s2t", "--checkpoint", at / "run", "--shards", at / "shards"]
    words += ["--max-records", "2", "--out", at / "gen_ppl.json"]
    assert spirit(*words) == 2
    assert "--judge-lm" in capsys.readouterr().err
    assert spirit(*words, "--judge-lm", at / "text") == 0
    results = json.loads((at / "gen_ppl.json").read_text())
    assert results["judges"] == {"judge_lm": str(at / "text")}
    for task in results["tasks"].values():
        assert task["kind"] == "perplexity"
        assert task["original"]["value"] > 1
        assert task["judge"].startswith("text, ")


def test_abx_asks_the_codec_of_the_checkpoint(at):
    write_items(at / "data" / "abx")
    words = ["abx", "--checkpoint", at / "run", "--data", at / "data", "--out", at / "abx.json"]
    assert spirit("eval", *words) == 0
    tasks = json.loads((at / "abx.json").read_text())["tasks"]
    assert list(tasks) == list(GROUPS["abx"])
    for task in tasks.values():
        assert (task["kind"], task["n"], task["set_aside"]) == ("abx_error", 4, {})
        assert task["value"] < 0.5
