"""Meta's params.json and our configuration."""

from pathlib import Path

from spirit_jax.config import ModelConfig, RopeScaling
from spirit_jax.core.errors import UserError
from spirit_jax.core.settings import from_dict


def read(params: dict, rows: int, tied: bool, folder: Path) -> ModelConfig:
    """The model that params.json describes; the rows are those of the embedding, since Llama 2's vocab_size
    is -1.
    """
    try:
        width, heads = params["dim"], params["n_heads"]
        values = {
            "rows": rows,
            "width": width,
            "layers": params["n_layers"],
            "heads": heads,
            "kv_heads": params.get("n_kv_heads") or heads,
            "head_width": width // heads,
            "mlp_width": mlp_width(params),
            "rope_theta": params.get("rope_theta", 10_000.0),
            "rope_scaling": _scaling(params, tied),
            "norm_eps": params["norm_eps"],
            "tied": tied,
        }
    except KeyError as error:
        raise UserError(
            f"{folder}/params.json", str(error), "is missing", "use the folder's own params.json"
        ) from error
    except (TypeError, ZeroDivisionError) as error:
        raise UserError(
            f"{folder}/params.json",
            str(error),
            "sizes must be numbers above 0",
            "use the folder's own params.json",
        ) from error
    return from_dict(values, ModelConfig)


def _scaling(params: dict, tied: bool) -> RopeScaling | None:
    """Llama 3's. Meta's files don't tell the factor: Hugging Face's of the same models tell 8, and 32 for
    3.2's 1B and 3B, the tied ones.
    """
    if not params.get("use_scaled_rope"):
        return None
    return RopeScaling(factor=float(params.get("rope_scaling_factor") or (32 if tied else 8)))


def mlp_width(params: dict) -> int:
    """Two thirds of four widths, times a factor, rounded up to a multiple."""
    width = int(2 * 4 * params["dim"] / 3)
    if params.get("ffn_dim_multiplier") is not None:
        width = int(params["ffn_dim_multiplier"] * width)
    return -(-width // params["multiple_of"]) * params["multiple_of"]
