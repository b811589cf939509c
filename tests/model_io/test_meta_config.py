"""Meta's format. Needs PyTorch."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from spirit_jax.config import RopeScaling
from spirit_jax.core.errors import UserError
from spirit_jax.model_io import meta_config
from spirit_jax.model_io.foreign_folders import open_foreign_folder
from spirit_jax.model_io.importing import import_llama
from spirit_jax.model_io.meta_config import mlp_width
from spirit_jax.model_io.names import EMBED, model_tensors
from tests.model.tiny import CONFIG
from tests.model_io.folders.families import META_2_7B, META_3_1_8B, META_3_2_1B
from tests.model_io.folders.llama_folders import tensors

torch = pytest.importorskip("torch")
PARAMS = {
    "dim": 32,
    "n_layers": 2,
    "n_heads": 4,
    "n_kv_heads": 2,
    "vocab_size": -1,
    "norm_eps": 1e-5,
    "multiple_of": 16,
    "rope_theta": 100.0,
}
CFG = dataclasses.replace(CONFIG, mlp_width=mlp_width(PARAMS))


def pairs_from_halves(halves: np.ndarray, width: int) -> np.ndarray:
    """What Meta's files hold, written independently: output 2i + j of a head is half j's component i."""
    heads = halves.reshape(-1, width, halves.shape[1])
    pairs = np.empty_like(heads)
    pairs[:, 0::2], pairs[:, 1::2] = heads[:, : width // 2], heads[:, width // 2 :]
    return pairs.reshape(halves.shape)


def write_meta(folder, arrays, shards: int, embed_axis: int, dtype=torch.float32, **params):
    folder.mkdir()
    (folder / "params.json").write_text(json.dumps({**PARAMS, **params}))
    for shard in range(shards):
        content = {"rope.freqs": torch.ones(4)}
        for name, layer in model_tensors(CFG):
            whole = arrays[name.hugging_face.format(layer)]
            whole = pairs_from_halves(whole, CFG.head_width) if name.rotary else whole
            axis = embed_axis if name.ours == EMBED else name.meta_axis
            part = whole if axis is None else np.split(whole, shards, axis)[shard]
            content[name.meta.format(layer)] = torch.from_numpy(np.ascontiguousarray(part)).to(dtype)
        torch.save(content, folder / f"consolidated.{shard:02d}.pth")
    return folder


@pytest.mark.parametrize(
    ("shards", "embed_axis"), [(1, 1), (2, 1), (2, 0)], ids=["one file", "Llama 2 shards", "Llama 3 shards"]
)
def test_shards_join_into_the_hugging_face_tensors(tmp_path, shards, embed_axis):
    arrays = tensors(CFG)
    source = open_foreign_folder(write_meta(tmp_path / "meta", arrays, shards, embed_axis))
    assert source.config == dataclasses.replace(CFG, dtype=source.config.dtype, remat=source.config.remat)
    for name, array in arrays.items():
        np.testing.assert_array_equal(source.tensors[name].read(slice(None)), array)
        np.testing.assert_array_equal(source.tensors[name].read(slice(3, 21)), array[3:21])


def test_bfloat16_keeps_its_bits(tmp_path):
    arrays = tensors(CFG, "bfloat16")
    single = {name: array.astype(np.float32) for name, array in arrays.items()}
    source = open_foreign_folder(write_meta(tmp_path / "meta", single, 1, 1, torch.bfloat16))
    for name, array in arrays.items():
        assert source.tensors[name].dtype == "bfloat16"
        np.testing.assert_array_equal(source.tensors[name].read(slice(None)), array)


def test_a_missing_shard_is_noticed(tmp_path):
    folder = write_meta(tmp_path / "meta", tensors(CFG), 2, 1)
    (folder / "consolidated.01.pth").unlink()
    with pytest.raises(UserError, match="must have shape"):
        import_llama(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_pickle_that_runs_code_is_refused(tmp_path):
    folder = write_meta(tmp_path / "meta", tensors(CFG), 1, 1)
    torch.save({"tok_embeddings.weight": print}, folder / "consolidated.00.pth")
    with pytest.raises(UserError, match="does not load as plain tensors"):
        open_foreign_folder(folder)


def test_a_head_that_is_the_embedding_is_tied(tmp_path):
    arrays = tensors(CFG)
    assert not open_foreign_folder(write_meta(tmp_path / "untied", arrays, 2, 0)).config.tied
    arrays["lm_head.weight"] = arrays["model.embed_tokens.weight"]
    tied = open_foreign_folder(write_meta(tmp_path / "tied", arrays, 2, 0))
    assert tied.config.tied
    assert "lm_head.weight" not in tied.tensors


def test_the_factor_of_a_scaling_is_said(tmp_path, capsys):
    folder = write_meta(tmp_path / "scaled", tensors(CFG), 2, 0, use_scaled_rope=True)
    assert open_foreign_folder(folder).config.rope_scaling == RopeScaling(32.0)
    (line,) = capsys.readouterr().err.splitlines()
    assert "without a factor: 32 is assumed" in line
    params = json.loads((folder / "params.json").read_text()) | {"rope_scaling_factor": 16}
    (folder / "params.json").write_text(json.dumps(params))
    assert open_foreign_folder(folder).config.rope_scaling == RopeScaling(16.0)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("params", "factor", "family"),
    [
        (META_3_2_1B, 32.0, "Llama 3.2"),
        (
            META_3_2_1B | {"dim": 3072, "n_layers": 28, "n_heads": 24, "ffn_dim_multiplier": 1.0},
            32.0,
            "Llama 3.2",
        ),
        (META_3_1_8B, 8.0, "Llama 3.1"),
        (META_3_1_8B | {"dim": 8192, "n_layers": 80, "n_heads": 64}, 8.0, "Llama 3.1"),
    ],
)
@pytest.mark.parametrize("tied", [False, True])
def test_the_factor_follows_from_the_width(params, factor, family, tied):
    assert meta_config.read(params, 128_256, tied, Path("folder")).rope_scaling == RopeScaling(factor)
    said = meta_config.assumption(params)
    assert f"{factor:g} is assumed, that of {family}" in said


def test_nothing_is_assumed_where_nothing_is_scaled():
    assert meta_config.read(META_2_7B, 32_000, False, Path("folder")).rope_scaling is None
    assert meta_config.assumption(META_2_7B) is None


def test_config_json_next_to_metas_files_is_said_to_be_ignored(tmp_path, capsys):
    folder = write_meta(tmp_path / "both", tensors(CFG), 1, 1)
    (folder / "config.json").write_text("{}")
    open_foreign_folder(folder)
    assert "Meta's files are read; ignored: config.json" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("dim", "multiplier", "multiple", "width"),
    [
        (4096, None, 256, 11008),
        (8192, 1.3, 4096, 28672),
        (4096, 1.3, 1024, 14336),
        (2048, 1.5, 256, 8192),
        (5120, None, 256, 13824),
    ],
    ids=["Llama 2 7B", "70B", "Llama 3 8B", "Llama 3.2 1B", "Llama 2 13B"],
)
def test_the_mlp_is_as_wide_as_in_the_released_models(dim, multiplier, multiple, width):
    assert mlp_width({"dim": dim, "ffn_dim_multiplier": multiplier, "multiple_of": multiple}) == width


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"n_layers": 3}, "lacks 9 tensors, first model.layers.2"),
        ({"n_layers": 1}, "has layers.1.attention"),
        ({"multiple_of": 64}, "must have shape"),
        ({"n_kv_heads": 4}, "must have shape"),
        ({"dim": 33}, "must have shape"),
        ({"n_heads": 0}, "sizes must be numbers above 0"),
        ({"norm_eps": None}, "norm_eps = None"),
    ],
)
def test_params_that_do_not_fit_are_refused(tmp_path, params, says):
    with pytest.raises(UserError, match=says):
        open_foreign_folder(write_meta(tmp_path / "meta", tensors(CFG), 2, 1, **params))
