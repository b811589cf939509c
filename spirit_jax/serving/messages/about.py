"""What a client can ask of the model: streams, tasks, voices, limits."""

from typing import Any

import numpy as np

from spirit_jax.generation.spirit_lm import SpiritLM
from spirit_jax.serving.limits import Limits
from spirit_jax.speech.codec import Codec
from spirit_jax.tokens.prompt_format import Task
from spirit_jax.tokens.streams import SAMPLE_RATE, SpokenUnits
from spirit_jax.tokens.vocabulary import Modality


def describe_model(name: str, lm: SpiritLM, slots: int, limits: Limits) -> dict[str, Any]:
    """The answer of `/v1/model`. slots: tokens of a row."""
    codec = lm.codec if lm.codec_path else None
    decoder = codec.decoder if codec else None
    tasks = [Task.CONTINUE, *([Task.TRANSCRIBE] if codec else []), *([Task.SPEAK] if decoder else [])]
    outputs = list(Modality) if decoder else [Modality.TEXT]
    return {
        "id": name,
        "streams": [
            {"name": stream.name, "mark": stream.mark, "size": stream.size, "rate": stream.rate}
            for stream in lm.vocabulary.streams
        ],
        "rate": SAMPLE_RATE,
        "speakers": decoder.speakers if decoder else 0,
        "styles": decoder.styles if decoder else 0,
        "tasks": [task.value for task in tasks],
        "outputs": [output.value for output in outputs],
        "longest_tokens": slots,
        "limits": {
            "body_bytes": limits.body_bytes,
            "seconds_of_sound": limits.seconds_of_sound,
            "waiting": limits.waiting,
        },
        "streaming_sound": bool(decoder and codec and _settles(codec, slots)),
    }


def _settles(codec: Codec, slots: int) -> bool:
    """Whether the sound of long speech can be made before its end."""
    codes = {stream.name: np.zeros(slots, np.int32) for stream in codec.streams}
    return codec.count_settled(SpokenUnits(codes)) > 0
