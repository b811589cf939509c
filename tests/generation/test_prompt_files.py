import json

import pytest
import soundfile

from spirit_jax.generation import jobs, prompt_files
from spirit_jax.generation.prompt_files import answer
from spirit_jax.speech import audio
from tests.generation.world import Tones, record, tiny_lm

SPEECH = record(3).speech


def write(folder, *lines):
    text = "".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines)
    (folder / "prompts.jsonl").write_text(text)
    return folder / "prompts.jsonl"


def rows(out, name):
    return [json.loads(line) for line in (out / name).read_text().splitlines()]


def results(out):
    return rows(out, "results.jsonl")


@pytest.fixture
def generated(monkeypatch):
    """How many jobs each call of the engine had."""
    counts, real = [], jobs.generate

    def count(llama, asked):
        counts.append(len(asked))
        return real(llama, asked)

    monkeypatch.setattr(jobs, "generate", count)
    return counts


def test_each_line_has_a_result_with_its_own_options(tmp_path):
    audio.save(tmp_path / "a.wav", Tones().decode(SPEECH))
    mixed = [{"text": "the fox"}, {"audio": "a.wav"}, {"tokens": "[Hu3]"}]
    path = write(
        tmp_path,
        {"prompt": "the fox"},
        "\n",
        {"id": "mixed", "prompt": mixed, "output": "speech", "max_new_tokens": 7, "seed": 5},
        {"prompt": [{"audio": "a.wav"}], "task": "transcribe", "temperature": None},
    )
    summary = answer(tiny_lm(), path, {"temperature": 0.5, "max_new_tokens": 9}, tmp_path / "out", "m")
    assert summary == {"n_prompts": 3, "n_ok": 3, "n_quarantined": 0, "reasons": {}}
    first, second, third = results(tmp_path / "out")
    assert [first["id"], second["id"], third["id"]] == ["000001", "mixed", "000004"]
    assert [row["line"] for row in (first, second, third)] == [1, 3, 4]
    expected = tiny_lm().generate("the fox", temperature=0.5, max_new_tokens=9)[0]
    assert first["text"] == expected.text
    (part,) = first["parts"]
    assert part["ids"] == expected.ids.tolist()
    assert part["log_probs"] == pytest.approx(expected.log_probs, abs=1e-4)
    assert second["audio"] == ["wav/mixed.wav"]
    assert second["parts"][0]["tokens"].startswith("[Hu")
    wav, rate = soundfile.read(tmp_path / "out" / second["audio"][0])
    assert (len(wav), rate) == (640 * second["tokens"], 16_000)
    assert third["text"] == tiny_lm().generate([SPEECH], task="transcribe", max_new_tokens=9)[0].text


def test_bad_lines_are_set_aside_with_their_reasons(tmp_path):
    soundfile.write(tmp_path / "silent.wav", [0.0] * 16_000, 16_000)
    bad = {
        "bad_json": "{nonsense\n",
        "bad_prompt": {"prompt": 3},
        "unknown_key": {"prompt": "a", "topp": 0.5},
        "bad_option": {"prompt": "a", "output": "speech", "stop": "x"},
        "bad_id": {"id": "../a", "prompt": "a"},
        "duplicate_id": {"id": "good", "prompt": "a"},
        "missing": {"prompt": [{"text": "a"}, {"audio": "nowhere.wav"}]},
        "silent": {"prompt": [{"audio": "silent.wav"}]},
    }
    more = [{"prompt": "[Hu3]"}, {"prompt": []}, {"prompt": [{"tokens": "[Hu99]"}]}, {"task": "transcribe"}]
    path = write(tmp_path, {"id": "good", "prompt": "a"}, *bad.values(), *more, {"prompt": "b"})
    summary = answer(tiny_lm(), path, {"max_new_tokens": 3}, tmp_path / "out", "m")
    assert summary["n_ok"] == 2
    assert summary["reasons"] == {**dict.fromkeys(bad, 1), "bad_prompt": 5}
    quarantine = rows(tmp_path / "out", "quarantine.jsonl")
    assert [row["line"] for row in quarantine] == list(range(2, 14))
    assert [row["reason"] for row in quarantine][: len(bad)] == list(bad)
    assert all(row["detail"] and "\n" not in row["detail"] for row in quarantine)
    assert quarantine[6]["audio"].endswith("nowhere.wav")
    assert [row["line"] for row in results(tmp_path / "out")] == [1, 14]


def test_only_what_changed_is_generated_again(tmp_path, generated, monkeypatch):
    monkeypatch.setattr(prompt_files, "LINES", 2)
    audio.save(tmp_path / "a.wav", Tones().decode(SPEECH))
    lines = [{"prompt": "the fox"}, {"prompt": "the cow"}, {"prompt": [{"audio": "a.wav"}]}, {"prompt": "x"}]
    out, options = tmp_path / "out", {"max_new_tokens": 3}

    def run(options=options, model="m"):
        generated.clear()
        answer(tiny_lm(), write(tmp_path, *lines), options, out, model)
        return list(generated)

    assert run() == [2, 2]
    first = results(out)
    assert run() == []
    assert results(out) == first
    lines[0]["seed"] = 3
    assert run() == [2]
    audio.save(tmp_path / "a.wav", Tones().decode(record(4).speech))
    assert run() == [2]
    assert run(model="other") == [2, 2]
    assert run(options={"max_new_tokens": 4}, model="other") == [2, 2]
    lines.pop()
    lines.pop()
    assert run(options={"max_new_tokens": 4}, model="other") == []
    assert len(results(out)) == 2


def test_a_killed_run_continues_and_ends_as_one_that_was_not(tmp_path, generated, monkeypatch):
    monkeypatch.setattr(prompt_files, "LINES", 2)
    lines = [{"prompt": f"the fox {i}", "output": "speech"} for i in range(6)]
    path, options = write(tmp_path, *lines), {"max_new_tokens": 5}
    expected = answer(tiny_lm(), path, options, tmp_path / "whole", "m")
    real = prompt_files.save_speech

    def fail(output, folder, stem):
        if stem == "000004":
            raise KeyboardInterrupt
        return real(output, folder, stem)

    monkeypatch.setattr(prompt_files, "save_speech", fail)
    with pytest.raises(KeyboardInterrupt):
        answer(tiny_lm(), path, options, tmp_path / "out", "m")
    assert not (tmp_path / "out/summary.json").exists()
    monkeypatch.setattr(prompt_files, "save_speech", real)
    generated.clear()
    assert answer(tiny_lm(), path, options, tmp_path / "out", "m") == expected
    assert generated == [2, 2]
    assert results(tmp_path / "out") == results(tmp_path / "whole")
    names = {file.relative_to(tmp_path / "whole") for file in (tmp_path / "whole").rglob("*")}
    assert names == {file.relative_to(tmp_path / "out") for file in (tmp_path / "out").rglob("*")}
