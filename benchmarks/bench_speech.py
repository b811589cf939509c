"""HuBERT and the vocoder compared with PyTorch on the same random weights, in times real time; and F0.

    python -m benchmarks.bench_speech [NAME ...] [--rounds 5] [--seconds 30] [--utterances 64]

The sides take turns, each in a fresh process (benchmarks/sides.py). The best round of each side counts, so
that other work on the machine slows all sides alike. Where PyTorch sees a GPU, both sides use it. PyTorch as
it comes rounds the factors of convolutions to 11 bits there; it runs once more in float32, as ours does. The
last line is JSON. Needs requirements-parity.txt.
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

from benchmarks import sides
from benchmarks.peers.torch_hifigan import PUBLISHED, UnitGain, torch_generator
from spirit_jax.core import process_setup
from spirit_jax.speech.decoders.hifigan import Generator
from spirit_jax.speech.decoders.hifigan_synthesis import Utterance, synthesize
from spirit_jax.speech.encoders.f0 import track_f0
from spirit_jax.speech.encoders.wav2vec2.batches import encode_wavs, layer_output
from spirit_jax.speech.encoders.wav2vec2.checkpoints import canonical, config_from_hf, load_encoder
from spirit_jax.speech.encoders.wav2vec2.network import Wav2Vec2
from spirit_jax.speech.kernels.choice import fastest
from spirit_jax.speech.weights.torch_files import Tensors
from spirit_jax.tokens.streams import SAMPLE_RATE, UNITS

LAYERS = 11  # of 12: the published feature is the output of the last but one
HUBERT_25HZ = {
    "conv_dim": (512,) * 8,
    "conv_kernel": (10, 3, 3, 3, 3, 2, 2, 2),
    "conv_stride": (5, 2, 2, 2, 2, 2, 2, 2),
    "num_hidden_layers": LAYERS,
}
VOCODER_SECONDS, F0_SECONDS = 10, 60
Figures = dict[str, float | int | str]
ON_GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if ON_GPU else "cpu")
GROUP = 32 if ON_GPU else 8  # utterances that PyTorch pads together


def bench_hubert(args: argparse.Namespace) -> Figures:
    """HuBERT base at 25 Hz, up to layer 11, on one long utterance."""
    return compare([args.seconds], our_hubert, their_hubert, args.rounds)


def bench_batch(args: argparse.Namespace) -> Figures:
    """The same on utterances of 2 to 20 s. PyTorch runs them one by one, as the published release does, and
    padded in batches of `GROUP`, in the given order and sorted by length.
    """
    seconds = np.random.default_rng(0).uniform(2, 20, args.utterances).tolist()
    return compare(seconds, our_hubert, their_batch, rounds=args.rounds if ON_GPU else 1, turns=1)


def bench_hifigan(args: argparse.Namespace) -> Figures:
    """The vocoder of the published size on 10 s of units."""
    return compare([VOCODER_SECONDS], our_hifigan, their_hifigan, args.rounds)


def bench_f0(args: argparse.Namespace) -> Figures:
    """The F0 tracker that needs no weights, on a minute of a gliding harmonic sound."""
    spent, _ = sides.race([sides.ours(our_f0)], args.rounds, turns=1)
    return {"ours_times_real_time": F0_SECONDS / min(spent["ours"])}


BENCHES = {"hubert": bench_hubert, "batch": bench_batch, "hifigan": bench_hifigan, "f0": bench_f0}


def compare(
    seconds: Sequence[float], our_side: Callable, their_side: Callable, rounds: int, turns: int = 2
) -> Figures:
    """Times real time of all sides on sounds of these lengths, our ratio to each other side, and the largest
    difference of the outputs.
    """
    entrants = [sides.ours(our_side, (seconds,)), *peers(their_side, (seconds,))]
    spent, outputs = sides.race(entrants, rounds, turns)
    # the last entrant runs in float32 on a GPU too
    theirs = next(value for name, value in outputs.items() if name.startswith(entrants[-1].name))
    best = {name: min(times) for name, times in spent.items()}
    figures = {f"{name}_times_real_time": sum(seconds) / time_s for name, time_s in best.items()}
    figures |= {f"ratio_to_{name}": time_s / best["ours"] for name, time_s in best.items() if name != "ours"}
    figures["ours_hours_per_second"] = sum(seconds) / 3600 / best["ours"]
    features, facts = outputs["ours"]
    return figures | facts | {"largest_difference": largest_difference(features, theirs)}


def peers(make: Callable, args: Sequence) -> list[sides.Side]:
    """PyTorch as it comes and, on a CPU, with our allocator's setting; on a GPU, in float32."""
    if ON_GPU:
        return [
            sides.Side("pytorch", leave_the_gpu, make, args),
            sides.Side("pytorch_float32", keep_float32, make, args),
        ]
    return sides.peers("pytorch", make, args)


def leave_the_gpu() -> None:
    """Keeps JAX, which makes the weights, from taking three quarters of the GPU's memory."""
    jax.config.update("jax_platforms", "cpu")


def keep_float32() -> None:
    """Float32 in convolutions too; by default PyTorch keeps it in matrix products only."""
    leave_the_gpu()
    torch.backends.cudnn.allow_tf32 = False


def our_hubert(seconds: Sequence[float]) -> sides.Runs:
    """`encode_wavs`: the features, and on which device and with how many compilations."""
    (_, encoder), wavs = make_hubert(), make_wavs(seconds)
    return sides.warmed(
        lambda: (
            encode_wavs(encoder, wavs),
            {"device": jax.default_backend(), "compilations": layer_output._cache_size()},
        )
    )


