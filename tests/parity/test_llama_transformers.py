"""What we write, read by transformers; and what it computes, against what we compute. Needs
requirements-parity.txt.
"""

import dataclasses

import numpy as np
import pytest

from spirit_jax.config import RopeScaling
from spirit_jax.core.errors import UserError
from spirit_jax.model_io.exporting import export_llama
from spirit_jax.model_io.importing import ImportOptions, import_llama
from spirit_jax.model_io.verification import TOLERANCE, verify
from spirit_jax.model_io.vocabulary_plan import VocabularyRequest
from spirit_jax.tokens.strings import render
from tests.model.tiny import CONFIG, model
from tests.model_io.folders.llama_folders import tensors, write_folder
from tests.model_io.folders.tokenizer_folders import WORDS, write_byte_level, write_sentencepiece
from tests.prompt_strings import parse_prompt
from tests.speech_codes import make_speech, make_streams, make_vocabulary
from tests.weights_folder import save_weights

pytestmark = pytest.mark.parity
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
SCALING = RopeScaling(original_max_position=16)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A model with speech tokens and its export."""
    room = tmp_path_factory.mktemp("exported")
    tokenizer = write_sentencepiece(room / "text")
    vocabulary = make_vocabulary(tokenizer.size, 20, 5, 4)
    save_weights(
        room / "ours", model(rows=vocabulary.rows(), rope_scaling=SCALING), vocabulary, room / "text"
    )
    export_llama(room / "ours", room / "theirs")
    return room, tokenizer, vocabulary


def test_an_export_computes_what_we_compute(exported):
    room, _, _ = exported
    found = verify(room / "ours", room / "theirs")
    assert found.tensors == ()
    assert found.logits is not None
    assert found.logits < TOLERANCE / 10


def check_ids(folder, tokenizer, vocabulary):
    peer = transformers.AutoTokenizer.from_pretrained(folder)
    rng = np.random.default_rng(1)
    for _ in range(20):
        speech = render(
            make_speech(rng.integers(0, 20, 60), rng.integers(0, 5, 30), rng.integers(0, 4, 3)),
            vocabulary.streams,
        )
        prompt = (
            f"[Text]{' '.join(rng.choice(WORDS, 9))} [Speech]{speech}[Text]{' '.join(rng.choice(WORDS, 5))}"
        )
        assert (
            peer(prompt, add_special_tokens=False)["input_ids"]
            == parse_prompt(prompt, vocabulary, tokenizer.encode).tolist()
        )
    assert peer("the")["input_ids"][0] == vocabulary.bos
    assert (peer.bos_token_id, peer.eos_token_id) == (vocabulary.bos, vocabulary.eos)
    assert len(peer) == vocabulary.size
    return peer


def test_auto_tokenizer_gives_our_ids(exported):
    room, tokenizer, vocabulary = exported
    peer = check_ids(room / "theirs", tokenizer, vocabulary)
    said = peer.decode(parse_prompt("[Text]the quick[Speech][Hu3]", vocabulary, tokenizer.encode))
    assert said == "[Text] the quick[Speech][Hu3]", (
        "SentencePiece's space before a word stays after an added token, as in every Llama tokenizer"
    )


def test_auto_tokenizer_gives_our_ids_of_a_byte_level_tokenizer_too(tmp_path):
    tokenizer = write_byte_level(tmp_path / "source")
    cfg = dataclasses.replace(CONFIG, rows=tokenizer.size)
    write_folder(tmp_path / "source", tensors(cfg), cfg)
    vocabulary = import_llama(
        tmp_path / "source", tmp_path / "ours", ImportOptions(VocabularyRequest(make_streams(20, 5, 4)))
    ).vocabulary
    export_llama(tmp_path / "ours", tmp_path / "theirs")
    peer = check_ids(tmp_path / "theirs", tokenizer, vocabulary)
    assert (
        peer.decode(parse_prompt("[Text]the quick[Speech][Hu3]", vocabulary, tokenizer.encode))
        == "[Text]the quick[Speech][Hu3]"
    )


def test_generation_samples_no_row_of_padding(exported):
    room, _, vocabulary = exported
    tokenizer, peer = (
        transformers.AutoTokenizer.from_pretrained(room / "theirs"),
        transformers.AutoModelForCausalLM.from_pretrained(room / "theirs"),
    )
    prompt = tokenizer("[Speech][Hu12][Hu7][Text]", return_tensors="pt")
    torch.manual_seed(0)
    rows = peer.generate(
        **prompt, max_new_tokens=40, do_sample=True, temperature=5.0, num_return_sequences=40
    )
    assert rows.max() < vocabulary.size < peer.config.vocab_size


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_verify_knows_an_export_to_a_narrower_type(exported, tmp_path, dtype):
    room, _, _ = exported
    export_llama(room / "ours", tmp_path / "narrow", dtype)
    assert verify(room / "ours", tmp_path / "narrow").agrees


def test_verify_refuses_another_rotary_scaling(exported, tmp_path):
    room, _, vocabulary = exported
    save_weights(tmp_path / "other", model(rows=vocabulary.rows()), vocabulary)
    with pytest.raises(UserError, match="model.rope_scaling = None: is RopeScaling"):
        verify(tmp_path / "other", room / "theirs")


def test_verify_sees_a_difference(exported, tmp_path):
    room, _, vocabulary = exported
    save_weights(tmp_path / "other", model(seed=1, rows=vocabulary.rows(), rope_scaling=SCALING), vocabulary)
    found = verify(tmp_path / "other", room / "theirs")
    assert found.tensors
    assert found.logits is not None
    assert found.logits > 0.01
    assert not found.agrees


@pytest.mark.parametrize("theta", [None, 50_000.0])
def test_an_import_agrees_with_its_source_on_the_rows_they_share(tmp_path, exported, theta):
    room, tokenizer, _ = exported
    cfg = dataclasses.replace(CONFIG, rows=384, tied=True)
    folder = write_folder(tmp_path / "source", tensors(cfg, "bfloat16"), cfg)
    tokenizer.save(folder)
    import_llama(
        folder, tmp_path / "out", ImportOptions(VocabularyRequest(make_streams(units=30)), rope_theta=theta)
    )
    found = verify(tmp_path / "out", folder)
    assert found.agrees
    assert found.logits is not None
