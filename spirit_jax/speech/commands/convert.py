"""`python -m spirit_jax convert-speech`: published speech checkpoints, or others of their formats, as one
codec folder that needs no PyTorch.

    python -m spirit_jax convert-speech checkpoints codec
    python -m spirit_jax convert-speech checkpoints codec --hubert mhubert-base-25hz \
        --layer 11 --quantizer centres.npy

`checkpoints`, or its folder `speech_tokenizer`, holds what there is of `hubert_25hz/`, `vqvae_f0_quantizer/`,
`style_encoder_w2v2/`, `hifigan_spiritlm_base/`, `hifigan_spiritlm_expressive_w2v2/` and a `torchfcpe-*.whl`.
HuBERT and a quantizer make a codec; all else adds to it.
"""

import argparse
import dataclasses
from pathlib import Path

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import require_folder, require_place
from spirit_jax.core.progress import track
from spirit_jax.speech.decoders.hifigan import read_generator
from spirit_jax.speech.encoders.hubert_units import load_hubert
from spirit_jax.speech.encoders.pitch.fcpe import load_fcpe
from spirit_jax.speech.encoders.pitch.vqvae import load_pitch_vqvae
from spirit_jax.speech.encoders.style.classifier import load_style_encoder
from spirit_jax.speech.quantizers.linear import load_quantizer
from spirit_jax.speech.speech_codec import Parts, SpeechCodec, Variant, check_rates

TOKENIZER = "speech_tokenizer"
HUBERT, HUBERT_FILE, QUANTIZER_FILE = "hubert_25hz", "mhubert_base_25hz.pt", "L11_quantizer_500.pt"
READERS = {
    "pitch": ("vqvae_f0_quantizer", load_pitch_vqvae),
    "style": ("style_encoder_w2v2", load_style_encoder),
    "vocoder_base": ("hifigan_spiritlm_base", read_generator),
    "vocoder_expressive": ("hifigan_spiritlm_expressive_w2v2", read_generator),
    "fcpe": ("torchfcpe-*.whl", load_fcpe),
}


@dataclasses.dataclass(frozen=True)
class Sources:
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
        "--hubert",
        type=Path,
        help="a fairseq checkpoint or a Hugging Face folder in place of the published HuBERT",
    )
    parser.add_argument(
        "--layer", type=int, help="whose output is the feature, from 1 on; default: the last but one"
    )
    parser.add_argument(
        "--quantizer",
        type=Path,
        help="a linear quantizer, or k-means centres as .pt or .npy, in place of the published one",
    )
    parser.add_argument(
        "--variant",
        choices=[variant.value for variant in Variant],
        help="what it is used as by default; default: the richest it can be",
    )


def run(args: argparse.Namespace) -> int:
    """Reads all parts, writes the codec whole or not at all, and prints its sizes and parts."""
    require_place(args.out, "codec folder", "codec.json")
    sources = find_sources(args.checkpoints, args.hubert, args.quantizer, args.layer)
    codec = SpeechCodec.assemble(read_parts(sources), Variant(args.variant) if args.variant else None)
    check_rates(codec)
    codec.save(args.out)
    counts = f"{codec.unit_count} units, {codec.pitch_count} pitches, {codec.style_count} styles"
    print(f"{args.out}: {codec.variant.value}, {counts}, fingerprint {codec.fingerprint}")
    for name, path in {"hubert": sources.hubert, "quantizer": sources.quantizer, **sources.others}.items():
        print(f"  {name} from {path}")
    return 0


def find_sources(
    checkpoints: Path, hubert: Path | None = None, quantizer: Path | None = None, layer: int | None = None
) -> Sources:
    """Where the parts lie. UserError where HuBERT or the quantizer isn't."""
    folder = require_folder(checkpoints, "checkpoints")
    folder = folder / TOKENIZER if (folder / TOKENIZER).is_dir() else folder
    hubert = hubert or _first(folder / HUBERT / HUBERT_FILE, folder / HUBERT, "HuBERT", "--hubert")
    quantizer = quantizer or _first(folder / HUBERT / QUANTIZER_FILE, None, "quantizer", "--quantizer")
    found = {name: sorted(folder.glob(pattern)) for name, (pattern, _) in READERS.items()}
    return Sources(hubert, quantizer, layer, {name: paths[-1] for name, paths in found.items() if paths})


def read_parts(sources: Sources) -> Parts:
    """The networks. UserError for a weight that is missing, surplus or misshapen, and for a pickle that wants
    more than tensors.
    """
    readers = {"hubert": lambda path: load_hubert(path, sources.layer), "quantizer": load_quantizer}
    readers |= {name: READERS[name][1] for name in sources.others}
    paths = {"hubert": sources.hubert, "quantizer": sources.quantizer, **sources.others}
    return Parts(
        **{
            name: readers[name](path)
            for name, path in track(paths.items(), "convert-speech", len(paths), "part")
        }
    )


def _first(file: Path, folder: Path | None, what: str, option: str) -> Path:
    """The file, or the folder if it is a Hugging Face one."""
    if file.is_file():
        return file
    if folder is not None and (folder / "config.json").is_file():
        return folder
    raise UserError(what, file, "no such file", f"name it by {option}")
