"""`python -m spirit_jax generate`: continues, transcribes or reads prompts aloud.

python -m spirit_jax generate --checkpoint runs/demo --prompt-text "the cat" --output-modality speech
python -m spirit_jax generate --checkpoint runs/demo --prompt text:"the cat said" audio:a.wav
python -m spirit_jax generate --checkpoint runs/demo --prompts prompts.jsonl --out generated
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import require_file, require_output_folder
from spirit_jax.generation import prompt_files
from spirit_jax.generation.inputs import Input, Sound, check_text, load_sounds, read_word
from spirit_jax.generation.model_options import add_model_arguments, load_lm
from spirit_jax.generation.options import Options, Request
from spirit_jax.generation.result_files import save_speech, summarize_output
from spirit_jax.generation.sampling import Sampling
from spirit_jax.tokens.prompt_format import Task
from spirit_jax.tokens.streams import PUBLISHED_EXPRESSIVE
from spirit_jax.tokens.vocabulary import Modality

# the options of `Options`, by the name of their argument
NAMES = {"output_modality": "output"} | {
    name: name
    for name in (
        *("task", "temperature", "top_p", "top_k", "repetition_penalty", "max_new_tokens", "seed"),
        *("stop", "speaker", "style", "published_rules"),
    )
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    add = parser.add_argument
    add_model_arguments(parser)
    add("--prompt-text", nargs="+", default=[], metavar="TEXT", help="each text is a prompt")
    add("--prompt-audio", nargs="+", default=[], metavar="FILE", help="each sound file is a prompt")
    add(
        "--prompt",
        nargs="+",
        action="append",
        default=[],
        metavar="PART",
        help='a prompt of several parts in order, such as text:"good morning" audio:a.wav tokens:[Hu3][Hu5]; '
        "may be repeated",
    )
    add("--prompts", type=Path, metavar="FILE", help="JSON lines, a prompt in each; results go to --out")
    add("--prompt-seconds", type=float, metavar="S", help="use only the first S seconds of each sound file")
    add("--strict", action="store_true", help="exit with 1 if a line of --prompts was set aside")
    add("--out", type=Path, default=Path("generated"), help="folder for generated speech, as wav files")
    _add_options(add)


def _add_options(add: Any) -> None:
    add("--task", choices=[task.value for task in Task], help="continue the prompt (default), write down its "
        "speech, or read its text aloud")  # fmt: skip
    add("--output-modality", choices=[modality.value for modality in Modality], help="what a continuation "
        "consists of (default: text)")  # fmt: skip
    add("--max-new-tokens", type=int, metavar="N", help="default: 50 for text, 200 for speech after text, "
        "300 for speech after speech")  # fmt: skip
    add("--temperature", type=float, metavar="T", help="0 is greedy; default: 0.8 to continue, 0 otherwise")
    add("--top-p", type=float, metavar="P", help="sample from the fewest tokens that together have this "
        f"probability (default: {Sampling.top_p})")  # fmt: skip
    add("--top-k", type=int, metavar="K", help="sample from the K likeliest tokens (default: all)")
    add("--repetition-penalty", type=float, metavar="R", help="divides the logits of tokens that occurred, "
        "prompt included; 1 is none")  # fmt: skip
    add("--seed", type=int, help="default: 0")
    add("--stop", nargs="+", metavar="STRING", help="text ends before the first of these strings")
    add("--speaker", type=int, help="number of the vocoder's speaker (default: the codec's)")
    add("--style", type=int, help="number of the vocoder's speaking style (default: the codec's)")
    add("--published-rules", action="store_true", default=None, help="forbid the tokens that Meta's release "
        "forbids, faults included")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Prints one line of JSON for each prompt, and writes speech as wav files to `--out`. With `--prompts`,
    the lines go to a file there.
    """
    given = {name: getattr(args, argument) for argument, name in NAMES.items()}
    options = Options.from_mapping(given)
    _check(args)
    if args.prompts is not None:
        lm = load_lm(args.checkpoint, args)
        summary = prompt_files.answer(lm, args.prompts, given, args.out, prompt_files.identify(args))
        print(json.dumps(summary), flush=True)
        if summary["n_quarantined"]:
            where = args.out / prompt_files.QUARANTINE
            print(f"warning: {summary['n_quarantined']} lines were set aside, see {where}", file=sys.stderr)
        return int(args.strict and summary["n_quarantined"] > 0)
    prompts = _prompts(args)
    lm = load_lm(args.checkpoint, args)
    for text in args.prompt_text:
        check_text(text, lm.vocabulary.streams)
    if options.modality is not Modality.TEXT:
        lm.codec.check_voice(options.speaker, options.style)  # before anything is generated
    requests = [Request(load_sounds(parts, args.prompt_seconds), options) for _, parts in prompts]
    for number, ((name, _), output) in enumerate(zip(prompts, lm.respond(requests))):
        files = save_speech(output, args.out, f"{number:03d}")
        line = {"prompt": name, "task": options.task.value, **summarize_output(output, files)}
        print(json.dumps(line, ensure_ascii=False), flush=True)
    return 0


def _prompts(args: argparse.Namespace) -> list[tuple[Any, list[Input]]]:
    """The name of each prompt, and its parts."""
    texts: list[tuple[Any, list[Input]]] = [(text, [text]) for text in args.prompt_text]
    sounds: list[tuple[Any, list[Input]]] = [(name, [Path(name)]) for name in args.prompt_audio]
    return [*texts, *sounds, *((words, [read_word(word) for word in words]) for words in args.prompt)]


def _check(args: argparse.Namespace) -> None:
    """Raises a UserError for options that can't work, before anything is loaded."""
    single = [*args.prompt_text, *args.prompt_audio, *args.prompt]
    if not single and args.prompts is None:
        fix = 'give --prompt-text "..." or --prompt-audio FILE'
        raise UserError("prompts", "none", "need at least one", fix)
    if args.prompts is not None and (single or args.prompt_seconds is not None):
        rule = "takes neither other prompts nor --prompt-seconds"
        raise UserError("--prompts", args.prompts, rule, "write them into the file")
    if args.strict and args.prompts is None:
        raise UserError("--strict", True, "is of --prompts", "leave it out: a bad prompt ends the command")
    if args.prompt_seconds is not None and not args.prompt_seconds > 0:
        raise UserError(
            "--prompt-seconds", args.prompt_seconds, "must be above 0", "leave it out to use whole files"
        )
    for text in args.prompt_text:
        check_text(text, PUBLISHED_EXPRESSIVE)
    parts = [part for _, prompt in _prompts(args) for part in prompt]
    sounds = [part for part in parts if isinstance(part, Sound)]
    if args.prompt_seconds is not None and not sounds:
        raise UserError("--prompt-seconds", args.prompt_seconds, "has no effect on text", "leave it out")
    require_output_folder(args.out, "--out")
    for path in [*sounds, *([args.prompts] if args.prompts is not None else [])]:
        require_file(path, "prompt file")
