"""What one would write first: merging streams and interleaving a record in loops of plain Python."""

import itertools

import numpy as np

from spirit_jax.tokens.interleave import Record, Spans
from spirit_jax.tokens.streams import SpeechTokens
from spirit_jax.tokens.vocabulary import Vocabulary


def merge_plainly(speech: SpeechTokens, vocabulary: Vocabulary) -> list[tuple[float, int]]:
    """Time in seconds and id of each token, as `merge` and `Vocabulary.encode_stream` give them."""
    tokens = []
    for index, stream in reversed([*enumerate(vocabulary.streams)]):
        start, rate = int(vocabulary.starts[index]), stream.times_per_second
        codes = enumerate(speech.codes[stream.name].tolist())
        if stream.deduplicate:
            codes = (next(run) for _, run in itertools.groupby(codes, lambda pair: pair[1]))
        tokens += [(frame / rate, start + code) for frame, code in codes]
    return tokens if len(vocabulary.streams) == 1 else sorted(tokens, key=lambda token: token[0])


def interleave_plainly(
    record: Record, vocabulary: Vocabulary, spans: Spans, rng: np.random.Generator
) -> list[int]:
    """Ids of text and speech spans in turn, without BOS and EOS.

    A span of speech begins without the codes in force, and it may be empty, unlike those of `arrange`.
    """
    assert record.speech is not None
    tokens, ids = merge_plainly(record.speech, vocabulary), record.text_ids.tolist()
    starts, offsets = record.word_start_s.tolist(), record.word_offsets.tolist()
    first, speech, document = 0, rng.random() < spans.speech_first, []
    while first < record.words:
        low, high = spans.speech if speech else spans.text
        last = min(first + int(rng.integers(low, high + 1)), record.words)
        if speech:
            begin, end = starts[first] if first else 0.0, starts[last] if last < record.words else 1e9
            document += [vocabulary.speech_tag, *(id for time_s, id in tokens if begin <= time_s < end)]
        else:
            document += [vocabulary.text_tag, *ids[offsets[first] : offsets[last]]]
        first, speech = last, not speech
    return document
