"""Encoders of the wav2vec 2.0 family from fairseq's and Hugging Face's configurations and weights.

Here weights have fairseq's names; `canonical` translates those of Hugging Face.
"""

import ast
import re
from collections.abc import Mapping

import numpy as np

from spirit_jax.core.errors import UserError
from spirit_jax.core.foreign_config import ForeignConfig
from spirit_jax.speech.encoders.wav2vec2.config import ConvNorm, ConvShape, Wav2Vec2Config
from spirit_jax.speech.encoders.wav2vec2.foreign_keys import (
    FAIRSEQ_FIXED,
    FAIRSEQ_MODEL,
    HF_FIXED,
    HF_MODEL,
)
from spirit_jax.speech.encoders.wav2vec2.network import NORMED_POSITION_CONV, POSITION_CONV, Wav2Vec2
from spirit_jax.speech.weights.readers import CheckpointReader
from spirit_jax.speech.weights.torch_files import Tensors

HF_NAMES = (  # what a Hugging Face name contains -> what fairseq calls it; in this order
    (r"^(wav2vec2|hubert)\.", ""),
    (r"^masked_spec_embed$", "mask_emb"),
    (r"^(feature_extractor\.conv_layers\.\d+)\.conv\.", r"\1.0."),
    (r"^feature_projection\.layer_norm\.", "layer_norm."),
    (r"^feature_projection\.projection\.", "post_extract_proj."),
    (r"^encoder\.pos_conv_embed\.batch_norm\.", f"{POSITION_CONV}."),
    (r"^(encoder\.layers\.\d+)\.layer_norm\.", r"\1.self_attn_layer_norm."),
    (r"^(encoder\.layers\.\d+)\.attention\.", r"\1.self_attn."),
    (r"\.feed_forward\.intermediate_dense\.", ".fc1."),
    (r"\.feed_forward\.output_dense\.", ".fc2."),
)
# weights of the training objective
PRETRAINING_ONLY = (
    "mask_emb",
    "final_proj.",
    "label_embs_concat",
    "quantizer.",
    "project_q.",
    "project_hid.",
)
FAIRSEQ_CONVS = "[(512,10,5)] + [(512,3,2)] * 4 + [(512,2,2)] * 2"
HF_EPS = 1e-7  # under the root when transformers normalises a waveform
MOST_CONVS = 100  # of a repetition, so that a file cannot fill the memory


def config_from_fairseq(model_cfg: Mapping) -> Wav2Vec2Config:
    """From the `model_cfg` of a fairseq checkpoint. Absent keys have fairseq's defaults. UserError for a key
    that is neither read nor in `FAIRSEQ_MODEL`.
    """
    model_cfg = ForeignConfig("model_cfg", model_cfg)
    model_cfg.require(FAIRSEQ_FIXED)
    convs = parse_convs(model_cfg.get("conv_feature_layers", FAIRSEQ_CONVS))
    width = model_cfg.get("encoder_embed_dim", 768)
    cfg = Wav2Vec2Config(
        convs=convs,
        conv_norm=ConvNorm.LAYER
        if model_cfg.get("extractor_mode", "default") == "layer_norm"
        else ConvNorm.GROUP,
        conv_bias=bool(model_cfg.get("conv_bias", False)),
        project=convs[-1].channels != width,
        width=width,
        mlp_width=model_cfg.get("encoder_ffn_embed_dim", 3072),
        heads=model_cfg.get("encoder_attention_heads", 12),
        layers=model_cfg.get("encoder_layers", 12),
        position_taps=model_cfg.get("conv_pos", 128),
        position_groups=model_cfg.get("conv_pos_groups", 16),
        pre_norm=bool(model_cfg.get("layer_norm_first", False)),
        position_batch_norm=bool(model_cfg.get("conv_pos_batch_norm", False)),
    )
    model_cfg.finish(FAIRSEQ_MODEL)
    return cfg


