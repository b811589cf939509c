import threading

import pytest

from spirit_jax.datasets.stored_rows import FETCHED, RowStore


def make_row(number: int, spoken: bool) -> dict:
    audio = f"/corpus/./{number}.wav" if spoken else None
    return {
        "id": f"é{number}",
        "audio": audio,
        "text": "a\nb\u2028c",
        "words": [["a", 0.1, 1 / 3]],
        "other": {"n": 1},
    }


@pytest.mark.parametrize("count", [0, 1, FETCHED, 2 * FETCHED + 3])
def test_rows_come_back_as_they_were_in_their_order(count):
    store = RowStore()
    given = [make_row(number, spoken=number % 3 > 0) for number in range(count)]
    assert all(store.add(row) for row in given)
    for kept, wanted in (
        (store.rows, given),
        (store.rows.recordings, [row for row in given if row["audio"]]),
    ):
        assert len(kept) == len(wanted)
        assert list(kept) == wanted
        assert [kept[index] for index in range(-len(wanted), len(wanted))] == wanted * 2
        for cut in (
            slice(None),
            slice(1, 3),
            slice(-2, None),
            slice(None, None, 2),
            slice(5, 2),
            slice(None, None, -1),
        ):
            assert kept[cut] == wanted[cut]
        with pytest.raises(IndexError):
            kept[len(wanted)]


def test_of_two_rows_with_one_id_the_first_is_kept():
    store = RowStore()
    first, second = make_row(1, True), {**make_row(1, True), "text": "another"}
    assert store.add(first, 3)
    assert not store.add(second, 4)
    assert store.add(make_row(2, True), 5)
    assert list(store.recordings) == [first, make_row(2, True)]
    assert store.line_of("é1") == 3


def test_recordings_are_known_by_their_path_however_it_is_written():
    store = RowStore()
    store.add(make_row(1, True))
    store.add(make_row(2, False))
    assert store.names("/corpus/1.wav")
    assert not store.names("/corpus/2.wav")


def test_another_thread_can_read_them():
    store, found = RowStore(), []
    store.add(make_row(1, True))
    thread = threading.Thread(target=lambda: found.extend(store.rows))
    thread.start()
    thread.join()
    assert found == [make_row(1, True)]
