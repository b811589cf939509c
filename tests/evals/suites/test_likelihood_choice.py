import json
import zlib

import numpy as np
import pytest
import soundfile
from soxr import resample

from spirit_jax.core.errors import UserError
from spirit_jax.evals.benchmarks import BENCHMARKS
from spirit_jax.evals.evaluation import Evaluation
from spirit_jax.evals.layouts.trials import Sound
from spirit_jax.evals.results import to_json, write_scores
from spirit_jax.evals.suites.likelihood_choice import pair_of
from spirit_jax.evals.task import Result, ResultKind, measure
from spirit_jax.speech import audio
from tests.evals.data_sets import (
    VOICES,
    Knowing,
    Writer,
    write_all,
    write_lexical,
    write_mmlu,
    write_stories,
    write_syntactic,
)
from tests.generation.world import text_lm, tiny_lm
from tests.speech_codes import make_speech

FOUR = {"mmlu"}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return write_all(tmp_path_factory.mktemp("data"))


def ask(name, model, root, **options):
    return measure(BENCHMARKS[name], Evaluation(model, [], data=root, **options))


def chance_of(name):
    return 0.25 if name in FOUR else 0.5


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_model_that_knows_the_answers_is_always_right(written, name):
    result = ask(name, Knowing(written.right), written.root)
    assert result.value == result.details["value_of_sums"] == 1.0
    assert result.details["set_aside"] == {}
    assert result.chance == chance_of(name)
    assert result.n == 12 if name in FOUR else 8


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_tie_counts_what_a_guess_would(written, name):
    result = ask(name, Knowing(set(), lambda prompt, target: -1.0), written.root)
    assert result.value == chance_of(name)
    assert result.details["ties"] == len(result.rows)


@pytest.mark.parametrize("name", ["sblimp_text", "topic_storycloze_t", "mmlu"])
def test_a_model_that_guesses_has_the_value_of_chance_within_its_interval(tmp_path, name):
    def draw(prompt, target):
        return -zlib.crc32(np.concatenate([prompt, target]).astype(np.int32).tobytes()) / 2**32

    writer = Writer(tmp_path)
    write_syntactic(writer, 100, sounds=False)
    write_stories(writer, "tStoryCloze", 100, sounds=False)
    write_mmlu(writer, items=100)
    result = ask(name, Knowing(set(), draw), tmp_path)
    low, high = result.interval
    assert low <= chance_of(name) <= high
    assert 0.05 < high - low < 0.25


def brute_force(task, lm, root) -> float:
    """One pair at a time, in plain loops."""
    by_item = {}
    for trial in task.layout.read(root, "dev"):
        heard = {
            one: lm.listen([one.path])[0] if isinstance(one, Sound) else one
            for one in (*trial.context, *trial.candidates)
        }
        context = [heard[one] for one in trial.context]
        scores = [float(lm.score([pair_of(lm, context, heard[one])]).means[0]) for one in trial.candidates]
        best = [place for place, score in enumerate(scores) if score == max(scores)]
        by_item.setdefault(trial.item, []).append((0 in best) / len(best))
    means = [sum(wins) / len(wins) for wins in by_item.values()]
    return sum(means) / len(means)


@pytest.mark.parametrize("name", ["swuggy", "sblimp_text", "topic_storycloze_t2s", "storycloze_s2t", "mmlu"])
def test_the_value_is_that_of_plain_loops(written, name):
    expected = brute_force(BENCHMARKS[name], tiny_lm(), written.root)
    assert ask(name, tiny_lm(), written.root).value == pytest.approx(expected)


def test_voices_are_averaged_within_a_word_then_words(tmp_path):
    """One word of one voice counts as much as one of three."""
    writer = Writer(tmp_path)
    rows = write_lexical(writer, 2)
    alone = [row for row in rows if row["id"] == 0 or row["voice"] == VOICES[0]]
    writer.table("lexical/dev/gold.csv", tuple(rows[0]), alone)
    known = [row["filename"] for row in alone if row["id"] == 1]
    heard = {path.stem: tiny_lm().listen([path])[0] for path in (tmp_path / "lexical/dev").glob("*.wav")}
    right = {tuple(heard[name].units.tolist()) for name in known if name.endswith("y")}
    result = ask("swuggy", Knowing(right), tmp_path)
    assert (result.n, result.details["pairs"], result.details["incomplete_items"]) == (2, 4, 1)
    assert result.value == pytest.approx((0.5 + 1.0) / 2)  # ties of the three voices of word 0
    assert result.details["by_frequency"] == {
        "1-5": {"value": 1.0, "n": 1},
        "oov": {"value": 0.5, "n": 1},
    }


@pytest.mark.parametrize(
    ("context", "candidate", "given"),
    [([], "the fox", ["tag"]), (["the fox"], "saw it", ["tag", "the fox"])],
)
def test_the_likelihood_spans_the_candidate_alone(context, candidate, given):
    lm = Knowing(set())
    prompt, target = pair_of(lm, context, candidate)
    tags = {"tag": [lm.vocabulary.bos, lm.vocabulary.text_tag]}
    assert prompt.tolist() == [id for part in given for id in tags.get(part) or lm.tokenizer.encode(part)]
    assert target.tolist() == lm.tokenizer.encode(candidate, inside=bool(context))


def test_between_modalities_the_tag_of_the_candidate_is_given():
    lm = Knowing(set())
    speech = lm.codec.encode_batch([lm.codec.decode(make_speech(np.array([3, 9, 4])))])[0]
    prompt, target = pair_of(lm, [speech], "it")
    assert prompt.tolist()[-1] == lm.vocabulary.text_tag
    assert target.tolist() == lm.tokenizer.encode("it", inside=True)
    prompt, target = pair_of(lm, ["it"], speech)
    assert prompt.tolist()[-1] == lm.vocabulary.speech_tag
    assert (lm.vocabulary.classes_of(target) == 1).all()


