import jax
import jax.numpy as jnp
import numpy as np
import pytest
import soundfile

from spirit_jax.core.errors import UserError
from spirit_jax.generation import engine
from spirit_jax.generation.sampling import Sampling
from spirit_jax.generation.spirit_lm import Output, SpiritLM
from spirit_jax.speech import audio
from spirit_jax.tokens.prompt_format import Task
from spirit_jax.tokens.vocabulary import Modality, TokenClass
from tests.generation.world import Tones, record, tiny_lm, tokenizer, vocabulary
from tests.speech_codes import make_speech, make_spoken, make_streams, write_codec_json
from tests.weights_folder import save_weights

SPEECH = record(3).speech


@pytest.fixture
def asked(monkeypatch):
    """What the engine is asked for; it answers with nothing."""
    calls = []

    def answer(llama, prompts, forbidden_V, limits, sampling, seed):
        calls.append((prompts, forbidden_V, limits, sampling))
        return [np.zeros(0, np.int32)] * len(prompts)

    monkeypatch.setattr(engine, "generate", answer)
    return calls


@pytest.mark.parametrize(
    ("prompt", "task", "output", "budget", "temperature"),
    [
        (["the fox"], Task.CONTINUE, Modality.TEXT, 50, 0.8),
        ([SPEECH], Task.CONTINUE, Modality.TEXT, 50, 0.8),
        (["the fox"], Task.CONTINUE, Modality.SPEECH, 200, 0.8),
        ([SPEECH], Task.CONTINUE, Modality.SPEECH, 300, 0.8),
        (["the fox"], Task.SPEAK, Modality.TEXT, 200, 0.0),
        ([make_speech(np.arange(5))], Task.TRANSCRIBE, Modality.SPEECH, 50, 0.0),
    ],
)
def test_defaults_are_the_papers(asked, prompt, task, output, budget, temperature):
    tiny_lm().generate([prompt], output, task)
    _, _, limits, sampling = asked[0]
    assert limits.max_new_tokens == budget
    assert sampling == Sampling(temperature, 0.95)


def test_a_long_recording_gets_room_for_its_transcript(asked):
    tiny_lm().generate([[make_speech(np.arange(400) % 40)]], task=Task.TRANSCRIBE)
    assert asked[0][2].max_new_tokens >= 400


@pytest.mark.parametrize("task", [Task.CONTINUE, Task.TRANSCRIBE])
def test_default_lengths_do_not_depend_on_other_prompts(task):
    lm, long = tiny_lm(learned_eos=False), [make_speech(np.arange(150) % 40)]
    short = ["the fox"] if task is Task.CONTINUE else [SPEECH]
    output = Modality.SPEECH if task is Task.CONTINUE else Modality.TEXT
    (alone,) = lm.generate([short], output, task)
    together = lm.generate([short, long], output, task)
    np.testing.assert_array_equal(together[0].ids, alone.ids)
    assert len(alone.ids) < len(together[1].ids)


@pytest.mark.parametrize("learned_eos", [True, False])
def test_forced_speech_may_end_only_where_eos_was_learned(asked, learned_eos):
    tiny_lm(learned_eos=learned_eos).generate([["the fox"]], Modality.SPEECH)
    tiny_lm(learned_eos=learned_eos).generate([["the fox"]], Modality.TEXT)
    assert asked[0][1][vocabulary().eos] == (not learned_eos)
    assert asked[0][1][: vocabulary().eos].all()
    assert not asked[1][1][vocabulary().eos]


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
        [["the fox"]] * 4, Modality.ARBITRARY, max_new_tokens=60, sampling=Sampling(1.0, 1.0)
    )
    assert any((vocabulary().classes_of(output.ids) == TokenClass.SPEECH).any() for output in outputs)
    assert all(len(speech.units) >= 25 for output in outputs for speech in output.speech)


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


def test_a_prompt_longer_than_the_rows_of_training_gives_a_warning(capsys):
    lm = tiny_lm()
    lm.generate([["the fox"], [make_speech(np.arange(70) % 3)]], max_new_tokens=1)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        "warning: prompt 1 has 73 tokens, more than the 64 of the rows that the model was trained on"
    )


def test_output_gathers_text_and_speech():
    said = make_spoken(SPEECH.units)
    output = Output(np.zeros(0, np.int32), ("a", said, "b"))
    assert output.text == "a b"
    assert output.speech == [said]
