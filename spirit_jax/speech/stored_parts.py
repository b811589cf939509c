"""Networks of a codec on disk: one safetensors file each, and sizes that are JSON, from which the network is
built again without PyTorch.

Arrays are stored in the layout in which they are used, so that they are converted only once. A `Table` of
arrays is a network too.
"""

import collections
import dataclasses
import itertools
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from safetensors import SafetensorError
from safetensors.numpy import load, save_file

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import existing_file, fingerprint
from spirit_jax.core.paths import AnyPath
from spirit_jax.core.settings import from_dict, part, to_dict
from spirit_jax.speech.decoders.hifigan import Generator
from spirit_jax.speech.decoders.hifigan_config import GeneratorConfig
from spirit_jax.speech.decoders.mel_network import MelNetwork, MelNetworkConfig
from spirit_jax.speech.encoders.hubert import Hubert
from spirit_jax.speech.encoders.pitch.fcpe import Fcpe, FcpeConfig
from spirit_jax.speech.encoders.pitch.vqvae import PitchVqVae
from spirit_jax.speech.encoders.pitch.vqvae_config import PitchConfig
from spirit_jax.speech.encoders.style.classifier import StyleEncoder, StyleHead
from spirit_jax.speech.encoders.wav2vec2.config import Wav2Vec2Config
from spirit_jax.speech.encoders.wav2vec2.network import Wav2Vec2
from spirit_jax.speech.quantizers.linear import KmeansQuantizer, LinearQuantizer
from spirit_jax.speech.weights.readers import RandomReader, WeightReader
from spirit_jax.speech.weights.table import Table

FIX = "make the codec again"
# sizes that earlier versions lacked, and the values for which they stood. A fingerprint leaves those out, so
# that the codecs, units and shards of earlier versions stay valid.
LATER = {"position_batch_norm": False, "speaker_norm": False}


@part
class HubertSizes:
    """A HuBERT and which of its outputs is the feature."""

    encoder: Wav2Vec2Config
    layer: int
    normalize_eps: float | None


@part
class LinearSizes:
    """Widths before, between and after the maps of a linear quantizer."""

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


@part
class TableSizes:
    """Shapes of arrays by name."""

    shapes: dict[str, tuple[int, ...]]


@dataclasses.dataclass(frozen=True)
class Kind:
    """How one kind of network is taken apart into sizes and a tree of arrays, built from sizes, and put
    together again.
    """

    network: type
    sizes: type
    size: Callable[[Any], Any]
    build: Callable[[Any, WeightReader], Any]  # sizes and weights to a tree of modules and arrays
    tree: Callable[[Any], Any] = lambda network: network
    join: Callable[[Any, Any], Any] = lambda sizes, tree: tree


def _linear(sizes: LinearSizes, reader: WeightReader) -> LinearQuantizer:
    widths = list(enumerate(zip(sizes.widths, sizes.widths[1:])))
    return LinearQuantizer(
        [(reader.array(f"{i}.weight", (b, a)).T, reader.array(f"{i}.bias", (b,))) for i, (a, b) in widths]
    )


def _style(sizes: StyleSizes, reader: WeightReader) -> StyleEncoder:
    head = StyleHead(reader, sizes.encoder.width, sizes.projected, sizes.labels)
    return StyleEncoder(Wav2Vec2(reader, sizes.encoder), head)


