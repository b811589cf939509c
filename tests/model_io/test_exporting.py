import dataclasses

import numpy as np
import pytest

from spirit_jax.config import RopeScaling
from spirit_jax.core.errors import UserError
from spirit_jax.core.files import read_json, write_json
from spirit_jax.model.array_store import named_arrays
from spirit_jax.model_io import exporting, importing
from spirit_jax.model_io.exporting import export_llama
from spirit_jax.model_io.foreign_folders import open_foreign_folder
from spirit_jax.model_io.importing import ImportOptions, import_llama
from spirit_jax.model_io.names import model_tensors, to_theirs
from spirit_jax.model_io.tensor_files import row_slices
from spirit_jax.tokens.vocabulary import Vocabulary
from tests.model.tiny import CONFIG, model
from tests.model_io.conftest import PIECES, SPEECH
from tests.model_io.folders.llama_folders import equal, listing, read_config, tensors, write_folder
from tests.weights_folder import load_stored, save_weights


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("tied", [False, True])
def test_in_out_in_is_the_identity_to_the_bit(tmp_path, dtype, tied):
    cfg = dataclasses.replace(CONFIG, tied=tied, rope_scaling=RopeScaling(original_max_position=64))
    given = tensors(cfg, dtype)
    import_llama(write_folder(tmp_path / "a", given, cfg, shards=3), tmp_path / "b")
    export_llama(tmp_path / "b", tmp_path / "c")
    import_llama(tmp_path / "c", tmp_path / "d")
    back = open_foreign_folder(tmp_path / "c")
    assert back.tensors.keys() == given.keys()
    for name, array in given.items():
        assert back.tensors[name].dtype == dtype
        np.testing.assert_array_equal(back.tensors[name].read(slice(None)), array)
    first, second = load_stored(tmp_path / "b"), load_stored(tmp_path / "d")
    assert first.config == second.config
    assert equal(first.llama, second.llama)
    for name, layer in model_tensors(cfg):
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
    back = open_foreign_folder(tmp_path / "c").tensors
    for name, array in given.items():
        assert back[name].dtype == array.dtype.name
        np.testing.assert_array_equal(back[name].read(slice(None)), array)


def test_a_table_larger_than_a_slice_is_copied_whole(tmp_path, source, monkeypatch):
    import_llama(source, tmp_path / "whole", ImportOptions(SPEECH))
    export_llama(tmp_path / "whole", tmp_path / "out")
    for module in (importing, exporting):
        monkeypatch.setattr(
            module, "row_slices", lambda n, row_bytes: row_slices(n, row_bytes, 50 * row_bytes)
        )
    import_llama(source, tmp_path / "sliced", ImportOptions(SPEECH))
    assert equal(load_stored(tmp_path / "whole").llama, load_stored(tmp_path / "sliced").llama)
    export_llama(tmp_path / "sliced", tmp_path / "out sliced")
    assert (tmp_path / "out/model.safetensors").read_bytes() == (
        tmp_path / "out sliced/model.safetensors"
    ).read_bytes()


def test_an_export_states_what_serving_needs(tmp_path, source):
    """vLLM needs exactly `vocab_size` rows. It must not sample padding rows, which have no token."""
    write_json(source / "config.json", read_config(source) | {"pad_token_id": PIECES, "eos_token_id": [2, 5]})
    import_llama(source, tmp_path / "a", ImportOptions(SPEECH))
    export_llama(tmp_path / "a", tmp_path / "b")
    config, generation = read_config(tmp_path / "b"), read_json(tmp_path / "b/generation_config.json")
    size = PIECES + 2 + 10 + 4 + 3
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        assert open_foreign_folder(tmp_path / "b").tensors[name].shape == (
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
    assert equal(load_stored(tmp_path / "c").llama, llama)


def test_export_splits_into_shards_with_an_index(tmp_path, monkeypatch):
    save_weights(tmp_path / "a", model(), Vocabulary.text_only(CONFIG.rows))
    monkeypatch.setattr(exporting, "SHARD_BYTES", 10_000)
    export_llama(tmp_path / "a", tmp_path / "b", "bfloat16")
    index = read_json(tmp_path / "b/model.safetensors.index.json")
    files = set(index["weight_map"].values())
    assert len(files) > 2
    assert files == {path.name for path in (tmp_path / "b").glob("*.safetensors")}
    assert index["metadata"]["total_size"] == sum(a.size * 2 for a in named_arrays(model()).values())
    assert {tensor.dtype for tensor in open_foreign_folder(tmp_path / "b").tensors.values()} == {"bfloat16"}


def test_a_tokenizer_that_cannot_be_exported_stops_it_before_anything_is_written(tmp_path):
    import_llama(write_folder(tmp_path / "source", tensors()), tmp_path / "a")
    sentencepiece = pytest.importorskip("sentencepiece")
    settings = {"vocab_size": 40, "hard_vocab_limit": False, "model_type": "unigram", "minloglevel": 2}
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["a cat sat"] * 20), model_prefix=str(tmp_path / "a/tokenizer"), **settings
    )
    before = listing(tmp_path)
    with pytest.raises(UserError, match="is a model of type unigram"):
        export_llama(tmp_path / "a", tmp_path / "b")
    assert listing(tmp_path) == before
