import dataclasses
import re
import shutil

import jax
import numpy as np
import pytest

from spirit_jax.config import MeshConfig, RopeScaling
from spirit_jax.core.errors import UserError
from spirit_jax.core.files import read_json, write_json
from spirit_jax.model.array_store import named_arrays
from spirit_jax.model.checkpoint import load_model, save_weights
from spirit_jax.model_io import conversion as convert
from spirit_jax.model_io.conversion import Options, export_llama, import_llama
from spirit_jax.model_io.names import rows_of, to_theirs
from spirit_jax.model_io.new_rows import Init, Start
from spirit_jax.model_io.source_folders import open_source, pieces
from spirit_jax.model_io.vocabulary_plan import Request
from spirit_jax.sharding import make_mesh
from spirit_jax.tokens.text import TextTokenizer
from spirit_jax.tokens.vocabulary import Vocabulary
from tests.model.tiny import CONFIG, model
from tests.model_io.folders import INV_FREQ, listing, read_config, tensors, write_folder
from tests.model_io.texts import write_sentencepiece
from tests.speech_codes import make_streams, make_vocabulary

PIECES = 300
TEXT_CONFIG = dataclasses.replace(CONFIG, rows=384)  # 300 pieces, padded to 128
SMALL = Request(make_streams(units=10, pitches=4, styles=3))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    """A folder with a small SentencePiece model."""
    folder = tmp_path_factory.mktemp("tokenizer")
    write_sentencepiece(folder, PIECES)
    return folder


@pytest.fixture
def source(tmp_path, tokenizer):
    """A text model's folder with its tokenizer."""
    folder = write_folder(tmp_path / "source", tensors(TEXT_CONFIG), TEXT_CONFIG)
    shutil.copy(tokenizer / "tokenizer.model", folder)
    return folder


def equal(one, other) -> bool:
    return all(
        np.array_equal(a, b)
        for a, b in zip(named_arrays(one).values(), named_arrays(other).values(), strict=True)
    )


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("tied", [False, True])
def test_in_out_in_is_the_identity_to_the_bit(tmp_path, dtype, tied):
    cfg = dataclasses.replace(CONFIG, tied=tied, rope_scaling=RopeScaling(original_max_position=64))
    given = tensors(cfg, dtype)
    import_llama(write_folder(tmp_path / "a", given, cfg, shards=3), tmp_path / "b")
    export_llama(tmp_path / "b", tmp_path / "c")
    import_llama(tmp_path / "c", tmp_path / "d")
    back = open_source(tmp_path / "c")
    assert back.tensors.keys() == given.keys()
    for name, array in given.items():
        assert back.tensors[name].dtype == dtype
        np.testing.assert_array_equal(back.tensors[name].read(slice(None)), array)
    first, second = load_model(tmp_path / "b"), load_model(tmp_path / "d")
    assert first.config == second.config
    assert equal(first.llama, second.llama)
    for name, layer in rows_of(cfg):
        ours = named_arrays(first.llama)[name.ours]
        theirs = to_theirs(name, np.asarray(ours if layer is None else ours[layer]), cfg)
        np.testing.assert_array_equal(theirs, given[name.hugging_face.format(layer)].astype(np.float32))


def test_types_that_differ_within_a_model_stay(tmp_path):
    given = {
        name: array if "norm" in name else array.astype(np.dtype("bfloat16"))
        for name, array in tensors().items()
    }
    import_llama(write_folder(tmp_path / "a", given), tmp_path / "b")
    export_llama(tmp_path / "b", tmp_path / "c")
    back = open_source(tmp_path / "c").tensors
    for name, array in given.items():
        assert back[name].dtype == array.dtype.name
        np.testing.assert_array_equal(back[name].read(slice(None)), array)


def test_a_table_larger_than_a_piece_is_copied_whole(tmp_path, source, monkeypatch):
    import_llama(source, tmp_path / "whole", Options(SMALL))
    export_llama(tmp_path / "whole", tmp_path / "out")
    monkeypatch.setattr(convert, "pieces", lambda count, row_bytes: pieces(count, row_bytes, 50 * row_bytes))
    import_llama(source, tmp_path / "pieces", Options(SMALL))
    assert equal(load_model(tmp_path / "whole").llama, load_model(tmp_path / "pieces").llama)
    export_llama(tmp_path / "pieces", tmp_path / "out in pieces")
    assert (tmp_path / "out/model.safetensors").read_bytes() == (
        tmp_path / "out in pieces/model.safetensors"
    ).read_bytes()


