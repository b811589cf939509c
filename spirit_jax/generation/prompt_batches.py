"""Prompts of many lengths as batches of few shapes, so that many calls compile each shape once.

Shapes: B rows, P prompt slots. Prompts are sorted by length. Rows are padded on the right; batches are filled
with empty rows, which cost less than compiling another shape.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from spirit_jax.config import ModelConfig
from spirit_jax.core.batching import round_up_doubling
from spirit_jax.core.errors import UserError
from spirit_jax.model.linear import DTYPES
from spirit_jax.sharding import mesh_sizes

MIN_PROMPT = 32  # slots of the shortest rows
# a length that is at least this share of the longest one shares its shape: compiling would cost more
SHARED = 1 / 4
ROWS = (1, 8, 64)  # of a device
MAX_CACHE_BYTES = 2**31  # of a device
MAX_SCORES_BYTES = 2**32  # of a device: the float32 scores of a layer, all queries of the prompts at once


class PromptBatch(NamedTuple):
    """Prompts in rows: tokens_BP, int32 ids; lengths_B, int32, 0 for an empty row; numbers_B, uint32, each
    prompt's position in the caller's list.
    """

    tokens_BP: np.ndarray
    lengths_B: np.ndarray
    numbers_B: np.ndarray


def batch_prompts(prompts: Sequence[np.ndarray], cfg: ModelConfig, new_slots: int) -> Iterator[PromptBatch]:
    """Batches that hold all prompts, the longest first; `new_slots`: room in the cache behind each prompt.

    Raises a UserError for a prompt without ids.
    """
    if any(not len(prompt) for prompt in prompts):
        raise UserError("prompt", "[]", "must hold at least one id", "start it with BOS")
    order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i]))
    longest = round_up_doubling(max(map(len, prompts), default=0), MIN_PROMPT)
    while order:
        slots = round_up_doubling(len(prompts[order[0]]), MIN_PROMPT)
        slots = longest if slots >= SHARED * longest else slots
        rows = choose_rows(len(prompts), cfg, slots, new_slots, mesh_sizes())
        yield _fill(prompts, order[:rows], rows, slots)
        order = order[rows:]


def choose_rows(wanted: int, cfg: ModelConfig, slots: int, new_slots: int, mesh: Mapping[str, int]) -> int:
    """Rows of a batch: 1, 8 or 64 on each device that has rows; no more than needed, and no more than
    MAX_CACHE_BYTES and MAX_SCORES_BYTES hold on a device.

    slots: of a row's prompt. mesh: sizes by axis.
    """
    parts, tensor, all_slots = mesh["data"] * mesh["fsdp"], mesh["tensor"], slots + new_slots
    enough = next((rows for rows in ROWS if rows * parts >= wanted), ROWS[-1])
    most = min(
        MAX_CACHE_BYTES / (cache_bytes(cfg, all_slots) / tensor),
        MAX_SCORES_BYTES / (4 * cfg.heads * slots * all_slots / tensor),
    )
    return parts * max(rows for rows in ROWS if rows == 1 or rows <= min(enough, most))


def cache_bytes(cfg: ModelConfig, slots: int) -> int:
    """Bytes of the keys and values of a row."""
    values = 2 * cfg.layers * slots * cfg.kv_heads * cfg.head_width
    return values * jnp.dtype(DTYPES[cfg.dtype]).itemsize


def _fill(prompts: Sequence[np.ndarray], numbers: list[int], rows: int, slots: int) -> PromptBatch:
    batch = PromptBatch(
        np.zeros((rows, slots), np.int32), np.zeros(rows, np.int32), np.zeros(rows, np.uint32)
    )
    for row, number in enumerate(numbers):
        length = len(prompts[number])
        batch.tokens_BP[row, :length] = prompts[number]
        batch.lengths_B[row], batch.numbers_B[row] = length, number
    return batch
