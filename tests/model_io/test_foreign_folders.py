"""Hugging Face folders: sizes, types, files, and errors."""

import dataclasses

import numpy as np
import pytest

from spirit_jax.config import ModelConfig, RopeScaling
from spirit_jax.core.errors import UserError
from spirit_jax.core.files import write_json
from spirit_jax.model_io.foreign_folders import open_foreign_folder
from spirit_jax.model_io.importing import import_llama
from spirit_jax.model_io.verification import verify
from tests.model.tiny import CONFIG
from tests.model_io.folders.llama_folders import read_config, tensors, write_folder

SIZES = {
    "multi-query": {"heads": 6, "kv_heads": 1, "width": 48},
    "one head for one": {"heads": 3, "kv_heads": 3, "width": 24},
    "other head width": {"heads": 2, "kv_heads": 1, "head_width": 24},
    "odd rows": {"rows": 77, "layers": 3, "mlp_width": 20},
    "tied": {"tied": True},
    "scaled": {"rope_scaling": RopeScaling(32.0, 1.5, 3.5, 64)},
}


def plainly(cfg: ModelConfig) -> ModelConfig:
    """Without the fields that a folder does not have."""
    return dataclasses.replace(cfg, dtype=CONFIG.dtype, remat=CONFIG.remat)


def change(folder, **values):
    """Changes config.json; None removes a key."""
    kept = {**read_config(folder), **values}
    write_json(folder / "config.json", {key: value for key, value in kept.items() if value is not None})


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("shards", [1, 4])
def test_all_sizes_are_read(tmp_path, name, shards):
    cfg = dataclasses.replace(CONFIG, **SIZES[name])
    given = tensors(cfg, "bfloat16")
    source = open_foreign_folder(write_folder(tmp_path, given, cfg, shards))
    assert plainly(source.config) == cfg
    assert source.tensors.keys() == given.keys()
    for tensor, array in given.items():
        np.testing.assert_array_equal(source.tensors[tensor].read(slice(1, 8)), array[1:8])


def test_what_older_files_leave_out(tmp_path):
    cfg = dataclasses.replace(CONFIG, kv_heads=4, rope_theta=10_000.0)
    write_folder(tmp_path, tensors(cfg), cfg)
    change(
        tmp_path,
        head_dim=None,
        num_key_value_heads=None,
        rope_parameters=None,
        rope_theta=None,
        tie_word_embeddings=None,
        model_type="llama",
    )
    assert plainly(open_foreign_folder(tmp_path).config) == cfg


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"hidden_size": "wide"}, "width = wide: input should be a valid integer"),
        ({"hidden_size": "wide", "head_dim": None}, "sizes must be numbers above 0"),
        ({"num_attention_heads": 0}, "model.heads = 0: must be a number above 0"),
        ({"num_key_value_heads": 3}, "must divide model.heads"),
        ({"num_hidden_layers": 2.5}, "layers = 2.5: input should be a valid integer"),
        ({"rms_norm_eps": None}, "'rms_norm_eps': is missing"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor = 0.5: must be 1.0"),
        (
            {"rope_parameters": {"rope_type": "llama3", "rope_theta": 1e4, "factor": 8.0}},
            "'low_freq_factor': is missing",
        ),
        (
            {"rope_parameters": None, "rope_scaling": {"type": "linear", "factor": 2.0}},
            "rope_type = linear: must be default or llama3",
        ),
        (
            {"rope_parameters": None, "rope_scaling": {"type": "dynamic", "factor": 2.0}},
            "rope_type = dynamic",
        ),
        ({"hidden_act": "gelu"}, "hidden_act = gelu: must be silu"),
    ],
)
def test_what_config_json_may_not_say(tmp_path, values, says):
    write_folder(tmp_path, tensors())
    change(tmp_path, **values)
    with pytest.raises(UserError, match=says):
        open_foreign_folder(tmp_path)


