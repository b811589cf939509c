"""Which utterances are kept: limits of the scores and rules about duplicates. Every value is our choice."""

import math

from spirit_jax.core.errors import UserError
from spirit_jax.core.settings import part


@part
class Limits:
    """The least and the most that a score may be; null turns a limit off."""

    least: float | None = None
    most: float | None = None

    def __post_init__(self):
        given = [limit for limit in (self.least, self.most) if limit is not None]
        if not all(map(math.isfinite, given)) or given != sorted(given):
            fix = "set a limit to null to turn it off"
            raise UserError("limits", f"{self.least} to {self.most}", "must be numbers in order", fix)


@part
class CurationConfig:
    """The limits of each score (`data_prep.curation.scores`), and what else is rejected.

    needs_words: utterances without word times. same_sound: one that has the samples of an earlier one.
    near_sound: one that has the text and nearly the sound of an earlier one. same_text_most: utterances of a
    voice that may have one text; null for any number.
    """

    alignment: Limits = Limits(least=0.47)
    coverage: Limits = Limits(least=0.6)
    character_rate: Limits = Limits(least=1.0, most=30.0)
    word_rate: Limits = Limits(most=7.0)
    unit_rate: Limits = Limits(least=4.0)
    silence: Limits = Limits(most=0.7)
    clipping: Limits = Limits(most=0.01)
    noise: Limits = Limits(least=10.0)
    duration: Limits = Limits(least=0.3)
    needs_words: bool = False
    same_sound: bool = True
    near_sound: bool = True
    same_text_most: int | None = 10

    def __post_init__(self):
        if self.same_text_most is not None and self.same_text_most < 1:
            fix = "set same_text_most=1 or more, or null"
            raise UserError("same_text_most", self.same_text_most, "must be at least 1", fix)
