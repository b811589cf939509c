"""Prompts, forbidden ids and outputs against what the published release gives: every case."""

import numpy as np
import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.generation.options import Options
from spirit_jax.tokens.prompt_format import MIN_SPEECH_UNITS, PromptFormat, Task
from spirit_jax.tokens.strings import find_tokens, parse_stream
from spirit_jax.tokens.text import train_tokenizer
from spirit_jax.tokens.vocabulary import Modality, Vocabulary
from tests.parity import golden
from tests.parity.published_prompts import (
    build_prompt,
    count_units,
    ends_with_speech,
    forbidden_ranges,
    last_speech,
    parse_parts,
    read_output,
    starts_with_speech,
)
from tests.prompt_strings import parse_prompt

pytestmark = pytest.mark.parity
TEXTS = ["Hello world, yes.", "some words", "a [b] c", "Here is: la réponse", "x\ny", "tail text t u abc pre"]
DECODED = "decode_from_generated_output_100_samples_per_hubert"


def cases(name):
    found = golden.load_json("golden_prompts.json")[name]
    assert found
    return found


@pytest.fixture(scope="module")
def form(tmp_path_factory) -> PromptFormat:
    """The product, with a tokenizer that spells the cases' letters and the expressive streams."""
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.model"
    tokenizer = train_tokenizer(TEXTS * 40, 310, path)
    return PromptFormat(Vocabulary.expressive(tokenizer.size), tokenizer, "", "")


def test_strings():
    functions = {
        "parse_speech_and_text": parse_parts,
        "find_prompt_last_speech_start_position": last_speech,
        "does_start_with_speech_token": starts_with_speech,
        "does_end_with_speech_token": ends_with_speech,
    }
    compared = 0
    for case in cases("strings"):
        for name in functions.keys() & case.keys():
            assert functions[name](case["string"]) == case[name]["output"], (name, case["string"])
            compared += 1
    assert compared > 600


def test_forbidden_ranges():
    for case in cases("get_forbidden_tokens"):
        flags = [case[key] for key in ("ban_special_tokens", "generate_only_speech", "generate_only_text")]
        if "error" in case:
            with pytest.raises(AssertionError):
                forbidden_ranges(*flags, case["ban_expressivity_tokens"])
            continue
        found = forbidden_ranges(*flags, case["ban_expressivity_tokens"])
        assert found == case["ranges_half_open_in_order"]
        assert sum(end - begin for begin, end in found) == case["n"]


@pytest.mark.parametrize("published", [True, False])
def test_the_product_forbids_what_the_release_does(published):
    """By its rules, to the last row of the table; by ours, the rows of padding too."""
    for case in cases("build_forbidden_tokens"):
        vocabulary = Vocabulary.expressive() if case["expressive"] else Vocabulary.base()
        wanted = np.zeros(vocabulary.rows(), bool)
        for begin, end in case["ranges_half_open_in_order"]:
            wanted[begin:end] = True
        wanted[vocabulary.size :] |= not published
        found = vocabulary.forbidden(Modality[case["output_modality"]], published=published)
        np.testing.assert_array_equal(found, wanted)


def test_prompts():
    for case in cases("build_prompt"):
        assert build_prompt(case["inputs"], case["output_modality"]) == case["prompt"]


def test_the_product_writes_the_prompts_that_the_release_does(form):
    """Where no part is empty and no text spells a tag, which the product takes as letters. Texts that follow
    each other are one text in the release.
    """
    compared = 0
    for case in cases("build_prompt"):
        inputs, streams = case["inputs"], form.vocabulary.streams
        texts = [content for kind, content in inputs if kind == "text"]
        kinds = [kind for kind, _ in inputs]
        joined = any(a == b == "text" for a, b in zip(kinds, kinds[1:]))
        if not inputs or joined or not all(content for _, content in inputs):
            continue
        if any(find_tokens(text, streams) for text in texts):
            continue
        parts = [
            content if kind == "text" else form.vocabulary.encode_stream(*parse_stream(content, streams))
            for kind, content in inputs
        ]
        found = form.encode(parts, Task.CONTINUE, Modality[case["output_modality"]])
        first = iter([False])  # the first text of the prompt, which begins the sentence

        def encode(text, first=first, kinds=kinds):
            return form.tokenizer.encode(text, inside=next(first, True) or kinds[0] == "speech")

        expected = parse_prompt(case["prompt"], form.vocabulary, encode)
        assert found.tolist() == [form.vocabulary.bos, *expected.tolist()], case["prompt"]
        compared += 1
    assert compared >= 20


def test_outputs():
    for case in cases(DECODED):
        found = read_output(case["output_modality"], case["prompt"], case["generated_content"])
        wanted = [
            part["content"]
            if part["type"] == "TEXT"
            else (part["content"]["first"], part["content"]["samples"])
            for part in case["output"]
        ]
        assert found == wanted, case


def test_the_product_reads_arbitrary_output_as_the_release_does(form):
    """Which texts and how many units. The product never puts a tag before arbitrary output, so cases whose
    prompt ends in one do not arise; spaces at the ends of a text are the tokenizer's.
    """
    compared = 0
    for case in cases(DECODED):
        prompt, content = case["prompt"], case["generated_content"]
        if case["output_modality"] != "ARBITRARY" or prompt.endswith("]") and not ends_with_speech(prompt):
            continue
        ids = parse_prompt(content[len(prompt) :], form.vocabulary, form.tokenizer.encode)
        found = [
            said.strip() if isinstance(said, str) else len(said.units)
            for said in form.decode(ids, MIN_SPEECH_UNITS)
        ]
        wanted = [
            part["content"].strip() if part["type"] == "TEXT" else units_of(part["content"], prompt)
            for part in case["output"]
        ]
        assert found == wanted, case
        compared += 1
    assert compared >= 12


def units_of(sound, prompt):
    """Units that were generated, of the samples that the release keeps and cuts."""
    before = count_units(prompt[last_speech(prompt) :]) if sound["first"] else 0
    return int(sound["first"] + sound["samples"]) // 100 - before


@pytest.mark.parametrize("name", ["convert_str_output_modality", "generation_input_from_tuple"])
def test_names_of_modalities(name):
    """The release ignores upper case; the product has one spelling, and refuses what it refuses."""
    for case in cases(name):
        value = case.get("value") or case["tuple"][0]
        if "error" in case:
            with pytest.raises(UserError, match="must be one of text, speech, arbitrary"):
                Options.from_mapping({"output": value})
        else:
            assert Options.from_mapping({"output": value.lower()}).modality is Modality[case["output"]]
