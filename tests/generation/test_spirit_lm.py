import jax
import jax.numpy as jnp
import numpy as np
import pytest
import soundfile

from spirit_jax.core.errors import UserError
from spirit_jax.generation import jobs
from spirit_jax.generation.inputs import TokenString, Wav
from spirit_jax.generation.options import Options, Request
from spirit_jax.generation.spirit_lm import SpiritLM
from spirit_jax.speech import audio
from spirit_jax.tokens.prompt_format import Task
from spirit_jax.tokens.vocabulary import Modality, TokenClass
from tests.generation.world import Tones, prompt_format, record, tiny_lm, tokenizer, vocabulary
from tests.speech_codes import make_speech, make_streams, write_codec_json
from tests.weights_folder import save_weights

SPEECH = record(3).speech


def plan(prompt, learned_eos=True, **options):
    """The job for one prompt."""
    (job,) = tiny_lm(learned_eos=learned_eos).plan([Request(prompt, Options.from_mapping(options))])
    return job


def test_a_job_says_what_the_options_do():
    job = plan(["the fox"], temperature=0.5, top_k=3, max_new_tokens=9, seed=4, repetition_penalty=1.2)
    assert job.ids.tolist() == [1, vocabulary().text_tag, *tokenizer().encode("the fox")]
    assert (job.max_new_tokens, job.seed, job.eos, job.find_end) == (9, 4, vocabulary().eos, None)
    assert (job.sampling.temperature, job.sampling.top_k, job.sampling.repetition_penalty) == (0.5, 3, 1.2)
    assert plan([SPEECH], output="speech").max_new_tokens == 300
    assert plan(["the fox"], output="speech").max_new_tokens == 200
    assert plan([SPEECH, "the fox"], output="speech").max_new_tokens == 200


def test_a_long_recording_gets_room_for_its_transcript():
    assert plan([make_speech(np.arange(400) % 40)], task="transcribe").max_new_tokens >= 400


@pytest.mark.parametrize("task", [Task.CONTINUE, Task.TRANSCRIBE])
def test_default_lengths_do_not_depend_on_other_prompts(task):
    lm, long = tiny_lm(learned_eos=False), [make_speech(np.arange(150) % 40)]
    short = ["the fox"] if task is Task.CONTINUE else [SPEECH]
    output = Modality.SPEECH if task is Task.CONTINUE else None
    (alone,) = lm.generate([short], output, task=task)
    together = lm.generate([short, long], output, task=task)
    np.testing.assert_array_equal(together[0].ids, alone.ids)
    assert len(alone.ids) < len(together[1].ids)


@pytest.mark.parametrize("learned_eos", [True, False])
@pytest.mark.parametrize("published", [True, False])
def test_forced_speech_may_end_only_where_eos_was_learned_and_by_our_rules(learned_eos, published):
    eos, size = vocabulary().eos, vocabulary().size
    speech = plan(["the fox"], learned_eos, output="speech", published_rules=published).forbidden_V
    text = plan(["the fox"], learned_eos, output="text", published_rules=published).forbidden_V
    assert speech[eos] == (published or not learned_eos)
    assert speech[:eos].all()
    assert not text[eos]
    assert (len(text) > size, text[size:].all(), text[size:].any()) == (True, not published, not published)


def test_padding_ids_of_published_rules_say_nothing():
    """They may be drawn, as in the release; a text goes on behind them."""
    lm = tiny_lm()
    table_VD = lm.llama.head_VD[...]
    model = jax.tree.map(lambda w: w, lm.llama)
    model.head_VD = model.head_VD.copy(table_VD.at[vocabulary().size :].mul(1000.0))
    wild = SpiritLM(model, lm.format, None, True, 64, lm.arrangements)
    options = {"max_new_tokens": 20, "temperature": 2.0, "top_p": 1.0}
    (output,) = wild.generate("the fox", published_rules=True, **options)
    assert (output.ids >= vocabulary().size).any()
    assert "".join(part.text for part in output.parts) == tokenizer().decode(
        output.ids[output.ids < vocabulary().text_size]
    )
    (output,) = wild.generate("the fox", **options)
    assert (output.ids < vocabulary().size).all()


def test_parts_of_all_kinds_are_mixed_in_one_prompt(tmp_path):
    wav = Tones().decode(SPEECH)
    audio.save(tmp_path / "a.wav", wav)
    speech = prompt_format().encode([SPEECH], Task.CONTINUE, Modality.SPEECH)[2:]
    string = TokenString("".join(f"[Hu{id - vocabulary().speech_start}]" for id in speech))
    parts = ["the fox", tmp_path / "a.wav", Wav(wav, 16_000), "saw", string, SPEECH, speech]
    expected = prompt_format().encode(
        ["the fox", *[speech] * 2, "saw", *[speech] * 3], Task.CONTINUE, Modality.TEXT
    )
    np.testing.assert_array_equal(plan(parts).ids, expected)