KINDS = {
    "hubert": Kind(
        Hubert,
        HubertSizes,
        size=lambda hubert: HubertSizes(hubert.encoder.cfg, hubert.layer, hubert.normalize_eps),
        build=lambda sizes, reader: Wav2Vec2(reader, sizes.encoder),
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
        build=lambda sizes, reader: reader.array("centers", (sizes.codes, sizes.width)),
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
    "mel_network": Kind(MelNetwork, MelNetworkConfig, size=lambda network: network.cfg, build=MelNetwork),
    "table": Kind(
        Table,
        TableSizes,
        size=lambda table: TableSizes({name: array.shape for name, array in sorted(table.items())}),
        build=lambda sizes, reader: {
            name: jnp.zeros(shape, jnp.float32) for name, shape in sizes.shapes.items()
        },
        tree=lambda table: {name: np.asarray(array, np.float32) for name, array in table.items()},
        join=lambda sizes, table: Table({name: np.asarray(array) for name, array in table.items()}),
    ),
}
NAMES = {kind.network: name for name, kind in KINDS.items()}


def parts_of(component: Any) -> dict[str, Any]:
    """The networks of a stream encoder or a decoder, by field. An optional one that is absent is left out."""
    values = ((field.name, getattr(component, field.name)) for field in dataclasses.fields(component))
    return {name: value for name, value in values if type(value) in NAMES}


def settings_of(component: Any) -> dict[str, Any]:
    """The fields of a stream encoder or a decoder that are not networks."""
    networks = parts_of(component)
    names = [field.name for field in dataclasses.fields(component) if field.name not in networks]
    return {name: getattr(component, name) for name in names}


def part_names(streams: Sequence[str], fields: Sequence[Iterable[str]]) -> list[dict[str, str]]:
    """The name of each encoder's networks within their codec, by field: the field's own, with the stream's
    before it where two encoders have such a field. fields: those of each stream's encoder.
    """
    counts = collections.Counter(itertools.chain.from_iterable(fields))
    return [
        {name: name if counts[name] == 1 else f"{stream}_{name}" for name in names}
        for stream, names in zip(streams, fields)
    ]


def save_part(path: AnyPath, network: Any) -> dict[str, Any]:
    """Writes a network's weights to a file and returns what else `load_part` needs: {"kind", "sizes"}."""
    kind = NAMES[type(network)]
    arrays = arrays_by_name(KINDS[kind].tree(network))
    save_file({name: np.asarray(array, order="C") for name, array in arrays.items()}, path)
    return {"kind": kind, "sizes": to_dict(KINDS[kind].size(network))}


def load_part(path: AnyPath, about: dict[str, Any]) -> Any:
    """The network that `save_part` wrote, on the first device. UserError where the weights do not fit the
    sizes.
    """
    if not {"kind", "sizes"} <= about.keys() or about["kind"] not in KINDS:
        raise UserError("codec part", about.get("kind"), f"must be one of {', '.join(KINDS)}", FIX)
    kind = KINDS[about["kind"]]
    sizes = from_dict(about["sizes"], kind.sizes)
    shapes = jax.eval_shape(lambda: kind.build(sizes, RandomReader(jax.random.key(0))))
    try:
        stored = load(existing_file(path, "codec weights").read_bytes())
    except (SafetensorError, OSError) as error:
        raise UserError("codec weights", path, f"do not load: {error}".splitlines()[0], FIX) from error
    wanted = arrays_by_name(shapes)
    found = {name: array.shape for name, array in stored.items()}
    if found != {name: shape.shape for name, shape in wanted.items()}:
        differing = {*found.items()} ^ {(name, shape.shape) for name, shape in wanted.items()}
        raise UserError("codec weights", path, f"do not fit their sizes at {min(differing)}", FIX)
    leaves = [jnp.asarray(stored[name]) for name in wanted]
    return kind.join(sizes, jax.tree.unflatten(jax.tree.structure(shapes), leaves))


def part_fingerprint(network: Any) -> str:
    """Names a network's sizes and weights."""
    kind = KINDS[NAMES[type(network)]]
    parts = [json.dumps(_without_later(to_dict(kind.size(network))), sort_keys=True).encode()]
    parts += [np.ascontiguousarray(leaf).tobytes() for leaf in arrays_by_name(kind.tree(network)).values()]
    return fingerprint(*parts)


def _without_later(sizes: Any) -> Any:
    if not isinstance(sizes, dict):
        return sizes
    kept = {name: value for name, value in sizes.items() if name not in LATER or value != LATER[name]}
    return {name: _without_later(value) for name, value in kept.items()}


def arrays_by_name(tree: Any) -> dict[str, Any]:
    """The leaves in order, by their path in the tree."""
    paths = jax.tree_util.tree_flatten_with_path(nnx.as_pure(tree))[0]
    return {jax.tree_util.keystr(path) or "array": leaf for path, leaf in paths}
