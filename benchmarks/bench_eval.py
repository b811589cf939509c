"""Likelihood scoring for evaluation in tokens/s, compared with transformers. The last line is JSON.

    make bench-eval
    python -m benchmarks.bench_eval [--rounds 3]

A Llama of 23 M parameters (that of `bench_train`) scores random ids with the lengths of three benchmarks:

mmlu         four letters after a question and its subject's five examples
storycloze   two spoken endings of 2 to 4 s after a spoken story of 8 to 14 s
swuggy       a spoken word and a spoken non-word, which share nothing

A token counts once for each candidate that it belongs to or precedes, on both sides. Ours reads what
candidates share once. The other side reads each candidate with its context, sorted by length, in batches of
the size that was fastest on every eighth pair. Both sides must give the same likelihoods. They run in turn,
each in a fresh process (benchmarks/sides.py), and the best rounds count. The aim is a ratio of 3 over all
tokens, and less than a tenth of padding in what we read.
"""

import argparse
import json
import time
from collections.abc import Callable

import numpy as np

from benchmarks import sides
from benchmarks.bench_train import MODEL, make_llama, peer_config, tensors_of
from spirit_jax.core import process_setup
from spirit_jax.scoring.likelihood import Pair, score

BATCHES = (1, 4, 16, 64)  # tried by the other side
TRIED = 8  # one pair of so many
UNITS_A_SECOND = 17  # deduplicated


def make_cases() -> dict[str, list[Pair]]:
    """Pairs by benchmark, in the order in which a data set has them."""
    rng = np.random.default_rng(0)

    def draw(low: int, high: int) -> np.ndarray:
        return rng.integers(3, MODEL.rows, rng.integers(low, high), np.int32)

    examples = [draw(380, 520) for _ in range(2)]
    prompts = [np.concatenate([some, draw(50, 150)]) for some in examples for _ in range(8)]
    letters = [np.array([id], np.int32) for id in range(3, 7)]
    stories = [draw(8 * UNITS_A_SECOND, 14 * UNITS_A_SECOND) for _ in range(40)]
    words = [draw(8, 22) for _ in range(600)]
    return {
        "mmlu": [(prompt, letter) for prompt in prompts for letter in letters],
        "storycloze": [
            (story, draw(2 * UNITS_A_SECOND, 4 * UNITS_A_SECOND)) for story in stories for _ in range(2)
        ],
        "swuggy": [(np.array([1, 2], np.int32), word) for word in words],
    }


def count_tokens(pairs: list[Pair]) -> int:
    """Tokens that are read if each pair is read alone."""
    return sum(len(prompt) + len(target) - 1 for prompt, target in pairs)


def our_side() -> sides.Runs:
    """`likelihood.score` of each benchmark's pairs: the sums."""
    llama = make_llama()
    runs: sides.Runs = {}
    for name, pairs in make_cases().items():
        runs[name] = lambda pairs=pairs: score(llama, pairs).sums
        runs[name]()
    return runs


def their_side(tensors: dict[str, np.ndarray]) -> sides.Runs:
    """The same through transformers, with the fastest of BATCHES for each benchmark."""
    import torch
    import transformers

    torch.set_num_threads(sides.THREADS)
    model = transformers.LlamaForCausalLM(peer_config(MODEL)).eval()
    model.load_state_dict({name: torch.from_numpy(array) for name, array in tensors.items()}, strict=False)
    model.tie_weights()

    @torch.inference_mode()
    def score_batch(pairs: list[Pair]) -> list[float]:
        longest = max(len(prompt) + len(target) for prompt, target in pairs)
        ids = torch.zeros((len(pairs), longest), dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, pair in enumerate(pairs):
            both = torch.from_numpy(np.concatenate(pair).astype(np.int64))
            ids[row, : len(both)], mask[row, : len(both)] = both, 1
        log_probs = torch.log_softmax(model(ids[:, :-1], mask[:, :-1], use_cache=False).logits, -1)
        taken = log_probs.gather(-1, ids[:, 1:, None])[..., 0]
        starts = [len(prompt) - 1 for prompt, _ in pairs]
        return [
            float(row[start : start + len(target)].sum())
            for row, start, (_, target) in zip(taken, starts, pairs)
        ]

    def run(pairs: list[Pair], size: int) -> np.ndarray:
        order = sorted(range(len(pairs)), key=lambda i: sum(map(len, pairs[i])))
        sums = np.zeros(len(pairs))
        for first in range(0, len(order), size):
            called = order[first : first + size]
            sums[called] = score_batch([pairs[i] for i in called])
        return sums

    cases = make_cases()
    sizes = {
        name: _fastest(lambda size, pairs=pairs[::TRIED]: run(pairs, size)) for name, pairs in cases.items()
    }
    return {name: lambda pairs=pairs, size=sizes[name]: run(pairs, size) for name, pairs in cases.items()}


def _fastest(run: Callable[[int], object]) -> int:
    spent = {}
    for size in BATCHES:
        start = time.perf_counter()
        run(size)
        spent[size] = time.perf_counter() - start
    return min(spent, key=lambda size: spent[size])


def main() -> None:
    """Prints the figures, then one JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    process_setup.leave_out_idle_libtpu()
    entrants = [sides.ours(our_side), *sides.peers("transformers", their_side, (tensors_of(make_llama()),))]
    spent, sums = sides.race(entrants, args.rounds, turns=2)
    tokens = {name: count_tokens(pairs) for name, pairs in make_cases().items()}
    seconds = {side.name: {name: min(spent[f"{side.name}_{name}"]) for name in tokens} for side in entrants}
    for side in entrants[1:]:
        for name in tokens:
            np.testing.assert_allclose(sums[f"ours_{name}"], sums[f"{side.name}_{name}"], rtol=1e-4)
    readings = {name: score(make_llama(), pairs).reading for name, pairs in make_cases().items()}
    results = {}
    for name in (*tokens, "all"):
        some = list(tokens) if name == "all" else [name]
        rates = {
            side: sum(tokens[one] for one in some) / sum(times[one] for one in some)
            for side, times in seconds.items()
        }
        results |= {f"{side}_{name}_tokens_per_second": round(rate, 1) for side, rate in rates.items()}
        results[f"{name}_ratio"] = round(rates["ours"] / rates["transformers"], 2)
        results[f"{name}_ratio_to_tuned"] = round(rates["ours"] / rates["transformers_tuned"], 2)
        filled, slots = (sum(getattr(readings[one], part) for one in some) for part in ("filled", "slots"))
        results[f"{name}_padding"] = round(1 - filled / slots, 3)
        results[f"{name}_shared"] = round(1 - filled / sum(tokens[one] for one in some), 3)
    for key, value in results.items():
        print(f"{key:50s} {value:12,.2f}")
    print(json.dumps({"benchmark": "eval", "baseline": "transformers, batches of the best size", **results}))


if __name__ == "__main__":
    main()
