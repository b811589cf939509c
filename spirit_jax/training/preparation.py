"""A run before its first step: everything checked, nothing written."""

import dataclasses

import jax
from jax.sharding import Mesh

from spirit_jax.config import RunConfig
from spirit_jax.core.errors import UserError
from spirit_jax.core.paths import AnyPath
from spirit_jax.model.llama import Llama, abstract
from spirit_jax.runs.run_folder import check_identity, check_owner, check_places, has_steps
from spirit_jax.sharding import make_mesh
from spirit_jax.tokens.long_documents import check_length
from spirit_jax.training.data.placement import check_batch, streams_here
from spirit_jax.training.data.sources import OpenData, OpenSource, open_data
from spirit_jax.training.start_weights import check_start


@dataclasses.dataclass(frozen=True)
class Run:
    """A run that has passed all checks. model: shapes and shardings only."""

    config: RunConfig
    out: AnyPath
    mesh: Mesh
    data: OpenData
    model: Llama


def prepare(config: RunConfig, out: str | AnyPath, data: OpenData | None = None) -> Run:
    """Checks mesh, shards, start weights and the run folder, and raises a UserError for the first mistake.

    data: replaces what the configuration names (for data in memory).
    """
    mesh = make_mesh(config.mesh)
    check_batch(config, mesh)
    streams_here(mesh, config.train.batch_rows, config.data.streams)
    out = check_places(out)
    check_owner(out, config)
    if data is None:
        data = open_data(config.data)
        if has_steps(out):
            check_identity(out, config.data.codec, data.tokenizer.fingerprint, data.fingerprints)
    check_length(config.data.sequence_length, data.vocabulary)
    if data.vocabulary.size > config.model.rows:
        fix = f"set model.rows={data.vocabulary.rows()}"
        raise UserError(
            "model.rows", config.model.rows, f"the vocabulary has {data.vocabulary.size} ids", fix
        )
    if not has_steps(out):
        check_start(config, data.vocabulary, data.tokenizer.fingerprint)
    return Run(config, out, mesh, data, abstract(config.model, mesh))


def describe(run: Run) -> str:
    """What training will do, in a few lines."""
    config, total = run.config, sum(source.weight for source in run.data.train)
    parameters = sum(x.size for x in jax.tree.leaves(run.model))
    mixture = ", ".join(
        f"{source.name} {source.weight / total:.0%} of tokens ({_contents(source)})"
        for source in run.data.train
    )
    remarks = [f"note: {s.name}: {s.remark}" for s in run.data.train + run.data.validation if s.remark]
    rows, length = config.train.batch_rows, config.data.sequence_length
    return "\n".join(
        (
            f"model: {parameters:,} parameters, {config.model.dtype.value}, from "
            f"{config.checkpoint.init_from or 'random weights'}",
            f"mesh: {' × '.join(f'{name} {size}' for name, size in run.mesh.shape.items())} on "
            f"{run.mesh.devices.flat[0].platform}",
            f"mixture: {mixture}",
            *remarks,
            f"step: {rows} rows × {length} = {rows * length:,} tokens, "
            f"{config.train.steps:,} steps, to {run.out}",
        )
    )


def _contents(source: OpenSource) -> str:
    """Number of records; where only some are aligned, both shares."""
    records, found = f"{len(source.rows):,} records", source.alignment
    return records if found is None or found.aligned == found.read else f"{records}: {found}"
