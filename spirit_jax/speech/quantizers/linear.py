"""HuBERT features -> phonetic units: the published linear quantizer with its blank, or a k-means file (paper
section 3.1).

Legend: T frames, D feature width, V units, I inputs, O outputs.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from spirit_jax.core.batching import map_blocks
from spirit_jax.core.errors import UserError
from spirit_jax.core.files import require_file
from spirit_jax.core.foreign_config import ForeignConfig
from spirit_jax.speech.kernels.convolution import param
from spirit_jax.speech.kernels.product import product
from spirit_jax.speech.quantizers.kmeans import assign
from spirit_jax.speech.weights.torch_files import Tensors, read_pickle, require_keys

BLOCK = 256  # frames a call
SLOPE = 0.01  # of the LeakyReLU
SIZES = ("vocab_size", "dim", "upstream_dim")


class LinearQuantizer(nnx.Module):
    """Three affine maps with LeakyReLU between; the class after the last unit is the blank."""

    def __init__(self, layers: Sequence[tuple[np.ndarray, np.ndarray]]):
        """`layers`: (kernel_IO, bias_O) of each map."""
        self.kernels = nnx.List([param(kernel_IO) for kernel_IO, _ in layers])
        self.biases = nnx.List([param(bias_O) for _, bias_O in layers])

    @property
    def unit_count(self) -> int:
        """Number of codes, the blank included: it remains where a segment is all blanks."""
        return self.biases[-1].shape[0]

    @property
    def spoken_count(self) -> int:
        """Codes that have a sound: all but the blank."""
        return self.unit_count - 1

    @property
    def width(self) -> int:
        """Width of the features."""
        return self.kernels[0].shape[0]

    def __call__(self, x_TD: jax.Array) -> jax.Array:
        """Logits [T, V + 1]."""
        for i, (kernel_IO, bias_O) in enumerate(zip(self.kernels, self.biases)):
            x_TD = jax.nn.leaky_relu(x_TD, SLOPE) if i else x_TD
            x_TD = product(x_TD, kernel_IO[...]) + bias_O[...][None]
        return x_TD

    def quantize(self, features: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Units, int32 [T], of each utterance's features [T, D], its blanks filled. Utterances do not
        affect each other.
        """
        codes = map_blocks(lambda x_TD: _classify(self, x_TD), features, BLOCK)
        return [fill_blanks(codes_T, self.spoken_count) for codes_T in codes]


@dataclasses.dataclass(frozen=True)
class KmeansQuantizer:
    """The nearest of the centres [V, D]."""

    centers_VD: np.ndarray

    @property
    def unit_count(self) -> int:
        """Number of codes."""
        return len(self.centers_VD)

    @property
    def spoken_count(self) -> int:
        """All: there is no blank."""
        return self.unit_count

    @property
    def width(self) -> int:
        """Width of the features."""
        return self.centers_VD.shape[1]

    def quantize(self, features: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Units, int32 [T], of each utterance's features [T, D]."""
        return [assign(x_TD, self.centers_VD) if len(x_TD) else np.zeros(0, np.int32) for x_TD in features]


UnitQuantizer = LinearQuantizer | KmeansQuantizer


def load_quantizer(path: str | Path) -> UnitQuantizer:
    """Reads the published linear quantizer (`L11_quantizer_500.pt`) or k-means: `cluster_centers` and
    `n_clusters`, or a .npy of the centres. UserError for a key that is not read.
    """
    if Path(path).suffix == ".npy":
        return KmeansQuantizer(_read_centers(path))
    content = read_pickle(path, numpy_arrays=True)
    if isinstance(content, dict) and "cluster_centers" in content:
        require_keys(content, path, ("cluster_centers", "n_clusters"))
        config = ForeignConfig(str(path), content)
        centers_VD = np.asarray(config["cluster_centers"], np.float32)
        if centers_VD.ndim != 2 or len(centers_VD) != int(config["n_clusters"]):
            raise UserError(
                f"{path} cluster_centers",
                centers_VD.shape,
                f"must be [n_clusters = {content['n_clusters']}, width]",
                "use a whole file",
            )
        config.finish({})
        return KmeansQuantizer(centers_VD)
    require_keys(content, path, ("model_cfg", "model_weight"))
    require_keys(content["model_cfg"], f"{path} model_cfg", SIZES)
    require_keys(content["model_weight"], f"{path} model_weight")
    return _linear(Tensors(path, content["model_weight"]), content["model_cfg"])


def linear_widths(vocab_size: int, dim: int, upstream_dim: int) -> list[int]:
    """Widths before, between and after the three maps: `dim`, less a quarter and a half of (upstream_dim
    - classes), classes.
    """
    classes = vocab_size + 1
    way = upstream_dim - classes
    return [dim, dim - way // 4, dim - way // 2, classes]


def fill_blanks(codes_T: np.ndarray, blank: int) -> np.ndarray:
    """Each blank becomes the last unit before it; a leading one becomes the utterance's last unit. A sequence
    of blanks alone stays as it is.

    Meta's release fills leading blanks from the end. That is an error, kept because the language model was
    trained on such units.
    """
    at_T = np.where(codes_T != blank, np.arange(len(codes_T)), -1)
    if not len(codes_T) or at_T.max() < 0:
        return codes_T
    left_T = np.maximum.accumulate(at_T)
    return codes_T[np.where(left_T < 0, at_T.max(), left_T)]


def _read_centers(path: str | Path) -> np.ndarray:
    try:
        centers_VD = np.load(require_file(path, "k-means file"), allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise UserError(
            "k-means file",
            path,
            f"must be one array ({error})",
            "np.save(path, centres) as float32 [units, width]",
        ) from error
    if centers_VD.ndim != 2 or not np.issubdtype(centers_VD.dtype, np.floating):
        raise UserError(
            "k-means file",
            f"{centers_VD.dtype} {centers_VD.shape}",
            "must be float [units, width]",
            "np.save(path, centres)",
        )
    return np.asarray(centers_VD, np.float32)


@jax.jit
def _classify(quantizer: LinearQuantizer, x_TD: jax.Array) -> jax.Array:
    return jnp.argmax(quantizer(x_TD), axis=-1).astype(jnp.int32)


def _linear(tensors: Tensors, model_cfg: dict) -> LinearQuantizer:
    config = ForeignConfig(f"{tensors.where} model_cfg", model_cfg)
    sizes = [config[key] for key in SIZES]
    config.finish({})
    if not all(type(size) is int and size > 0 for size in sizes):
        raise UserError(
            f"{tensors.where} vocab_size, dim, upstream_dim",
            sizes,
            "must be whole numbers above 0",
            "use the published file",
        )
    widths = linear_widths(*sizes)
    layers = []
    for name, inputs, outputs in zip((0, 2, 4), widths, widths[1:]):
        layers.append(
            (tensors.take(f"{name}.weight", (outputs, inputs)).T, tensors.take(f"{name}.bias", (outputs,)))
        )
    tensors.finish()
    return LinearQuantizer(layers)
