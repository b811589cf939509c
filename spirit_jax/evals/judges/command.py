"""`python -m spirit_jax fit-classifier`: a small classifier from the training split of a data set.

python -m spirit_jax fit-classifier --data twins --kind speech --out judges/speech
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import require_output_folder
from spirit_jax.evals.hearing import load_sounds
from spirit_jax.evals.judges.small_classifier import SETTINGS, train_classifier
from spirit_jax.evals.layouts import stsp, styled_speech, toxicity_prompts
from spirit_jax.evals.layouts.trials import Sound
from spirit_jax.tokens.vocabulary import Modality

HELD_OUT = 5  # of so many examples one is held out, to say how good the classifier is


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of data sets with stsp/, expresso/ or jigsaw/"
    )
    parser.add_argument(
        "--kind",
        choices=["text", "speech", "style", "toxicity"],
        required=True,
        help="sentiment of texts or speech (stsp/), style of speech (expresso/), toxicity of texts (jigsaw/)",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the classifier")


def run(args: argparse.Namespace) -> int:
    """Trains on the training split, and prints the accuracy on the part of it that was held out."""
    require_output_folder(args.out, "--out", SETTINGS)
    given, labels = _read(args.data, args.kind)
    kept = np.arange(len(given)) % HELD_OUT != 0
    if len(set(labels)) < 2 or len(given) < 2 * HELD_OUT:
        rule = f"has {len(given)} examples of {len(set(labels))} labels"
        raise UserError("training split", args.data, rule, f"give {2 * HELD_OUT} or more of two or more")
    judge = train_classifier(
        [one for one, keep in zip(given, kept) if keep], [one for one, keep in zip(labels, kept) if keep]
    )
    unseen = [one for one, keep in zip(given, kept) if not keep]
    right = [label for label, keep in zip(labels, kept) if not keep]
    hits = sum(one == other for one, other in zip(judge.classify(unseen), right))
    judge.save(args.out)
    print(f"{args.out}: {', '.join(judge.labels)}; right in {hits} of {len(right)} held-out examples")
    return 0


def _read(root: Path, kind: str) -> tuple[list, list[str]]:
    """Texts or sounds, and their labels. Sounds that cannot be read are counted in a warning."""
    if kind == "toxicity":
        pairs = toxicity_prompts.read_comments(root)
    elif kind == "style":
        recordings = [one for one in styled_speech.read_styled(root, stsp.SHOWN) if not one.fault]
        pairs = [(one.sound, one.style) for one in recordings]
    else:
        found = stsp.read_expressions(root, Modality(kind), stsp.SHOWN)
        pairs = [(one.said, one.sentiment) for one in found if not one.fault]
    sounds = [said for said, _ in pairs if isinstance(said, Sound)]
    heard = dict(zip(sounds, load_sounds(sounds)))
    usable = [(heard.get(said, said) if isinstance(said, Sound) else said, label) for said, label in pairs]
    usable = [(one, label) for one, label in usable if isinstance(one, str | np.ndarray)]
    if bad := len(pairs) - len(usable):
        print(f"warning: {bad} of {len(pairs)} sounds cannot be read and are left out", file=sys.stderr)
    return [one for one, _ in usable], [label for _, label in usable]
