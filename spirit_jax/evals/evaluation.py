"""What every evaluation task is given."""

import dataclasses
from collections.abc import Sequence
from functools import cached_property

from spirit_jax.generation.spirit_lm import SpiritLM
from spirit_jax.tokens.interleave import Record, Spans
from spirit_jax.tokens.vocabulary import merge


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """A model, held-out records, the spans in which they are interleaved, and the seed of all draws.

    The spans are the same for all models, and so short that a single sentence changes modality: a choice.
    longest: tokens that are read at once, the paper's 4,096: a choice, since attention's memory grows with
    their square. Longer documents are cut for the loss, longer records not asked.
    """

    lm: SpiritLM
    records: Sequence[Record]
    spans: Spans = Spans((2, 6), (1, 4))
    seed: int = 0
    longest: int = 4096

    @cached_property
    def asked(self) -> list[Record]:
        """Records whose speech and text can be read at once."""
        return [record for record in self.records if self._length(record) <= self.longest]

    def _length(self, record: Record) -> int:
        merged = () if record.speech is None else merge(record.speech, self.lm.vocabulary.streams)[0]
        return len(record.text_ids) + len(merged)

    @property
    def transcribed(self) -> list[Record]:
        """Those of them with both speech and text."""
        return [record for record in self.asked if record.speech is not None and len(record.text_ids)]