def test_an_export_tells_what_serving_needs(tmp_path, source):
    """vLLM wants exactly `vocab_size` rows; rows of padding have no token, and transformers is told not to
    sample them.
    """
    write_json(
        source / "config.json", {**read_config(source), "pad_token_id": PIECES, "eos_token_id": [2, 5]}
    )
    import_llama(source, tmp_path / "a", Options(SMALL))
    export_llama(tmp_path / "a", tmp_path / "b")
    config, generation = read_config(tmp_path / "b"), read_json(tmp_path / "b/generation_config.json")
    size = PIECES + 2 + 10 + 4 + 3
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        assert open_source(tmp_path / "b").tensors[name].shape == (
            config["vocab_size"],
            config["hidden_size"],
        )
    assert "pad_token_id" not in config, "its row is a speech token's now"
    assert config["eos_token_id"] == generation["eos_token_id"] == [2, 5]
    assert generation["suppress_tokens"] == list(range(size, config["vocab_size"]))
    assert (config["architectures"], config["max_position_embeddings"]) == (["LlamaForCausalLM"], 128)
    assert (config["rope_theta"], config["rope_parameters"]["rope_theta"]) == (CONFIG.rope_theta,) * 2


def test_a_model_of_ours_goes_out_and_comes_back(tmp_path):
    llama = model()
    save_weights(tmp_path / "a", llama, Vocabulary.text_only(CONFIG.rows))
    export_llama(tmp_path / "a", tmp_path / "b")
    import_llama(tmp_path / "b", tmp_path / "c")
    assert equal(load_model(tmp_path / "c").llama, llama)


def test_export_splits_into_shards_with_an_index(tmp_path, monkeypatch):
    save_weights(tmp_path / "a", model(), Vocabulary.text_only(CONFIG.rows))
    monkeypatch.setattr(convert, "SHARD_BYTES", 10_000)
    export_llama(tmp_path / "a", tmp_path / "b", "bfloat16")
    index = read_json(tmp_path / "b/model.safetensors.index.json")
    files = set(index["weight_map"].values())
    assert len(files) > 2
    assert files == {path.name for path in (tmp_path / "b").glob("*.safetensors")}
    assert index["metadata"]["total_size"] == sum(a.size * 2 for a in named_arrays(model()).values())
    assert {tensor.dtype for tensor in open_source(tmp_path / "b").tensors.values()} == {"bfloat16"}


@pytest.mark.parametrize("init", list(Init))
def test_speech_rows_come_after_the_text_rows(tmp_path, source, init):
    plan = import_llama(source, tmp_path / "out", Options(SMALL, Start(init), rope_theta=100_000.0))
    loaded, old = load_model(tmp_path / "out"), tensors(TEXT_CONFIG)["model.embed_tokens.weight"]
    assert plan.vocabulary == loaded.vocabulary == make_vocabulary(PIECES, 10, 4, 3)
    assert loaded.config == dataclasses.replace(
        TEXT_CONFIG, rows=384, rope_theta=100_000.0, dtype=loaded.config.dtype, remat=loaded.config.remat
    )
    assert TextTokenizer.load(loaded.tokenizer_path).size == PIECES
    for table in (loaded.llama.embed_VD[...], loaded.llama.head_VD[...]):
        assert (np.abs(table[PIECES : loaded.vocabulary.size]).sum(1) > 0).all()
        assert (table[loaded.vocabulary.size :] == 0).all()
    np.testing.assert_array_equal(loaded.llama.embed_VD[:PIECES], old[:PIECES])
    new = np.asarray(loaded.llama.embed_VD[PIECES : loaded.vocabulary.size])
    if init is Init.MEAN:
        np.testing.assert_allclose(
            new, np.broadcast_to(old[:PIECES].mean(0), new.shape), rtol=1e-4, atol=1e-6
        )
    else:
        assert len(np.unique(new[:, 0])) == len(new)


