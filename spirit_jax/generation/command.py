"""`python -m spirit_jax generate`: continue, transcribe or read aloud, from a checkpoint alone.

python -m spirit_jax generate --checkpoint runs/demo --prompt-text "the cat" --output-modality speech
"""

import argparse
import json
from pathlib import Path

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import require_file, require_place
from spirit_jax.generation.sampling import GREEDY, Sampling
from spirit_jax.generation.spirit_lm import Output, SpiritLM
from spirit_jax.speech import audio
from spirit_jax.tokens.prompt_format import Part, Task
from spirit_jax.tokens.vocabulary import Modality


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    parser.add_argument(
        "--checkpoint",
        required=True,
        help="run folder, one of its step folders, or a folder of converted weights",
    )
    parser.add_argument("--prompt-text", nargs="+", default=[], metavar="TEXT", help="texts, each a prompt")
    parser.add_argument(
        "--prompt-audio", nargs="+", default=[], metavar="FILE", help="sound files, each a prompt"
    )
    parser.add_argument(
        "--prompt-seconds",
        type=float,
        metavar="S",
        help="hear only the first so many seconds of each sound file",
    )
    parser.add_argument(
        "--task",
        choices=[task.value for task in Task],
        default=Task.CONTINUE.value,
        help="go on, write down speech, or read aloud",
    )
    parser.add_argument(
        "--output-modality",
        choices=[modality.value for modality in Modality],
        default=Modality.TEXT.value,
        help="for continue",
    )
    parser.add_argument(
        "--max-new-tokens", type=int, help="default: 50 for text, 200 for speech after text, 300 after speech"
    )
    parser.add_argument("--temperature", type=float, help="0 is greedy; default: 0.8 to continue, else 0")
    parser.add_argument(
        "--top-p",
        type=float,
        default=Sampling.top_p,
        help="sample from the fewest tokens of this probability",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--out", type=Path, default=Path("generated"), help="folder for speech, written as wav"
    )


def run(args: argparse.Namespace) -> int:
    """Prints one JSON line a prompt; speech goes to wav files in `--out`."""
    task = Task(args.task)
    temperature = (
        args.temperature
        if args.temperature is not None
        else Sampling.temperature
        if task is Task.CONTINUE
        else GREEDY.temperature
    )
    sampling = Sampling(temperature, args.top_p)
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
            "--prompt-seconds", args.prompt_seconds, "must be above 0", "leave it out to hear the files whole"
        )
    require_place(args.out, "--out")
    for path in args.prompt_audio:
        require_file(path, "--prompt-audio")
    lm = SpiritLM.load(args.checkpoint)
    prompts: list[list[Part]] = [[text] for text in args.prompt_text]
    prompts.extend(
        [speech]
        for speech in (lm.listen(args.prompt_audio, args.prompt_seconds) if args.prompt_audio else [])
    )
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
    """Writes each stretch of speech as 16 kHz wav; returns the files."""
    files = []
    for place, speech in enumerate(output.speech):
        files.append(folder / (f"{stem}.wav" if place == 0 else f"{stem}-{place}.wav"))
        audio.save(files[-1], lm.codec.decode(speech))
    return files
