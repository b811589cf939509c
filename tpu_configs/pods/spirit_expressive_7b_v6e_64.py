"""Spirit LM Expressive, 7B, on a v6e-64 slice (64 chips)."""

from spirit_jax.config import RunConfig
from tpu_configs.pods import spirit_base_7b_v6e_64
from tpu_configs.spirit import expressive


def config() -> RunConfig:
    """As Base, with the rows of the streams of Expressive."""
    return expressive(spirit_base_7b_v6e_64.config())