def config_from_hf(config: Mapping) -> Wav2Vec2Config:
    """From the `config.json` of a Hugging Face HuBERT or wav2vec 2.0 folder. Absent keys have the defaults of
    transformers. UserError for a key that is neither read nor in `HF_MODEL`.
    """
    config = ForeignConfig("config.json", config)
    config.require(HF_FIXED)
    shapes = (
        config.get("conv_dim", (512,) * 7),
        config.get("conv_kernel", (10, 3, 3, 3, 3, 2, 2)),
        config.get("conv_stride", (5, 2, 2, 2, 2, 2, 2)),
    )
    if not all(isinstance(sizes, list | tuple) and len(sizes) == len(shapes[0]) for sizes in shapes):
        raise UserError(
            "config.json conv_dim, conv_kernel, conv_stride",
            shapes,
            "must be equally long lists",
            "use the published config.json",
        )
    config.require({"num_feat_extract_layers": (len(shapes[0]),)})
    cfg = Wav2Vec2Config(
        convs=tuple(ConvShape(*sizes) for sizes in zip(*shapes)),
        conv_norm=ConvNorm(config.get("feat_extract_norm", "group")),
        conv_bias=config.get("conv_bias", False),
        width=config.get("hidden_size", 768),
        mlp_width=config.get("intermediate_size", 3072),
        heads=config.get("num_attention_heads", 12),
        layers=config.get("num_hidden_layers", 12),
        position_taps=config.get("num_conv_pos_embeddings", 128),
        position_groups=config.get("num_conv_pos_embedding_groups", 16),
        pre_norm=config.get("do_stable_layer_norm", False),
        norm_eps=config.get("layer_norm_eps", 1e-5),
        position_batch_norm=config.get("conv_pos_batch_norm", False),
    )
    config.finish(HF_MODEL)
    return cfg


def parse_convs(expression: str) -> tuple[ConvShape, ...]:
    """The convolutions that a Python expression lists: tuples (channels, taps, stride) in lists joined by +
    and repeated by *. It is parsed, not evaluated.

    >>> len(parse_convs("[(512,10,5)] + [(512,3,2)] * 4 + [(512,2,2)] * 3"))
    8
    """
    try:
        if not isinstance(expression, str):
            raise TypeError("no string")
        shapes = _list_of(ast.parse(expression.strip(), mode="eval").body)
        if not shapes:
            raise ValueError("no convolution")
        return tuple(ConvShape(*shape) for shape in shapes)
    except (SyntaxError, ValueError, TypeError, RecursionError) as error:
        rule = "must be lists of (channels, taps, stride) joined by + and repeated by *"
        raise UserError("conv_feature_layers", expression, rule, "use the published configuration") from error


def canonical(arrays: Mapping[str, np.ndarray], cfg: Wav2Vec2Config) -> dict[str, np.ndarray]:
    """The arrays of a Hugging Face or fairseq checkpoint by fairseq's names. UserError if two of its names
    translate to the same one.
    """
    norm = r"\1.2.1." if cfg.conv_norm is ConvNorm.LAYER else r"\1.2."
    position_conv = NORMED_POSITION_CONV if cfg.position_batch_norm else POSITION_CONV
    rules = (
        *HF_NAMES,
        (r"^encoder\.pos_conv_embed\.conv\.", f"{position_conv}."),
        (r"^(feature_extractor\.conv_layers\.\d+)\.layer_norm\.", norm),
    )
    renamed = {}
    for name, array in arrays.items():
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        if name in renamed:
            raise UserError(
                "checkpoint weight",
                name,
                "is there twice, by fairseq's name and another",
                "use a checkpoint of the published kind",
            )
        renamed[name] = array
    return renamed


def load_encoder(tensors: Tensors, cfg: Wav2Vec2Config) -> Wav2Vec2:
    """The encoder from tensors with canonical names; weights that only pre-training needs are ignored. The
    caller takes the other tensors and calls `finish`.
    """
    tensors.ignore(*PRETRAINING_ONLY)
    return Wav2Vec2(CheckpointReader(tensors, length_axis=2), cfg)


def _list_of(node: ast.expr) -> list[tuple[int, int, int]]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _list_of(node.left) + _list_of(node.right)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        listed, count = (
            (node.right, node.left) if isinstance(node.left, ast.Constant) else (node.left, node.right)
        )
        times = ast.literal_eval(count)
        shapes = _list_of(listed)
        if type(times) is not int or not 0 <= times * len(shapes) <= MOST_CONVS:
            raise ValueError(f"a repetition gives up to {MOST_CONVS} convolutions")
        return shapes * times
    shapes = ast.literal_eval(node)
    if not isinstance(shapes, list) or not all(
        len(shape) == 3 and all(type(size) is int for size in shape) for shape in shapes
    ):
        raise ValueError("no list of three whole numbers each")
    return shapes
