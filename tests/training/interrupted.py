"""A tiny run as a process that can be killed, or as one of several: `python -m tests.training.interrupted OUT
STEPS EVERY STREAMS`.

Prints the streams that it reads.
"""

import os
import sys

from spirit_jax.runs.processes import COUNT, join_processes
from spirit_jax.training.data.placement import streams_here
from spirit_jax.training.loop import train
from spirit_jax.training.preparation import prepare
from tests.training.tiny import make_config, make_data


def main() -> None:
    """Trains to the end, with a row of metrics for every step."""
    out, steps, every, streams = sys.argv[1], *map(int, sys.argv[2:])
    if COUNT in os.environ:
        join_processes()
    changes = {
        "train": {"log_every": 1},
        "checkpoint": {"every_steps": every},
        "data": {"streams": streams},
        "mesh": {"fsdp": -1},
    }
    run = prepare(make_config(steps, **changes), out, make_data(validation=True))
    print(streams_here(run.mesh, run.config.train.batch_rows, streams), flush=True)
    train(run)


if __name__ == "__main__":
    main()
