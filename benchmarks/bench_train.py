"""Training tokens/s. The last line is JSON.

    make bench-train
    python -m benchmarks.bench_train [--rounds 7]

On a CPU: a Llama of 23 M parameters, compared with the same step in PyTorch and transformers. 384 wide, 6
layers, vocabulary 32,768, tied, 4 x 512 tokens, float32, 2 threads; forward, backward, clip, AdamW. Both
sides start from the same weights and must give the same loss. They run in turn, each in a fresh process
(benchmarks/sides.py), and the medians count. The aim is a ratio of 1.2. Without PyTorch
(requirements-parity.txt) only our figure is printed.

On a GPU: our step alone, rows of 4,096 in bfloat16. Llama 3.2 1B, and the shape of Llama 2 7B with as many
layers as fit by analysis. Tokens/s and MFU, as a share of the 790 TFLOP/s that a plain matrix product reaches
on an H200, and of the 989 in its data sheet.
"""

import argparse
import dataclasses
import importlib.util
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import AbstractMesh

from benchmarks import sides
from spirit_jax.config import Dtype, MeshConfig, ModelConfig, OptimConfig, Remat, RunConfig
from spirit_jax.core import process_setup
from spirit_jax.core.chips import CHIPS
from spirit_jax.model.array_store import named_arrays
from spirit_jax.model.batch import Batch
from spirit_jax.model.llama import Llama, flops_per_token, init_sharded
from spirit_jax.model_io import hf_config
from spirit_jax.model_io.names import model_tensors, to_theirs
from spirit_jax.pod_check.estimate import memory_of
from spirit_jax.pod_check.pod import HBM_SHARE
from spirit_jax.sharding import MESH_AXES, make_mesh, shardings_of
from spirit_jax.training.optimizer import make_optimizer
from spirit_jax.training.state import abstract_state, make_state
from spirit_jax.training.step import make_train_step
from tpu_configs.gpus import llama3_1b_h200_1
from tpu_configs.spirit import LLAMA2_7B, recipe

MODEL = ModelConfig(
    rows=32_768,
    width=384,
    layers=6,
    heads=6,
    kv_heads=6,
    head_width=64,
    mlp_width=1024,
    tied=True,
    dtype=Dtype.FLOAT32,
    remat=Remat.NONE,
)
OPTIM = OptimConfig(peak_lr=1e-4, warmup_steps=0)
ROWS, LENGTH = 4, 512
JAX_SHARE = 0.75  # of a GPU's memory that JAX takes; XLA_PYTHON_CLIENT_MEM_FRACTION changes it
REACHED_FLOPS = 790e12  # a second, by a plain bfloat16 matrix product on an H200


def make_batch(rows: int = ROWS, length: int = LENGTH) -> tuple[np.ndarray, Batch]:
    """Random ids [B, T + 1], and the batch whose targets they shift to."""
    ids = np.random.default_rng(0).integers(0, MODEL.rows, (rows, length + 1), np.int32)
    ones, positions = (
        np.ones((rows, length), np.int32),
        np.broadcast_to(np.arange(length, dtype=np.int32), (rows, length)),
    )
    return ids, Batch(ids[:, :-1], ids[:, 1:], ones.astype(np.float32), ones, positions)


def our_step(llama: Llama, batch: Batch) -> Callable[[], float]:
    """A function that makes one step of the trainer and returns its mean loss."""
    mesh, optimizer = make_mesh(MeshConfig(1, 1, 1), jax.devices()[:1]), make_optimizer(OPTIM, 1000)
    shardings = shardings_of(abstract_state(llama, optimizer, mesh))
    step, placed = make_train_step(optimizer, llama.cfg.rows, 1, shardings), jax.device_put(batch)
    state = jax.jit(lambda model: make_state(model, optimizer), out_shardings=shardings, donate_argnums=0)(
        llama
    )

    def run() -> float:
        nonlocal state
        state, metrics = step(state, placed)
        return float(metrics.nll_M.sum() / metrics.weight_M.sum())

    return run


def make_llama() -> Llama:
    """The model of the CPU's benchmark with random weights."""
    return init_sharded(MODEL, jax.random.key(0), make_mesh(MeshConfig(1, 1, 1), jax.devices()[:1]))


def our_side() -> sides.Runs:
    """The trainer's step on `make_batch`."""
    return sides.warmed(our_step(make_llama(), make_batch()[1]))


def tensors_of(llama: Llama) -> dict[str, np.ndarray]:
    """A model's weights by Hugging Face's names."""
    arrays, tensors = named_arrays(llama), {}
    for name, layer in model_tensors(llama.cfg):
        array = arrays[name.ours]
        tensors[name.hugging_face.format(layer)] = to_theirs(
            name, np.array(array if layer is None else array[layer]), llama.cfg
        )
    return tensors


