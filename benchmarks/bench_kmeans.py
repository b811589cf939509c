"""K-means compared with scikit-learn, F0 compared with librosa's pyin, and the weight-free codec.

    python -m benchmarks.bench_kmeans [--points 90000] [--seconds 600] [--rounds 3]

Both k-means start with k-means++ and stop at a tolerance of 1e-4, at most 50 iterations. Both sides take
turns in the same process, and the best round of each counts. Frames/s is points over the training time
without compilation; the losses show that both end at the same quality. The last line is JSON.
"""

import argparse
import json
import warnings

import numpy as np

from benchmarks.sides import best_of
from spirit_jax.codec_training.fit_codec import fit_codec
from spirit_jax.speech.encoders.f0 import HOP, track_f0
from spirit_jax.speech.quantizers import kmeans as quantizer
from spirit_jax.tokens.streams import SAMPLE_RATE

DIMS = 52


def make_features(points: int, seed: int) -> np.ndarray:
    """float32 [points, 52], like cepstra of four frames: 300 broad clusters whose spread falls with the
    dimension.
    """
    rng = np.random.default_rng(seed)
    spread = 1 / np.sqrt(1 + np.arange(DIMS) % 13)
    centres = rng.normal(size=(300, DIMS)) * spread
    return (centres[rng.integers(0, 300, points)] + 0.6 * spread * rng.normal(size=(points, DIMS))).astype(
        np.float32
    )


def make_glides(seconds: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A pulse train like a voice between 80 and 300 Hz in light noise, float32 [samples], and its F0 at every
    `HOP`.
    """
    rng = np.random.default_rng(seed)
    knots = rng.uniform(np.log(80), np.log(300), int(seconds / 0.3) + 2)
    hz = np.exp(
        np.interp(np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE, 0.3 * np.arange(len(knots)), knots)
    )
    phase = 2 * np.pi * np.cumsum(hz) / SAMPLE_RATE
    wav = sum(np.sin(n * phase) / n for n in range(1, 13)) + 0.05 * rng.normal(size=len(hz))
    return (0.1 * wav).astype(np.float32), hz[::HOP]


def bench_kmeans(points: int, codes: int, rounds: int) -> dict[str, float]:
    """Trains both on the same points: frames/s, ratio and losses."""
    from sklearn.cluster import KMeans

    x_ND = make_features(points, seed=0)
    quantizer.train_kmeans(x_ND, codes, seed=0, iterations=1)
    (ours_s, theirs_s), (ours, theirs) = best_of(
        rounds,
        lambda: quantizer.train_kmeans(x_ND, codes, seed=0),
        lambda: (
            KMeans(codes, n_init=1, max_iter=quantizer.MAX_ITERATIONS, random_state=0)
            .fit(x_ND)
            .cluster_centers_
        ),
    )
    losses = [float(quantizer.nearest(x_ND, np.asarray(c, np.float32))[1].mean()) for c in (ours, theirs)]
    figures = {
        "frames_per_second": points / ours_s,
        "sklearn_frames_per_second": points / theirs_s,
        "ratio": theirs_s / ours_s,
    }
    return {
        f"kmeans{codes}_{name}": value
        for name, value in {**figures, "loss": losses[0], "sklearn_loss": losses[1]}.items()
    }


def bench_f0(seconds: float, rounds: int) -> dict[str, float]:
    """Both track a known pitch, pyin only 10 s of it: times real time, ratio and median errors."""
    import librosa

    wav, truth = make_glides(seconds, seed=0)
    short = wav[: 10 * SAMPLE_RATE]
    track_f0([short])
    librosa.pyin(short[:SAMPLE_RATE], fmin=60, fmax=500, sr=SAMPLE_RATE, hop_length=HOP)
    (ours_s, theirs_s), ((ours,), (theirs, *_)) = best_of(
        rounds,
        lambda: track_f0([wav]),
        lambda: librosa.pyin(short, fmin=60, fmax=500, sr=SAMPLE_RATE, hop_length=HOP),
    )
    speed, peer = seconds / ours_s, len(short) / SAMPLE_RATE / theirs_s
    errors = {"f0_median_error": np.where(ours > 0, ours, np.nan), "pyin_median_error": theirs}
    medians = {
        name: float(np.nanmedian(np.abs(f0[: len(truth)] / truth[: len(f0)] - 1)))
        for name, f0 in errors.items()
    }
    return {"f0_times_real_time": speed, "pyin_times_real_time": peer, "f0_ratio": speed / peer, **medians}


def bench_codec(seconds: float, rounds: int) -> dict[str, float]:
    """Encodes utterances of 3 s to units, pitch and style, and decodes five of them."""
    wavs = np.split(make_glides(3.0 * int(seconds / 3), seed=1)[0], int(seconds / 3))
    codec = fit_codec(wavs, units=100, expressive=True, seed=0)
    (encode_s, decode_s), (speech, _) = best_of(
        rounds,
        lambda: codec.encode_batch(wavs),
        lambda: [codec.decode(one) for one in codec.encode_batch(wavs[:5])],
    )
    return {"encode_times_real_time": 3 * len(speech) / encode_s, "decode_times_real_time": 15 / decode_s}


def main() -> None:
    """Prints the figures, then all of them as one JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--points", type=int, default=90_000, help="k-means points; 90,000 is an hour of units"
    )
    parser.add_argument("--seconds", type=float, default=600, help="sound for F0 and the codec")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    warnings.filterwarnings("ignore", category=FutureWarning)
    results = {}
    for codes in (100, 500):
        results |= bench_kmeans(args.points, codes, args.rounds)
    results |= bench_f0(args.seconds, args.rounds) | bench_codec(args.seconds, args.rounds)
    for key, value in results.items():
        print(f"{key:40s} {value:14,.4g}")
    print(json.dumps({"benchmark": "kmeans", "baseline": "scikit-learn KMeans; librosa.pyin", **results}))


if __name__ == "__main__":
    main()