def test_one_prompt_or_many_in_any_order_give_the_same(tmp_path):
    audio.save(tmp_path / "a.wav", Tones().decode(SPEECH))
    prompts = [["the fox", tmp_path / "a.wav"], ["the cow"], [SPEECH], ["the cow", "the hen"]]
    options = {"output": "arbitrary", "temperature": 1.0, "max_new_tokens": 30, "seed": 5}
    together = tiny_lm().generate(prompts, **options)
    backwards = tiny_lm().generate(prompts[::-1], **options)[::-1]
    assert len({tuple(output.ids) for output in together}) == len(prompts)
    for prompt, one, other in zip(prompts, together, backwards, strict=True):
        (alone,) = tiny_lm().generate(prompt, **options)
        np.testing.assert_array_equal(one.ids, alone.ids)
        np.testing.assert_array_equal(one.ids, other.ids)
        np.testing.assert_allclose(one.log_probs, alone.log_probs, atol=1e-5)


def test_log_probabilities_are_those_that_scoring_gives():
    lm = tiny_lm()
    (output,) = lm.generate("the fox", max_new_tokens=12, temperature=2.0, repetition_penalty=1.5)
    prompt = plan(["the fox"]).ids
    scores = lm.score([(prompt, output.ids)])
    np.testing.assert_allclose(output.log_probs.sum(), scores.sums[0], rtol=1e-4)


def test_text_ends_before_a_stop():
    lm, options = tiny_lm(), {"max_new_tokens": 40, "temperature": 1.5, "top_p": 1.0, "seed": 2}
    (whole,) = lm.generate("the fox", **options)
    stop = whole.text[len(whole.text) // 2 :][:3]
    (cut, other) = lm.generate([["the fox"], ["the cow"]], stop=[stop, "never said"], **options)
    assert cut.text == whole.text[: whole.text.index(stop)]
    assert cut.finish is jobs.Finish.STOP
    np.testing.assert_array_equal(cut.ids, whole.ids[: len(cut.ids)])
    assert len(other.ids) > 0


def test_a_voice_that_the_codec_does_not_have_is_refused_before_anything_is_generated(monkeypatch):
    def refuse(self, speaker, style):
        raise UserError("speaker", speaker, "is none of this codec's", "leave it out")

    monkeypatch.setattr(Tones, "check_voice", refuse)
    monkeypatch.setattr(jobs, "generate", None)
    with pytest.raises(UserError, match="speaker = 7"):
        tiny_lm().generate("the fox", "speech", speaker=7)


def test_speech_is_spoken_in_the_voice_that_was_asked_for(monkeypatch):
    voices = []
    monkeypatch.setattr(Tones, "decode", lambda self, spoken, *voice: voices.append(voice))
    (output,) = tiny_lm().generate("the fox", "speech", max_new_tokens=5, speaker=1, style=2)
    assert voices == [], "sound is made when it is asked for"
    _ = output.speech[0].wav
    assert voices == [(1, 2)]


@pytest.mark.parametrize("modality", [Modality.TEXT, Modality.SPEECH])
def test_output_is_of_the_forced_modality(modality):
    outputs = tiny_lm().generate([["the fox"], [SPEECH]], modality, max_new_tokens=20, seed=1)
    for output in outputs:
        assert set(vocabulary().classes_of(output.ids)) == {
            TokenClass.TEXT if modality is Modality.TEXT else TokenClass.SPEECH
        }
        assert bool(output.text) == (modality is Modality.TEXT)
        assert bool(output.speech) == (modality is Modality.SPEECH)


def test_arbitrary_output_drops_short_speech():
    outputs = tiny_lm().generate(
        [["the fox"]] * 4, "arbitrary", max_new_tokens=60, temperature=1.0, top_p=1.0
    )
    assert any((vocabulary().classes_of(output.ids) == TokenClass.SPEECH).any() for output in outputs)
    assert all(len(part.spoken.units) >= 24 for output in outputs for part in output.speech)


def test_scores_are_of_the_targets():
    lm = tiny_lm()
    prompt, target = np.array([1, 5], np.int32), np.array([7, 8, 9], np.int32)
    scores = lm.score([(prompt, target), (prompt, target[:1])])
    assert scores.lengths.tolist() == [3, 1]
    assert scores.sums[0] < scores.sums[1] < 0


def test_sound_is_heard_and_what_is_none_is_refused(tmp_path):
    lm = tiny_lm()
    audio.save(tmp_path / "a.wav", Tones().decode(SPEECH))
    np.testing.assert_array_equal(lm.listen([tmp_path / "a.wav"])[0].units, SPEECH.units)
    np.testing.assert_array_equal(
        lm.listen([tmp_path / "a.wav"], max_seconds=0.12)[0].units, SPEECH.units[:3]
    )
    np.testing.assert_array_equal(
        lm.listen([tmp_path / "a.wav"], max_seconds=float("inf"))[0].units, SPEECH.units
    )
    (tmp_path / "bad.wav").write_bytes(b"not sound")
    with pytest.raises(UserError, match=r"bad\.wav"):
        lm.listen([tmp_path / "bad.wav"])


SAMPLES = {
    "silent": np.zeros(16_000),
    "not_finite": np.full(16_000, np.nan),
    "too_loud": np.full(16_000, 1e12),
    "too_short": np.ones(100),
    "truncated": np.ones(16_000),
}


def test_each_reason_that_sound_is_refused_for_has_its_own_fix(tmp_path):
    for reason, wav in SAMPLES.items():
        soundfile.write(tmp_path / f"{reason}.wav", wav, 16_000, subtype="FLOAT")
    whole = (tmp_path / "truncated.wav").read_bytes()
    (tmp_path / "truncated.wav").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "unreadable.wav").write_bytes(b"not sound")
    fixes = set()
    for reason in [*SAMPLES, "empty", "unreadable", "missing"]:
        with pytest.raises(UserError, match=rf"{reason}\.wav: {reason}: ") as refused:
            tiny_lm().listen([tmp_path / f"{reason}.wav"])
        assert ("0.08 s" in refused.value.fix) == (reason == "too_short")
        fixes.add(refused.value.fix)
    assert len(fixes) == len(SAMPLES) + 3