def peer_config(cfg: ModelConfig) -> Any:
    """The same model's configuration in transformers."""
    import transformers

    values = hf_config.write(cfg, {}, "float32", 2, 1)
    kept = {key: value for key, value in values.items() if key not in ("architectures", "torch_dtype")}
    return transformers.LlamaConfig(**kept)


def their_side(tensors: dict[str, np.ndarray]) -> sides.Runs:
    """The same in PyTorch and transformers, as they come: eager, scaled dot-product attention, AdamW's
    default loop.
    """
    import torch
    import transformers

    torch.set_num_threads(sides.THREADS)
    model = transformers.LlamaForCausalLM(peer_config(MODEL))
    model.load_state_dict({name: torch.from_numpy(array) for name, array in tensors.items()}, strict=False)
    model.tie_weights()
    optimizer = torch.optim.AdamW(
        model.parameters(), OPTIM.peak_lr, (OPTIM.b1, OPTIM.b2), OPTIM.eps, OPTIM.weight_decay
    )
    ids = make_batch()[0]
    tokens, targets = (torch.from_numpy(part.astype(np.int64)) for part in (ids[:, :-1], ids[:, 1:]))

    def run() -> float:
        logits = model(tokens, use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), OPTIM.clip_norm)
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    return sides.warmed(run)


def gpu_case(recipe: RunConfig) -> RunConfig:
    """The recipe with as many layers as fit this GPU by analysis, at one part of its batch a step."""
    chip = next(chip for chip in CHIPS.values() if jax.devices()[0].device_kind.startswith(chip.kind))
    train = dataclasses.replace(
        recipe.train, batch_rows=recipe.train.batch_rows // recipe.train.accumulate, accumulate=1
    )
    one = AbstractMesh((1,) * len(MESH_AXES), MESH_AXES)
    for layers in range(recipe.model.layers, 0, -1):
        case = dataclasses.replace(
            recipe, model=dataclasses.replace(recipe.model, layers=layers), train=train
        )
        if memory_of(case, one) < HBM_SHARE * JAX_SHARE * chip.hbm:
            return case
    raise SystemExit(f"not one layer of {recipe.model} fits {chip.kind}")


def measure(case: RunConfig, rounds: int) -> dict[str, float]:
    """Our step alone on one device."""
    rows, length = case.train.batch_rows, case.data.sequence_length
    mesh, batch = make_mesh(MeshConfig(1, 1, 1), jax.devices()[:1]), make_batch(rows, length)[1]
    step, spent = our_step(init_sharded(case.model, jax.random.key(0), mesh), batch), []
    for _ in range(1 + rounds):
        start = time.perf_counter()
        step()
        spent.append(time.perf_counter() - start)
    rate = rows * length / statistics.median(spent[1:])  # the first one compiles
    flops = rate * flops_per_token(case.model, length)
    figures = {"layers": case.model.layers, "rows": rows, "tokens_per_second": round(rate, 1)}
    return figures | {"mfu_of_790": round(flops / REACHED_FLOPS, 4), "mfu_of_989": round(flops / 989e12, 4)}


def main() -> None:
    """Prints the figures, then one JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    process_setup.leave_out_idle_libtpu()
    if jax.default_backend() == "gpu":
        shapes = {
            "1b": llama3_1b_h200_1.config(),
            "7b_shape": recipe(LLAMA2_7B, MeshConfig(), Remat.SAVE_DOTS, accumulate=64),
        }
        results = {}
        for name, shape in shapes.items():
            results[name] = measure(gpu_case(shape), args.rounds)
            print(name, results[name], flush=True)
        print(json.dumps({"benchmark": "train", "device": jax.devices()[0].device_kind, **results}))
        return
    entrants = [sides.ours(our_side)]
    if all(importlib.util.find_spec(name) for name in ("torch", "transformers")):
        entrants += sides.peers("pytorch", their_side, (tensors_of(make_llama()),))
    spent, losses = sides.race(entrants, args.rounds)
    assert max(losses.values()) - min(losses.values()) < 1e-3 * max(losses.values()), (
        f"losses differ: {losses}"
    )
    rates = {name: ROWS * LENGTH / statistics.median(seconds) for name, seconds in spent.items()}
    results = {f"{name}_tokens_per_second": round(rate, 1) for name, rate in rates.items()}
    results["ours_gflops_per_second"] = round(rates["ours"] * flops_per_token(MODEL, LENGTH) / 1e9, 1)
    if "pytorch" in rates:
        results["ratio"] = round(rates["ours"] / rates["pytorch"], 3)
        results["ratio_to_tuned"] = round(rates["ours"] / rates["pytorch_tuned"], 3)
    for key, value in results.items():
        print(f"{key:28s} {value:10,.3f}")
    print(
        json.dumps(
            {"benchmark": "train", "baseline": "PyTorch + transformers, eager, as they come", **results}
        )
    )


if __name__ == "__main__":
    main()
