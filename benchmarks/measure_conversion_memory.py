"""Peak memory of a conversion: `python -m benchmarks.measure_conversion_memory [--layers 5 10]`.

Writes random Llama folders in float16 with Llama-2-7B's shapes but fewer layers (5 make 2.4 GiB) and a word
list of 32,000 as tokenizer to a temporary place, takes each in (`convert import`, with N(mean, covariance)
speech rows) and out again (`convert export`), in a process of its own, and prints its peak memory beside the
sizes on disk. "Peak" is VmHWM of /proc/PID/status, the largest resident set that the kernel saw: the
process's own memory and the pages of mapped files that were resident at once. "Own" is the largest RssAnon
seen, looked at every 20 ms: the same without mapped files. What Python with its libraries takes before the
first tensor is the line "imports alone".
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
from spirit_jax.model_io.safetensors_writer import Entry, write

GIB, SHARD_LAYERS, LOOK_EVERY_S = 2**30, 8, 0.02
ROWS, BLOCK = 32_000, 2**24 + 1  # numbers: more than a stored chunk, so that none is like another


def draw(block: np.ndarray, shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    """One tensor made of a block of random numbers, when it is asked for."""
    yield np.resize(block, shape)


def write_source(folder: Path, cfg: ModelConfig) -> None:
    """A Hugging Face folder in float16, in shards with an index."""
    block, weight_map, shards = (
        np.random.default_rng(0).standard_normal(BLOCK, np.float32).astype(np.float16),
        {},
        {},
    )
    for name, layer in model_tensors(cfg):
        file = f"model-{0 if layer is None else 1 + layer // SHARD_LAYERS}.safetensors"
        weight_map[name.hugging_face.format(layer)] = file
        shards.setdefault(file, []).append((name.hugging_face.format(layer), their_shape(name, cfg)))
    folder.mkdir()
    for file, tensors in track(shards.items(), "make the source", unit="files"):
        write(folder / file, [Entry(name, "float16", shape, draw(block, shape)) for name, shape in tensors])
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    (folder / "config.json").write_text(json.dumps(hf_config.write(cfg, {}, "float16", 2, 1)))
    words = {word: id for id, word in enumerate(["<unk>", "<s>", "</s>", *(f"w{i}" for i in range(3, ROWS))])}
    (folder / "tokenizer.json").write_text(
        json.dumps({"added_tokens": [], "model": {"type": "WordLevel", "vocab": words, "unk_token": "<unk>"}})
    )


def measure(arguments: list[str]) -> tuple[float, float, float]:
    """Runs Python with these arguments; returns its peak and own memory in GiB and its seconds."""
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
        if "VmHWM" in fields:  # none any more once it has ended
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


def measure_model(cfg: ModelConfig, room: Path) -> None:
    """Prints one line a conversion."""
    source, ours, out = (room / name for name in ("source", "ours", "out"))
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
    for verb, (options, given, target) in verbs.items():
        peak, own, seconds = measure(["-m", "spirit_jax", "convert", verb, str(given), str(target), *options])
        print(
            f"{verb}: peak {peak:.2f} GiB, own {own:.2f} GiB, target {size(target):.2f} GiB, {seconds:.0f} s",
            flush=True,
        )


def main() -> None:
    """Measures one model after the other."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--layers", type=int, nargs="+", default=[5, 10], help="one model for each number")
    parser.add_argument("--room", type=Path, help="where the temporary folders go")
    args = parser.parse_args()
    peak, own, _ = measure(["-c", "import spirit_jax.model_io.importing, spirit_jax.model_io.exporting"])
    print(f"imports alone: peak {peak:.2f} GiB, own {own:.2f} GiB", flush=True)
    for layers in args.layers:
        with tempfile.TemporaryDirectory(dir=args.room) as room:
            measure_model(ModelConfig(ROWS, layers=layers), Path(room))


if __name__ == "__main__":
    main()
