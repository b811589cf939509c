"""Networks of a speech codec on disk: a folder of Orbax weights each, and sizes that are JSON, from which the
network is built again without PyTorch.

Arrays are stored in the form in which they are computed with, so nothing is converted twice.
"""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx
from orbax.checkpoint import v1 as ocp

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import fingerprint
from spirit_jax.core.settings import from_dict, part, to_dict
from spirit_jax.speech.decoders.hifigan import Generator, GeneratorConfig
from spirit_jax.speech.encoders.hubert_units import Hubert
from spirit_jax.speech.encoders.pitch.fcpe import Fcpe, FcpeConfig
from spirit_jax.speech.encoders.pitch.vqvae import PitchConfig, PitchVqVae
from spirit_jax.speech.encoders.style.classifier import StyleEncoder, StyleHead
from spirit_jax.speech.encoders.wav2vec2.config import Wav2Vec2Config
from spirit_jax.speech.encoders.wav2vec2.network import Wav2Vec2
from spirit_jax.speech.quantizers.linear import KmeansQuantizer, LinearQuantizer
from spirit_jax.speech.weights.readers import Drawn, Source


@part
class HubertSizes:
    """A HuBERT and which of its outputs is the feature."""

    encoder: Wav2Vec2Config
    layer: int
    normalize_eps: float | None


@part
class LinearSizes:
    """Widths in front of, between and after the maps of a linear quantizer."""

    widths: tuple[int, ...]


@part
class KmeansSizes:
    """A k-means quantizer's centres."""

    codes: int
    width: int


@part
class StyleSizes:
    """A style encoder."""

    encoder: Wav2Vec2Config
    projected: int
    labels: int


@dataclasses.dataclass(frozen=True)
class Kind:
    """How one kind of network is taken apart into sizes and a tree of arrays, built from sizes, and put
    together again.
    """

    network: type
    sizes: type
    size: Callable[[Any], Any]
    build: Callable[[Any, Source], Any]  # sizes and weights to a tree of modules and arrays
    tree: Callable[[Any], Any] = lambda network: network
    join: Callable[[Any, Any], Any] = lambda sizes, tree: tree


def _linear(sizes: LinearSizes, source: Source) -> LinearQuantizer:
    widths = list(enumerate(zip(sizes.widths, sizes.widths[1:])))
    return LinearQuantizer(
        [(source.array(f"{i}.weight", (b, a)).T, source.array(f"{i}.bias", (b,))) for i, (a, b) in widths]
    )


def _style(sizes: StyleSizes, source: Source) -> StyleEncoder:
    return StyleEncoder(
        Wav2Vec2(source, sizes.encoder), StyleHead(source, sizes.encoder.width, sizes.projected, sizes.labels)
    )


KINDS = {
    "hubert": Kind(
        Hubert,
        HubertSizes,
        size=lambda hubert: HubertSizes(hubert.encoder.cfg, hubert.layer, hubert.normalize_eps),
        build=lambda sizes, source: Wav2Vec2(source, sizes.encoder),
        tree=lambda hubert: hubert.encoder,
        join=lambda sizes, encoder: Hubert(encoder, sizes.layer, sizes.normalize_eps),
    ),
    "linear": Kind(
        LinearQuantizer,
        LinearSizes,
        size=lambda quantizer: LinearSizes(
            (quantizer.width, *(bias_O.shape[0] for bias_O in quantizer.biases))
        ),
        build=_linear,
    ),
    "kmeans": Kind(
        KmeansQuantizer,
        KmeansSizes,
        size=lambda quantizer: KmeansSizes(quantizer.unit_count, quantizer.width),
        build=lambda sizes, source: source.array("centers", (sizes.codes, sizes.width)),
        tree=lambda quantizer: np.asarray(quantizer.centers_VD, np.float32),
        join=lambda sizes, centers_VD: KmeansQuantizer(np.asarray(centers_VD)),
    ),
    "pitch": Kind(PitchVqVae, PitchConfig, size=lambda model: model.cfg, build=PitchVqVae),
    "fcpe": Kind(Fcpe, FcpeConfig, size=lambda model: model.cfg, build=Fcpe),
    "style": Kind(
        StyleEncoder,
        StyleSizes,
        size=lambda model: StyleSizes(model.encoder.cfg, *model.head.classifier.kernel_IO.shape),
        build=_style,
    ),
    "hifigan": Kind(Generator, GeneratorConfig, size=lambda generator: generator.cfg, build=Generator),
}


def save_part(folder: Path, network: Any) -> dict[str, Any]:
    """Writes a network's weights and returns what `load_part` needs beside them: {"kind", "sizes",
    "fingerprint"}.
    """
    name = _name_of(network)
    ocp.save(str(folder.absolute()), arrays_by_name(KINDS[name].tree(network)))
    return {
        "kind": name,
        "sizes": to_dict(KINDS[name].size(network)),
        "fingerprint": part_fingerprint(network),
    }


def load_part(folder: Path, about: dict[str, Any]) -> Any:
    """The network that `save_part` wrote, on the first device. UserError where the weights don't fit the
    sizes or aren't there.
    """
    if not {"kind", "sizes"} <= about.keys() or about["kind"] not in KINDS:
        raise UserError(
            "codec part",
            about.get("kind"),
            f"must be one of {', '.join(KINDS)}",
            "convert the checkpoints again",
        )
    kind = KINDS[about["kind"]]
    sizes = from_dict(about["sizes"], kind.sizes)
    place = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    shapes = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, np.float32, sharding=place),
        jax.eval_shape(lambda: kind.build(sizes, Drawn(jax.random.key(0)))),
    )
    try:
        arrays = ocp.load(str(folder.absolute()), arrays_by_name(shapes))
    except (ValueError, KeyError, OSError) as error:
        raise UserError(
            "codec weights", folder, f"don't load: {error}".splitlines()[0], "convert the checkpoints again"
        ) from error
    return kind.join(
        sizes,
        jax.tree.unflatten(jax.tree.structure(shapes), [arrays[name] for name in arrays_by_name(shapes)]),
    )


def part_fingerprint(network: Any) -> str:
    """Names a network's sizes and weights."""
    kind = KINDS[_name_of(network)]
    parts = [json.dumps(to_dict(kind.size(network)), sort_keys=True).encode()]
    parts += [np.ascontiguousarray(leaf).tobytes() for leaf in arrays_by_name(kind.tree(network)).values()]
    return fingerprint(*parts)


def arrays_by_name(tree: Any) -> dict[str, Any]:
    """The leaves in order, by their path in the tree."""
    return {
        jax.tree_util.keystr(path) or "array": leaf
        for path, leaf in jax.tree_util.tree_flatten_with_path(nnx.as_pure(tree))[0]
    }


def _name_of(network: Any) -> str:
    return next(name for name, kind in KINDS.items() if type(network) is kind.network)
