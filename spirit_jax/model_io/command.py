"""`python -m spirit_jax convert`: import, export, logits, verify."""

import argparse
from pathlib import Path

from spirit_jax.core.errors import UserError
from spirit_jax.model.device_options import add_mesh_argument, read_mesh
from spirit_jax.model_io.exporting import export_llama
from spirit_jax.model_io.importing import ImportOptions, import_llama
from spirit_jax.model_io.new_rows import Init, NewRowOptions
from spirit_jax.model_io.verification import Difference, verify, write_logits
from spirit_jax.model_io.vocabulary_plan import VocabularyRequest
from spirit_jax.speech.codec_identity import read_identity
from spirit_jax.tokens.streams import COUNT_NAMES, PUBLISHED_BASE, resized_streams


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the four verbs and their options."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    _add_import_arguments(verbs)
    exporter = verbs.add_parser("export", help="write a model as a Hugging Face LlamaForCausalLM folder")
    exporter.add_argument("checkpoint", help="weights folder, run folder or folder of a step")
    exporter.add_argument("out", type=Path, help="the folder to write")
    exporter.add_argument(
        "--dtype", choices=("float32", "bfloat16", "float16"), help="type of the weights (default: as stored)"
    )
    logits = verbs.add_parser("logits", help="write the logits of given ids")
    logits.add_argument("checkpoint", help="weights folder, run folder or folder of a step")
    logits.add_argument("--ids", type=Path, required=True, help=".npy file of integers [B, T]")
    logits.add_argument("--out", type=Path, required=True, help=".npy file to write: float32 [B, T, rows]")
    add_mesh_argument(logits)
    verifier = verbs.add_parser(
        "verify",
        help="compare a model with its source or export: tensors to the bit, logits with transformers",
    )
    verifier.add_argument("checkpoint", help="weights folder, run folder or folder of a step")
    verifier.add_argument("source", type=Path, help="the Llama folder to compare with")
    add_mesh_argument(verifier)


def _add_import_arguments(verbs: argparse._SubParsersAction) -> None:
    importer = verbs.add_parser(
        "import", help="convert a Llama folder to a weights folder, with rows for the speech tokens"
    )
    importer.add_argument(
        "source", type=Path, help="folder with config.json, or with params.json and consolidated.NN.pth"
    )
    importer.add_argument("out", type=Path, help="the weights folder to write")
    importer.add_argument(
        "--vocab",
        choices=("extend", "as-is"),
        default="extend",
        help="as-is: add no rows (default %(default)s)",
    )
    defaults = {stream.name: stream.size for stream in PUBLISHED_BASE}
    for option, stream in COUNT_NAMES.items():
        text = f"number of codes of the stream {stream} (default {defaults.get(stream, 0)})"
        importer.add_argument(f"--{option}", type=int, help=text)
    importer.add_argument(
        "--codec", type=Path, help="a codec folder: gives the numbers of codes, and is copied to the weights"
    )
    importer.add_argument(
        "--init",
        type=Init,
        choices=list(Init),
        default=Init.RANDOM,
        metavar="{random,mean,normal}",
        help="how new rows are initialised (default random)",
    )
    importer.add_argument(
        "--init-scale",
        type=float,
        default=NewRowOptions.scale,
        help="with --init normal: factor of the old rows' covariance (default %(default)s)",
    )
    importer.add_argument("--seed", type=int, default=0, help="seed of the new rows (default %(default)s)")
    importer.add_argument("--rope-theta", type=float, help="replaces the rotary base (the paper: 100000)")


def run(args: argparse.Namespace) -> int:
    """Runs one verb. `verify` returns 1 if the models differ."""
    if args.verb == "import":
        plan = import_llama(args.source, args.out, _import_options(args))
        print(f"{args.out}: {plan.rows} rows, {plan.vocabulary.size} ids; {plan.reason}")
    elif args.verb == "export":
        export_llama(args.checkpoint, args.out, args.dtype)
        print(f"{args.out}: a Hugging Face Llama folder")
    elif args.verb == "logits":
        written = write_logits(args.checkpoint, args.ids, args.out, read_mesh(args.mesh))
        print(f"{args.out}: float32 {written.shape}")
    else:
        return _report(verify(args.checkpoint, args.source, read_mesh(args.mesh)))
    return 0


def _import_options(args: argparse.Namespace) -> ImportOptions:
    new_rows = NewRowOptions(args.init, args.init_scale, args.seed)
    return ImportOptions(_request(args), new_rows, args.rope_theta, args.codec)


def _request(args: argparse.Namespace) -> VocabularyRequest | None:
    """What the options ask for; None if they leave it to the folder."""
    given = {name: count for name in COUNT_NAMES if (count := getattr(args, name)) is not None}
    named = [f"--{name}" for name in given] + ["--codec"] * (args.codec is not None)
    if args.vocab == "as-is":
        if named:
            rule = f"adds no speech tokens, which {named[0]} asks for"
            raise UserError("--vocab", "as-is", rule, "give one of the two")
        return VocabularyRequest(as_is=True)
    if args.codec is not None:
        if given:
            rule = f"determines the numbers of codes, which {named[0]} sets too"
            raise UserError("--codec", args.codec, rule, "give one of the two")
        return VocabularyRequest(read_identity(args.codec).streams)
    if not given:
        return None
    sizes = {stream.name: stream.size for stream in PUBLISHED_BASE}
    sizes |= {COUNT_NAMES[name]: count for name, count in given.items()}
    return VocabularyRequest(resized_streams(sizes))


def _report(found: Difference) -> int:
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
