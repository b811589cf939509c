"""Weight normalisation, folded away when a checkpoint is read: w = g v / |v|, the norm taken over every axis that g does not have."""

import numpy as np

from spirit_jax.errors import UserError
from spirit_jax.speech.torch_files import Tensors

PAIRS = (("weight_g", "weight_v"), ("parametrizations.weight.original0", "parametrizations.weight.original1"))  # PyTorch's older and newer names


def take_folded(tensors: Tensors, name: str, shape: tuple[int, ...], axis: int = 0) -> np.ndarray:
    """The float32 weight `name` of that shape, of which a checkpoint holds the direction and, along `axis`, the length; or the weight itself."""
    for length, direction in PAIRS:
        if f"{name}.{direction}" in tensors:
            v = tensors.take(f"{name}.{direction}", shape).astype(np.float64)
            g = tensors.take(f"{name}.{length}", tuple(size if i == axis else 1 for i, size in enumerate(shape)))
            norm = np.sqrt(np.square(v).sum(axis=tuple(i for i in range(v.ndim) if i != axis), keepdims=True))
            if not np.all(norm):
                raise UserError(
                    f"{tensors.where} weight {name}.{direction}", 0.0, "has a row of length 0, which has no direction", "use a sound file"
                )
            return (g * v / norm).astype(np.float32)
    return tensors.take(f"{name}.weight", shape)
