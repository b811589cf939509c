"""A loaded checkpoint: text and speech in, text and speech out. The speech codec and the Llama meet here."""

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from spirit_jax.config import Dtype
from spirit_jax.core.errors import UserError
from spirit_jax.core.paths import AnyPath, to_path
from spirit_jax.generation import engine, likelihood
from spirit_jax.generation.sampling import GREEDY, Sampling
from spirit_jax.model.checkpoint import StoredModel, find_stored_model, load_model
from spirit_jax.model.llama import Llama
from spirit_jax.sharding import make_inference_mesh
from spirit_jax.speech import audio
from spirit_jax.speech.codec import Codec
from spirit_jax.speech.codec_folder import load_codec, read_identity
from spirit_jax.tokens.interleave import Arrangement
from spirit_jax.tokens.prompt_format import MIN_SPEECH_UNITS, Part, PromptFormat, Said, Task
from spirit_jax.tokens.streams import SAMPLE_RATE, SpeechTokens, SpokenUnits, Streams
from spirit_jax.tokens.text import TextTokenizer
from spirit_jax.tokens.vocabulary import Modality, Vocabulary

# new tokens by default: paper, section 4
NEW_TEXT, NEW_SPEECH_AFTER_TEXT, NEW_SPEECH_AFTER_SPEECH = 50, 200, 300
# by the reasons of `audio.BadAudio` for a prompt
AUDIO_FIXES = {
    "missing": "check the path",
    "unreadable": "give a readable wav, flac, mp3, ogg or opus file",
    "empty": "give a file with sound in it",
    "truncated": "copy or record the file again",
    "joined": "give one recording a file",
    "not_finite": "give finite samples",
    "too_loud": "scale the samples to -1 to 1",
    "too_short": f"give at least {audio.MIN_SAMPLES / SAMPLE_RATE} s of sound",
    "silent": "give a recording that can be heard",
}


@dataclasses.dataclass(frozen=True)
class Output:
    """What was generated: ids, int32 without EOS, and the text and speech that they decode to, in order."""

    ids: np.ndarray
    parts: tuple[Said, ...]

    @property
    def text(self) -> str:
        """All text, joined by spaces."""
        return " ".join(part for part in self.parts if isinstance(part, str))

    @property
    def speech(self) -> list[SpokenUnits]:
        """The parts that are speech."""
        return [part for part in self.parts if isinstance(part, SpokenUnits)]


