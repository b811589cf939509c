"""Peak memory of conversions.

    python -m benchmarks.measure_conversion_memory [--layers 5 10]

Writes Llama folders with random weights in float16: Llama-2-7B's shapes with fewer layers (5 make 2.4 GiB),
and a word list of 32,000 as tokenizer. Imports each (`convert import`, new rows from N(mean, covariance)) and
exports it (`convert export`), each in a fresh process, and prints peak memory and sizes on disk.

peak            VmHWM of /proc/PID/status: the largest resident set, with pages of mapped files
own             the largest RssAnon of samples every 20 ms: the same without mapped files
imports alone   what Python and its libraries take before the first tensor

The last line is JSON.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from spirit_jax.config import ModelConfig
from spirit_jax.core.progress import track
from spirit_jax.model_io import hf_config
from spirit_jax.model_io.names import model_tensors, their_shape
from spirit_jax.model_io.tensor_files import Entry, write_safetensors

GIB, SHARD_LAYERS, LOOK_EVERY_S = 2**30, 8, 0.02
ROWS = 32_000
BLOCK = 2**24 + 1  # random numbers; more than a stored chunk holds, so that no two chunks are equal


def draw(block: np.ndarray, shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    """One tensor made by repeating `block`, when it is needed."""
    yield np.resize(block, shape)


def write_source(folder: Path, cfg: ModelConfig) -> None:
    """A Hugging Face folder in float16, in shards with an index."""
    block = np.random.default_rng(0).standard_normal(BLOCK, np.float32).astype(np.float16)
    weight_map, shards = {}, {}
    for name, layer in model_tensors(cfg):
        file = f"model-{0 if layer is None else 1 + layer // SHARD_LAYERS}.safetensors"
        weight_map[name.hugging_face.format(layer)] = file
        shards.setdefault(file, []).append((name.hugging_face.format(layer), their_shape(name, cfg)))
    folder.mkdir()
    for file, tensors in track(shards.items(), "make the source", unit="files"):
        entries = [Entry(name, "float16", shape, draw(block, shape)) for name, shape in tensors]
        write_safetensors(folder / file, entries)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    (folder / "config.json").write_text(json.dumps(hf_config.write(cfg, {}, "float16", 2, 1)))
    words = {word: id for id, word in enumerate(["<unk>", "<s>", "</s>", *(f"w{i}" for i in range(3, ROWS))])}
    (folder / "tokenizer.json").write_text(
        json.dumps({"added_tokens": [], "model": {"type": "WordLevel", "vocab": words, "unk_token": "<unk>"}})
    )


def measure(arguments: list[str]) -> tuple[float, float, float]:
    """Runs Python with these arguments; its peak and own memory in GiB, and its seconds."""
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    start, peak, own = time.monotonic(), 0, 0
    child = subprocess.Popen([sys.executable, *arguments], env=environment)
    while child.poll() is None:
        try:
            fields = dict(
                line.split(":", 1) for line in Path(f"/proc/{child.pid}/status").read_text().splitlines()
            )
        except (FileNotFoundError, ProcessLookupError):
            break
        if "VmHWM" in fields:  # absent once the process has ended
            peak, own = (
                max(peak, int(fields["VmHWM"].split()[0])),
                max(own, int(fields["RssAnon"].split()[0])),
            )
        time.sleep(LOOK_EVERY_S)
    if child.wait():
        sys.exit(f"error: {' '.join(arguments)} ended with {child.returncode}")
    return peak * 1024 / GIB, own * 1024 / GIB, time.monotonic() - start


def size(folder: Path) -> float:
    """GiB on disk."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / GIB


def measure_model(cfg: ModelConfig, temporary: Path) -> dict[str, dict[str, float]]:
    """Prints a line for each conversion, and returns the figures in GiB and seconds."""
    source, ours, out = (temporary / name for name in ("source", "ours", "out"))
    write_source(source, cfg)
    print(
        f"source: {size(source):.2f} GiB, {cfg.layers} layers of width {cfg.width}, MLP "
        f"{cfg.mlp_width}, {cfg.rows} rows, float16",
        flush=True,
    )
    verbs = {
        "import": (["--init", "normal", "--rope-theta", "100000"], source, ours),
        "export": ([], ours, out),
    }
    figures = {}
    for verb, (options, given, target) in verbs.items():
        peak, own, seconds = measure(["-m", "spirit_jax", "convert", verb, str(given), str(target), *options])
        print(
            f"{verb}: peak {peak:.2f} GiB, own {own:.2f} GiB, target {size(target):.2f} GiB, {seconds:.0f} s",
            flush=True,
        )
        figures[verb] = {"peak_gib": round(peak, 3), "own_gib": round(own, 3), "seconds": round(seconds, 1)}
    return figures


def main() -> None:
    """Measures one model after the other."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--layers", type=int, nargs="+", default=[5, 10], help="one model for each number")
    parser.add_argument("--temporary", type=Path, help="parent of the temporary folders")
    args = parser.parse_args()
    peak, own, _ = measure(["-c", "import spirit_jax.model_io.importing, spirit_jax.model_io.exporting"])
    print(f"imports alone: peak {peak:.2f} GiB, own {own:.2f} GiB", flush=True)
    results = {}
    for layers in args.layers:
        with tempfile.TemporaryDirectory(dir=args.temporary) as temporary:
            results[f"layers_{layers}"] = measure_model(ModelConfig(ROWS, layers=layers), Path(temporary))
    imports = {"peak_gib": round(peak, 3), "own_gib": round(own, 3)}
    print(json.dumps({"benchmark": "conversion_memory", "imports": imports, **results}))


if __name__ == "__main__":
    main()
