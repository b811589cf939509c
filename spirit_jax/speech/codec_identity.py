"""What codec.json says of a codec, read without its networks: its streams and its encoder's fingerprint."""

import dataclasses
from typing import Any

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import read_json
from spirit_jax.core.paths import AnyPath, to_path
from spirit_jax.tokens.streams import Streams, streams_from_dicts

FORMAT = 2
CONFIG = "codec.json"
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


def read_identity(folder: str | AnyPath) -> Identity:
    """The streams and the fingerprint in a codec's folder. UserError for one of an earlier format."""
    about = read_config(folder)
    streams = streams_from_dicts(about["streams"])
    kinds = [encoder.get("kind") for encoder in about["encoders"]]
    if kinds[:1] == ["mfcc_units"]:  # earlier folders state HuBERT's merge rate for them
        streams = (dataclasses.replace(streams[0], merge_rate=None), *streams[1:])
    return Identity(streams, about["fingerprint"])


def read_config(folder: str | AnyPath) -> dict[str, Any]:
    """The contents of codec.json. UserError for a folder of an earlier format."""
    about = read_json(to_path(folder) / CONFIG)
    if about.get("kind") in EARLIER:
        rule = f"is a codec folder of format 1, this version reads {FORMAT}"
        raise UserError("codec", folder, rule, EARLIER[about["kind"]])
    known = {"format", "streams", "fingerprint", "encoders", "decoder"}
    if about.get("format") != FORMAT or about.keys() != known:
        rule = f"must be of format {FORMAT} with {', '.join(sorted(known))}"
        raise UserError(f"{folder}/{CONFIG}", ", ".join(about), rule, "make the codec again")
    return about