def test_without_a_codec_speech_is_refused():
    lm = tiny_lm()
    with pytest.raises(UserError, match="no codec"):
        _ = SpiritLM(lm.llama, lm.format, None, True, 64, frozenset()).codec


@pytest.fixture
def stored(tmp_path):
    """A weights folder with the identity of a codec, and more such identities beside it."""
    lm = tiny_lm()
    tokenizer().save(tmp_path / "text")
    ours = vocabulary().streams
    for name, streams, encoder in (
        ("own", ours, "made"),
        ("same encoder", ours, "made"),
        ("other encoder", ours, "another"),
        ("other streams", make_streams(9), "made"),
    ):
        (tmp_path / name).mkdir()
        write_codec_json(tmp_path / name, streams, encoder)
    save_weights(tmp_path / "model", lm.llama, vocabulary(), tmp_path / "text", tmp_path / "own", {})
    return tmp_path


def test_a_codec_with_the_same_encoder_may_replace_the_checkpoints(stored):
    assert SpiritLM.load(stored / "model").codec_path == stored / "model/codec"
    given = stored / "same encoder"
    assert SpiritLM.load(stored / "model", codec=given).codec_path == given
    with pytest.raises(UserError, match="has the streams units 9, and the model units 40"):
        SpiritLM.load(stored / "model", codec=stored / "other streams")
    with pytest.raises(UserError, match="has the encoder another, and the model was trained with"):
        SpiritLM.load(stored / "model", codec=stored / "other encoder")


def test_a_model_is_loaded_onto_the_devices_and_in_the_type_that_are_asked_for(stored):
    whole = SpiritLM.load(stored / "model")
    split = SpiritLM.load(stored / "model", mesh={"tensor": 2})
    narrow = SpiritLM.load(stored / "model", dtype="bfloat16")
    assert len(split.llama.embed_VD[...].devices()) == 2
    assert {leaf.dtype for leaf in jax.tree.leaves(narrow.llama)} == {jnp.dtype(jnp.bfloat16)}
    for task in (Task.CONTINUE, Task.SPEAK):
        (ours,), (theirs,) = (
            lm.generate([["the fox"]], task=task, max_new_tokens=9) for lm in (split, whole)
        )
        np.testing.assert_array_equal(ours.ids, theirs.ids)


def test_a_model_in_int8_takes_less_and_is_for_one_device(stored):
    pytest.importorskip("qwix")
    whole, narrow = (SpiritLM.load(stored / "model", int8=int8) for int8 in (False, True))
    size, smaller = (sum(leaf.nbytes for leaf in jax.tree.leaves(lm.llama)) for lm in (whole, narrow))
    assert smaller < 0.4 * size  # a tiny model's scales and norms are no small part
    (output,) = narrow.generate([["the fox"]], "speech", max_new_tokens=9, temperature=0)
    ids = np.concatenate([narrow.format.encode(["the fox"], Task.CONTINUE, Modality.SPEECH), output.ids])
    score = narrow.score([(ids[: -len(output.ids)], output.ids)])
    np.testing.assert_allclose(score.sums, [output.log_probs.sum()], rtol=1e-4)
    with pytest.raises(UserError, match="--int8.*for one device"):
        SpiritLM.load(stored / "model", mesh={"tensor": 2}, int8=True)


def test_a_prompt_longer_than_the_rows_of_training_gives_a_warning(capsys):
    lm = tiny_lm()
    lm.generate([["the fox"], [make_speech(np.arange(70) % 3)]], max_new_tokens=1, temperature=0)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        "warning: prompt 1 has 73 tokens, more than the 64 of the rows that the model was trained on"
    )
