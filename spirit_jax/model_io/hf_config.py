"""Conversion between a Hugging Face Llama's config.json and our `ModelConfig`."""

from pathlib import Path
from typing import Any

from spirit_jax.config import ModelConfig, RopeScaling
from spirit_jax.core.errors import UserError
from spirit_jax.core.settings import from_dict
from spirit_jax.model_io.foreign_keys import check_keys

# values that our configuration does not have; an export writes them again
ORIGIN_KEYS = ("max_position_embeddings", "bos_token_id", "eos_token_id", "pad_token_id")
LLAMA = {"model_type": "llama", "hidden_act": "silu", "attention_bias": False, "mlp_bias": False}
DEFAULT_THETA = 10_000.0
DEFAULT_POSITIONS = 4096  # Llama 2's, for models without the value of an earlier config.json


def read(values: dict, folder: Path) -> ModelConfig:
    """The model that a config.json describes. UserError if it is not a Llama, has another rotary scaling than
    Llama 3's, or has a key that is not known.
    """
    rope = values.get("rope_parameters") or values.get("rope_scaling") or {}
    check_keys(values, "config.json", folder / "config.json")
    for found in (values.get("partial_rotary_factor"), rope.get("partial_rotary_factor")):
        if found not in (None, 1.0):
            rule, fix = "must be 1.0", "only Llama 2 and 3 architectures convert"
            raise UserError(f"{folder}/config.json partial_rotary_factor", found, rule, fix)
    try:
        width, heads = values["hidden_size"], values["num_attention_heads"]
        fields = {
            "rows": values["vocab_size"],
            "width": width,
            "layers": values["num_hidden_layers"],
            "heads": heads,
            "kv_heads": values.get("num_key_value_heads") or heads,
            "head_width": values.get("head_dim") or width // heads,
            "mlp_width": values["intermediate_size"],
            "rope_theta": rope.get("rope_theta") or values.get("rope_theta") or DEFAULT_THETA,
            "rope_scaling": _scaling(rope, folder),
            "norm_eps": values["rms_norm_eps"],
            "tied": bool(values.get("tie_word_embeddings")),
        }
    except KeyError as error:
        raise UserError(
            f"{folder}/config.json", str(error), "is missing", "use the folder's own config.json"
        ) from error
    except (TypeError, ZeroDivisionError) as error:
        raise UserError(
            f"{folder}/config.json",
            str(error),
            "sizes must be numbers above 0",
            "use the folder's own config.json",
        ) from error
    return from_dict(fields, ModelConfig)


def origin(values: dict) -> dict[str, Any]:
    """The values that an export writes again."""
    return {key: values[key] for key in ORIGIN_KEYS if values.get(key) is not None}


def write(cfg: ModelConfig, origin: dict[str, Any], dtype: str, eos: int, bos: int) -> dict[str, Any]:
    """A config.json that transformers and vLLM read, with the older and the newer form of the rotary
    parameters.
    """
    scaling = cfg.rope_scaling
    rope: dict[str, Any] = {"rope_type": "default"}
    if scaling is not None:
        rope = {
            "rope_type": "llama3",
            "factor": scaling.factor,
            "low_freq_factor": scaling.low_freq_factor,
            "high_freq_factor": scaling.high_freq_factor,
            "original_max_position_embeddings": scaling.original_max_position,
        }
    return {
        "architectures": ["LlamaForCausalLM"],
        **LLAMA,
        "attention_dropout": 0.0,
        "bos_token_id": bos,
        "eos_token_id": eos,
        "max_position_embeddings": int(scaling.factor * scaling.original_max_position)
        if scaling is not None
        else DEFAULT_POSITIONS,
        **origin,
        "head_dim": cfg.head_width,
        "hidden_size": cfg.width,
        "initializer_range": 0.02,
        "intermediate_size": cfg.mlp_width,
        "num_attention_heads": cfg.heads,
        "num_hidden_layers": cfg.layers,
        "num_key_value_heads": cfg.kv_heads,
        "rms_norm_eps": cfg.norm_eps,
        "rope_parameters": {**rope, "rope_theta": cfg.rope_theta},
        "rope_scaling": rope if scaling is not None else None,
        "rope_theta": cfg.rope_theta,
        "tie_word_embeddings": cfg.tied,
        "torch_dtype": dtype,
        "use_cache": True,
        "vocab_size": cfg.rows,
    }


def _scaling(rope: dict, folder: Path) -> RopeScaling | None:
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind not in ("default", "llama3"):
        raise UserError(
            f"{folder}/config.json rope_type",
            kind,
            "must be default or llama3",
            "only Llama 3's scaling is supported",
        )
    check_keys(rope, "rope", folder / "config.json")
    if kind == "default":
        return None
    return RopeScaling(
        factor=float(rope["factor"]),
        low_freq_factor=float(rope["low_freq_factor"]),
        high_freq_factor=float(rope["high_freq_factor"]),
        original_max_position=int(rope["original_max_position_embeddings"]),
    )
