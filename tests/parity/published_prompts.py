"""Prompts and outputs in the published release's own form, as strings, with every quirk. The product has the
plain form (`spirit_jax.tokens.prompt_format`).
"""

import math
import re

TAGS = {"TEXT": "[Text]", "SPEECH": "[Speech]"}
SPEECH = r"\[(?:Hu|Pi|St)"
TOKEN = re.compile(SPEECH + r"[^\]]*(?:\]|$)")
LEAST = 25  # of what is counted, one more than the units


def parse_parts(string):
    """[content, "s" or "t"]: runs of speech tokens, whatever they contain, and of text; tags join runs."""
    parts, at = [], 0
    while at < len(string):
        token = TOKEN.match(string, at)
        tag = next((tag for tag in TAGS.values() if string.startswith(tag, at)), None)
        content = token[0] if token else tag or string[at]
        at += len(content)
        if tag and not token:
            continue
        kind = "s" if token else "t"
        if parts and parts[-1][1] == kind:
            parts[-1][0] += content
        else:
            parts.append([content, kind])
    return parts


def last_speech(string):
    """Where the last run of whole speech tokens begins; None where there is none."""
    runs = list(re.finditer(rf"(?:{SPEECH}\d+\])+", string))
    return runs[-1].start() if runs else None


def starts_with_speech(string):
    """Whether there is a token of at most seven letters at the start."""
    return string is not None and bool(re.match(SPEECH + r".{1,7}\]", string, re.DOTALL))


def ends_with_speech(string):
    """The same at the end."""
    return string is not None and bool(re.search(SPEECH + r".{1,7}\]\Z", string, re.DOTALL))


def build_prompt(inputs, output):
    """A tag before each change of modality, and before the output if it has another one."""
    prompt, now = "", None
    for kind, content in inputs:
        prompt += (TAGS[kind.upper()] if kind != now else "") + content
        now = kind
    return prompt + (TAGS[output] if output in TAGS and output.lower() != now else "")


def forbidden_ranges(special, only_speech, only_text, expressive):
    """Half-open ranges of ids, in order. AssertionError for both modalities alone."""
    assert not (only_speech and only_text)
    ranges = [[32000, 32002]] if special else []
    ranges += [[0, 32000]] if only_speech else []
    if only_text:  # adjacent to the tags, if those are there
        ranges = [[ranges[0][0] if special else 32002, 32667 if expressive else 32503]]
    return ranges


def count_units(string):
    return string.count("[Hu")


def read_output(output, prompt, content):
    """What the release makes of a generated string: texts, and of speech (samples cut, samples kept), with
    100 samples for each unit.
    """
    new = content[len(prompt) :].strip()
    if output == "TEXT":
        return [new]
    parts = parse_parts(new)
    if output == "SPEECH":
        units = sum(count_units(part) for part, kind in parts if kind == "s")
        return [(0 if units else None, 100 * units)]
    return [said for n, part in enumerate(parts) if (said := _say(*part, n, prompt, new)) is not None]


def _say(part, kind, number, prompt, new):
    """One part of arbitrary output; None for speech that is too short. Speech that continues the prompt's is
    spoken together with it, and cut as if one more unit had been spoken.
    """
    if kind == "t":
        return part
    units = count_units(part)
    first = number == 0 and starts_with_speech(new)
    if first and not ends_with_speech(prompt):
        return (0, 100 * units)
    if units + 1 < LEAST:
        return None
    if not first:
        return (0, 100 * units)
    before = count_units(prompt[last_speech(prompt) :])
    samples = 100 * (before + units)
    cut = math.ceil(before * samples / (before + units + 1))
    return (cut, samples - cut)