def test_a_model_with_speech_rows_is_left_as_it_is(tmp_path, source):
    import_llama(source, tmp_path / "a", Options(SMALL))
    export_llama(tmp_path / "a", tmp_path / "b")
    plan = import_llama(tmp_path / "b", tmp_path / "c", Options(Request(make_streams(units=7))))
    assert plan.keep
    assert plan.vocabulary == make_vocabulary(PIECES, 10, 4, 3)
    assert equal(load_model(tmp_path / "a").llama, load_model(tmp_path / "c").llama)


def test_published_rows_are_recognised_without_being_told(tmp_path, tokenizer):
    for vocabulary in (Vocabulary.base(PIECES), Vocabulary.expressive(PIECES)):
        cfg = dataclasses.replace(CONFIG, rows=vocabulary.rows())
        folder = write_folder(tmp_path / str(cfg.rows), tensors(cfg), cfg)
        shutil.copy(tokenizer / "tokenizer.model", folder)
        plan = import_llama(folder, tmp_path / "out", Options(Request(make_streams(units=10))))
        assert (plan.vocabulary, plan.rows, plan.keep) == (vocabulary, cfg.rows, True)


def test_as_is_and_no_tokenizer_leave_the_rows(tmp_path, source):
    plan = import_llama(source, tmp_path / "a", Options(Request(as_is=True)))
    assert (plan.rows, plan.vocabulary) == (384, Vocabulary.text_only(PIECES))
    (source / "tokenizer.model").unlink()
    plan = import_llama(source, tmp_path / "b")
    assert (plan.rows, plan.vocabulary) == (384, Vocabulary.text_only(384))
    assert equal(load_model(tmp_path / "a").llama, load_model(tmp_path / "b").llama)


def test_a_converted_model_is_restored_on_any_mesh(tmp_path):
    import_llama(write_folder(tmp_path / "a", tensors(dtype="bfloat16")), tmp_path / "b")
    one, eight = (
        load_model(tmp_path / "b").llama,
        load_model(tmp_path / "b", make_mesh(MeshConfig(2, 2, 2))).llama,
    )
    assert equal(one, eight)
    assert {leaf.dtype for leaf in jax.tree.leaves(one)} == {np.dtype(np.float32)}
    assert len(eight.embed_VD[...].sharding.device_set) == 8


def spoil_missing(arrays):
    del arrays["model.layers.1.mlp.up_proj.weight"]


def spoil_surplus(arrays):
    arrays["model.layers.0.self_attn.q_proj.bias"] = np.zeros(32, np.float32)


def spoil_shape(arrays):
    arrays["model.norm.weight"] = np.zeros(31, np.float32)


def spoil_type(arrays):
    arrays["model.norm.weight"] = np.zeros(32, np.int32)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (spoil_missing, "lacks 1 tensors, first model.layers.1.mlp.up_proj.weight"),
        (spoil_surplus, "q_proj.bias, which is neither used nor named as ignored"),
        (spoil_shape, r"model.norm.weight = \(31,\): must have shape \(32,\)"),
        (spoil_type, "model.norm.weight = I32: must be float32, float16 or bfloat16"),
    ],
)
def test_wrong_tensors_stop_it_before_anything_is_written(tmp_path, spoil, says):
    arrays = tensors()
    spoil(arrays)
    folder = write_folder(tmp_path / "a", arrays)
    before = listing(tmp_path)
    with pytest.raises(UserError, match=says):
        import_llama(folder, tmp_path / "out")
    assert listing(tmp_path) == before


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"model_type": "mistral"}, "model_type = mistral: must be llama"),
        ({"attention_bias": True}, "attention_bias = True"),
        (
            {"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0}},
            "rope_type = yarn: must be default or llama3",
        ),
        ({"num_hidden_layers": 3}, "lacks 9 tensors"),
        ({"intermediate_size": 40}, "must have shape"),
    ],
)
def test_a_wrong_configuration_stops_it_before_anything_is_written(tmp_path, config, says):
    folder = write_folder(tmp_path / "a", tensors(), **config)
    before = listing(tmp_path)
    with pytest.raises(UserError, match=re.escape(says)):
        import_llama(folder, tmp_path / "out")
    assert listing(tmp_path) == before


def test_tensors_named_as_ignored_are_passed_over(tmp_path):
    folder = write_folder(tmp_path / "a", {**tensors(), INV_FREQ: np.ones(4, np.float32)})
    import_llama(folder, tmp_path / "b")
    assert load_model(tmp_path / "b").config.layers == CONFIG.layers


