"""What is asked of the model besides the prompt: modality, sampling, length, stops and voice.

Options are checked as a whole before anything is computed. A setting that would have no effect is refused.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from spirit_jax.core.errors import UserError, require_seed
from spirit_jax.generation.inputs import Input
from spirit_jax.generation.sampling import GREEDY, Sampling
from spirit_jax.tokens.prompt_format import MIN_SPEECH_UNITS, Task
from spirit_jax.tokens.vocabulary import Modality

# new tokens by default: paper, section 4
NEW_TEXT, NEW_SPEECH_AFTER_TEXT, NEW_SPEECH_AFTER_SPEECH = 50, 200, 300
MADE = {Task.TRANSCRIBE: Modality.TEXT, Task.SPEAK: Modality.SPEECH}  # what these tasks give


@dataclasses.dataclass(frozen=True)
class Options:
    """output: of CONTINUE; by default text. temperature, top_p, top_k, repetition_penalty: see `Sampling`;
    the default is the paper's to continue, and greedy for the other tasks (our choice: measured, fewer wrong
    words). max_new_tokens: by default the paper's, for a transcript at least the prompt's length. seed: of
    what is drawn. stop: text ends before the first of these strings. speaker, style: numbers of the decoder's
    voice. published_rules: forbid the ids that the published release forbids, faults included.

    UserError for a value out of range, and for a setting without effect.
    """

    output: Modality | None = None
    task: Task = Task.CONTINUE
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    repetition_penalty: float | None = None
    max_new_tokens: int | None = None
    seed: int = 0
    stop: tuple[str, ...] = ()
    speaker: int | None = None
    style: int | None = None
    published_rules: bool = False

    def __post_init__(self):
        if self.max_new_tokens is not None and not 1 <= self.max_new_tokens < 2**30:
            rule, fix = "must be at least 1 and below 2^30", "the paper uses 50 for text"
            raise UserError("max_new_tokens", self.max_new_tokens, rule, fix)
        if not all(self.stop):
            raise UserError("stop", list(self.stop), "must be strings with letters", "leave it out for none")
        require_seed("seed", self.seed)
        for name, rule in self._without_effect():
            raise UserError(name, _value(getattr(self, name)), rule, "leave it out")

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> "Options":
        """Options by name, from Python or JSON: enumerations also by their values, one stop as a string, None
        for the default. UserError for an unknown name, and for a value of another type.
        """
        if unknown := values.keys() - READERS.keys():
            rule = f"is none of {', '.join(READERS)}"
            raise UserError("option", min(unknown), rule, "correct the name")
        return cls(
            **{name: READERS[name](name, value) for name, value in values.items() if value is not None}
        )

    @property
    def modality(self) -> Modality:
        """What is generated."""
        return MADE.get(self.task, self.output or Modality.TEXT)

    @property
    def sampling(self) -> Sampling:
        """How tokens are drawn."""
        default = Sampling() if self.task is Task.CONTINUE else GREEDY
        names = [field.name for field in dataclasses.fields(Sampling)]
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return dataclasses.replace(default, **given)

    @property
    def least_units(self) -> int:
        """Speech with fewer units is dropped."""
        return MIN_SPEECH_UNITS if self.modality is Modality.ARBITRARY else 0

    def new_tokens(self, prompt_tokens: int, after_text: bool) -> int:
        """New tokens at most, after a prompt of so many tokens that ends in text or in speech."""
        if self.max_new_tokens is not None:
            return self.max_new_tokens
        if self.task is Task.TRANSCRIBE:
            return max(NEW_TEXT, prompt_tokens)
        if self.modality is Modality.TEXT:
            return NEW_TEXT
        return NEW_SPEECH_AFTER_TEXT if after_text else NEW_SPEECH_AFTER_SPEECH

    def _without_effect(self) -> list[tuple[str, str]]:
        """Settings without effect, and why."""
        made, found = self.modality, []
        if self.output not in (None, made):
            found.append(("output", f"has no effect: to {self.task.value} gives {made.value}"))
        if self.sampling.temperature == 0:
            rule = "has no effect at temperature 0, which takes the likeliest token"
            found += [(name, rule) for name in ("top_p", "top_k") if getattr(self, name) is not None]
        if self.stop and made is Modality.SPEECH:
            found.append(("stop", "has no effect on speech"))
        if made is Modality.TEXT:
            voice = [name for name in ("speaker", "style") if getattr(self, name) is not None]
            found += [(name, "has no effect on text") for name in voice]
        return found


@dataclasses.dataclass(frozen=True)
class Request:
    """A prompt, and what is asked for."""

    prompt: Sequence[Input]
    options: Options = Options()


def _value(value: Any) -> Any:
    return value.value if isinstance(value, Modality) else value


def _enumeration(kind: type[Modality] | type[Task]) -> Callable[[str, Any], Any]:
    def read(name: str, value: Any) -> Any:
        try:
            return kind(value)
        except ValueError as error:
            known = ", ".join(member.value for member in kind)
            raise UserError(name, value, f"must be one of {known}", "correct it") from error

    return read


def _plain(*kinds: type) -> Callable[[str, Any], Any]:
    def read(name: str, value: Any) -> Any:
        if isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool)):
            return value
        raise UserError(name, value, f"must be of the type {kinds[-1].__name__}", "correct it")

    return read


def _strings(name: str, value: Any) -> tuple[str, ...]:
    values = (value,) if isinstance(value, str) else value
    if isinstance(values, list | tuple) and all(isinstance(one, str) for one in values):
        return tuple(values)
    raise UserError(name, value, "must be a string or a list of strings", "correct it")


# how each option is read, by name
READERS: dict[str, Callable[[str, Any], Any]] = {
    "output": _enumeration(Modality),
    "task": _enumeration(Task),
    **dict.fromkeys(("temperature", "top_p", "repetition_penalty"), _plain(int, float)),
    **dict.fromkeys(("top_k", "max_new_tokens", "seed", "speaker", "style"), _plain(int)),
    "stop": _strings,
    "published_rules": _plain(bool),
}
