import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.evals.layouts.tables import read_cells, read_table


@pytest.fixture
def write(tmp_path):
    def write(content):
        path = tmp_path / "table.csv"
        path.write_bytes(content)
        return path

    return write


def test_rows_have_their_line_and_all_columns(write):
    path = write(b'\xef\xbb\xbfa,b,\n1,"x\ny",z\n\n2\n3,4,5,6\n')
    assert read_table(path, ["b"]) == [
        (3, {"a": "1", "b": "x\ny", "": "z"}),
        (5, {"a": "2", "b": "", "": ""}),
        (6, {"a": "3", "b": "4", "": "5"}),
    ]
    assert [line for line, _ in read_cells(path)] == [1, 3, 5, 6]


@pytest.mark.parametrize("content", [b"", b"a,c\n1,2\n"])
def test_a_missing_column_is_named(write, content):
    with pytest.raises(UserError, match="has no column b"):
        read_table(write(content), ["a", "b"] if content else ["b"])


@pytest.mark.parametrize("content", ["é".encode("latin-1"), b"a," + b"b" * 200_000], ids=["latin-1", "cell"])
def test_what_is_no_csv_in_utf8_is_refused(write, content):
    with pytest.raises(UserError, match="must be csv in UTF-8"):
        read_cells(write(content))
