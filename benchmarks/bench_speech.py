"""Speech encoders and the vocoder beside PyTorch on the same random weights, in turn in one process: times real time, and the ratio; and F0.

    python -m benchmarks.bench_speech [NAME ...] [--rounds 5] [--seconds 30] [--utterances 64]

Each side's best round counts, so that another process on the machine hurts both alike. The last line is JSON. Needs requirements-parity.txt.
"""

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence

import jax
import numpy as np
import torch
import transformers

from benchmarks.torch_hifigan import PUBLISHED, Lively, torch_generator
from spirit_jax.speech.hifigan import Generator, for_cpu
from spirit_jax.speech.pitch import track_f0
from spirit_jax.speech.synthesis import Utterance, generate
from spirit_jax.speech.torch_files import Tensors
from spirit_jax.speech.wav2vec2 import Wav2Vec2
from spirit_jax.speech.wav2vec2_files import canonical, config_from_hf, load_encoder
from spirit_jax.speech.wav2vec2_rows import encode, last_state
from spirit_jax.units import SAMPLE_RATE

LAYERS = 11  # of 12: the published feature is the output of the last but one
HUBERT_25HZ = {
    "conv_dim": (512,) * 8, "conv_kernel": (10, 3, 3, 3, 3, 2, 2, 2), "conv_stride": (5, 2, 2, 2, 2, 2, 2, 2), "num_hidden_layers": LAYERS,
}  # fmt: skip
VOCODER_SECONDS, F0_SECONDS = 10, 60
GROUP = 8  # utterances that PyTorch pads together


def bench_hubert(args: argparse.Namespace) -> dict[str, float]:
    """HuBERT base at 25 Hz, up to layer 11, on one long utterance."""
    model, encoder = make_hubert()
    wavs = make_wavs([args.seconds])
    (ours, theirs), outputs = race([lambda: encode(encoder, wavs), lambda: run_one_by_one(model, wavs)], args.rounds)
    return {
        "jax_times_real_time": args.seconds / ours,
        "pytorch_times_real_time": args.seconds / theirs,
        "ratio": theirs / ours,
        "largest_difference": largest_difference(*outputs),
    }