def test_a_model_of_text_alone_is_asked_about_texts_alone(written):
    assert ask("swuggy", text_lm(), written.root).details["not_measured"] == "the model is text-only"
    assert ask("swuggy_text", text_lm(), written.root).n == 8
    assert ask("mmlu", text_lm(), written.root).n == 12


def test_short_and_missing_sounds_are_set_aside_with_their_reasons(tmp_path):
    writer = Writer(tmp_path)
    write_lexical(writer, 3, VOICES[:1])
    writer.sound("lexical/dev/alice0x.wav", False, units=1)
    (tmp_path / "lexical/dev/alice1y.wav").unlink()
    result = ask("swuggy", Knowing(writer.right), tmp_path)
    assert (result.value, result.n) == (1.0, 1)
    assert result.details["set_aside"] == {"too_short": 1, "missing": 1}
    assert result.extent == "1 pairs, 1 items; set aside: 1 too_short, 1 missing"
    rows = [row for row in result.rows if "set_aside" in row]
    assert [row["item"] for row in rows] == ["0", "1"]
    assert "1280" in rows[0]["detail"]
    (warning,) = write_scores(tmp_path / "out", "swuggy", result)
    assert "2 of 6 recordings" in warning


def test_a_name_with_a_space_has_no_line_in_the_submission(tmp_path):
    """A line is a name and a score, divided by a space."""
    result = Result(1.0, None, 1, ResultKind.ACCURACY, submissions={"dev.txt": {"a": -1.0, "b c": -2.0}})
    (warning,) = write_scores(tmp_path, "swuggy", result)
    assert "1 of 2 recordings" in warning
    assert (tmp_path / "submission/dev.txt").read_text() == "a -1\n"


def test_what_other_programs_write_is_read(tmp_path):
    """A table of Windows, a sound of two channels at another rate, names with a space and in capitals."""
    writer = Writer(tmp_path)
    rows = write_lexical(writer, 3, VOICES[:1])
    folder = tmp_path / "lexical/dev"
    (folder / "alice0y.wav").rename(folder / "alice 0 y.wav")
    rows[0]["filename"] = "alice 0 y"
    wav = resample(audio.load(folder / "alice1y.wav"), 16_000, 44_100)
    soundfile.write(folder / "alice1y.wav", np.stack([wav, wav], axis=1), 44_100)
    (folder / "alice2y.wav").rename(folder / "alice2y.WAV")
    writer.table("lexical/dev/gold.csv", tuple(rows[0]), rows)
    table = folder / "gold.csv"
    table.write_bytes(b"\xef\xbb\xbf" + table.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    result = ask("swuggy", Knowing(writer.right), tmp_path)
    assert (result.value, result.n, result.details["set_aside"]) == (1.0, 2, {"missing": 1})


def test_every_recording_has_a_line_in_the_submission(tmp_path):
    """Also those without a partner: the official validation asks for them."""
    writer = Writer(tmp_path)
    rows = write_lexical(writer)
    writer.table("lexical/dev/gold.csv", tuple(rows[0]), rows[:-1])
    result = ask("swuggy", Knowing(writer.right), tmp_path)
    assert result.details["set_aside"] == {"missing_partner": 1}
    assert write_scores(tmp_path / "out", "swuggy", result) == []
    lines = (tmp_path / "out/submission/lexical/dev.txt").read_text().splitlines()
    assert {line.split(" ")[0] for line in lines} == {row["filename"] for row in rows[:-1]}
    assert all(float(line.split(" ")[1]) in (-1.0, -2.0) for line in lines)
    scores = [json.loads(line) for line in (tmp_path / "out/swuggy.jsonl").read_text().splitlines()]
    assert len(scores) == len(rows) // 2
    assert scores[0]["means"] == [-1.0, -2.0]
    assert (scores[0]["win"], scores[0]["voice"], scores[0]["frequency"]) == (1.0, "alice", "oov")


def test_what_does_not_fit_is_set_aside(written):
    result = ask("mmlu", Knowing(written.right), written.root, max_tokens=64)
    assert (result.value, result.n, result.details["set_aside"]) == (None, 0, {"too_long": 12})


def test_the_result_says_what_it_depends_on(tmp_path):
    write_mmlu(Writer(tmp_path))
    once = to_json(ask("mmlu", text_lm(), tmp_path))
    assert once == json.loads(json.dumps(once)) == to_json(ask("mmlu", text_lm(), tmp_path))
    assert "split" not in once["data"], "questions are always those of test/"
    assert once["span"] == "the tokens of the candidate, given BOS, tags and the context"
    assert once["paper"] == {"base": 0.369, "expressive": 0.333}
    path = next((tmp_path / "mmlu/test").glob("*.csv"))
    path.write_text(path.read_text().replace("met A", "saw A"))
    assert to_json(ask("mmlu", text_lm(), tmp_path))["data"]["fingerprint"] != once["data"]["fingerprint"]


def test_what_candidates_share_is_read_once_and_reported(tmp_path):
    write_mmlu(Writer(tmp_path), subjects=4, items=60)
    reading = ask("mmlu", text_lm(), tmp_path).details["reading"]
    assert reading["tokens"] > 100_000
    assert reading["shared"] > 0.75, "the four answers share a question, questions share their examples"
    assert 0 <= reading["padding"] < 0.1


def test_without_a_folder_of_data_the_task_names_it():
    with pytest.raises(UserError, match="--data"):
        BENCHMARKS["swuggy"].items(Evaluation(tiny_lm(), []))
