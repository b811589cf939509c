"""Where the time went: seconds of the commands that made a run, as they wrote them with `--stage-log`."""

from collections.abc import Sequence
from pathlib import Path

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import parse_lines, require_file


def read_stages(paths: Sequence[Path]) -> dict[str, float]:
    """Seconds by stage, which is a command and the name of what it wrote, in the order of their first calls.
    Calls of one stage are added up. UserError for a file of something else.
    """
    seconds: dict[str, float] = {}
    for path in paths:
        for number, line in parse_lines(require_file(path, "--stages")):
            if isinstance(line, UserError):
                raise line
            if not isinstance(line.get("command"), str) or not isinstance(line.get("seconds"), int | float):
                where, rule = f"{path} line {number}", "must have a command and its seconds"
                raise UserError(where, line, rule, "give what commands wrote with --stage-log")
            stage = " ".join(filter(None, (line["command"], line.get("out"))))
            seconds[stage] = round(seconds.get(stage, 0.0) + line["seconds"], 2)
    return seconds
