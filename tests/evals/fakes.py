"""A model with known answers, for the tasks' tests."""

import dataclasses

import numpy as np

from spirit_jax.generation.likelihood import Scores
from spirit_jax.generation.spirit_lm import Output
from spirit_jax.tokens.prompt_format import PromptFormat
from spirit_jax.tokens.vocabulary import Vocabulary
from tests.generation.world import prompt_format


@dataclasses.dataclass
class Oracle:
    """Scores pairs with `judge(prompt, target)` a token and writes down every speech as `say(place)`."""

    judge: object = None
    say: object = None
    format: PromptFormat = dataclasses.field(default_factory=prompt_format)
    learned_eos: bool = True
    asked: list = dataclasses.field(default_factory=list)

    @property
    def vocabulary(self) -> Vocabulary:
        return self.format.vocabulary

    @property
    def tokenizer(self):
        return self.format.tokenizer

    def score(self, pairs):
        lengths = np.array([len(target) for _, target in pairs])
        return Scores(np.array([self.judge(prompt, target) for prompt, target in pairs]) * lengths, lengths)

    def generate(self, prompts, task, **options):
        self.asked.append((task, prompts, options))
        return [
            Output(np.array([self.vocabulary.unit_start + 1]), (self.say(place),))
            for place in range(len(prompts))
        ]
