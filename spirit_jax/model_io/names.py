"""The table of tensor names, ours, Hugging Face's and Meta's, and the conversion of a tensor between them.

Ours are the paths of parameters in `spirit_jax.model.llama.Llama`, with the layers stacked. Hugging Face and
Meta have one tensor per layer, outputs first. Meta pairs rotary components (2i, 2i + 1); Hugging Face and
this project pair (i, i + K/2).
"""

import dataclasses
import fnmatch
import math

import numpy as np

from spirit_jax.config import ModelConfig

LAYERS = "layers."


@dataclasses.dataclass(frozen=True)
class Name:
    """A tensor's names; `{}` stands for the layer.

    transposed: theirs is (outputs, inputs), ours has the inputs first. meta_axis: the axis that Meta splits
    over its files; None: every file has the whole tensor. rotary: the rotary embedding rotates its outputs.
    """

    ours: str
    hugging_face: str
    meta: str
    transposed: bool = False
    meta_axis: int | None = None
    rotary: bool = False

    @property
    def layered(self) -> bool:
        """Whether every layer has such a tensor."""
        return self.ours.startswith(LAYERS)


EMBED, HEAD = "embed_VD", "head_VD"
TABLE = (
    Name(EMBED, "model.embed_tokens.weight", "tok_embeddings.weight", meta_axis=1),
    Name(
        "layers.attention_norm.scale",
        "model.layers.{}.input_layernorm.weight",
        "layers.{}.attention_norm.weight",
    ),
    Name(
        "layers.attention.q_DHK",
        "model.layers.{}.self_attn.q_proj.weight",
        "layers.{}.attention.wq.weight",
        True,
        0,
        True,
    ),
    Name(
        "layers.attention.k_DGK",
        "model.layers.{}.self_attn.k_proj.weight",
        "layers.{}.attention.wk.weight",
        True,
        0,
        True,
    ),
    Name(
        "layers.attention.v_DGK",
        "model.layers.{}.self_attn.v_proj.weight",
        "layers.{}.attention.wv.weight",
        True,
        0,
    ),
    Name(
        "layers.attention.o_HKD",
        "model.layers.{}.self_attn.o_proj.weight",
        "layers.{}.attention.wo.weight",
        True,
        1,
    ),
    Name(
        "layers.mlp_norm.scale",
        "model.layers.{}.post_attention_layernorm.weight",
        "layers.{}.ffn_norm.weight",
    ),
    Name(
        "layers.mlp.gate_DF",
        "model.layers.{}.mlp.gate_proj.weight",
        "layers.{}.feed_forward.w1.weight",
        True,
        0,
    ),
    Name(
        "layers.mlp.up_DF", "model.layers.{}.mlp.up_proj.weight", "layers.{}.feed_forward.w3.weight", True, 0
    ),
    Name(
        "layers.mlp.down_FD",
        "model.layers.{}.mlp.down_proj.weight",
        "layers.{}.feed_forward.w2.weight",
        True,
        1,
    ),
    Name("norm.scale", "model.norm.weight", "norm.weight"),
    Name(HEAD, "lm_head.weight", "output.weight", meta_axis=0),
)
# rotary frequencies, which are computed from the configuration
IGNORED = ("model.layers.*.self_attn.rotary_emb.inv_freq", "model.rotary_emb.inv_freq", "rope.freqs")


def is_ignored(theirs: str) -> bool:
    """Whether a tensor of this name is known and not needed."""
    return any(fnmatch.fnmatchcase(theirs, pattern) for pattern in IGNORED)


def model_tensors(cfg: ModelConfig) -> list[tuple[Name, int | None]]:
    """Every tensor of a model: its names, and its layer or None."""
    tensors: list[tuple[Name, int | None]] = []
    for name in TABLE:
        if not (name.ours == HEAD and cfg.tied):
            tensors += [(name, layer) for layer in range(cfg.layers)] if name.layered else [(name, None)]
    return tensors


def our_shape(name: Name, cfg: ModelConfig) -> tuple[int, ...]:
    """The shape of a parameter without the axis of layers, by the letters of its name."""
    sizes = {
        "V": cfg.rows,
        "D": cfg.width,
        "F": cfg.mlp_width,
        "H": cfg.heads,
        "G": cfg.kv_heads,
        "K": cfg.head_width,
    }
    return (
        (cfg.width,)
        if name.ours.endswith("scale")
        else tuple(sizes[letter] for letter in name.ours.rpartition("_")[2])
    )


def their_shape(name: Name, cfg: ModelConfig) -> tuple[int, ...]:
    """The shape of a tensor in a Hugging Face file."""
    shape = our_shape(name, cfg)
    if not name.transposed:
        return shape
    inputs = shape[:2] if name.ours.endswith("o_HKD") else shape[:1]
    return (math.prod(shape[len(inputs) :]), math.prod(inputs))


def to_ours(name: Name, theirs: np.ndarray, cfg: ModelConfig) -> np.ndarray:
    """A Hugging Face tensor in our layout. A table may be a slice of its rows."""
    return theirs.T.reshape(our_shape(name, cfg)) if name.transposed else theirs


def to_theirs(name: Name, ours: np.ndarray, cfg: ModelConfig) -> np.ndarray:
    """Our tensor in Hugging Face's layout; the inverse of `to_ours`."""
    return np.ascontiguousarray(ours.reshape(their_shape(name, cfg)[::-1]).T) if name.transposed else ours


def halves_from_pairs(interleaved: np.ndarray, head_width: int) -> np.ndarray:
    """Rotary outputs from Meta's order (neighbouring pairs) to halves: [outputs, inputs] in and out."""
    outputs, inputs = interleaved.shape
    return (
        interleaved.reshape(outputs // head_width, head_width // 2, 2, inputs)
        .swapaxes(1, 2)
        .reshape(outputs, inputs)
    )
