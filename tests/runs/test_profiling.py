import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.runs.profiling import parse_steps


def test_steps_are_first_and_last():
    assert parse_steps("10:13") == (10, 13)
    assert parse_steps("7:7") == (7, 7)


@pytest.mark.parametrize("text", ["", "3", "0:2", "5:4", "a:b", "1:2:3", "-1:3"])
def test_anything_else_is_refused(text):
    with pytest.raises(UserError, match="must be FIRST:LAST"):
        parse_steps(text)
