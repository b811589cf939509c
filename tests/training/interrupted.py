"""A tiny run as a process that can be killed: `python -m tests.training.interrupted OUT STEPS EVERY`."""

import sys

from spirit_jax.training.loop import prepare, train
from tests.training.tiny import make_config, make_sources


def main() -> None:
    """Trains to the end, with a row of metrics for every step."""
    out, steps, every = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    config = make_config(steps, train={"log_every": 1}, checkpoint={"every_steps": every}, mesh={"fsdp": 1})
    train(prepare(config, out, make_sources()))


if __name__ == "__main__":
    main()