def their_hubert(seconds: Sequence[float]) -> sides.Runs:
    """transformers' HubertModel."""
    (model, _), wavs = make_hubert(), make_wavs(seconds)
    return sides.warmed(lambda: run_one_by_one(model, wavs))


def their_batch(seconds: Sequence[float]) -> sides.Runs:
    """transformers' HubertModel on many utterances, in three ways."""
    (model, _), wavs = make_hubert(), make_wavs(seconds)
    run_padded(model, wavs[:GROUP])
    return {
        "one_by_one": lambda: run_one_by_one(model, wavs),
        "padded": lambda: run_padded(model, wavs),
        "padded_by_length": lambda: run_padded(model, sorted(wavs, key=len)),
    }


def make_hifigan(seconds: Sequence[float]) -> tuple[Generator, Utterance]:
    """The vocoder with random weights, and units for so many seconds."""
    frames = round(seconds[0] * PUBLISHED.sample_rate / PUBLISHED.hop)
    units = np.random.default_rng(0).integers(0, PUBLISHED.units, frames)
    return Generator(PUBLISHED, UnitGain()), Utterance({UNITS: units}, speaker=1, style_id=3)


def our_hifigan(seconds: Sequence[float]) -> sides.Runs:
    """`synthesize`, in the form of the vocoder that is fastest on this device."""
    generator, utterance = make_hifigan(seconds)
    generator = fastest(generator)
    return sides.warmed(lambda: (synthesize(generator, [utterance]), {"device": jax.default_backend()}))


def their_hifigan(seconds: Sequence[float]) -> sides.Runs:
    """The same generator in PyTorch."""
    generator, utterance = make_hifigan(seconds)
    codes = {
        "dict": utterance.codes[UNITS][None].astype(np.int32),
        "spkr": np.array([utterance.speaker]),
        "style": np.array([utterance.style_id]),
    }
    condition = torch.from_numpy(np.array(generator.condition(codes)).transpose(0, 2, 1).copy()).to(DEVICE)
    reference = torch_generator(generator, DEVICE)

    def run() -> list[np.ndarray]:
        with torch.inference_mode():
            return [reference(condition)[0].cpu().numpy()]

    return sides.warmed(run)


def our_f0() -> sides.Runs:
    """`track_f0` on a minute."""
    samples = F0_SECONDS * SAMPLE_RATE
    turns = np.cumsum(120 * 2 ** (0.5 * np.sin(np.arange(samples) / SAMPLE_RATE)) / SAMPLE_RATE)
    wav = sum(np.sin(2 * np.pi * n * turns) / n for n in range(1, 11)).astype(np.float32)
    return sides.warmed(lambda: track_f0([wav]))


def make_hubert() -> tuple[transformers.HubertModel, Wav2Vec2]:
    """One network with random weights, in PyTorch and in JAX."""
    torch.manual_seed(0)
    model = transformers.HubertModel(transformers.HubertConfig(**HUBERT_25HZ)).eval()
    cfg = config_from_hf(model.config.to_dict())
    arrays = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    return model.to(DEVICE), load_encoder(Tensors("random HuBERT", canonical(arrays, cfg)), cfg)


def make_wavs(seconds: Sequence[float]) -> list[np.ndarray]:
    """Noise of these lengths."""
    rng = np.random.default_rng(0)
    return [rng.normal(0, 0.1, round(length * SAMPLE_RATE)).astype(np.float32) for length in seconds]


def run_one_by_one(model: transformers.HubertModel, wavs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The last layer's output of each wav."""
    with torch.inference_mode():
        return [
            model(torch.from_numpy(wav)[None].to(DEVICE)).last_hidden_state[0].cpu().numpy() for wav in wavs
        ]


def run_padded(model: transformers.HubertModel, wavs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The same in padded batches. Padding changes the values a little, since the network has a norm over
    time.
    """
    outputs = []
    for group in (wavs[i : i + GROUP] for i in range(0, len(wavs), GROUP)):
        rows = torch.zeros(len(group), max(map(len, group)))
        for row, wav in zip(rows, group):
            row[: len(wav)] = torch.from_numpy(wav)
        mask = torch.arange(rows.shape[1])[None] < torch.tensor([len(wav) for wav in group])[:, None]
        with torch.inference_mode():
            outputs += list(
                model(rows.to(DEVICE), attention_mask=mask.to(DEVICE)).last_hidden_state.cpu().numpy()
            )
    return outputs


def largest_difference(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray]) -> float:
    """Largest difference, as a share of the largest value."""
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(ours, theirs, strict=True))


def main() -> None:
    """Runs the named benchmarks, or all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "names",
        nargs="*",
        choices=[*BENCHES, []],
        default=[],
        metavar="NAME",
        help=f"any of {', '.join(BENCHES)}; all by default",
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=30.0, help="of the long utterance")
    parser.add_argument("--utterances", type=int, default=2048 if ON_GPU else 64, help="of the mixed batch")
    args = parser.parse_args()
    if ON_GPU and not process_setup.has_plugin():
        raise SystemExit(
            "PyTorch sees a GPU and JAX does not: pip install 'jax[cuda13]' in the "
            "release of requirements.txt"
        )
    results = {"date": time.strftime("%Y-%m-%d"), "threads": os.cpu_count() if ON_GPU else sides.THREADS}
    results["load_average"] = round(os.getloadavg()[0], 1)
    for name in args.names or BENCHES:
        results[name] = BENCHES[name](args)
        print(
            name,
            *(
                f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
                for key, value in results[name].items()
            ),
            sep="  ",
            flush=True,
        )
    print(json.dumps(results))


if __name__ == "__main__":
    main()
