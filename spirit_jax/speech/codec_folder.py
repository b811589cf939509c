"""A codec's folder: codec.json and a safetensors file for each network. The kinds of encoders and decoders.

codec.json: {"format", "streams", "fingerprint", "encoders": [component, ..], "decoder": component or null},
where a component is {"kind", "parts": {field: {"kind", "sizes"}}, "settings": {field: value}}. The weights of
a part are weights/FIELD.safetensors, or weights/STREAM_FIELD.safetensors where two encoders have such a
field; those of the decoder are weights/decoder_FIELD.safetensors.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import read_json, require_output_folder, write_atomically, write_json
from spirit_jax.core.paths import AnyPath, to_path
from spirit_jax.speech.codec import Codec
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
from spirit_jax.tokens.streams import Streams, streams_from_dicts

FORMAT = 2
CONFIG, WEIGHTS = "codec.json", "weights"
ENCODERS = {
    "hubert_units": HubertUnits,
    "mfcc_units": MfccUnits,
    "vqvae_pitch": VqvaePitch,
    "contour_pitch": ContourPitch,
    "classifier_style": ClassifierStyle,
    "pooled_style": PooledStyle,
}
DECODERS = {"hifigan": HifiganDecoder, "mel_codebook": MelCodebook, "mel_network": MelDecoder}
EARLIER = {  # kinds of folders before format 2, and how to make them now
    "embedded": "make it again: python -m data_prep fit-codec, then its units and shards",
    "speech": "make it again: python -m spirit_jax convert-speech; its units and shards stay valid",
    "vocoded": "make it again: python -m data_prep fit-codec, then python -m spirit_jax train-codec vocoder",
}


@dataclasses.dataclass(frozen=True)
class Identity:
    """What training needs of a codec: its table of streams and the encoder's fingerprint."""

    streams: Streams
    fingerprint: str


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
    about = _read(folder)
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


def read_identity(folder: str | AnyPath) -> Identity:
    """The streams and the fingerprint in a codec's folder, without loading it. UserErrors as of
    `load_codec`.
    """
    about = _read(folder)
    streams = streams_from_dicts(about["streams"])
    kinds = [encoder.get("kind") for encoder in about["encoders"]]
    if kinds[:1] == ["mfcc_units"]:  # earlier folders state HuBERT's merge rate for them
        streams = (dataclasses.replace(streams[0], merge_rate=None), *streams[1:])
    return Identity(streams, about["fingerprint"])


def _read(folder: str | AnyPath) -> dict[str, Any]:
    about = read_json(to_path(folder) / CONFIG)
    if about.get("kind") in EARLIER:
        rule = f"is a codec folder of format 1, this version reads {FORMAT}"
        raise UserError("codec", folder, rule, EARLIER[about["kind"]])
    known = {"format", "streams", "fingerprint", "encoders", "decoder"}
    if about.get("format") != FORMAT or about.keys() != known:
        rule = f"must be of format {FORMAT} with {', '.join(sorted(known))}"
        raise UserError(f"{folder}/{CONFIG}", ", ".join(about), rule, "make the codec again")
    return about


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
