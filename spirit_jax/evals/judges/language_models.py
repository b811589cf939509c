"""Language models that a user names: any checkpoint that `SpiritLM.load` opens, such as an imported Llama."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from spirit_jax.core.files import require_folder
from spirit_jax.generation.spirit_lm import SpiritLM
from spirit_jax.tokens.prompt_format import Task
from spirit_jax.tokens.vocabulary import Modality


@dataclasses.dataclass(frozen=True)
class LanguageModel:
    """Says how likely a text is after another, on the first device. about: what it is, for results."""

    lm: SpiritLM
    about: str

    def score_texts(self, pairs: Sequence[tuple[str, str]]) -> tuple[np.ndarray, np.ndarray]:
        """For each (text before, text): nats of the text, float64 [N], and its tokens, int64 [N].

        The text before is a prompt as the model knows it, from BOS on, with the tag where the model has one.
        A text that the tokenizer gives no tokens for has 0 of both.
        """
        form = self.lm.format
        ids = [
            (
                form.encode([before], Task.CONTINUE, Modality.TEXT),
                np.array(form.tokenizer.encode(text, inside=True), np.int32),
            )
            for before, text in pairs
        ]
        nats, tokens = np.zeros(len(ids)), np.array([len(target) for _, target in ids], np.int64)
        present = np.flatnonzero(tokens)
        nats[present] = -self.lm.score([ids[i] for i in present]).sums
        return nats, tokens


def load_language_model(folder: Path) -> LanguageModel:
    """The checkpoint of a folder. UserError for a folder that is none."""
    require_folder(folder, "--judge-lm")
    lm = SpiritLM.load(folder)
    return LanguageModel(
        lm, f"{folder.name}, {lm.vocabulary.text_size:,} text ids, tokenizer {lm.tokenizer.fingerprint}"
    )
