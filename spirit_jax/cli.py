"""`python -m spirit_jax COMMAND`, also installed as `spirit`."""

import sys

from spirit_jax.core import commands

COMMANDS = {
    "train": ("spirit_jax.training.command", "continue pretraining, with checkpoints and metrics"),
    "check-pod": (
        "spirit_jax.pod_check.command",
        "compile a recipe's step for its TPU pod, without the pod; does it fit?",
    ),
    "train-codec": (
        "spirit_jax.codec_training.command",
        "train a part of a speech codec: the vocoder or the encoder of a stream",
    ),
    "generate": ("spirit_jax.generation.command", "continue, transcribe or speak prompts from a checkpoint"),
    "serve": ("spirit_jax.serving.command", "answer prompts over HTTP, with a page"),
    "eval": (
        "spirit_jax.evals.command",
        "tasks on held-out shards, and published benchmarks",
    ),
    "fit-classifier": (
        "spirit_jax.evals.judges.command",
        "a small classifier of sentiment or style, to judge what is generated",
    ),
    "judge-codec": (
        "spirit_jax.evals.codec_ears",
        "word errors of a recogniser in what a codec says of recordings",
    ),
    "report": ("spirit_jax.report.command", "one HTML page and one JSON file about a run"),
    "plot-alignment": (
        "spirit_jax.report.alignment_curves",
        "the alignment probe of several checkpoints in one picture",
    ),
    "paper": ("spirit_jax.paper.command", "the paper's ablations in small, and one page about them"),
    "convert": ("spirit_jax.model_io.command", "Llama weights in and out"),
    "convert-speech": ("spirit_jax.speech.commands.convert", "published speech checkpoints to a codec"),
    "encode": ("spirit_jax.speech.commands.encode", "sound files to codes and token strings"),
    "decode": ("spirit_jax.speech.commands.decode", "codes or token strings to wavs"),
    "resynthesize": ("spirit_jax.speech.commands.resynthesize", "sound files through a codec and back"),
}


def main() -> None:
    """Entry point of `spirit` and `python -m spirit_jax`."""
    raise SystemExit(
        commands.run(
            "python -m spirit_jax",
            "Spirit LM in JAX: train, generate, evaluate, convert.",
            COMMANDS,
            sys.argv[1:],
        )
    )
