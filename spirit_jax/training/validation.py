"""Losses on the validation sources."""

import jax
import numpy as np

from spirit_jax.model.llama import Llama
from spirit_jax.training.data.batches import validation_batches
from spirit_jax.training.data.placement import place
from spirit_jax.training.metrics import losses
from spirit_jax.training.preparation import Run
from spirit_jax.training.step import EvalStep


def validate(run: Run, model: Llama, eval_step: EvalStep) -> dict[str, float]:
    """Mean losses over all validation sources, by modality, and over each source."""
    row, sums, data = {}, [], run.config.data
    rows = run.config.train.batch_rows // run.config.train.accumulate
    for source in run.data.validation:
        batches = validation_batches(source, data.sequence_length, rows, run.config.train.seed)
        placed = (place(batch, run.mesh, rows, np.arange(rows)) for batch in batches)
        sums.append(_total([jax.device_get(eval_step(model, batch)) for batch in placed]))
        row[f"validation_loss/{source.name}"] = losses(sums[-1]["nll"], sums[-1]["weight"], "loss")["loss"]
    whole = _total(sums)
    return losses(whole["nll"], whole["weight"], "validation_loss") | row


def _total(terms: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return jax.tree.map(lambda *xs: np.sum(xs, axis=0), *terms)