def test_a_head_that_contradicts_tied_embeddings_is_refused(tmp_path):
    folder = write_folder(tmp_path / "a", tensors(), tie_word_embeddings=True)
    with pytest.raises(UserError, match="says tied embeddings, but lm_head.weight differs"):
        import_llama(folder, tmp_path / "b")


def test_a_tokenizer_larger_than_the_model_is_refused(tmp_path, tokenizer):
    folder = write_folder(tmp_path / "a", tensors())
    shutil.copy(tokenizer / "tokenizer.model", folder)
    with pytest.raises(UserError, match="has more ids than the model has rows"):
        import_llama(folder, tmp_path / "b")


def test_only_what_the_same_command_wrote_is_replaced(tmp_path):
    folder = write_folder(tmp_path / "a", tensors())
    import_llama(folder, tmp_path / "ours")
    import_llama(folder, tmp_path / "ours")
    export_llama(tmp_path / "ours", tmp_path / "theirs")
    before = listing(tmp_path)
    for start, source, out in (
        (import_llama, folder, "theirs"),
        (export_llama, tmp_path / "ours", "a"),
        (import_llama, folder, "a"),
    ):
        with pytest.raises(
            UserError, match="exists and is nothing that this command wrote|holds what is to be converted"
        ):
            start(source, tmp_path / out)
    assert listing(tmp_path) == before


def test_a_tokenizer_that_cannot_be_exported_stops_it_before_anything_is_written(tmp_path):
    import_llama(write_folder(tmp_path / "source", tensors()), tmp_path / "a")
    sentencepiece = pytest.importorskip("sentencepiece")
    settings = {"vocab_size": 40, "hard_vocab_limit": False, "model_type": "unigram", "minloglevel": 2}
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["a cat sat"] * 20), model_prefix=str(tmp_path / "a/tokenizer"), **settings
    )
    before = listing(tmp_path)
    with pytest.raises(UserError, match="only BPE models"):
        export_llama(tmp_path / "a", tmp_path / "b")
    assert listing(tmp_path) == before


class Killed(BaseException):
    """Stands for a signal."""


def test_an_interrupted_conversion_goes_on_and_ends_in_the_same_bits(tmp_path, source, monkeypatch):
    import_llama(source, tmp_path / "whole", Options(SMALL))
    steps = []
    add = convert.Journal.add
    monkeypatch.setattr(
        convert.Journal,
        "add",
        lambda self, key: (steps.append(key), add(self, key), len(steps) == 9 and _die()),
    )
    with pytest.raises(Killed):
        import_llama(source, tmp_path / "out", Options(SMALL))
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr(convert.Journal, "add", lambda self, key: (steps.append(key), add(self, key)))
    import_llama(source, tmp_path / "out", Options(SMALL))
    assert len(steps) == len(set(steps)) == len(tensors())
    assert equal(load_model(tmp_path / "out").llama, load_model(tmp_path / "whole").llama)
    assert not list(tmp_path.glob(".*"))


def _die():
    raise Killed


def test_what_was_begun_for_other_options_is_not_gone_on_with(tmp_path, source, monkeypatch):
    add = convert.Journal.add
    with monkeypatch.context() as patch:
        patch.setattr(convert.Journal, "add", lambda self, key: (add(self, key), _die()))
        with pytest.raises(Killed):
            import_llama(source, tmp_path / "out", Options(SMALL, Start(Init.RANDOM)))
    import_llama(source, tmp_path / "out", Options(SMALL, Start(Init.MEAN)))
    import_llama(source, tmp_path / "other", Options(SMALL, Start(Init.MEAN)))
    assert equal(load_model(tmp_path / "out").llama, load_model(tmp_path / "other").llama)


def test_config_json_reads_back_in_its_older_form_too(tmp_path):
    cfg = dataclasses.replace(CONFIG, rope_scaling=RopeScaling(original_max_position=64))
    folder = write_folder(tmp_path / "a", tensors(cfg), cfg)
    newer = open_source(folder).config
    older = read_config(folder)
    del older["rope_parameters"]
    write_json(folder / "config.json", older)
    assert (
        open_source(folder).config == newer == dataclasses.replace(cfg, dtype=newer.dtype, remat=newer.remat)
    )
