"""Sources mixed by tokens: shares that hold to within one document, whatever the documents' lengths."""

from collections.abc import Sequence
from typing import Any

import grain
import numpy as np

from spirit_jax.errors import UserError


class TokenMixture(grain.IterDataset):
    """Takes the next record from the source that is furthest behind its share of the tokens.

    Parents yield lists of documents (int32 id arrays), a record each, forever; so does the mixture. A document of n ids counts as
    its n - 1 targets. Grain's own `mix` counts records, so its shares depend on how long each source's documents are; here
    the tokens already given are counted, and the state carries the counts.

    weights: shares of the tokens, in any unit. lengths: records in each source, to notice one that holds no document at all.
    """

    def __init__(self, parents: Sequence[grain.IterDataset], weights: Sequence[float], lengths: Sequence[int]):
        super().__init__(parents)
        self.weights, self.lengths = tuple(weights), tuple(lengths)

    def __iter__(self) -> "TokenMixtureIterator":
        return TokenMixtureIterator([iter(parent) for parent in self.parents], self.weights, self.lengths)


class TokenMixtureIterator(grain.DatasetIterator):
    """State: how many records and tokens each source has given, and the parents' own states."""

    def __init__(self, parents: Sequence[grain.DatasetIterator], weights: Sequence[float], lengths: Sequence[int]):
        super().__init__(parents)
        self._weights, self._lengths = weights, lengths
        self._records, self._tokens = [0] * len(weights), [0] * len(weights)

    def __next__(self) -> list[np.ndarray]:
        behind = [tokens / weight for tokens, weight in zip(self._tokens, self._weights)]
        source = behind.index(min(behind))
        for _ in range(self._lengths[source]):
            documents = next(self._parents[source])
            self._records[source] += 1
            targets = sum(len(document) - 1 for document in documents)
            if targets > 0:
                self._tokens[source] += targets
                return documents
        raise UserError(f"data.sources[{source}]", f"{self._lengths[source]} records", "no record gives a document", "check its arrangement")

    def get_state(self) -> dict[str, Any]:
        """JSON-able; see `set_state`."""
        parents = [parent.get_state() for parent in self._parents]
        return {"records": list(self._records), "tokens": list(self._tokens), "parents": parents}

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes on exactly where `get_state` was called."""
        self._records, self._tokens = list(state["records"]), list(state["tokens"])
        for parent, parent_state in zip(self._parents, state["parents"]):
            parent.set_state(parent_state)
