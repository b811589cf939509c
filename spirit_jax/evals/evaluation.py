"""What every evaluation task is given."""

import dataclasses
from collections.abc import Sequence

from spirit_jax.generation.spirit_lm import SpiritLM
from spirit_jax.tokens.interleave import Record, Spans


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """A model, held-out records, the spans in which they are interleaved, and the seed of all draws.

    The spans are the same for all models, and so short that a single sentence changes modality: a choice.
    """

    lm: SpiritLM
    records: Sequence[Record]
    spans: Spans = Spans((2, 6), (1, 4))
    seed: int = 0

    @property
    def transcribed(self) -> list[Record]:
        """Records with both speech and text."""
        return [record for record in self.records if record.speech is not None and len(record.text_ids)]
