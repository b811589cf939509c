"""How alike are the features of a spoken and of a written word, layer by layer? The paper's alignment probe.

Shapes: L layers, B rows, T tokens, D width, N tokens of a record.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import jax
import numpy as np

from spirit_jax.core.batching import round_up_doubling
from spirit_jax.core.progress import Progress
from spirit_jax.evals.evaluation import Evaluation
from spirit_jax.evals.metrics.intervals import estimate_ratio
from spirit_jax.evals.task import Result, ResultKind
from spirit_jax.model.llama import Llama
from spirit_jax.sharding import use_mesh_of
from spirit_jax.tokens.interleave import Arrangement, Record
from spirit_jax.tokens.vocabulary import Vocabulary, merge

MIN_TOKENS = 64
HEAD = 2  # BOS and the tag


@dataclasses.dataclass(frozen=True)
class AlignmentProbe:
    """The cosine of the most similar pair of a word's speech tokens and text tokens, averaged over words,
    after the layer where it exceeds that of another word of the record the most. An item is a record.

    The record is read as speech and as text, each by itself. details: `same` and `other`, the mean of each
    layer from the embedding on (`other`: the text of the next word of the record, the last word's is the
    first); `layer`, that of the value. rows: of each record its id, its words, and the same means.
    """

    title: str = "Speech and text features"
    description: str = "Cosine of the features of a spoken word and the same word in writing, by layer."
    kind: ResultKind = ResultKind.SIMILARITY
    needs_speech: bool = True
    learned_from: tuple[Arrangement, ...] = ()
    judges: tuple[str, ...] = ()

    def items(self, evaluation: Evaluation) -> list[Record]:
        """Records with word times and two words or more."""
        return [one for one in evaluation.transcribed_records if one.aligned and one.words > 1]

    def score(self, evaluation: Evaluation, items: Sequence[Record]) -> Result:
        """Reads each record twice."""
        sums, counts, rows = [], [], []
        with Progress("probe", len(items), "record") as progress:
            for record in items:
                found = list(_compare_words(evaluation.lm.llama, record, evaluation.lm.vocabulary))
                if found:
                    sums.append(np.sum(found, axis=0))
                    counts.append(len(found))
                    same, other = (sums[-1] / counts[-1]).tolist()
                    rows.append({"id": record.id, "words": counts[-1], "same": same, "other": other})
                progress.advance()
        if not counts:
            return Result(None, None, 0, self.kind)
        same_L, other_L = np.sum(sums, axis=0) / sum(counts)
        layer = int((same_L - other_L).argmax())
        value = estimate_ratio(np.array(sums)[:, 0, layer], np.array(counts), evaluation.seed)
        details = {"same": same_L.tolist(), "other": other_L.tolist(), "layer": layer, "words": sum(counts)}
        return Result(value.value, value.interval, value.n, self.kind, details, tuple(rows))


def _compare_words(llama: Llama, record: Record, vocabulary: Vocabulary) -> Iterator[np.ndarray]:
    """For each word that has a speech token: the largest cosine with its own text and with another word's,
    float64 [2, L + 1].
    """
    if record.speech is None:
        return
    stream_N, code_N, time_N = merge(record.speech, vocabulary.streams)
    spoken_LND = _read(
        llama, [vocabulary.bos, vocabulary.speech_tag], vocabulary.encode_stream(stream_N, code_N)
    )
    written_LND = _read(llama, [vocabulary.bos, vocabulary.text_tag], record.text_ids)
    words = [
        written_LND[:, begin:end] for begin, end in zip(record.word_offsets[:-1], record.word_offsets[1:])
    ]
    for word, (start, end) in enumerate(zip(record.word_start_s, record.word_end_s)):
        own_N = (time_N >= start) & (time_N < end)
        if own_N.any():
            spoken_LMD = spoken_LND[:, own_N]
            others = (words[word], words[(word + 1) % len(words)])
            yield np.array([np.einsum("LMD,LND->LMN", spoken_LMD, one).max(axis=(1, 2)) for one in others])


def _read(llama: Llama, head: Sequence[int], ids: np.ndarray) -> np.ndarray:
    """Unit features of the ids after each layer, from the embedding on: float32 [L + 1, N, D]."""
    tokens_1T = np.zeros((1, round_up_doubling(HEAD + len(ids), MIN_TOKENS)), np.int32)
    tokens_1T[0, : HEAD + len(ids)] = [*head, *ids]
    with use_mesh_of(llama):
        states_LBTD = np.asarray(_layer_states(llama, tokens_1T), np.float32)
    states_LND = states_LBTD[:, 0, HEAD : HEAD + len(ids)]
    return states_LND / np.maximum(np.linalg.norm(states_LND, axis=-1, keepdims=True), 1e-9)


@jax.jit
def _layer_states(llama: Llama, tokens_BT: np.ndarray) -> jax.Array:
    return llama.layer_states(tokens_BT)
