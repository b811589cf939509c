"""A model with known answers, for the tasks' tests."""

import dataclasses
from collections.abc import Callable

import numpy as np

from spirit_jax.generation.jobs import Finish
from spirit_jax.generation.output import Output, SpeechPart, TextPart
from spirit_jax.scoring.likelihood import Scores
from spirit_jax.tokens.interleave import Arrangement
from spirit_jax.tokens.prompt_format import PromptFormat
from spirit_jax.tokens.streams import SpokenUnits
from spirit_jax.tokens.vocabulary import Vocabulary
from tests.generation.world import prompt_format


@dataclasses.dataclass
class PlantedModel:
    """Gives every token of a target log_prob(prompt, target). What it generates for prompt i is some speech,
    and the text transcript(i). requests: what it was asked to generate.
    """

    log_prob: Callable | None = None
    transcript: Callable | None = None
    format: PromptFormat = dataclasses.field(default_factory=prompt_format)
    learned_eos: bool = True
    arrangements: frozenset = frozenset(Arrangement)
    requests: list = dataclasses.field(default_factory=list)

    @property
    def vocabulary(self) -> Vocabulary:
        return self.format.vocabulary

    @property
    def tokenizer(self):
        return self.format.tokenizer

    def score(self, pairs):
        lengths = np.array([len(target) for _, target in pairs])
        return Scores(
            np.array([self.log_prob(prompt, target) for prompt, target in pairs]) * lengths, lengths
        )

    def generate(self, prompts, task, **options):
        self.requests.append((task, prompts, options))
        return [output_of(self.transcript(i)) for i in range(len(prompts))]


def output_of(*parts: str | SpokenUnits, speak: Callable | None = None) -> Output:
    """What a model said, as texts and as speech that `speak` makes sound of."""
    ids, none = np.array([prompt_format().vocabulary.speech_start + 1]), np.zeros(1, np.float32)
    made = [
        TextPart(part, ids, none) if isinstance(part, str) else SpeechPart(part, ids, none, "", speak)
        for part in parts
    ]
    return Output(ids, none, tuple(made), Finish.EOS)
