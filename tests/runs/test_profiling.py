import jax.numpy as jnp
import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.runs.profiling import Profile, parse_steps


def test_steps_are_first_and_last():
    assert parse_steps("10:13") == (10, 13)
    assert parse_steps("7:7") == (7, 7)


@pytest.mark.parametrize("text", ["", "3", "0:2", "5:4", "a:b", "1:2:3", "-1:3"])
def test_anything_else_is_refused(text):
    with pytest.raises(UserError, match="must be FIRST:LAST"):
        parse_steps(text)


@pytest.mark.parametrize("where", ["disk", "bucket"])
def test_the_trace_of_the_steps_is_in_the_run_folder(where, tmp_path, request):
    out = tmp_path if where == "disk" else request.getfixturevalue("bucket") / "run"
    profile = Profile(out, (2, 3))
    for step in range(1, 5):
        profile.begin(step)
        profile.end(step, jnp.ones(3) + step)
    (trace,) = (out / "profile/plugins/profile").iterdir()
    assert any(path.name.endswith(".xplane.pb") for path in trace.iterdir())
