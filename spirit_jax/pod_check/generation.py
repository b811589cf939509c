"""Whether a recipe's model can generate rows of 4,096 tokens on small machines, estimated by arithmetic.

Weights and cache have the activations' type, as `SpiritLM.load` holds them, and are split over `tensor`.
"""

import math
from typing import Any

import jax
from jax.sharding import AbstractMesh

from spirit_jax.config import MeshConfig, ModelConfig
from spirit_jax.generation.jobs import NEW_SLOTS
from spirit_jax.generation.prompt_batches import ROWS, cache_bytes, choose_rows
from spirit_jax.model.llama import abstract
from spirit_jax.pod_check.estimate import bytes_of
from spirit_jax.pod_check.pod import HBM_SHARE, pod_of
from spirit_jax.sharding import MESH_AXES

MACHINES = ("v5e:2x4", "v5p:1x1x1", "h200:1")  # one host of eight chips; one chip; one GPU
PROMPT = 4096


def generation_of(model: ModelConfig) -> list[dict[str, Any]]:
    """A row of figures for each machine, JSON-able; bytes are of one device."""
    return [_on(model, machine) for machine in MACHINES]


def _on(model: ModelConfig, machine: str) -> dict[str, Any]:
    pod = pod_of(MeshConfig(topology=machine))
    tensor = math.gcd(pod.devices, model.kv_heads, model.heads, model.mlp_width, model.rows)
    mesh = AbstractMesh((1, 1, 1, tensor), MESH_AXES)
    slots = PROMPT + NEW_SLOTS
    rows = choose_rows(ROWS[-1], model, PROMPT, NEW_SLOTS, mesh.shape)
    parts = {
        "weight_bytes": sum(
            math.prod(x.sharding.shard_shape(x.shape)) * x.dtype.itemsize
            for x in jax.tree.leaves(abstract(model, mesh, model.dtype))
        ),
        "cache_bytes": rows * cache_bytes(model, slots) // tensor,
        "workspace_bytes": rows * _workspace(model, slots, tensor),
    }
    peak = sum(parts.values())
    return {
        "machine": machine,
        "tensor": tensor,
        "rows": rows,
        "prompt": PROMPT,
        **parts,
        "peak_bytes": peak,
        "hbm_bytes": pod.chip.hbm,
        "fits": peak <= HBM_SHARE * pod.chip.hbm,
    }


def _workspace(model: ModelConfig, slots: int, tensor: int) -> int:
    """Bytes for a row of the prefill of one layer: the scores of all queries in float32, twice; their softmax
    in the activations' type; and the wide products of the MLP.
    """
    width = bytes_of(model.dtype)
    scores = model.heads // tensor * PROMPT * slots * (2 * 4 + width)
    return scores + PROMPT * (4 * model.width + 3 * model.mlp_width // tensor) * width
