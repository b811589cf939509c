"""`python -m spirit_jax COMMAND`, also installed as `spirit`. Each command's module is imported when it is asked for."""

import argparse
import importlib
import sys

from spirit_jax.errors import UserError

COMMANDS = {
    "train": ("spirit_jax.training.command", "continue pretraining, with checkpoints and metrics"),
    "generate": ("spirit_jax.generation.command", "continue, transcribe or speak prompts from a checkpoint"),
    "eval": ("spirit_jax.evals.command", "loss, choice accuracy and word error rate on held-out shards"),
    "report": ("spirit_jax.report.command", "one HTML page and one JSON file about a run"),
    "convert": ("spirit_jax.model.command", "Llama weights in and out"),
}


class Parser(argparse.ArgumentParser):
    """Mistakes on the command line are one line on stderr and exit code 2."""

    def error(self, message: str):
        """Prints the line and leaves."""
        print(f"error: {message}; see {self.prog} --help", file=sys.stderr)
        raise SystemExit(2)


def run(prog: str, description: str, commands: dict[str, tuple[str, str]], argv: list[str]) -> int:
    """Parses `argv` for one of `commands` (name -> module, help) and runs it. UserErrors become one line and exit code 2."""
    parser = Parser(prog=prog, description=description)
    rooms = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    chosen = next((word for word in argv if not word.startswith("-")), None)
    for name, (_, text) in commands.items():
        room = rooms.add_parser(name, help=text, description=text, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
        if name == chosen:
            module = importlib.import_module(commands[name][0])
            module.add_arguments(room)
    args = parser.parse_args(argv)
    try:
        return module.run(args) or 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def main() -> None:
    """Entry point of `spirit` and `python -m spirit_jax`."""
    raise SystemExit(run("python -m spirit_jax", "Spirit LM in JAX: train, generate, evaluate, convert.", COMMANDS, sys.argv[1:]))
