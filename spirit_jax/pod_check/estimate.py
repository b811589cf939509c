"""A step's work, traffic and memory, estimated by arithmetic, without compiling it.

Rooflines are lower bounds of time: everything overlaps, and every link and matrix unit runs at its published
peak. So an MFU that follows from one is a ceiling.
"""

import dataclasses
import math

import jax
from jax.sharding import AbstractMesh, Mesh

from spirit_jax.config import Dtype, Remat, RunConfig
from spirit_jax.model.llama import abstract, flops_per_token
from spirit_jax.model.loss import LOGITS_BYTES
from spirit_jax.pod_check.pod import Pod
from spirit_jax.training.optimizer import make_optimizer
from spirit_jax.training.state import abstract_state

AnyMesh = Mesh | AbstractMesh


@dataclasses.dataclass(frozen=True)
class Work:
    """One step. model_flops: of all devices, without recomputation (`flops_per_token`); hardware_flops: with
    it. Bytes: of one device. gathered: whole weights that pass through it; reduced: whole gradients; crossed:
    sent to other slices; touched: read from its memory or written.
    """

    tokens: int
    model_flops: float
    hardware_flops: float
    gathered: float
    reduced: float
    crossed: float
    touched: float


def work_of(config: RunConfig, mesh: AnyMesh, slices: int) -> Work:
    """The work of one step of a recipe.

    For each accumulation part, weights cross the network forward and backward, in the activations' type, and
    gradients once, in `optim.reduce_dtype`; the embedding and the head's gradient are float32. Splash and
    cuDNN compute scores again in the backward pass: counted as hardware work.
    """
    model, length = config.model, config.data.sequence_length
    width, summed = bytes_of(model.dtype), bytes_of(config.optim.reduce_dtype)
    tokens = config.train.batch_rows * length
    ours = flops_per_token(model, length)
    again = _recomputed(config) + 3.0 * model.layers * model.heads * model.head_width * length
    matrices = model.layers * _layer_matrices(config)
    tables = (1 if model.tied else 2) * model.rows * model.width
    parts, tensor = config.train.accumulate, mesh.shape["tensor"]
    share = 1 - 1 / mesh.shape["fsdp"]
    gathered = parts * share * (2 * matrices * width + tables * (4 + width)) / tensor
    gradients = parts * (matrices * summed + tables * 4) / tensor
    reduced = gradients * (mesh.shape["fsdp"] > 1 or mesh.shape["data"] > 1)
    crossed = gradients * 2 * (1 - 1 / slices) / mesh.shape["fsdp"]
    touched = 2 * state_bytes(config, mesh) + parts * 3 * (matrices + tables) * width / tensor
    return Work(tokens, ours * tokens, (ours + again) * tokens, gathered, reduced, crossed, touched)


def seconds_of(work: Work, pod: Pod, sent: float | None = None, waited: float = 0.0) -> dict[str, float]:
    """Lower bounds of a step's time, in seconds, by what limits it.

    sent: bytes that a device sends within its slice, from a compiled program; None: estimated, an all-gather
    as its bytes and a sum of gradients as twice its bytes. waited: of these, the bytes sent while the device
    does nothing else; their time adds to that of the work.
    """
    sent = work.gathered + 2 * work.reduced if sent is None else sent
    return {
        "compute": work.hardware_flops / pod.devices / pod.chip.flops + waited / pod.chip.links,
        "memory": work.touched / pod.chip.hbm_rate,
        "network": sent / pod.chip.links,
        "slices": work.crossed / pod.chip.network,
    }


def state_bytes(config: RunConfig, mesh: AnyMesh) -> int:
    """Parameters and optimizer state of one device."""
    shapes = abstract_state(
        abstract(config.model, mesh), make_optimizer(config.optim, config.train.steps), mesh
    )
    return sum(math.prod(x.sharding.shard_shape(x.shape)) * x.dtype.itemsize for x in jax.tree.leaves(shapes))


def memory_of(config: RunConfig, mesh: AnyMesh) -> float:
    """Peak bytes of one device, by analysis: state, gradients, what the forward pass saves for the backward
    pass, two layers' gathered weights, the head's gradient and a few chunks of logits.
    """
    model, width = config.model, bytes_of(config.model.dtype)
    tensor = mesh.shape["tensor"]
    state = state_bytes(config, mesh)
    gradients = state / 3 * (2 if config.train.accumulate > 1 else 1)
    rows = config.train.batch_rows / config.train.accumulate / mesh.shape["data"] / mesh.shape["fsdp"]
    saved = (
        rows
        * config.data.sequence_length
        / mesh.shape["context"]
        * model.layers
        * _saved_values(config, tensor)
        * width
    )
    gathered = 2 * _layer_matrices(config) * width / tensor + model.rows * model.width * (8 + width) / tensor
    return state + gradients + saved + gathered + 4 * LOGITS_BYTES


def bytes_of(dtype: Dtype) -> int:
    """Bytes of a value."""
    return 2 if dtype is Dtype.BFLOAT16 else 4


def _layer_matrices(config: RunConfig) -> int:
    model = config.model
    return (
        model.width * model.head_width * 2 * (model.heads + model.kv_heads)
        + 3 * model.width * model.mlp_width
    )


def _recomputed(config: RunConfig) -> float:
    """Operations a token that the remat policy adds."""
    model = config.model
    if model.remat is Remat.FULL:
        return model.layers * (
            2.0 * _layer_matrices(config) + 2.0 * model.heads * model.head_width * config.data.sequence_length
        )
    return model.layers * 4.0 * model.width * model.mlp_width if model.remat is Remat.SAVE_NARROW else 0.0


def _saved_values(config: RunConfig, tensor: int) -> float:
    """Values a token and layer that stay on the device from the forward to the backward pass."""
    model = config.model
    heads = model.head_width * (2 * model.heads + 2 * model.kv_heads)
    narrow, wide = model.width + heads / tensor, 2 * model.mlp_width / tensor
    more = {
        Remat.FULL: 0,
        Remat.OFFLOAD: 0,
        Remat.SAVE_NARROW: narrow,
        Remat.SAVE_DOTS: narrow + wide,
        # and norms, in float32, and the parts of the gated product
        Remat.NONE: narrow + 2 * wide + 6 * model.width,
    }
    return model.width + more[model.remat]
