"""`python -m spirit_jax generate`: continues, transcribes or reads prompts aloud.

python -m spirit_jax generate --checkpoint runs/demo --prompt-text "the cat" --output-modality speech
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import require_file, require_output_folder
from spirit_jax.generation.model_options import add_model_arguments, load_lm
from spirit_jax.generation.sampling import Sampling
from spirit_jax.generation.spirit_lm import Output, SpiritLM, default_sampling
from spirit_jax.speech import audio
from spirit_jax.tokens.prompt_format import Part, Task
from spirit_jax.tokens.streams import PUBLISHED_EXPRESSIVE, Streams
from spirit_jax.tokens.strings import find_tokens
from spirit_jax.tokens.vocabulary import Modality

MAX_SHOWN = 40  # letters of a text in an error


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    add = parser.add_argument
    add_model_arguments(parser)
    add("--prompt-text", nargs="+", default=[], metavar="TEXT", help="each text is a prompt")
    add("--prompt-audio", nargs="+", default=[], metavar="FILE", help="each sound file is a prompt")
    add("--prompt-seconds", type=float, metavar="S", help="use only the first S seconds of each sound file")
    add(
        "--task",
        choices=[task.value for task in Task],
        default=Task.CONTINUE.value,
        help="continue the prompt, write down its speech, or read its text aloud",
    )
    add(
        "--output-modality",
        choices=[modality.value for modality in Modality],
        default=Modality.TEXT.value,
        help="what a continuation consists of",
    )
    add(
        "--max-new-tokens",
        type=int,
        help="default: 50 for text, 200 for speech after text, 300 for speech after speech",
    )
    add("--temperature", type=float, help="0 is greedy; default: 0.8 to continue, 0 otherwise")
    add(
        "--top-p",
        type=float,
        default=Sampling.top_p,
        help="sample from the fewest tokens that together have this probability",
    )
    add("--seed", type=int, default=0)
    add("--out", type=Path, default=Path("generated"), help="folder for generated speech, as wav files")


def run(args: argparse.Namespace) -> int:
    """Prints one line of JSON for each prompt, and writes speech as wav files to `--out`."""
    task, sampling = Task(args.task), _sampling(args)
    _check(args)
    lm = load_lm(args.checkpoint, args)
    _refuse_token_strings(args.prompt_text, lm.vocabulary.streams)
    if task is Task.SPEAK or (task is Task.CONTINUE and args.output_modality != Modality.TEXT.value):
        lm.codec.check_voice(None, None)  # before anything is generated
    prompts: list[Sequence[Part]] = [[text] for text in args.prompt_text]
    if args.prompt_audio:
        prompts.extend([speech] for speech in lm.listen(args.prompt_audio, args.prompt_seconds))
    outputs = lm.generate(
        prompts, Modality(args.output_modality), task, args.max_new_tokens, sampling, args.seed
    )
    for number, (name, output) in enumerate(zip([*args.prompt_text, *args.prompt_audio], outputs)):
        files = save_speech(lm, output, args.out, f"{number:03d}")
        line = {
            "prompt": name,
            "task": task.value,
            "text": output.text,
            "audio": [str(file) for file in files],
            "tokens": len(output.ids),
        }
        print(json.dumps(line, ensure_ascii=False), flush=True)
    return 0


def save_speech(lm: SpiritLM, output: Output, folder: Path, stem: str) -> list[Path]:
    """Writes each part that is speech as a 16 kHz wav: stem.wav, stem-1.wav, ...; returns the files."""
    files = []
    for number, speech in enumerate(output.speech):
        files.append(folder / (f"{stem}-{number}.wav" if number else f"{stem}.wav"))
        audio.save(files[-1], lm.codec.decode(speech))
    return files


def _sampling(args: argparse.Namespace) -> Sampling:
    default = default_sampling(Task(args.task)).temperature
    return Sampling(default if args.temperature is None else args.temperature, args.top_p)


def _check(args: argparse.Namespace) -> None:
    """Raises a UserError for options that can't work, before anything is loaded."""
    if not args.prompt_text and not args.prompt_audio:
        raise UserError(
            "prompts", "none", "need at least one", 'give --prompt-text "..." or --prompt-audio FILE'
        )
    if args.max_new_tokens is not None and not 1 <= args.max_new_tokens < 2**30:
        raise UserError(
            "--max-new-tokens",
            args.max_new_tokens,
            "must be at least 1 and below 2^30",
            "the paper uses 50 for text",
        )
    if args.prompt_seconds is not None and not args.prompt_seconds > 0:
        raise UserError(
            "--prompt-seconds", args.prompt_seconds, "must be above 0", "leave it out to use whole files"
        )
    _refuse_token_strings(args.prompt_text, PUBLISHED_EXPRESSIVE)
    require_output_folder(args.out, "--out")
    for path in args.prompt_audio:
        require_file(path, "--prompt-audio")


def _refuse_token_strings(texts: Sequence[str], streams: Streams) -> None:
    """Raises a UserError for a text that spells tokens: it would be read letter by letter."""
    for number, text in enumerate(texts, 1):
        if found := find_tokens(text, streams):
            value = text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."
            rule = (
                f"text {number} spells {len(found)} tokens, the first {found[0][0]} at letter "
                f"{found[0].start() + 1}, but a text is read letter by letter"
            )
            fix = "give speech as --prompt-audio FILE, and leave tags out: they are added"
            raise UserError("--prompt-text", repr(value), rule, fix)
