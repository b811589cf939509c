"""Command lines from a table of commands. A command's module is imported only when it is chosen."""

import argparse
import importlib
import json
import logging
import sys
import time
from pathlib import Path

from spirit_jax.core.errors import Halted, UserError, is_out_of_memory, require_seed
from spirit_jax.core.files import require_writable
from spirit_jax.core.growing_file import open_growing
from spirit_jax.core.paths import in_bucket

MISPLACED = (NotADirectoryError, FileExistsError, IsADirectoryError, PermissionError)


class Parser(argparse.ArgumentParser):
    """Reports a mistake on the command line in one line on stderr."""

    def error(self, message: str):
        """Prints the line and exits with 2."""
        print(f"error: {message}; see {self.prog} --help", file=sys.stderr)
        raise SystemExit(2)


def run(prog: str, description: str, commands: dict[str, tuple[str, str]], argv: list[str]) -> int:
    """Parses `argv` for one of `commands` (name -> module, help), runs it, and returns the exit code.

    Errors are one line on stderr. 0: done. 1: `Halted`, or the system failed, for example a full disk or
    memory. 2: a mistake of the user: UserError, or a path of the wrong kind. 130: Ctrl-C. `--out` and
    `--seed` are checked before the command begins. A command that ends without an error adds its seconds to
    the file `--stage-log`.
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
        if not is_out_of_memory(error):
            raise
        return _fail(
            f"out of memory ({str(error).partition(chr(10))[0]}): use fewer or shorter sequences at a time",
            1,
        )
    except KeyboardInterrupt:
        return _fail("interrupted", 130)


def _run(prog: str, description: str, commands: dict[str, tuple[str, str]], argv: list[str]) -> int:
    started = time.monotonic()
    # Orbax warns about its own temporary folders; failures are raised
    logging.getLogger("absl").setLevel(logging.CRITICAL)
    parser = Parser(prog=prog, description=description)
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    chosen = next((word for word in argv if not word.startswith("-")), None)
    for name, (_, text) in commands.items():
        subparser = subparsers.add_parser(
            name, help=text, description=text, formatter_class=argparse.ArgumentDefaultsHelpFormatter
        )
        if name == chosen:
            from spirit_jax.core import process_setup  # imports JAX, which the list of commands does not need

            module = importlib.import_module(commands[name][0])
            process_setup.set_up()
            module.add_arguments(subparser)
            subparser.add_argument(
                "--stage-log", type=Path, help="JSON lines to which this command and its seconds are added"
            )
    args = parser.parse_args(argv)
    if getattr(args, "out", None) is not None and not in_bucket(args.out):
        require_writable(args.out)
    if getattr(args, "seed", None) is not None:
        require_seed("--seed", args.seed)
    code = module.run(args) or 0
    if args.stage_log is not None:
        _log_stage(args, f"{prog.rpartition(' ')[2]} {args.command}", time.monotonic() - started)
    return code


def _log_stage(args: argparse.Namespace, command: str, seconds: float) -> None:
    out = getattr(args, "out", None)
    line = {
        "command": command,
        "out": None if out is None else Path(str(out)).name,
        "seconds": round(seconds, 2),
    }
    args.stage_log.parent.mkdir(parents=True, exist_ok=True)
    file = open_growing(args.stage_log)
    file.add(json.dumps(line).encode() + b"\n")
    file.close()


def _fail(reason: object, code: int) -> int:
    print(f"error: {reason}", file=sys.stderr)
    return code
