"""A loaded checkpoint: text and speech in, text and speech out. The speech codec and the Llama meet here."""

import dataclasses
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np

from spirit_jax.config import Dtype
from spirit_jax.core.errors import UserError
from spirit_jax.core.paths import AnyPath, to_path
from spirit_jax.generation import jobs
from spirit_jax.generation.inputs import Sound, as_prompts, encode_inputs, load_sound
from spirit_jax.generation.options import Options, Request
from spirit_jax.generation.output import Output, find_end, read_output
from spirit_jax.generation.sampling import GREEDY, Sampling
from spirit_jax.generation.streaming import Event, Stream
from spirit_jax.model.checkpoint import StoredModel, find_stored_model, load_model
from spirit_jax.model.cpu_weights import lay_out
from spirit_jax.model.llama import Llama
from spirit_jax.scoring import likelihood
from spirit_jax.sharding import make_inference_mesh
from spirit_jax.speech.codec import Codec
from spirit_jax.speech.codec_folder import load_codec
from spirit_jax.speech.codec_identity import read_identity
from spirit_jax.tokens.interleave import Arrangement
from spirit_jax.tokens.prompt_format import Part, PromptFormat
from spirit_jax.tokens.streams import SpeechTokens, SpokenUnits, Streams
from spirit_jax.tokens.text import TextTokenizer
from spirit_jax.tokens.vocabulary import Modality, Vocabulary


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
        int8: bool = False,
    ) -> "SpiritLM":
        """Loads a run folder (its last step), the folder of one step, or a folder of converted weights.

        codec: a folder that replaces the checkpoint's, for example to use another decoder. dtype: of weights
        and activations, by default the type of the activations in training. mesh: sizes by axis of the
        devices over which the model is split, such as {"tensor": 4}; by default the first device. int8: one
        byte a weight.

        Raises a UserError if there is no model or no tokenizer, or if codec or mesh do not fit the model.
        """
        stored = find_stored_model(checkpoint)
        codec_path = stored.codec_path if codec is None else _fitting_codec(to_path(codec), stored)
        devices = make_inference_mesh(mesh or {})
        loaded = load_model(checkpoint, devices, None if dtype is None else Dtype(dtype), int8)
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
            lay_out(loaded.llama),
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

    def listen(self, sounds: Sequence[str | Sound], max_seconds: float | None = None) -> list[SpeechTokens]:
        """Encodes the first `max_seconds` (default: all) of each sound: files, and samples as `Wav`.

        Raises a UserError for one that holds no usable audio, with the reason.
        """
        return self.codec.encode_batch([load_sound(sound, max_seconds) for sound in sounds])

    def generate(self, inputs: Any, output: Modality | str | None = None, **options: Any) -> list[Output]:
        """Continues one prompt or many: an `Output` for each.

        A prompt is a list of parts in any order, each a text (`str`), a sound (a `Path`, or `Wav` with
        samples and rate) or speech as tokens (`TokenString`, `SpeechTokens`, ids of speech). Many prompts are
        a list of such lists. output, options: the fields of `Options`. With one seed, a prompt gives the same
        output alone, among others and in any order; equal prompts of one call draw differently. Warns of
        prompts longer than `row_length`. UserError for a part, an option or a sound that cannot be used.
        """
        chosen = Options.from_mapping({"output": output, **options})
        return self.respond([Request(prompt, chosen) for prompt in as_prompts(inputs)])

    def stream(self, inputs: Any, output: Modality | str | None = None, **options: Any) -> Iterator[Event]:
        """The same for one prompt, as it comes: tokens, text and sound, and the whole `Output` at the end."""
        prompts = as_prompts(inputs)
        if len(prompts) != 1:
            raise UserError("inputs", f"{len(prompts)} prompts", "must be one", "stream them one by one")
        request = Request(prompts[0], Options.from_mapping({"output": output, **options}))
        (job,) = self.plan([request])
        return self._follow(request, job)

    def open_stream(self, options: Options) -> Stream:
        """Says what is new in the growing continuation of a request with these options."""
        voice = options.speaker, options.style
        return Stream(self.format, lambda: self.codec, options.stop, options.least_units, voice)

    def respond(self, requests: Sequence[Request]) -> list[Output]:
        """The same, each prompt with its own options."""
        continuations = jobs.generate(self.llama, self.plan(requests))
        return [self.read(request, found) for request, found in zip(requests, continuations, strict=True)]

    def plan(self, requests: Sequence[Request]) -> list[jobs.Job]:
        """What the engine has to do for each request. All sounds are encoded in one batch."""
        for voice in {(one.options.speaker, one.options.style) for one in requests} - {(None, None)}:
            self.codec.check_voice(*voice)
        sounds = [part for request in requests for part in request.prompt if isinstance(part, Sound)]
        heard = iter(self.listen(sounds) if sounds else [])
        prompts = [encode_inputs(request.prompt, self.vocabulary, heard) for request in requests]
        return [self._plan_one(number, *pair) for number, pair in enumerate(zip(prompts, requests))]

    def read(self, request: Request, continuation: jobs.Continuation) -> Output:
        """The output of a request whose job was continued so."""
        options = request.options

        def speak(spoken: SpokenUnits) -> np.ndarray:
            return self.codec.decode(spoken, options.speaker, options.style)

        return read_output(self.format, continuation, options.stop, options.least_units, speak)

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
        forbidden_V, eos = self._forbidden(output, False), self.vocabulary.eos
        asked = [jobs.Job(ids, forbidden_V, eos, max_new_tokens, sampling, seed) for ids in prompts]
        return [found.ids for found in jobs.generate(self.llama, asked)]

    def score(self, pairs: Sequence[likelihood.Pair]) -> likelihood.Scores:
        """Log-likelihood of each target after its prompt, both as ids."""
        return likelihood.score(self.llama, pairs)

    def _follow(self, request: Request, job: jobs.Job) -> Iterator[Event]:
        stream = self.open_stream(request.options)
        for so_far in jobs.follow(self.llama, job):
            yield from stream.feed(so_far)
            if so_far.finish is not None:
                yield self.read(request, so_far)

    def _plan_one(self, number: int, parts: Sequence[Part], request: Request) -> jobs.Job:
        options, form = request.options, self.format
        ids = form.encode(parts, options.task, options.modality)
        self._warn_of_long_prompt(number, len(ids))
        after_text = isinstance(parts[-1], str)
        return jobs.Job(
            ids,
            self._forbidden(options.modality, options.published_rules),
            self.vocabulary.eos,
            options.new_tokens(len(ids), after_text),
            options.sampling,
            options.seed,
            find_end=partial(find_end, form, options.stop) if options.stop else None,
        )

    def _forbidden(self, output: Modality, published: bool) -> np.ndarray:
        forbidden_V = self.vocabulary.forbidden(output, self.llama.cfg.rows, published)
        if not published:
            forbidden_V[self.vocabulary.eos] &= not self.learned_eos
        return forbidden_V

    def _warn_of_long_prompt(self, number: int, length: int) -> None:
        if length > self.row_length:
            says = (
                f"prompt {number} has {length:,} tokens, more than the {self.row_length:,} of the rows "
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
