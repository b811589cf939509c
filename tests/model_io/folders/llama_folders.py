"""Small random Llama folders in Hugging Face's format."""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from spirit_jax.config import ModelConfig
from spirit_jax.core.files import write_json
from spirit_jax.model.array_store import named_arrays
from spirit_jax.model.llama import Llama
from spirit_jax.model_io import hf_config
from spirit_jax.model_io.names import model_tensors, their_shape
from tests.model.tiny import CONFIG

INV_FREQ = "model.layers.0.self_attn.rotary_emb.inv_freq"


def tensors(cfg: ModelConfig = CONFIG, dtype: str = "float32", seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        name.hugging_face.format(layer): rng.standard_normal(their_shape(name, cfg)).astype(np.dtype(dtype))
        for name, layer in model_tensors(cfg)
    }


def write_folder(
    folder: Path, arrays: dict[str, np.ndarray], cfg: ModelConfig = CONFIG, shards: int = 1, **config
) -> Path:
    """A Hugging Face folder; its config.json is `cfg`'s with changes."""
    folder.mkdir(parents=True, exist_ok=True)
    names = sorted(arrays)
    if shards == 1:
        save_file(arrays, folder / "model.safetensors", metadata={"format": "pt"})
    else:
        weight_map = {name: f"model-{i % shards}.safetensors" for i, name in enumerate(names)}
        for file in set(weight_map.values()):
            save_file({name: arrays[name] for name in names if weight_map[name] == file}, folder / file)
        write_json(folder / "model.safetensors.index.json", {"metadata": {}, "weight_map": weight_map})
    values = hf_config.write(cfg, {"max_position_embeddings": 128}, "float32", 2, 1)
    write_json(folder / "config.json", {**values, **config})
    return folder


def listing(folder: Path) -> list[str]:
    """All paths in a folder, also hidden ones."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def read_config(folder: Path) -> dict:
    return json.loads((folder / "config.json").read_text())


def equal(one: Llama, other: Llama) -> bool:
    """Whether two models have the same weights."""
    return all(
        np.array_equal(a, b)
        for a, b in zip(named_arrays(one).values(), named_arrays(other).values(), strict=True)
    )
