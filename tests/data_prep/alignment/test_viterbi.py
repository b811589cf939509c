import itertools

import numpy as np
import pytest

from data_prep.alignment import viterbi
from data_prep.alignment.viterbi import align_batch, least_frames

BLANK = 0


def log_softmax(x):
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


def emit(frames, size, seed):
    return log_softmax(np.random.default_rng(seed).normal(0, 2, (frames, size))).astype(np.float32)


def tokens_of(path_T, tokens_L):
    """The id that each frame of a path says."""
    return [tokens_L[state // 2] if state % 2 else BLANK for state in path_T]


def collapse(ids):
    return [id for id, _ in itertools.groupby(ids) if id != BLANK]


def score(e_TV, ids):
    return sum(float(e_TV[t, id]) for t, id in enumerate(ids))


def best_by_force(e_TV, tokens_L):
    """The largest score of all strings of ids that say the tokens."""
    frames, size = e_TV.shape
    said = (ids for ids in itertools.product(range(size), repeat=frames) if collapse(ids) == list(tokens_L))
    return max(score(e_TV, ids) for ids in said)


@pytest.mark.parametrize("tokens", [[1], [1, 2], [1, 1], [2, 1, 2], [1, 1, 1], [2, 2, 1]])
def test_the_path_is_the_best_of_all(tokens):
    tokens_L = np.array(tokens, np.int32)
    emissions = [emit(frames, 3, seed) for seed in range(3) for frames in (least_frames(tokens_L), 6, 7)]
    for e_TV, path_T in zip(emissions, align_batch(emissions, [tokens_L] * len(emissions), BLANK)):
        ids = tokens_of(path_T, tokens_L)
        assert collapse(ids) == tokens
        assert score(e_TV, ids) == pytest.approx(best_by_force(e_TV, tokens_L), abs=1e-4)


@pytest.mark.parametrize("block", [4, 256])
def test_planted_alignments_are_found_to_the_frame(block, monkeypatch):
    monkeypatch.setattr(viterbi, "BLOCK", block)
    viterbi.best_paths.clear_cache()
    rng = np.random.default_rng(1)
    emissions, texts, planted = [], [], []
    for length in (3, 20, 41, 7):
        tokens_L = rng.integers(1, 9, length).astype(np.int32)
        counts_S = rng.integers(1, 5, 2 * length + 1)
        path_T = np.repeat(np.arange(2 * length + 1), counts_S)
        noisy = rng.normal(0, 1, (len(path_T), 9))
        noisy[np.arange(len(path_T)), tokens_of(path_T, tokens_L)] += 9
        emissions.append(log_softmax(noisy).astype(np.float32))
        texts.append(tokens_L)
        planted.append(path_T)
    for path_T, expected_T in zip(align_batch(emissions, texts, BLANK), planted):
        assert np.array_equal(path_T, expected_T)
    viterbi.best_paths.clear_cache()


def test_alone_and_in_a_batch_paths_are_equal():
    rng = np.random.default_rng(2)
    emissions = [emit(frames, 5, frames) for frames in (300, 40, 700, 90, 12)]
    texts = [rng.integers(1, 5, len(e_TV) // 4).astype(np.int32) for e_TV in emissions]
    together = align_batch(emissions, texts, BLANK)
    for e_TV, text, path_T in zip(emissions, texts, together):
        assert np.array_equal(align_batch([e_TV], [text], BLANK)[0], path_T)
        assert path_T[-1] >= 2 * len(text) - 1
        assert (np.diff(path_T) >= 0).all()


def test_too_few_frames_give_no_path():
    tokens_L = np.array([1, 1, 2], np.int32)
    assert align_batch([emit(3, 3, 0), emit(4, 3, 0)], [tokens_L] * 2, BLANK)[0] is None
    assert align_batch([emit(3, 3, 0), emit(4, 3, 0)], [tokens_L] * 2, BLANK)[1] is not None
