"""Generated tokens/s. The last line is JSON.

    make bench-generate
    python -m benchmarks.bench_generate [--rounds 5] [--turns 2] [--models 36m] [--batches 1 8] [--compiled]

Llamas of 23 M and 36 M parameters with random weights, 384 wide, 6 layers, vocabulary 32,768; the first one
is tied. 32 prompt tokens, 64 new ones, greedy, float32, 2 threads, 1 and 8 rows. Beside transformers'
`generate` with the same weights, as it comes and with our setting of the allocator; both must give the same
tokens. The sides run in turn, each in a fresh process (benchmarks/sides.py), and the medians count. The aim
is a ratio of 4.

Of ours also: the time to the first token, and the time of a step where a modality is forced, and where tokens
are drawn, as shares of the plain step. `--compiled`: transformers with torch.compile and a static cache too.
Without PyTorch (requirements-parity.txt) only our figures are printed.
"""

import argparse
import dataclasses
import importlib.util
import json
import statistics
from collections.abc import Callable

import jax
import numpy as np

from benchmarks import sides
from benchmarks.bench_train import MODEL, peer_config, tensors_of
from spirit_jax.config import MeshConfig, ModelConfig
from spirit_jax.core import process_setup
from spirit_jax.generation.jobs import Job, generate
from spirit_jax.generation.sampling import GREEDY, Sampling
from spirit_jax.model.cpu_weights import lay_out
from spirit_jax.model.llama import Llama, init_sharded
from spirit_jax.sharding import make_mesh

MODELS = {"23m": MODEL, "36m": dataclasses.replace(MODEL, tied=False)}
PROMPT, NEW = 32, 64
NO_EOS = 0  # an id that both sides forbid


def prompts_of(rows: int) -> np.ndarray:
    """Random ids [B, P]."""
    return np.random.default_rng(0).integers(3, MODEL.rows, (rows, PROMPT), np.int32)


def our_llama(cfg: ModelConfig) -> Llama:
    """Random weights; those of the peer are made from the same."""
    return init_sharded(cfg, jax.random.key(0), make_mesh(MeshConfig(1, 1, 1), jax.devices()[:1]))


def our_side(cfg: ModelConfig, rows: int) -> sides.Runs:
    """Greedy generation, its first token alone, and in other ways, with the weights laid out as
    `SpiritLM.load` does. A run returns the new ids.
    """
    llama, prompts = lay_out(our_llama(cfg)), prompts_of(rows)
    free = np.arange(cfg.rows) == NO_EOS
    forced = free | (np.arange(cfg.rows) < 32_000)

    def run(count: int, forbidden_V: np.ndarray, sampling: Sampling) -> Callable[[], list[list[int]]]:
        jobs = [Job(ids, forbidden_V, NO_EOS, count, sampling) for ids in prompts]
        return lambda: [found.ids.tolist() for found in generate(llama, jobs)]

    runs = {
        "": run(NEW, free, GREEDY),
        "first": run(1, free, GREEDY),
        "forced": run(NEW, forced, GREEDY),
        "drawn": run(NEW, free, Sampling()),
        "drawn_top_k": run(NEW, free, Sampling(top_k=50)),
    }
    for warm_up in runs.values():
        warm_up()
    return runs


def their_side(cfg: ModelConfig, rows: int, tensors: dict[str, np.ndarray], compiled: bool) -> sides.Runs:
    """The same in PyTorch and transformers. compiled: with torch.compile and a static cache."""
    import torch
    import transformers

    torch.set_num_threads(sides.THREADS)
    model = transformers.LlamaForCausalLM(peer_config(cfg)).eval()
    model.load_state_dict({name: torch.from_numpy(array) for name, array in tensors.items()}, strict=False)
    model.tie_weights()
    ids = torch.from_numpy(prompts_of(rows).astype(np.int64))
    options = {
        "attention_mask": torch.ones_like(ids),
        "do_sample": False,
        "eos_token_id": None,
        "bad_words_ids": [[NO_EOS]],
        "pad_token_id": NO_EOS,
    }
    options |= {"cache_implementation": "static"} if compiled else {}
    if compiled:
        model.forward = torch.compile(model.forward)

    def run(count: int) -> Callable[[], list[list[int]]]:
        def generate() -> list[list[int]]:
            with torch.inference_mode():
                found = model.generate(ids, max_new_tokens=count, min_new_tokens=count, **options)
            return found[:, PROMPT:].tolist()

        return generate

    # another length of the cache would make torch.compile start again, for shapes that change
    runs = {"": run(NEW)} if compiled else {"": run(NEW), "first": run(1)}
    for warm_up in runs.values():
        warm_up()
    return runs


def measure(name: str, rows: int, args: argparse.Namespace) -> dict[str, float]:
    """Figures of a model and a number of rows."""
    cfg = MODELS[name]
    entrants = [sides.ours(our_side, (cfg, rows))]
    if all(importlib.util.find_spec(package) for package in ("torch", "transformers")):
        tensors = tensors_of(our_llama(cfg))
        entrants += sides.peers("transformers", their_side, (cfg, rows, tensors, False))
        if args.compiled:
            entrants.append(sides.Side("compiled", sides.as_it_comes, their_side, (cfg, rows, tensors, True)))
    spent, found = sides.race(entrants, args.rounds, args.turns)
    median = {side: statistics.median(seconds) for side, seconds in spent.items()}
    peers = [side.name for side in entrants[1:]]
    for side in peers:
        assert found[side] == found["ours"], f"{side} gives other tokens"
    figures = {f"{side}_tokens_per_second": rows * NEW / median[side] for side in ("ours", *peers)}
    figures |= {f"ratio_to_{side}": median[side] / median["ours"] for side in peers}
    figures |= {f"{side}_token_ms": 1000 * median[side] for side in median if side.endswith("_first")}
    steps = median["ours"] - median["ours_first"]
    others = ("forced", "drawn", "drawn_top_k")
    figures |= {f"step_{how}": (median[f"ours_{how}"] - median["ours_first"]) / steps for how in others}
    return {key: round(value, 3) for key, value in figures.items()}


def main() -> None:
    """Prints the figures, then one JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--compiled", action="store_true", help="torch.compile with a static cache too")
    args = parser.parse_args()
    process_setup.leave_out_idle_libtpu()
    results = {}
    for name in args.models:
        for rows in args.batches:
            results[f"{name}_{rows}"] = measure(name, rows, args)
            print(f"{name}, {rows} rows: {results[f'{name}_{rows}']}", flush=True)
    print(json.dumps({"benchmark": "generate", "device": jax.devices()[0].device_kind, **results}))


if __name__ == "__main__":
    main()
