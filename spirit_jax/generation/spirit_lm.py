"""Speech and model meet here: prompts of text and sound in, text and sound out, from a checkpoint alone."""

import dataclasses
import sys
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from spirit_jax.core.errors import UserError
from spirit_jax.generation import engine, likelihood
from spirit_jax.generation.sampling import GREEDY, Sampling
from spirit_jax.model.checkpoint import load_model
from spirit_jax.model.llama import Llama
from spirit_jax.speech import audio
from spirit_jax.speech.codec import Codec
from spirit_jax.speech.codec_folder import load_codec
from spirit_jax.tokens.prompt_format import MIN_SPEECH_UNITS, Part, PromptFormat, Said, Task
from spirit_jax.tokens.streams import SpeechTokens, SpokenUnits
from spirit_jax.tokens.text import TextTokenizer
from spirit_jax.tokens.vocabulary import Modality, Vocabulary

NEW_TEXT, NEW_SPEECH_AFTER_TEXT, NEW_SPEECH_AFTER_SPEECH = 50, 200, 300  # paper section 4


@dataclasses.dataclass(frozen=True)
class Output:
    """What was generated: int32 ids without EOS, and what they say, in order."""

    ids: np.ndarray
    parts: tuple[Said, ...]

    @property
    def text(self) -> str:
        """All its text."""
        return " ".join(part for part in self.parts if isinstance(part, str))

    @property
    def speech(self) -> list[SpokenUnits]:
        """Its stretches of speech."""
        return [part for part in self.parts if isinstance(part, SpokenUnits)]


@dataclasses.dataclass(frozen=True)
class SpiritLM:
    """A loaded model. `ends`: it was trained with EOS and may end speech with it; the published models can't.
    `row_length`: tokens of the rows that it was trained on.
    """

    llama: Llama
    format: PromptFormat
    codec_path: Path | None
    ends: bool
    row_length: int

    @classmethod
    def load(cls, checkpoint: str | Path) -> "SpiritLM":
        """From a run folder (its last step), one step's folder, or a folder of converted weights. UserError
        where nothing can be loaded.
        """
        loaded = load_model(checkpoint)
        if loaded.tokenizer_path is None:
            raise UserError(
                "checkpoint tokenizer",
                checkpoint,
                "the folder has no tokenizer",
                "put tokenizer.model or tokenizer.json into it",
            )
        tokenizer = TextTokenizer.load(loaded.tokenizer_path)
        data = loaded.data
        form = PromptFormat(loaded.vocabulary, tokenizer, data.asr_marker, data.tts_marker)
        return cls(loaded.llama, form, loaded.codec_path, data.append_eos, data.sequence_length)

    @property
    def vocabulary(self) -> Vocabulary:
        """Its id ranges."""
        return self.format.vocabulary

    @property
    def tokenizer(self) -> TextTokenizer:
        """Its text tokenizer."""
        return self.format.tokenizer

    @cached_property
    def codec(self) -> Codec:
        """Its speech codec; a UserError if the checkpoint has none."""
        if self.codec_path is None:
            raise UserError(
                "checkpoint codec",
                None,
                "this checkpoint has no codec/ folder",
                "train with data.codec set, or prompt with text",
            )
        return load_codec(self.codec_path)

    def listen(self, paths: Sequence[str | Path], max_seconds: float | None = None) -> list[SpeechTokens]:
        """Units of audio files, of at most `max_seconds` of each; a file that is no usable audio is a
        UserError.
        """
        wavs = []
        for path in paths:
            try:
                wavs.append(audio.load(path, max_seconds))
            except audio.BadAudio as error:
                raise UserError("audio", path, str(error), "give a sound of at least 0.08 s") from error
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

        TRANSCRIBE and SPEAK decide the output's modality themselves.

        Defaults: the paper's temperature and top-p to continue, greedy to transcribe and to speak (a choice,
        measured: fewer wrong words); its numbers of new tokens, but up to the prompt's length for a
        transcript. A prompt longer than the rows of training gives a warning.
        """
        output = {Task.TRANSCRIBE: Modality.TEXT, Task.SPEAK: Modality.SPEECH}.get(task, output)
        ids = [self.format.encode(prompt, task, output) for prompt in prompts]
        for number, part in enumerate(ids):
            if len(part) > self.row_length:
                says = (
                    f"prompt {number} has {len(part):,} tokens, more than the rows that the "
                    f"model was trained on, {self.row_length:,}"
                )
                print(f"warning: {says}; expect little sense", file=sys.stderr)
        if max_new_tokens is None:
            max_new_tokens = max(
                (_budget(prompt, part, task, output) for prompt, part in zip(prompts, ids)), default=1
            )
        if sampling is None:
            sampling = Sampling() if task is Task.CONTINUE else GREEDY
        least = MIN_SPEECH_UNITS if output is Modality.ARBITRARY else 0
        return [
            Output(new, self.format.decode(new, least))
            for new in self.generate_ids(ids, output, max_new_tokens, sampling, seed)
        ]

    def generate_ids(
        self,
        prompts: Sequence[np.ndarray],
        output: Modality,
        max_new_tokens: int,
        sampling: Sampling = GREEDY,
        seed: int = 0,
    ) -> list[np.ndarray]:
        """Continues prompts of ids in one modality: int32 ids, EOS left out. EOS is banned from forced speech
        unless the model `ends`.
        """
        forbidden_V = self.vocabulary.forbidden(output, self.llama.cfg.rows)
        forbidden_V[self.vocabulary.eos] &= not self.ends
        return engine.generate(
            self.llama,
            prompts,
            forbidden_V,
            engine.Limits(max_new_tokens, self.vocabulary.eos),
            sampling,
            seed,
        )

    def score(self, pairs: Sequence[likelihood.Pair]) -> likelihood.Scores:
        """Log-likelihood of each target ids after its prompt ids."""
        return likelihood.score(self.llama, pairs)


def _budget(prompt: Sequence[Part], ids: np.ndarray, task: Task, output: Modality) -> int:
    if task is Task.TRANSCRIBE:
        return max(NEW_TEXT, len(ids))
    if output is Modality.TEXT:
        return NEW_TEXT
    return NEW_SPEECH_AFTER_TEXT if isinstance(prompt[-1], str) else NEW_SPEECH_AFTER_SPEECH