@dataclasses.dataclass(frozen=True)
class SpiritLM:
    """A loaded model with its prompt format and its codec.

    learned_eos: the model was trained with EOS and may end speech with it; the published models were not.
    row_length: tokens in the rows that it was trained on. arrangements: of its training sources; those
    of converted weights are unknown, and INTERLEAVED stands for them.
    """

    llama: Llama
    format: PromptFormat
    codec_path: AnyPath | None
    learned_eos: bool
    row_length: int
    arrangements: frozenset[Arrangement]

    @classmethod
    def load(
        cls,
        checkpoint: str | AnyPath,
        codec: str | AnyPath | None = None,
        dtype: Dtype | str | None = None,
        mesh: Mapping[str, int] | None = None,
    ) -> "SpiritLM":
        """Loads a run folder (its last step), the folder of one step, or a folder of converted weights.

        codec: a folder that replaces the checkpoint's, for example to use another decoder. dtype: of weights
        and activations, by default the type of the activations in training. mesh: sizes by axis of the
        devices over which the model is split, such as {"tensor": 4}; by default the first device.

        Raises a UserError if there is no model or no tokenizer, or if codec or mesh do not fit the model.
        """
        stored = find_stored_model(checkpoint)
        codec_path = stored.codec_path if codec is None else _fitting_codec(to_path(codec), stored)
        devices = make_inference_mesh(mesh or {})
        loaded = load_model(checkpoint, devices, None if dtype is None else Dtype(dtype))
        if loaded.tokenizer_path is None:
            raise UserError(
                "checkpoint tokenizer",
                checkpoint,
                "the folder has no tokenizer",
                "put tokenizer.model or tokenizer.json into it",
            )
        tokenizer = TextTokenizer.load(loaded.tokenizer_path)
        data = loaded.data
        prompt_format = PromptFormat(loaded.vocabulary, tokenizer, data.asr_marker, data.tts_marker)
        arrangements = frozenset(source.arrangement for source in data.sources)
        return cls(
            loaded.llama,
            prompt_format,
            codec_path,
            data.append_eos,
            data.sequence_length,
            arrangements,
        )

    @property
    def vocabulary(self) -> Vocabulary:
        """The model's id ranges."""
        return self.format.vocabulary

    @property
    def tokenizer(self) -> TextTokenizer:
        """The model's text tokenizer."""
        return self.format.tokenizer

    @cached_property
    def codec(self) -> Codec:
        """The speech codec, loaded at first use. Raises a UserError if the checkpoint has none."""
        if self.codec_path is None:
            raise UserError(
                "checkpoint codec",
                None,
                "this checkpoint has no codec/ folder",
                "give one (--codec), train with data.codec set, or prompt with text",
            )
        return load_codec(self.codec_path)

    def listen(self, paths: Sequence[str | Path], max_seconds: float | None = None) -> list[SpeechTokens]:
        """Encodes the first `max_seconds` (default: all) of each sound file.

        Raises a UserError for a file that holds no usable audio, with the reason.
        """
        wavs = []
        for path in paths:
            try:
                wavs.append(audio.load(path, max_seconds))
            except audio.BadAudio as error:
                raise UserError("audio", path, str(error), AUDIO_FIXES[error.reason]) from error
        return self.codec.encode_batch(wavs)

    def generate(
        self,
        prompts: Sequence[Sequence[Part]],
        output: Modality = Modality.TEXT,
        task: Task = Task.CONTINUE,
        max_new_tokens: int | None = None,
        sampling: Sampling | None = None,
        seed: int = 0,
    ) -> list[Output]:
        """Continues prompts, each a sequence of texts, SpeechTokens and arrays of speech ids.

        `output` is for CONTINUE: a transcript is text, and reading aloud is speech. Defaults:
        `default_sampling`, and for each prompt the paper's number of new tokens, for a transcript at least
        the prompt's length. Warns of prompts longer than `row_length`.
        """
        output = {Task.TRANSCRIBE: Modality.TEXT, Task.SPEAK: Modality.SPEECH}.get(task, output)
        ids = [self.format.encode(prompt, task, output) for prompt in prompts]
        self._warn_of_long_prompts(ids)
        limits = [
            _default_new_tokens(prompt, one, task, output) if max_new_tokens is None else max_new_tokens
            for prompt, one in zip(prompts, ids)
        ]
        sampling = sampling or default_sampling(task)
        min_units = MIN_SPEECH_UNITS if output is Modality.ARBITRARY else 0
        # rows do not depend on each other, so a row with a lower limit is the start of a longer one
        longest = self.generate_ids(ids, output, max(limits, default=1), sampling, seed)
        kept = [new[:limit] for new, limit in zip(longest, limits)]
        return [Output(new, self.format.decode(new, min_units)) for new in kept]

    def generate_ids(
        self,
        prompts: Sequence[np.ndarray],
        output: Modality,
        max_new_tokens: int,
        sampling: Sampling = GREEDY,
        seed: int = 0,
    ) -> list[np.ndarray]:
        """Continues prompts of ids in one modality: int32 ids without EOS.

        Speech can end by EOS only if the model has learned it.
        """
        forbidden_V = self.vocabulary.forbidden(output, self.llama.cfg.rows)
        forbidden_V[self.vocabulary.eos] &= not self.learned_eos
        return engine.generate(
            self.llama,
            prompts,
            forbidden_V,
            engine.Limits(max_new_tokens, self.vocabulary.eos),
            sampling,
            seed,
        )

    def score(self, pairs: Sequence[likelihood.Pair]) -> likelihood.Scores:
        """Log-likelihood of each target after its prompt, both as ids."""
        return likelihood.score(self.llama, pairs)

    def _warn_of_long_prompts(self, prompts: Sequence[np.ndarray]) -> None:
        for number, ids in enumerate(prompts):
            if len(ids) > self.row_length:
                says = (
                    f"prompt {number} has {len(ids):,} tokens, more than the {self.row_length:,} of the rows "
                    "that the model was trained on"
                )
                print(f"warning: {says}; expect poor output", file=sys.stderr)


def _fitting_codec(folder: AnyPath, stored: StoredModel) -> AnyPath:
    """The codec's folder. UserError if its streams are not the model's, or its encoder is another than that
    of the checkpoint's own codec.
    """
    given, streams = read_identity(folder), stored.vocabulary.streams
    if given.streams != streams:
        rule = f"has the streams {_spell(given.streams)}, and the model {_spell(streams)}"
        raise UserError("codec", folder, rule, "use the codec of the model's training")
    own = None if stored.codec_path is None else read_identity(stored.codec_path).fingerprint
    if own not in (None, given.fingerprint):
        rule = f"has the encoder {given.fingerprint}, and the model was trained with {own}"
        raise UserError("codec", folder, rule, "use a codec with the same encoder")
    return folder


def _spell(streams: Streams) -> str:
    return ", ".join(f"{stream.name} {stream.size}" for stream in streams) or "none"


def default_sampling(task: Task) -> Sampling:
    """The paper's to continue, greedy for the other tasks (our choice: measured, fewer wrong words)."""
    return Sampling() if task is Task.CONTINUE else GREEDY


def _default_new_tokens(prompt: Sequence[Part], ids: np.ndarray, task: Task, output: Modality) -> int:
    if task is Task.TRANSCRIBE:
        return max(NEW_TEXT, len(ids))
    if output is Modality.TEXT:
        return NEW_TEXT
    return NEW_SPEECH_AFTER_TEXT if isinstance(prompt[-1], str) else NEW_SPEECH_AFTER_SPEECH
