"""The Makefile's verbs, run in this process."""

import shlex
import subprocess
from pathlib import Path

from data_prep import __main__ as data_prep
from spirit_jax import cli
from spirit_jax.core import commands

ROOT = Path(__file__).parent.parent
TABLES = {"spirit_jax": cli.COMMANDS, "data_prep": data_prep.COMMANDS}


def run_verb(verb: str, **variables: object) -> int:
    """What `make VERB NAME=value ..` would run, once the environment is there; its exit code."""
    words = [f"{name}={value}" for name, value in variables.items()]
    printed = subprocess.run(
        ["make", "-n", verb, *words], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    lines = printed.replace("\\\n", " ").splitlines()
    (argv,) = [shlex.split(line) for line in lines if " -m spirit_jax " in line or " -m data_prep " in line]
    return commands.run(f"python -m {argv[2]}", "", TABLES[argv[2]], argv[3:])
