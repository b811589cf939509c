"""A codec's folder: codec.json and a safetensors file for each network. The kinds of encoders and decoders.

codec.json: {"format", "streams", "fingerprint", "encoders": [component, ..], "decoder": component or null},
where a component is {"kind", "parts": {field: {"kind", "sizes"}}, "settings": {field: value}}. The weights of
a part are weights/FIELD.safetensors, or weights/STREAM_FIELD.safetensors where two encoders have such a
field; those of the decoder are weights/decoder_FIELD.safetensors.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import require_output_folder, write_atomically, write_json
from spirit_jax.core.paths import AnyPath, to_path
from spirit_jax.speech.codec import Codec
from spirit_jax.speech.codec_identity import CONFIG, FORMAT, read_config
from spirit_jax.speech.decoders.hifigan_decoder import HifiganDecoder
from spirit_jax.speech.decoders.mel_codebook import MelCodebook
from spirit_jax.speech.decoders.mel_decoder import MelDecoder
from spirit_jax.speech.encoders.hubert import HubertUnits
from spirit_jax.speech.encoders.mfcc_units import MfccUnits
from spirit_jax.speech.encoders.pitch.contour import ContourPitch
from spirit_jax.speech.encoders.pitch.vqvae_pitch import VqvaePitch
from spirit_jax.speech.encoders.style.classifier import ClassifierStyle
from spirit_jax.speech.encoders.style.pooled import PooledStyle
from spirit_jax.speech.stored_parts import load_part, part_names, parts_of, save_part, settings_of
from spirit_jax.tokens.streams import streams_from_dicts

WEIGHTS = "weights"
ENCODERS = {
    "hubert_units": HubertUnits,
    "mfcc_units": MfccUnits,
    "vqvae_pitch": VqvaePitch,
    "contour_pitch": ContourPitch,
    "classifier_style": ClassifierStyle,
    "pooled_style": PooledStyle,
}
DECODERS = {"hifigan": HifiganDecoder, "mel_codebook": MelCodebook, "mel_network": MelDecoder}


def save_codec(codec: Codec, folder: str | Path) -> None:
    """Writes the codec's folder atomically. UserError if the folder holds other files."""
    require_output_folder(folder, "codec folder", CONFIG)
    with write_atomically(folder) as partial:
        (partial / WEIGHTS).mkdir(parents=True)
        about = {
            "format": FORMAT,
            "streams": [stream.to_dict() for stream in codec.streams],
            "fingerprint": codec.fingerprint,
            "encoders": [
                _save(encoder, ENCODERS, partial, names)
                for encoder, names in zip(codec.encoders, codec.part_names)
            ],
            "decoder": codec.decoder
            and _save(codec.decoder, DECODERS, partial, _decoder_names(parts_of(codec.decoder))),
        }
        write_json(partial / CONFIG, about)


def load_codec(folder: str | AnyPath) -> Codec:
    """Reads what `save_codec` wrote.

    UserError for a missing folder, one of an earlier format, and weights that are not those of codec.json.
    """
    about = read_config(folder)
    streams = [stream.name for stream in streams_from_dicts(about["streams"])]
    names = part_names(streams, [component.get("parts", ()) for component in about["encoders"]])
    encoders = [_load(component, ENCODERS, folder, own) for component, own in zip(about["encoders"], names)]
    decoder = about["decoder"]
    if decoder is not None:
        decoder = _load(decoder, DECODERS, folder, _decoder_names(decoder.get("parts", ())))
    codec = Codec(tuple(encoders), decoder)
    if codec.fingerprint != about["fingerprint"]:
        rule = f"must be that of its weights, {codec.fingerprint}"
        raise UserError(f"{folder} fingerprint", about["fingerprint"], rule, "make the codec again")
    return codec


def _decoder_names(fields: Iterable[str]) -> dict[str, str]:
    return {field: f"decoder_{field}" for field in fields}


def _save(component: Any, kinds: dict[str, type], folder: Path, names: Mapping[str, str]) -> dict[str, Any]:
    kind = next(name for name, made in kinds.items() if type(component) is made)
    parts = {
        field: save_part(_weights(folder, names[field]), network)
        for field, network in parts_of(component).items()
    }
    return {"kind": kind, "parts": parts, "settings": settings_of(component)}


def _load(
    about: dict[str, Any], kinds: dict[str, type], folder: str | AnyPath, names: Mapping[str, str]
) -> Any:
    if about.get("kind") not in kinds or about.keys() != {"kind", "parts", "settings"}:
        rule = f"must be one of {', '.join(kinds)}, with parts and settings"
        fix = "use a codec of this version"
        raise UserError(f"{folder}/{CONFIG} component", about.get("kind"), rule, fix)
    parts = {field: load_part(_weights(folder, names[field]), part) for field, part in about["parts"].items()}
    return kinds[about["kind"]](**parts, **about["settings"])


def _weights(folder: str | AnyPath, name: str) -> AnyPath:
    return to_path(folder) / WEIGHTS / f"{name}.safetensors"
