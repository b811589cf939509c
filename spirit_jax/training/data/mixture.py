"""Sources mixed by tokens: shares that hold to within one document, whatever the documents' lengths."""

from collections.abc import Callable, Sequence

import numpy as np

from spirit_jax.core.errors import UserError

# the documents (int32 ids) of the i-th record read from a source, i from 0 without end
Reader = Callable[[int], list[np.ndarray]]


class TokenMixture:
    """Takes the next record from the source that is furthest behind its share of the tokens.

    A document of n ids counts as its n - 1 targets. Grain's own `mix` counts records, so its shares depend on
    how long each source's documents are; here the tokens already given are counted, and the state carries the
    counts.

    weights: shares of the tokens, in any unit. patience: records without a target after which a source is
    given up. This mixture reads every `step`-th record from `first` on (for several reader processes).
    """

    def __init__(
        self,
        readers: Sequence[Reader],
        weights: Sequence[float],
        patience: Sequence[int],
        first: int = 0,
        step: int = 1,
    ):
        self._readers, self._weights, self._patience = readers, weights, patience
        self._first, self._step = first, step
        self.records, self.tokens = [0] * len(weights), [0] * len(weights)

    def take(self) -> tuple[int, int, list[np.ndarray]]:
        """(source, its record's index, documents). Raises a UserError for a source that gives no target."""
        behind = [tokens / weight for tokens, weight in zip(self.tokens, self._weights)]
        source = behind.index(min(behind))
        for _ in range(self._patience[source]):
            index = self._first + self.records[source] * self._step
            documents = self._readers[source](index)
            self.records[source] += 1
            targets = sum(len(document) - 1 for document in documents)
            if targets > 0:
                self.tokens[source] += targets
                return source, index, documents
        raise UserError(
            f"data.sources[{source}]",
            f"{self._patience[source]} records",
            "no record gives a document",
            "check its arrangement",
        )
