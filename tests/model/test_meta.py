"""Meta's format: needs PyTorch to be written and read."""

import dataclasses
import json

import numpy as np
import pytest

from spirit_jax.errors import UserError
from spirit_jax.model.convert import import_llama
from spirit_jax.model.meta_config import mlp_width
from spirit_jax.model.names import EMBED, rows_of
from spirit_jax.model.sources import open_source
from tests.model.folders import tensors
from tests.model.tiny import CONFIG

torch = pytest.importorskip("torch")
PARAMS = {"dim": 32, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "vocab_size": -1, "norm_eps": 1e-5, "multiple_of": 16, "rope_theta": 100.0}
CFG = dataclasses.replace(CONFIG, mlp_width=mlp_width(PARAMS))


def pairs_from_halves(halves: np.ndarray, width: int) -> np.ndarray:
    """What Meta's files hold, written independently: output 2i + j of a head is half j's component i."""
    heads = halves.reshape(-1, width, halves.shape[1])
    pairs = np.empty_like(heads)
    pairs[:, 0::2], pairs[:, 1::2] = heads[:, : width // 2], heads[:, width // 2 :]
    return pairs.reshape(halves.shape)


def write_meta(folder, arrays, shards: int, embed_axis: int, dtype=torch.float32):
    folder.mkdir()
    (folder / "params.json").write_text(json.dumps(PARAMS))
    for shard in range(shards):
        content = {"rope.freqs": torch.ones(4)}
        for name, layer in rows_of(CFG):
            whole = arrays[name.hugging_face.format(layer)]
            whole = pairs_from_halves(whole, CFG.head_width) if name.rotary else whole
            axis = embed_axis if name.ours == EMBED else name.meta_axis
            part = whole if axis is None else np.split(whole, shards, axis)[shard]
            content[name.meta.format(layer)] = torch.from_numpy(np.ascontiguousarray(part)).to(dtype)
        torch.save(content, folder / f"consolidated.{shard:02d}.pth")
    return folder


@pytest.mark.parametrize(("shards", "embed_axis"), [(1, 1), (2, 1), (2, 0)], ids=["one file", "Llama 2 shards", "Llama 3 shards"])
def test_shards_join_into_the_hugging_face_tensors(tmp_path, shards, embed_axis):
    arrays = tensors(CFG)
    source = open_source(write_meta(tmp_path / "meta", arrays, shards, embed_axis))
    assert source.config == dataclasses.replace(CFG, dtype=source.config.dtype, remat=source.config.remat)
    for name, array in arrays.items():
        np.testing.assert_array_equal(source.tensors[name].read(slice(None)), array)
        np.testing.assert_array_equal(source.tensors[name].read(slice(3, 21)), array[3:21])


def test_bfloat16_keeps_its_bits(tmp_path):
    arrays = tensors(CFG, "bfloat16")
    single = {name: array.astype(np.float32) for name, array in arrays.items()}
    source = open_source(write_meta(tmp_path / "meta", single, 1, 1, torch.bfloat16))
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
        open_source(folder)
