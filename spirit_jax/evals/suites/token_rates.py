"""How much information speech tokens carry, and how many of a codec's units are in use."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from spirit_jax.evals.evaluation import Evaluation
from spirit_jax.evals.metrics.intervals import estimate_ratio
from spirit_jax.evals.task import Result, ResultKind
from spirit_jax.tokens.interleave import Arrangement, Record
from spirit_jax.tokens.streams import UNITS, duration_s
from spirit_jax.tokens.vocabulary import merge


@dataclasses.dataclass(frozen=True)
class TokenRates:
    """Bits a second of held-out speech as the model reads it: deduplicated and merged tokens, by their own
    frequencies. An item is a record.

    details: `nominal` (rate times the logarithm of the size, summed over the streams: the paper's 225 and
    307), `tokens_per_second`, `units_per_second` (deduplicated units) and `kept` (their share of all units),
    `entropy` (of units in bits, of at most `entropy_limit`) and `used` (the share of the units that occur).
    """

    title: str = "Bits a second"
    description: str = "Information of held-out speech tokens, by their frequencies."
    kind: ResultKind = ResultKind.BIT_RATE
    needs_speech: bool = True
    learned_from: tuple[Arrangement, ...] = ()
    judges: tuple[str, ...] = ()

    def items(self, evaluation: Evaluation) -> list[Record]:
        """The records with speech."""
        return [record for record in evaluation.records if record.speech is not None]

    def score(self, evaluation: Evaluation, items: Sequence[Record]) -> Result:
        """Counts tokens; runs no model."""
        if not items:
            return Result(None, None, 0, self.kind)
        vocabulary = evaluation.lm.vocabulary
        streams = vocabulary.streams
        speeches = [record.speech for record in items if record.speech is not None]
        ids = [vocabulary.encode_stream(*merge(speech, streams)[:2]) for speech in speeches]
        seconds = np.array([duration_s(speech, streams) for speech in speeches])
        counts = np.bincount(np.concatenate(ids))
        bits = -np.log2(np.maximum(counts, 1) / counts.sum())
        value = estimate_ratio(np.array([bits[one].sum() for one in ids]), seconds, evaluation.seed)
        units = [speech.codes[UNITS] for speech in speeches]
        kept = sum(1 + int((np.diff(one) != 0).sum()) for one in units if len(one))
        shares = np.bincount(np.concatenate(units), minlength=streams[0].size) / sum(map(len, units))
        present = shares[shares > 0]
        details = {
            "nominal": sum(stream.rate * math.log2(stream.size) for stream in streams),
            "tokens_per_second": sum(map(len, ids)) / seconds.sum(),
            "units_per_second": kept / seconds.sum(),
            "kept": kept / sum(map(len, units)),
            "entropy": float(-(present * np.log2(present)).sum()),
            "entropy_limit": math.log2(streams[0].size),
            "used": len(present) / streams[0].size,
        }
        return Result(value.value, value.interval, value.n, self.kind, details)
