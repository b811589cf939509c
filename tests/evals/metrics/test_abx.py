"""ABX errors against the definition, triple by triple."""

import collections
import itertools

import numpy as np
import pytest

from spirit_jax.evals.metrics.abx import (
    MOST,
    MOST_OTHERS,
    Said,
    errors_by_phones,
    errors_of,
    estimate_error,
    make_cells,
)
from tests.evals.metrics.test_warping import distance_by_definition


def world(phones=4, contexts=3, speakers=3, most=3, seed=0, least=0):
    """Some realisations of each phone in each context by each speaker."""
    rng = np.random.default_rng(seed)
    said = []
    for one in itertools.product(range(phones), range(contexts), range(speakers)):
        said += [Said(*one)] * int(rng.integers(least, most + 1))
    return [said[i] for i in rng.permutation(len(said))]


def error_by_definition(said, sequences, across):
    """All triples, then means over contexts and speakers of X, speakers of A and ordered pairs of phones."""
    triples = collections.defaultdict(list)
    for (i, a), (j, b), (k, x) in itertools.product(enumerate(said), repeat=3):
        same_context = a.context == b.context == x.context
        if k == i or a.phone != x.phone or a.phone == b.phone or not same_context or a.speaker != b.speaker:
            continue
        if (x.speaker != a.speaker) == across:
            near, far = (distance_by_definition(sequences[n], sequences[k]) for n in (i, j))
            key = a.phone, b.phone, a.speaker, x.speaker, a.context
            triples[key].append((near > far) + 0.5 * (near == far))
    values = {key: np.mean(errors) for key, errors in triples.items()}
    for kept in (3, 2):
        groups = collections.defaultdict(list)
        for key, value in values.items():
            groups[key[:kept]].append(value)
        values = {key: np.mean(some) for key, some in groups.items()}
    return np.mean(list(values.values()))


def measure(said, sequences, across, seed=0):
    cells = make_cells(said, across, seed)
    return estimate_error(errors_by_phones(cells, errors_of(sequences, cells)), seed)


@pytest.mark.parametrize("across", [False, True])
@pytest.mark.parametrize("units", [False, True])
def test_errors_equal_the_definition(across, units):
    said, rng = world(most=2), np.random.default_rng(3)
    lengths = rng.integers(1, 6, len(said))
    sequences = [rng.integers(0, 3, n) if units else rng.normal(size=(n, 3)) for n in lengths]
    found = measure(said, sequences, across)
    assert found.value == pytest.approx(error_by_definition(said, sequences, across), abs=1e-6)
    low, high = found.interval
    assert low <= found.value <= high


@pytest.mark.parametrize("across", [False, True])
def test_phones_that_sound_alike_everywhere_have_no_errors(across):
    said = world(least=2)
    found = measure(said, [np.full(2 + i % 5, one.phone) for i, one in enumerate(said)], across)
    assert (found.value, found.interval, found.n) == (0.0, (0.0, 0.0), 4)


@pytest.mark.parametrize("across", [False, True])
def test_sounds_that_tell_nothing_are_ties(across):
    said = world(least=2)
    assert measure(said, [np.zeros(3, int)] * len(said), across).value == 0.5


@pytest.mark.parametrize("across", [False, True])
def test_sounds_drawn_by_chance_are_wrong_half_of_the_time(across):
    said, rng = world(phones=12, contexts=6, speakers=2, least=2, most=2), np.random.default_rng(1)
    low, high = measure(said, [rng.normal(size=(3, 8)) for _ in said], across).interval
    assert low <= 0.5 <= high
    assert high - low < 0.15


def test_sounds_that_tell_the_speaker_alone_are_always_wrong_across_speakers():
    """X is as far from A as from B: ties. If A also sounds otherwise than X's speaker says it, errors."""
    said = [Said("a", 0, "s"), Said("b", 0, "s"), Said("a", 0, "t")]
    found = measure(said, [np.array([1]), np.array([2]), np.array([2])], True)
    assert found.value == 1.0


def test_parts_and_contexts_are_never_mixed():
    said = [Said("a", 0, "s"), Said("a", 1, "s"), Said("b", 0, "s"), Said("b", 1, "s")]
    assert make_cells(said, False) == make_cells(said, True) == []


def test_many_realisations_and_speakers_are_drawn_by_the_seed():
    said = [Said(phone, 0, speaker) for phone in "ab" for speaker in range(9) for _ in range(15)]
    cells = make_cells(said, True, seed=4)
    assert {len(side) for cell in cells for side in (cell.a, cell.b, cell.x)} == {MOST}
    others = collections.Counter((cell.phones, cell.speakers[0]) for cell in cells)
    assert set(others.values()) == {MOST_OTHERS}
    again, other = make_cells(said, True, seed=4), make_cells(said, True, seed=5)
    same = [np.array_equal(one.a, two.a) for one, two in zip(cells, again)]
    assert all(same)
    assert not all(np.array_equal(one.a, two.a) for one, two in zip(cells, other))


def test_nothing_to_compare_has_no_error():
    assert estimate_error(errors_by_phones([], errors_of([], []))).value is None