def bench_batch(args: argparse.Namespace) -> dict[str, float]:
    """The same on utterances of 2 to 20 s, against PyTorch one by one, as the published release runs, and padded in batches of `GROUP`:
    as the utterances come, which is the obvious way, and sorted by length first.
    """
    model, encoder = make_hubert()
    seconds = np.random.default_rng(0).uniform(2, 20, args.utterances)
    wavs = make_wavs(seconds)
    last_state.clear_cache()
    runs = [
        lambda: encode(encoder, wavs),
        lambda: run_one_by_one(model, wavs),
        lambda: run_padded(model, wavs),
        lambda: run_padded(model, sorted(wavs, key=len)),
    ]
    (ours, singly, padded, by_length), outputs = race(runs, max(1, args.rounds // 3))
    return {
        "jax_times_real_time": seconds.sum() / ours,
        "pytorch_one_by_one_times_real_time": seconds.sum() / singly,
        "pytorch_padded_times_real_time": seconds.sum() / padded,
        "pytorch_padded_by_length_times_real_time": seconds.sum() / by_length,
        "ratio_to_padded": padded / ours,
        "ratio_to_padded_by_length": by_length / ours,
        "ratio_to_one_by_one": singly / ours,
        "compilations": last_state._cache_size(),
        "largest_difference": largest_difference(*outputs[:2]),
    }


def bench_hifigan(args: argparse.Namespace) -> dict[str, float]:
    """The vocoder of the published size on 10 s of units."""
    generator = Generator(PUBLISHED, Lively())
    fast, reference = for_cpu(generator) if jax.default_backend() == "cpu" else generator, torch_generator(generator)
    frames = round(VOCODER_SECONDS * PUBLISHED.sample_rate / PUBLISHED.hop)
    utterance = Utterance(np.random.default_rng(0).integers(0, PUBLISHED.units, frames), speaker=1, style_id=3)
    codes = {"dict": utterance.units[None].astype(np.int32), "spkr": np.array([1]), "style": np.array([3])}
    condition = torch.from_numpy(np.array(generator.condition(codes)).transpose(0, 2, 1).copy())

    def run_torch() -> list[np.ndarray]:
        with torch.inference_mode():
            return [reference(condition)[0].numpy()]

    (ours, theirs), outputs = race([lambda: [generate(fast, utterance)], run_torch], args.rounds)
    return {
        "jax_times_real_time": VOCODER_SECONDS / ours,
        "pytorch_times_real_time": VOCODER_SECONDS / theirs,
        "ratio": theirs / ours,
        "largest_difference": largest_difference(*outputs),
    }


def bench_f0(args: argparse.Namespace) -> dict[str, float]:
    """The F0 tracker that needs no weights, on a minute of a gliding harmonic sound."""
    samples = F0_SECONDS * SAMPLE_RATE
    turns = np.cumsum(120 * 2 ** (0.5 * np.sin(np.arange(samples) / SAMPLE_RATE)) / SAMPLE_RATE)
    wav = sum(np.sin(2 * np.pi * n * turns) / n for n in range(1, 11)).astype(np.float32)
    (spent,), _ = race([lambda: track_f0([wav])], args.rounds)
    return {"jax_times_real_time": F0_SECONDS / spent}


BENCHES: dict[str, Callable[[argparse.Namespace], dict[str, float]]] = {
    "hubert": bench_hubert,
    "batch": bench_batch,
    "hifigan": bench_hifigan,
    "f0": bench_f0,
}


def make_hubert() -> tuple[transformers.HubertModel, Wav2Vec2]:
    """One random network, twice."""
    torch.manual_seed(0)
    model = transformers.HubertModel(transformers.HubertConfig(**HUBERT_25HZ)).eval()
    cfg = config_from_hf(model.config.to_dict())
    arrays = {name: value.numpy() for name, value in model.state_dict().items()}
    return model, load_encoder(Tensors("random HuBERT", canonical(arrays, cfg)), cfg)


def make_wavs(seconds: Sequence[float]) -> list[np.ndarray]:
    """Noise of these lengths."""
    rng = np.random.default_rng(0)
    return [rng.normal(0, 0.1, round(length * SAMPLE_RATE)).astype(np.float32) for length in seconds]


def run_one_by_one(model: transformers.HubertModel, wavs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The last layer's output of each wav."""
    with torch.inference_mode():
        return [model(torch.from_numpy(wav)[None]).last_hidden_state[0].numpy() for wav in wavs]


def run_padded(model: transformers.HubertModel, wavs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The same in batches of neighbours (with a norm over time, padding changes the values a little)."""
    outputs = []
    for group in (wavs[i : i + GROUP] for i in range(0, len(wavs), GROUP)):
        rows = torch.zeros(len(group), max(map(len, group)))
        for row, wav in zip(rows, group):
            row[: len(wav)] = torch.from_numpy(wav)
        mask = torch.arange(rows.shape[1])[None] < torch.tensor([len(wav) for wav in group])[:, None]
        with torch.inference_mode():
            outputs += list(model(rows, attention_mask=mask).last_hidden_state.numpy())
    return outputs


def race(runs: Sequence[Callable[[], list[np.ndarray]]], rounds: int) -> tuple[list[float], list[list[np.ndarray]]]:
    """Best wall seconds of each run, taken in turn after a first one that isn't timed; and what each returned."""
    outputs = [run() for run in runs]
    spent: list[list[float]] = [[] for _ in runs]
    for _ in range(rounds):
        for run, times in zip(runs, spent):
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
    return [min(times) for times in spent], outputs


def largest_difference(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray]) -> float:
    """As a share of the largest value."""
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(ours, theirs, strict=True))


def main() -> None:
    """Runs the benches that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*BENCHES, []], default=[], metavar="NAME", help=f"any of {', '.join(BENCHES)}; all by default")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=30.0, help="of the long utterance")
    parser.add_argument("--utterances", type=int, default=64, help="of the mixed batch")
    args = parser.parse_args()
    results = {"date": time.strftime("%Y-%m-%d"), "device": jax.devices()[0].device_kind, "threads": torch.get_num_threads()}
    results["load_average"] = round(os.getloadavg()[0], 1)
    for name in args.names or BENCHES:
        results[name] = {key: round(value, 9) for key, value in BENCHES[name](args).items()}
        print(name, *(f"{key} {value:.4g}" for key, value in results[name].items()), sep="  ", flush=True)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
