"""The Makefile's verbs: what their variables become, and what must not become one."""

import os
import re
import subprocess

import pytest

from spirit_jax.generation import command
from tests.verbs import ROOT, run_verb

# What terminals, desktops and login shells set: `make` would take each for a variable of its own.
OF_THE_SYSTEM = [
    "COLUMNS",
    "DISPLAY",
    "EDITOR",
    "HOME",
    "HOST",
    "HOSTNAME",
    "LANG",
    "LANGUAGE",
    "LINES",
    "LOGNAME",
    "MAIL",
    "NAME",
    "PAGER",
    "PORT",
    "SESSION",
    "SHELL",
    "TERM",
    "TZ",
    "USER",
]


def test_no_variable_of_a_verb_is_one_that_the_system_sets():
    """A terminal that exports LINES=24 made each line of a .txt a text."""
    assert not set(re.findall(r"\b[A-Z_]+\b(?=[),=])", (ROOT / "Makefile").read_text())) & {
        name for name in OF_THE_SYSTEM if name != "SHELL"
    }
    given = ("UNITS_DIR=u", "TOKENIZER=t", "CODEC=c", "OUT=o", "TEXTS=t.txt", "AUDIO=a")
    for verb in ("shards", "align"):
        printed = [
            subprocess.check_output(["make", "-n", verb, *given], cwd=ROOT, text=True, env=env)
            for env in (
                {"PATH": os.environ["PATH"]},
                {**dict.fromkeys(OF_THE_SYSTEM, "24"), "PATH": os.environ["PATH"]},
            )
        ]
        assert printed[0] == printed[1]


@pytest.mark.parametrize("text", ['say "hi"', "it's `id` $(id) $HOME, ok", "~ a  b\\n"])
def test_a_prompt_reaches_the_command_to_the_letter(monkeypatch, text):
    seen = []
    monkeypatch.setattr(command, "run", seen.append)
    assert run_verb("generate", CKPT="my $run", TEXT=text) == 0
    assert (seen[0].prompt_text, seen[0].checkpoint) == ([text], "my $run")
