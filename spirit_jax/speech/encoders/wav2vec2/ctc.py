"""wav2vec 2.0 with a CTC head: the log-probabilities of characters for each frame, from Hugging Face
`Wav2Vec2ForCTC` folders.

Legend: S samples, T frames, V vocabulary, D width.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from spirit_jax.core.batching import map_blocks
from spirit_jax.core.errors import UserError
from spirit_jax.core.files import fingerprint, read_json
from spirit_jax.speech.audio import normalize
from spirit_jax.speech.encoders.wav2vec2.batches import encode_wavs
from spirit_jax.speech.encoders.wav2vec2.checkpoints import canonical, config_from_hf, load_encoder
from spirit_jax.speech.encoders.wav2vec2.network import Linear, Wav2Vec2
from spirit_jax.speech.encoders.wav2vec2.preprocessor import read_normalize_eps
from spirit_jax.speech.weights.readers import CheckpointReader
from spirit_jax.speech.weights.torch_files import Tensors, read_folder
from spirit_jax.tokens.streams import SAMPLE_RATE

BLOCK = 1024  # frames of a call of the head
WINDOW_SECONDS = 30.0  # longer recordings are encoded in windows of this length, our choice
CONTEXT_SECONDS = 2.0  # of a window on either side, whose frames are dropped: the encoder looks around
BLANKS = ("<blank>", "<pad>", "[PAD]")  # names of the blank in vocabularies, the first that is there


@dataclasses.dataclass(frozen=True)
class Wav2Vec2CTC:
    """An encoder, its head, the ids of its characters and of the blank; the epsilon of the waveform's
    normalisation, None where there is none. fingerprint: of the weights.
    """

    encoder: Wav2Vec2
    head: Linear
    vocabulary: dict[str, int]
    blank: int
    normalize_eps: float | None
    fingerprint: str

    @property
    def frame_seconds(self) -> float:
        """Seconds from one frame to the next."""
        return self.encoder.cfg.hop / SAMPLE_RATE

    def emissions(self, wavs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Log-probabilities, float32 [T, V], of each mono 16 kHz wav [S], of any length.

        The whole wav is normalised, if the checkpoint asks for it, then cut into overlapping windows.
        """
        cfg = self.encoder.cfg
        windows = [_windows(len(wav), cfg.hop) for wav in wavs]
        whole = [wav if self.normalize_eps is None else normalize(wav, self.normalize_eps) for wav in wavs]
        cuts = [wav[first:last] for wav, parts in zip(whole, windows) for first, last, _, _ in parts]
        states = iter(encode_wavs(self.encoder, cuts))
        kept = [
            np.concatenate([next(states)[skip:until] for _, _, skip, until in parts]) for parts in windows
        ]
        return map_blocks(lambda states_ND: _log_probs(self.head, states_ND), kept, BLOCK)


def load_ctc(folder: str | Path) -> Wav2Vec2CTC:
    """Reads a Hugging Face `Wav2Vec2ForCTC` folder: config.json, weights, vocab.json.

    UserError for another architecture, a vocabulary that does not fit, and weights that are missing, unknown
    or misshapen.
    """
    config, arrays = read_folder(folder)
    cfg = config_from_hf(config)
    vocabulary = _read_vocabulary(Path(folder) / "vocab.json")
    tensors = Tensors(folder, canonical(arrays, cfg))
    size = config.get("vocab_size", 32)
    if max(vocabulary.values()) >= size:
        rule = f"has ids beyond the head's {size}"
        raise UserError("vocab.json", max(vocabulary.values()), rule, "use the matching pair")
    head = Linear(CheckpointReader(tensors), ("lm_head",), cfg.width, size)
    encoder = load_encoder(tensors, cfg)
    tensors.finish()
    blank = next((vocabulary[name] for name in BLANKS if name in vocabulary), config.get("pad_token_id", 0))
    identity = fingerprint(*(name.encode() + np.asarray(arrays[name]).tobytes() for name in sorted(arrays)))
    return Wav2Vec2CTC(encoder, head, vocabulary, blank, read_normalize_eps(folder), identity)


@jax.jit
def _log_probs(head: Linear, states_ND: jax.Array) -> jax.Array:
    return jax.nn.log_softmax(head(states_ND[None])[0], axis=-1)


def _windows(samples: int, hop: int) -> list[tuple[int, int, int, int | None]]:
    """The windows of a recording: first and last sample, and the frames that are kept, from and until.

    Windows begin at multiples of the hop, so that a recording's frames are the same as in one window.
    """
    context = round(CONTEXT_SECONDS * SAMPLE_RATE / hop)
    middle = round(WINDOW_SECONDS * SAMPLE_RATE / hop) - 2 * context
    if samples <= (middle + 2 * context) * hop:
        return [(0, samples, 0, None)]
    windows, frame = [], 0
    while True:
        first = max(0, frame - context)
        last = frame + middle + context
        if last * hop >= samples:
            return [*windows, (first * hop, samples, frame - first, None)]
        windows.append((first * hop, (last + 1) * hop, frame - first, frame - first + middle))
        frame += middle


def _read_vocabulary(path: Path) -> dict[str, int]:
    """Characters by id. A vocabulary of several languages is refused."""
    vocabulary = read_json(path)
    if not vocabulary or not all(type(id) is int and id >= 0 for id in vocabulary.values()):
        rule = "must map characters to ids; a vocabulary of several languages is not supported"
        raise UserError("vocabulary", path, rule, "use the folder of one language")
    return vocabulary
