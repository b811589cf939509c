"""The held-out figures of the codec's decoder, as its training wrote them."""

from pathlib import Path

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import read_jsonl, require_file

PREFIX = "held_out_"


def read_decoder(run: Path) -> dict[str, float]:
    """The last held-out figures of a run of `train-codec`, by name, with `steps` as their first.

    UserError for a folder without any.
    """
    path = require_file(run / "metrics.jsonl", "--decoder")
    rows = [row for row in read_jsonl(path) if any(name.startswith(PREFIX) for name in row)]
    if not rows:
        raise UserError("--decoder", path, "has no held-out figures", "give a run folder of train-codec")
    figures = {name.removeprefix(PREFIX): rows[-1][name] for name in rows[-1] if name.startswith(PREFIX)}
    return {"steps": rows[-1]["step"], **figures}
