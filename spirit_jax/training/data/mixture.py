"""Mix: sources in shares of the tokens that hold to within one document, whatever the documents' lengths."""

from collections.abc import Callable, Sequence

import numpy as np

from spirit_jax.core.errors import UserError

# number of the read, from 0 without end -> documents (int32 ids)
Reader = Callable[[int], list[np.ndarray]]


class TokenMixture:
    """Takes the next record from the source that is furthest behind its share of the tokens.

    A document of n ids counts as its n - 1 targets. Grain's own `mix` counts records, so its shares depend on
    the lengths of each source's documents.

    weights: shares of the tokens, in any unit. patience: for each source, records without a target after
    which it is an error. first, step: read every `step`-th record from `first` on, as one of `step`
    processes. records, tokens: taken so far from each source; setting them resumes there.
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
        """(source, number of the read, documents). Raises a UserError for a source that gives no target."""
        behind = [tokens / weight for tokens, weight in zip(self.tokens, self._weights)]
        source = behind.index(min(behind))
        for _ in range(self._patience[source]):
            read = self._first + self.records[source] * self._step
            documents = self._readers[source](read)
            self.records[source] += 1
            targets = sum(len(document) - 1 for document in documents)
            if targets > 0:
                self.tokens[source] += targets
                return source, read, documents
        raise UserError(
            f"data.sources[{source}]",
            f"{self._patience[source]} records",
            "no record gives a document",
            "check its arrangement",
        )
