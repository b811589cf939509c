"""Meta's params.json as our `ModelConfig`."""

from pathlib import Path

from spirit_jax.config import ModelConfig, RopeScaling
from spirit_jax.core.errors import UserError
from spirit_jax.core.settings import from_dict
from spirit_jax.model_io.foreign_keys import check_keys

SMALLEST_3_1 = 4096  # the width of Llama 3.1 8B; Llama 3.2 1B and 3B have 2,048 and 3,072


def read(params: dict, rows: int, tied: bool, folder: Path) -> ModelConfig:
    """The model that params.json describes. UserError if sizes are missing or wrong, or a key is not known.

    rows: those of the embedding, because Llama 2's vocab_size is -1.
    """
    check_keys(params, "params.json", folder / "params.json")
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
            "rope_scaling": _scaling(params),
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


def assumption(params: dict) -> str | None:
    """What the scaling assumes beyond the file, in a line; None if it assumes nothing."""
    if not params.get("use_scaled_rope") or params.get("rope_scaling_factor"):
        return None
    family, factor = _family(params)
    return (
        f"params.json has use_scaled_rope without a factor: {factor:g} is assumed, that of {family}, because "
        f"dim is {params['dim']:,}; for another, set rope_scaling_factor there"
    )


def _scaling(params: dict) -> RopeScaling | None:
    """Llama 3's scaling. Meta's files lack the factor."""
    if not params.get("use_scaled_rope"):
        return None
    return RopeScaling(factor=float(params.get("rope_scaling_factor") or _family(params)[1]))


def _family(params: dict) -> tuple[str, float]:
    """The models of this width and their factor, which Hugging Face's files of the same models have."""
    return ("Llama 3.2 1B and 3B", 32.0) if params["dim"] < SMALLEST_3_1 else ("Llama 3.1 and 3.3", 8.0)


def mlp_width(params: dict) -> int:
    """Width of the MLP: 2/3 · 4 · dim, times a factor, rounded up to a multiple."""
    width = int(2 * 4 * params["dim"] / 3)
    if params.get("ffn_dim_multiplier") is not None:
        width = int(params["ffn_dim_multiplier"] * width)
    return -(-width // params["multiple_of"]) * params["multiple_of"]