def test_damaged_files_are_named(tmp_path):
    write_folder(tmp_path, tensors(), shards=2)
    path = tmp_path / "model-1.safetensors"
    whole = path.read_bytes()
    for content in (whole[:-5], whole[:100], b"", b"version https://git-lfs.github.com/spec/v1\n"):
        path.write_bytes(content)
        with pytest.raises(UserError, match="model-1.safetensors: is damaged .*; download it again"):
            open_foreign_folder(tmp_path)
    path.unlink()
    with pytest.raises(UserError, match="shard named by model.safetensors.index.json = .*no such file"):
        open_foreign_folder(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text("{")
    with pytest.raises(UserError, match="must parse"):
        open_foreign_folder(tmp_path)


def save_twice(folder, whole: dict, sharded: dict):
    """A folder that was saved sharded first, and whole later."""
    write_folder(folder, sharded, shards=2)
    return write_folder(folder, whole)


def test_a_whole_file_is_read_before_an_index_as_transformers_does(tmp_path, capsys):
    new, old = tensors(seed=1), tensors(seed=2)
    source = open_foreign_folder(save_twice(tmp_path / "twice", new, old))
    for name, array in new.items():
        np.testing.assert_array_equal(source.tensors[name].read(slice(None)), array)
    (line,) = capsys.readouterr().err.splitlines()
    assert "model.safetensors is read" in line
    assert "ignored: model.safetensors.index.json, 2 other files of weights" in line


@pytest.mark.parametrize("shards", [1, 3])
def test_a_folder_with_one_form_of_its_weights_has_nothing_to_say(tmp_path, capsys, shards):
    open_foreign_folder(write_folder(tmp_path, tensors(), shards=shards))
    assert capsys.readouterr().err == ""


def test_files_of_torch_that_are_not_read_are_said(tmp_path, capsys):
    write_folder(tmp_path, tensors())
    for name in ("pytorch_model-00001-of-00002.bin", "pytorch_model.bin.index.json"):
        (tmp_path / name).write_text("{}")
    open_foreign_folder(tmp_path)
    assert "ignored: pytorch_model.bin.index.json, 1 other files of weights" in capsys.readouterr().err


def test_verify_reads_what_import_reads(tmp_path):
    folder = save_twice(tmp_path / "twice", tensors(seed=1), tensors(seed=2))
    import_llama(folder, tmp_path / "out")
    found = verify(tmp_path / "out", folder)
    assert found.agrees
    assert not found.tensors


def test_a_head_that_says_tied_is_compared_to_its_last_row(tmp_path):
    arrays = tensors(dataclasses.replace(CONFIG, tied=True))
    arrays["lm_head.weight"] = arrays["model.embed_tokens.weight"].copy()
    write_folder(tmp_path / "same", arrays, tie_word_embeddings=True)
    assert "lm_head.weight" not in open_foreign_folder(tmp_path / "same").tensors
    arrays["lm_head.weight"][-1, -1] += 1
    write_folder(tmp_path / "other", arrays, tie_word_embeddings=True)
    with pytest.raises(UserError, match="lm_head.weight differs"):
        open_foreign_folder(tmp_path / "other")


@pytest.mark.parametrize("shards", [1, 3])
def test_torch_files(tmp_path, shards):
    torch = pytest.importorskip("torch")
    given = tensors(dtype="float16")
    write_folder(tmp_path, given)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(UserError, match="has no model.safetensors and no pytorch_model.bin"):
        open_foreign_folder(tmp_path)
    names = [f"pytorch_model-{i}.bin" for i in range(shards)] if shards > 1 else ["pytorch_model.bin"]
    weight_map = {tensor: names[i % shards] for i, tensor in enumerate(given)}
    for file in names:
        torch.save(
            {t: torch.from_numpy(a) for t, a in given.items() if weight_map[t] == file}, tmp_path / file
        )
    if shards > 1:
        write_json(tmp_path / "pytorch_model.bin.index.json", {"weight_map": weight_map})
    source = open_foreign_folder(tmp_path)
    for tensor, array in given.items():
        assert source.tensors[tensor].dtype == "float16"
        np.testing.assert_array_equal(source.tensors[tensor].read(slice(None)), array)
    content = (tmp_path / names[-1]).read_bytes()
    (tmp_path / names[-1]).write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match="does not load as plain tensors"):
        open_foreign_folder(tmp_path)
