"""The one table of evaluation tasks.

A new task is a row of it, and a file of `suites/` if none there fits. Tasks of `HELD_OUT` ask about records
of shards, those of `DATA_SETS` about data sets that a user brings.
"""

from typing import Any

from spirit_jax.core.errors import UserError
from spirit_jax.evals.benchmarks import BENCHMARK_GROUPS, DATA_SETS
from spirit_jax.evals.suites.alignment import AlignmentProbe
from spirit_jax.evals.suites.continuations import DIRECTIONS, ContinuationChoice
from spirit_jax.evals.suites.ears import Hearing, Rating, continued, read, recorded, resynthesised
from spirit_jax.evals.suites.generated_perplexity import GeneratedPerplexity
from spirit_jax.evals.suites.kept import STYLE, KeptInSound, f0_errors, style_hits
from spirit_jax.evals.suites.losses import HeldOutLoss
from spirit_jax.evals.suites.token_rates import TokenRates
from spirit_jax.evals.suites.transcription import Transcription, recorded_speech, spoken_sound, spoken_tokens
from spirit_jax.evals.task import ResultKind, Task
from spirit_jax.tokens.interleave import Arrangement

CHOICE = {f"choice_{direction.name}": ContinuationChoice(direction) for direction in DIRECTIONS}
TRANSCRIPTION = {
    "wer_s2t": Transcription(
        "Transcribing speech",
        "Greedy transcripts of held-out speech.",
        recorded_speech,
        (Arrangement.ASR,),
    ),
    "wer_t2s": Transcription(
        "Reading aloud, heard as tokens",
        "Held-out texts read aloud by the model, and transcribed by it from the tokens that it spoke.",
        spoken_tokens,
        (Arrangement.TTS, Arrangement.ASR),
        max_items=128,
    ),
    "wer_t2s_audio": Transcription(
        "Reading aloud, heard as sound",
        "Held-out texts read aloud by the model, and transcribed by it from the decoded sound.",
        spoken_sound,
        (Arrangement.TTS, Arrangement.ASR),
        max_items=16,
    ),
}
EARS = {
    "ears_recording": Hearing(
        "Recordings, heard by a recogniser",
        "Held-out recordings as they are: the least errors that the next three can have.",
        recorded,
        needs_recordings=True,
    ),
    "ears_resynthesis": Hearing(
        "Resynthesis, heard by a recogniser",
        "The same from their codes, by the codec.",
        resynthesised,
    ),
    "ears_reading": Hearing(
        "Reading aloud, heard by a recogniser",
        "Held-out texts read aloud by the model.",
        read,
        (Arrangement.TTS,),
    ),
    "ears_continuation": Hearing(
        "Speech continued, heard by a recogniser",
        "Spoken beginnings with the model's continuations, against its own transcripts of them.",
        continued,
        (Arrangement.ASR,),
    ),
}
MOS = {
    "mos_recording": Rating("Recordings, rated", "Held-out recordings.", recorded, needs_recordings=True),
    "mos_resynthesis": Rating(
        "Resynthesis, rated", "The same from their codes, by the codec.", resynthesised
    ),
    "mos_reading": Rating(
        "Reading aloud, rated", "Held-out texts read aloud by the model.", read, (Arrangement.TTS,)
    ),
    "mos_continuation": Rating(
        "Speech continued, rated",
        "Spoken beginnings with the model's continuations.",
        continued,
        (Arrangement.ASR,),
    ),
}
KEPT = {
    "kept_f0": KeptInSound(
        "F0 of resynthesis",
        "Frames of held-out recordings whose resynthesis has another voicing, or an F0 that is 20 % off.",
        ResultKind.FRAME_ERROR_RATE,
        f0_errors,
        needs_recordings=True,
    ),
    "kept_style": KeptInSound(
        "Style of resynthesis",
        "Seconds of held-out speech whose style code is read again from the resynthesis.",
        ResultKind.ACCURACY,
        style_hits,
        stream=STYLE,
    ),
}
GEN_PPL = {f"gen_ppl_{direction.name}": GeneratedPerplexity(direction) for direction in DIRECTIONS}
HELD_OUT: dict[str, Task[Any]] = {
    "loss": HeldOutLoss(),
    **CHOICE,
    **TRANSCRIPTION,
    "token_rates": TokenRates(),
    "alignment": AlignmentProbe(),
    **EARS,
    **KEPT,
    **GEN_PPL,
    **MOS,
}
DEFAULT_TASKS = ("loss", "choice", "transcription", "token_rates")
TASKS: dict[str, Task[Any]] = {**HELD_OUT, **DATA_SETS}
GROUPS = {
    "choice": tuple(CHOICE),
    "transcription": tuple(TRANSCRIPTION),
    "ears": tuple(EARS),
    "kept": tuple(KEPT),
    "gen_ppl": tuple(GEN_PPL),
    "mos": tuple(MOS),
    **BENCHMARK_GROUPS,
}


def expand(names: list[str]) -> list[str]:
    """Task names of a list that may hold groups, in the table's order; an unknown one is a UserError."""
    if unknown := [name for name in names if name not in TASKS and name not in GROUPS]:
        raise UserError(
            "task", unknown[0], f"must be among {', '.join([*GROUPS, *TASKS])}", "name one of them"
        )
    wanted = {task for name in names for task in GROUPS.get(name, (name,))}
    return [name for name in TASKS if name in wanted]
