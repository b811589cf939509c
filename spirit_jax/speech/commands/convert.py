"""`python -m spirit_jax convert-speech`: published speech checkpoints, or others of their formats, as one
codec folder that needs no PyTorch.

    python -m spirit_jax convert-speech checkpoints codec
    python -m spirit_jax convert-speech checkpoints codec --hubert mhubert-base-25hz \
        --layer 11 --quantizer centres.npy

`checkpoints`, or its folder `speech_tokenizer`, holds any of `hubert_25hz/`, `vqvae_f0_quantizer/`,
`style_encoder_w2v2/`, `hifigan_spiritlm_base/`, `hifigan_spiritlm_expressive_w2v2/` and a `torchfcpe-*.whl`.
HuBERT and a quantizer are required.
"""

import argparse
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import require_folder, require_output_folder
from spirit_jax.core.progress import track
from spirit_jax.speech.codec import Codec, StreamEncoder
from spirit_jax.speech.codec_folder import save_codec
from spirit_jax.speech.decoders.hifigan import read_generator
from spirit_jax.speech.decoders.hifigan_decoder import HifiganDecoder
from spirit_jax.speech.encoders.hubert import HubertUnits, load_hubert
from spirit_jax.speech.encoders.pitch.fcpe import load_fcpe
from spirit_jax.speech.encoders.pitch.vqvae import load_pitch_vqvae
from spirit_jax.speech.encoders.pitch.vqvae_pitch import VqvaePitch
from spirit_jax.speech.encoders.style.classifier import ClassifierStyle, load_style_encoder
from spirit_jax.speech.quantizers.linear import load_quantizer
from spirit_jax.speech.stored_parts import parts_of
from spirit_jax.tokens.streams import UNITS, describe_streams

TOKENIZER = "speech_tokenizer"
HUBERT, HUBERT_FILE, QUANTIZER_FILE = "hubert_25hz", "mhubert_base_25hz.pt", "L11_quantizer_500.pt"
VARIANTS = ("base", "expressive")
READERS = {
    "pitch": ("vqvae_f0_quantizer", load_pitch_vqvae),
    "style": ("style_encoder_w2v2", load_style_encoder),
    "vocoder_base": ("hifigan_spiritlm_base", read_generator),
    "vocoder_expressive": ("hifigan_spiritlm_expressive_w2v2", read_generator),
    "fcpe": ("torchfcpe-*.whl", load_fcpe),
}
USUAL_STYLE = 71  # of speech without style; Meta's release draws one of 71, 68 and 98


@dataclasses.dataclass(frozen=True)
class Paths:
    """Where each part is read from. layer: of HuBERT, 1-based; None: the last but one."""

    hubert: Path
    quantizer: Path
    layer: int | None
    others: dict[str, Path]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    parser.add_argument(
        "checkpoints", type=Path, help="folder of the published layout, with any of its parts"
    )
    parser.add_argument("out", type=Path, help="folder for the codec")
    parser.add_argument(
        "--hubert", type=Path, help="a fairseq checkpoint or a Hugging Face folder, not the published HuBERT"
    )
    parser.add_argument("--layer", type=int, help="that gives the feature, from 1; default: the last but one")
    parser.add_argument(
        "--quantizer",
        type=Path,
        help="a linear quantizer, or k-means centres as .pt or .npy, not the published",
    )
    parser.add_argument(
        "--variant", choices=VARIANTS, help="base: units alone; default: all streams that the parts give"
    )


def run(args: argparse.Namespace) -> int:
    """Reads all parts, writes the codec atomically, and prints its streams and parts."""
    require_output_folder(args.out, "codec folder", "codec.json")
    paths = find_paths(args.checkpoints, args.hubert, args.quantizer, args.layer)
    networks = read_networks(paths)
    codec = assemble(networks, args.variant)
    save_codec(codec, args.out)
    print(f"{args.out}: {describe_streams(codec.streams)}, fingerprint {codec.fingerprint}")
    used = {id(part) for part in (*codec.encoders, codec.decoder) if part for part in parts_of(part).values()}
    for name, path in {"hubert": paths.hubert, "quantizer": paths.quantizer, **paths.others}.items():
        print(f"  {name} from {path}{'' if id(networks[name]) in used else ', not used by this codec'}")
    return 0


