"""Command lines: a table of commands, imported when asked for; mistakes are one line and exit code 2."""

import argparse
import importlib
import logging
import sys

from spirit_jax.core.errors import Halted, UserError, require_seed
from spirit_jax.core.files import require_writable

MISPLACED = (NotADirectoryError, FileExistsError, IsADirectoryError, PermissionError)
EXHAUSTED = "RESOURCE_EXHAUSTED"  # how JAX says that a device's memory is full


class Parser(argparse.ArgumentParser):
    """Mistakes on the command line are one line on stderr and exit code 2."""

    def error(self, message: str):
        """Prints the line and leaves."""
        print(f"error: {message}; see {self.prog} --help", file=sys.stderr)
        raise SystemExit(2)


def run(prog: str, description: str, commands: dict[str, tuple[str, str]], argv: list[str]) -> int:
    """Parses `argv` for one of `commands` (name -> module, help) and runs it. UserErrors become one line and
    exit code 2, Halted one and 1.

    So do errors of the system: 2 for a place that can't be what the command needs, 1 for the others, such as
    a full disk or memory; and 130 for Ctrl-C. What is to be written is checked before the command begins.
    """
    try:
        return _run(prog, description, commands, argv)
    except UserError as error:
        return _fail(error, 2)
    except Halted as halted:
        return _fail(halted, 1)
    except OSError as error:
        return _fail(error, 2 if isinstance(error, MISPLACED) else 1)
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and not str(error).startswith(EXHAUSTED):
            raise
        return _fail(
            f"the memory is full ({str(error).partition(chr(10))[0]}): fewer or shorter "
            "sequences at a time take less",
            1,
        )
    except KeyboardInterrupt:
        return _fail("interrupted", 130)


def _run(prog: str, description: str, commands: dict[str, tuple[str, str]], argv: list[str]) -> int:
    # Orbax warns of its own temporary folders; what fails is raised, and told in a line
    logging.getLogger("absl").setLevel(logging.CRITICAL)
    parser = Parser(prog=prog, description=description)
    rooms = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    chosen = next((word for word in argv if not word.startswith("-")), None)
    for name, (_, text) in commands.items():
        room = rooms.add_parser(
            name, help=text, description=text, formatter_class=argparse.ArgumentDefaultsHelpFormatter
        )
        if name == chosen:
            module = importlib.import_module(commands[name][0])
            if "jax" in sys.modules:
                from spirit_jax.core import process_setup

                process_setup.set_up()
            module.add_arguments(room)
    args = parser.parse_args(argv)
    if getattr(args, "out", None) is not None:
        require_writable(args.out)
    if getattr(args, "seed", None) is not None:
        require_seed("--seed", args.seed)
    return module.run(args) or 0


def _fail(why: object, code: int) -> int:
    print(f"error: {why}", file=sys.stderr)
    return code
