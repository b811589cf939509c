"""Training by several processes, one per host."""

import os

import jax

from spirit_jax.core.errors import UserError

COUNT, INDEX = "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"  # JAX reads JAX_COORDINATOR_ADDRESS itself


def join_processes() -> None:
    """Joins the other processes of this run. Call it before anything touches a device.

    On TPU pods, GKE, Slurm and Open MPI the environment says which process this is; elsewhere
    JAX_COORDINATOR_ADDRESS (host:port of the first process), JAX_NUM_PROCESSES and JAX_PROCESS_ID must.
    Raises a UserError without either, or if the other processes don't join.
    """
    given = {name: os.environ.get(name) for name in (COUNT, INDEX)}
    for name, value in given.items():
        if value is not None and not value.isdigit():
            raise UserError(name, value, "must be a number", "set it to one, or not at all")
    count, index = (None if value is None else int(value) for value in given.values())
    try:
        jax.distributed.initialize(num_processes=count, process_id=index)
    except (ValueError, RuntimeError) as error:
        settings = {name: os.environ.get(name) for name in ("JAX_COORDINATOR_ADDRESS", COUNT, INDEX)}
        reason = str(error).splitlines()[0]
        raise UserError(
            "--distributed",
            settings,
            f"the processes did not find each other ({reason})",
            "set all three, the same way on each host",
        ) from error