def find_paths(
    checkpoints: Path, hubert: Path | None = None, quantizer: Path | None = None, layer: int | None = None
) -> Paths:
    """Where the parts are. UserError where HuBERT or the quantizer is missing."""
    folder = require_folder(checkpoints, "checkpoints")
    folder = folder / TOKENIZER if (folder / TOKENIZER).is_dir() else folder
    hubert = hubert or _first(folder / HUBERT / HUBERT_FILE, folder / HUBERT, "HuBERT", "--hubert")
    quantizer = quantizer or _first(folder / HUBERT / QUANTIZER_FILE, None, "quantizer", "--quantizer")
    found = {name: sorted(folder.glob(pattern)) for name, (pattern, _) in READERS.items()}
    return Paths(hubert, quantizer, layer, {name: paths[-1] for name, paths in found.items() if paths})


def read_networks(paths: Paths) -> dict[str, Any]:
    """The networks by name.

    UserError for a weight that is missing, unknown or misshapen, and for a pickle that holds more than
    tensors.
    """
    readers = {"hubert": lambda path: load_hubert(path, paths.layer), "quantizer": load_quantizer}
    readers |= {name: READERS[name][1] for name in paths.others}
    files = {"hubert": paths.hubert, "quantizer": paths.quantizer, **paths.others}
    return {
        name: readers[name](path) for name, path in track(files.items(), "convert-speech", len(files), "part")
    }


def assemble(networks: Mapping[str, Any], variant: str | None = None) -> Codec:
    """The codec of these networks, by the names of `READERS`: a stream for each encoder that is given.

    variant: base leaves pitch and style out, expressive needs both. The decoder is the vocoder with
    the most streams, all of which the codec has. UserError for parts that do not fit together.
    """
    missing = [name for name in ("pitch", "style") if name not in networks]
    if variant == "expressive" and missing:
        fix = "expressive needs the pitch VQ-VAE and the style encoder"
        raise UserError("--variant", variant, f"lacks {' and '.join(missing)}", fix)
    encoders: list[StreamEncoder] = [HubertUnits(networks["hubert"], networks["quantizer"])]
    if variant != "base":
        pitch = [VqvaePitch(networks["pitch"], networks.get("fcpe"))] if "pitch" in networks else []
        encoders += pitch + ([ClassifierStyle(networks["style"])] if "style" in networks else [])
    names = {encoder.stream.name for encoder in encoders}
    if "vocoder_base" in networks and len(networks["vocoder_base"].cfg.streams) > 1:
        rule = "must have an embedding of units alone"
        raise UserError("vocoder_base", "with pitch or style", rule, "use it as the expressive vocoder")
    vocoders = [networks[name] for name in ("vocoder_expressive", "vocoder_base") if name in networks]
    fitting = [vocoder for vocoder in vocoders if vocoder.cfg.streams.keys() <= names]
    if not fitting:
        return Codec(tuple(encoders))
    sizes = {name: size for name, (size, _) in fitting[0].cfg.streams.items() if name != UNITS}
    codes = {"pitch": lambda: VqvaePitch(networks["pitch"]).level_code(), "style": lambda: USUAL_STYLE}
    usual = {name: min(codes[name](), size - 1) for name, size in sizes.items()}
    return Codec(tuple(encoders), HifiganDecoder(fitting[0], usual, keep_durations=False))


def _first(file: Path, folder: Path | None, what: str, option: str) -> Path:
    """The file, or the folder if it is a Hugging Face one."""
    if file.is_file():
        return file
    if folder is not None and (folder / "config.json").is_file():
        return folder
    raise UserError(what, file, "no such file", f"name it by {option}")
