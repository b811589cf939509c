"""`python -m spirit_jax convert`: import, export, logits, verify."""

import argparse
from pathlib import Path

from spirit_jax.core.errors import UserError
from spirit_jax.model_io import conversion as convert
from spirit_jax.model_io import verification as verify
from spirit_jax.model_io.new_rows import Init, Start
from spirit_jax.model_io.vocabulary_plan import Request
from spirit_jax.speech.codec_folder import read_identity
from spirit_jax.tokens.streams import PUBLISHED_BASE, resized_streams

STREAMS = {"units": "units", "pitches": "pitch", "styles": "style"}  # by option


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the four verbs and their options."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    into = verbs.add_parser(
        "import",
        help="a Hugging Face or Meta Llama folder to a weights folder, with rows for the speech tokens",
    )
    into.add_argument(
        "source", type=Path, help="folder with config.json, or with params.json and consolidated.NN.pth"
    )
    into.add_argument("out", type=Path, help="the weights folder to write")
    into.add_argument(
        "--vocab", choices=("extend", "as-is"), default="extend", help="as-is: rows stay as they are"
    )
    into.add_argument("--units", type=int, help=f"phonetic units (default {PUBLISHED_BASE[0].size})")
    into.add_argument("--pitches", type=int, help="pitch codes (default 0)")
    into.add_argument("--styles", type=int, help="style codes (default 0)")
    into.add_argument(
        "--codec", type=Path, help="a codec folder: gives the three counts, and is put beside the weights"
    )
    into.add_argument(
        "--init",
        type=Init,
        choices=list(Init),
        default=Init.RANDOM,
        metavar="{random,mean,normal}",
        help="how new rows begin",
    )
    into.add_argument(
        "--init-scale",
        type=float,
        default=Start.scale,
        help="of the old rows' covariance, with --init normal (default %(default)s)",
    )
    into.add_argument("--seed", type=int, default=0, help="of the new rows")
    into.add_argument("--rope-theta", type=float, help="replaces the rotary base (the paper: 100000)")
    out_of = verbs.add_parser("export", help="a model of ours to a Hugging Face LlamaForCausalLM folder")
    out_of.add_argument("checkpoint", type=Path, help="weights folder, run folder or step folder")
    out_of.add_argument("out", type=Path, help="the folder to write")
    out_of.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), help="by default as stored")
    logits = verbs.add_parser("logits", help="logits of given ids")
    logits.add_argument("checkpoint", type=Path)
    logits.add_argument("--ids", type=Path, required=True, help=".npy with integers [B, T]")
    logits.add_argument("--out", type=Path, required=True, help=".npy to write: float32 [B, T, rows]")
    proof = verbs.add_parser(
        "verify",
        help="compare a converted model with its source: tensors to the bit, logits with transformers",
    )
    proof.add_argument("checkpoint", type=Path)
    proof.add_argument("source", type=Path)


def run(args: argparse.Namespace) -> int:
    """Runs one verb; `verify` exits with 1 if the sides differ."""
    if args.verb == "import":
        plan = convert.import_llama(args.source, args.out, _options(args))
        print(f"{args.out}: {plan.rows} rows, {plan.vocabulary.size} ids; {plan.reason}")
    elif args.verb == "export":
        convert.export_llama(args.checkpoint, args.out, args.dtype)
        print(f"{args.out}: a Hugging Face Llama folder")
    elif args.verb == "logits":
        print(f"{args.out}: float32 {verify.write_logits(args.checkpoint, args.ids, args.out).shape}")
    else:
        return _report(verify.verify(args.checkpoint, args.source))
    return 0


def _options(args: argparse.Namespace) -> convert.Options:
    counts = {"units": args.units, "pitches": args.pitches, "styles": args.styles}
    given = {name: count for name, count in counts.items() if count is not None}
    named = [f"--{name}" for name in given] + ["--codec"] * (args.codec is not None)
    if args.vocab == "as-is" and named:
        raise UserError(
            "--vocab", "as-is", f"adds no speech tokens, which {named[0]} asks for", "give one of the two"
        )
    if args.codec is not None:
        if given:
            raise UserError(
                "--codec", args.codec, f"says the counts, so {named[0]} can't", "give one of the two"
            )
        streams = read_identity(args.codec).streams
    else:
        sizes = {"units": PUBLISHED_BASE[0].size, **{STREAMS[name]: n for name, n in given.items()}}
        streams = resized_streams(sizes)
    request = Request(streams, as_is=args.vocab == "as-is") if named or args.vocab == "as-is" else None
    return convert.Options(request, Start(args.init, args.init_scale, args.seed), args.rope_theta, args.codec)


def _report(found: verify.Difference) -> int:
    tensors = (
        f"{len(found.tensors)} tensors differ, first {found.tensors[0]}"
        if found.tensors
        else "all tensors equal to the bit"
    )
    logits = (
        found.why_not
        if found.logits is None
        else f"largest difference of logits {found.logits:.1e} of the largest logit"
    )
    print(f"{tensors}; {logits}")
    return 0 if found.agrees else 1
