"""`python -m spirit_jax serve`: a model behind HTTP, with a page.

python -m spirit_jax serve --checkpoint runs/demo/base/run
python -m spirit_jax serve --checkpoint runs/mine --address 0.0.0.0:8765 --token-file token
"""

import argparse
import importlib.util
import os
from pathlib import Path

from spirit_jax.core.errors import Halted, UserError
from spirit_jax.core.files import require_file
from spirit_jax.generation.model_options import add_model_arguments, load_lm
from spirit_jax.serving.limits import Limits

PACKAGES = ("starlette", "uvicorn", "multipart", "prometheus_client")
TOKEN_VARIABLE = "SPIRIT_TOKEN"
LEAST_TOKEN = 16  # letters (our choice)
LEAST_SLOTS = 1024


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    add = parser.add_argument
    add_model_arguments(parser)
    add("--address", default="127.0.0.1:8765", metavar="HOST:PORT", help="where to listen; port 0 is any "
        "free one; other machines reach it only with a token")  # fmt: skip
    add("--token-file", type=Path, metavar="FILE", help="a file with the token that requests must have; or "
        f"set {TOKEN_VARIABLE}")  # fmt: skip
    add("--hosts", nargs="+", metavar="NAME", help="names by which the service is called, besides localhost; "
        "on a loopback address others are refused")  # fmt: skip
    add("--model-name", default="spirit-lm", help="the model's name in requests and answers")
    add("--rows", type=int, default=8, help="requests that are generated at a time")
    add("--slots", type=int, metavar="N", help="tokens of a request at most, prompt and new ones (default: "
        f"those of the rows that the model was trained on, at least {LEAST_SLOTS:,})")  # fmt: skip
    _add_limits(add, Limits())


def _add_limits(add, default: Limits) -> None:
    add("--body-bytes", type=int, default=default.body_bytes, help="of a request")
    add("--seconds-of-sound", type=float, default=default.seconds_of_sound, help="of a request")
    add("--waiting", type=int, default=default.waiting, help="requests that wait for a row; more get 429")
    add(
        "--request-seconds",
        type=float,
        default=default.request_seconds,
        help="until an answer must have ended",
    )
    add("--shutdown-seconds", type=float, default=default.shutdown_seconds, help="for running requests after "
        "SIGTERM")  # fmt: skip


def run(args: argparse.Namespace) -> None:
    """Serves until SIGTERM or Ctrl-C."""
    require_packages()
    from spirit_jax.serving.application import make_application
    from spirit_jax.serving.guards.access import LOOPBACK_NAMES, is_loopback
    from spirit_jax.serving.server import Server, open_socket, split_address
    from spirit_jax.serving.service import Service, State

    names = ("body_bytes", "seconds_of_sound", "waiting", "request_seconds", "shutdown_seconds")
    limits = Limits(**{name: getattr(args, name) for name in names})
    check_rows(args)
    host, _ = split_address(args.address)
    token = read_token(args.token_file)
    if token is None and not is_loopback(host):
        fix = f"give --token-file or set {TOKEN_VARIABLE}, or listen on 127.0.0.1"
        raise UserError("--address", args.address, "is reached by other machines, which needs a token", fix)
    opened = open_socket(args.address)
    lm = load_lm(args.checkpoint, args)
    slots = args.slots or max(LEAST_SLOTS, lm.row_length)

    def report(state: State) -> None:
        if state is State.READY:
            print(f"ready: {url}", flush=True)
        if state is State.FAILED:
            server.end()

    service = Service(lm, args.rows, slots, limits, args.model_name, report)
    allowed = [*(args.hosts or ()), *LOOPBACK_NAMES] if args.hosts or is_loopback(host) else None
    application = make_application(service, token, allowed)
    shown, port = opened.getsockname()[:2]
    url = f"http://{f'[{shown}]' if ':' in shown else shown}:{port}"
    server = Server(application, service, lambda: print(f"listening on {url}", flush=True))
    service.start()
    server.run(sockets=[opened])
    if service.state is State.FAILED:
        raise Halted("generation has failed; see above")
    service.close()


def require_packages() -> None:
    """UserError where the packages of the service are not installed."""
    if missing := [name for name in PACKAGES if importlib.util.find_spec(name) is None]:
        rule = "are not installed"
        fix = "run make .venv/serve, or pip install -r requirements-serve.txt"
        raise UserError("packages", ", ".join(missing), rule, fix)


def check_rows(args: argparse.Namespace) -> None:
    """UserError for numbers of rows and slots that are not above 0."""
    for name in ("rows", "slots"):
        if (given := getattr(args, name)) is not None and given < 1:
            raise UserError(f"--{name}", given, "must be at least 1", "leave it out for the default")


def read_token(path: Path | None) -> str | None:
    """The token of a file or of the environment; None where neither is given. UserError for one that is easy
    to guess or cannot be sent.
    """
    if path is not None:
        token = require_file(path, "--token-file").read_text().strip()
    elif (token := os.environ.get(TOKEN_VARIABLE)) is None:
        return None
    if len(token) < LEAST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        rule = f"must be {LEAST_TOKEN} or more ASCII letters without spaces"
        fix = "for example python -c 'import secrets; print(secrets.token_urlsafe())' > FILE"
        raise UserError("token", f"{len(token)} letters", rule, fix)
    return token
