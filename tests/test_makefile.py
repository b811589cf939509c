import pytest

from spirit_jax.generation import command
from tests.verbs import run_verb


@pytest.mark.parametrize("text", ['say "hi"', "it's `id` $(id) $HOME, ok", "~ a  b\\n"])
def test_a_prompt_reaches_the_command_to_the_letter(monkeypatch, text):
    seen = []
    monkeypatch.setattr(command, "run", seen.append)
    assert run_verb("generate", CKPT="my $run", TEXT=text) == 0
    assert (seen[0].prompt_text, seen[0].checkpoint) == ([text], "my $run")
