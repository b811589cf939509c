"""`python -m spirit_jax report`: one HTML page and one JSON file about a run.

python -m spirit_jax report --run runs/demo --eval-before before.json --eval-after after.json \
    --shards shards --out runs/demo
"""

import argparse
import json
from pathlib import Path

import jax

from spirit_jax.config import ModelConfig
from spirit_jax.core.errors import UserError
from spirit_jax.core.files import (
    existing_folder,
    read_json,
    read_jsonl,
    require_file,
    require_output_folder,
    write_json,
    write_text,
)
from spirit_jax.core.paths import resolved
from spirit_jax.evals.evaluation import read_records
from spirit_jax.evals.judges.judges import Judges
from spirit_jax.evals.recordings import find_recordings
from spirit_jax.evals.results import read_results
from spirit_jax.generation.model_options import add_model_arguments, load_lm
from spirit_jax.model.llama import Llama
from spirit_jax.report import figures, page
from spirit_jax.report.decoder import read_decoder
from spirit_jax.report.examples import hear, make_examples, show_utterance
from spirit_jax.report.numbers import facts, loss_rows, report_numbers, result_tables, tiles, transcripts
from spirit_jax.report.stages import read_stages

RECORDS = 300


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    add_model_arguments(parser, "--run")
    parser.add_argument(
        "--eval-before", type=Path, help="what eval wrote for the checkpoint that training began with"
    )
    parser.add_argument(
        "--eval-after",
        type=Path,
        nargs="+",
        required=True,
        help="what eval wrote for the run, in one or more files",
    )
    parser.add_argument(
        "--shards", required=True, help="folder of aligned shards, for the utterance and the examples"
    )
    parser.add_argument("--split", default="heldout")
    parser.add_argument(
        "--manifest",
        type=Path,
        help="the corpus's manifest.jsonl: shows recordings, too, not only their resynthesis",
    )
    parser.add_argument("--asr", type=Path, help="folder of a Whisper model, which writes what it hears")
    parser.add_argument(
        "--stages", type=Path, nargs="*", default=[], help="what commands wrote with --stage-log, for a table"
    )
    parser.add_argument(
        "--decoder", type=Path, help="run folder of train-codec, whose held-out figures are shown"
    )
    parser.add_argument("--title", help="default: the run folder's name")
    parser.add_argument(
        "--examples",
        type=int,
        default=3,
        help="sentences that the model continues, reads aloud and transcribes",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="folder for report.html and report.json")


def run(args: argparse.Namespace) -> int:
    """Writes the two files and prints where they are."""
    require_output_folder(args.out, "--out")
    run_folder = existing_folder(args.run, "--run")
    rows = list(read_jsonl(run_folder / "metrics.jsonl"))
    config = read_json(run_folder / "config.json")
    before = read_results(args.eval_before) if args.eval_before else {}
    after = {name: result for path in args.eval_after for name, result in read_results(path).items()}
    stages = read_stages(args.stages)
    decoder = read_decoder(args.decoder) if args.decoder else {}
    judges = Judges(args.asr)
    judges.load(["asr"] if args.asr else [])
    if args.manifest:
        require_file(args.manifest, "--manifest")
    if args.examples < 0:
        raise UserError("--examples", args.examples, "must be at least 0", "3 make a readable page")
    lm = load_lm(args.run, args)
    records = read_records(lm, args.shards, args.split, RECORDS)
    parameters = _count_parameters(lm.llama.cfg)
    recordings = find_recordings(args.manifest, {one.id for one in records}) if args.manifest else {}
    examples = make_examples(lm, records, args.examples, args.seed, recordings)
    numbers = report_numbers(rows, before, after)
    html = page.render(
        {
            "title": args.title or resolved(run_folder).name,
            "tiles": tiles(numbers),
            "facts": facts(numbers, parameters),
            "tables": result_tables(before, after),
            "loss_rows": loss_rows(before, after),
            "loss_svg": figures.loss_curves(rows),
            "utterance": show_utterance(lm, records, recordings),
            "examples": hear(examples, judges.recogniser) if args.asr else examples,
            "decoder": decoder,
            "stages": stages,
            "transcripts": transcripts(after),
            "config": json.dumps(config, indent=2),
        }
    )
    write_text(args.out / "report.html", html)
    write_json(args.out / "report.json", {**numbers, "decoder": decoder, "stage_seconds": stages})
    print(f"{args.out / 'report.html'}\n{args.out / 'report.json'}")
    return 0


def _count_parameters(cfg: ModelConfig) -> int:
    shapes = jax.eval_shape(lambda: Llama(cfg, jax.random.key(0)))
    return sum(weight.size for weight in jax.tree.leaves(shapes))
