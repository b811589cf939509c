"""spirit_jax: the open Spirit LM stack in JAX: speech and text in one token stream."""

__version__ = "0.1.0"
