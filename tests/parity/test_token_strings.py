"""Token strings against what the published release gives: every case, errors included."""

import json
import re

import numpy as np
import pytest

from spirit_jax.tokens.streams import PUBLISHED_BASE, PUBLISHED_EXPRESSIVE, SpeechTokens
from spirit_jax.tokens.strings import parse, render
from tests.parity import golden
from tests.parity.published_strings import MISSING_STYLES, plain_codes, string_to_units, units_to_string
from tests.speech_codes import make_speech

pytestmark = pytest.mark.parity
# every part that begins with a mark and a digit is a whole token; the product refuses others
WELL_FORMED = re.compile(r"[^\[]*(?:\[(?:(?:Hu|Pi|St)\d+\]|(?!(?:Hu|Pi|St)\d)[^\[]*))*")


def outcome(function, *arguments, **kwargs):
    """The result, or the name of the error."""
    try:
        return function(*arguments, **kwargs)
    except (KeyError, TypeError, IndexError, ValueError, AttributeError) as error:
        return type(error).__name__


def failures(found, wanted, cases):
    return [
        json.dumps({"case": case, "found": f})
        for f, w, case in zip(found, wanted, cases, strict=True)
        if f != w
    ]


def test_units_to_string():
    cases = golden.load_json("golden_token_strings.json")["units_to_string"]
    found = [outcome(units_to_string, case["units"], **case["kwargs"]) for case in cases]
    assert cases
    assert not failures(found, [case.get("error") or case["output"] for case in cases], cases)


def test_the_product_renders_what_the_release_does():
    """Every golden case of plain numbers and the release's own options."""
    compared = 0
    for case in golden.load_json("golden_token_strings.json")["units_to_string"]:
        options = case["kwargs"]
        keys = {"units": options.get("hubert_key", "hubert")}
        keys |= {
            name: options.get(f"{name}_key", name)
            for name in ("pitch", "style")
            if options.get(f"has_{name}")
        }
        others = {key for key in options if key.endswith(("_dedup", "_rate"))}
        if "error" in case or others or (codes := plain_codes(case["units"], keys)) is None:
            continue
        assert render(SpeechTokens(codes), PUBLISHED_EXPRESSIVE) == case["output"]
        compared += 1
    assert compared >= 5


def test_the_product_parses_what_the_release_does():
    """Every golden case of plain numbers and the release's own options; its drawn style is left
    to the codec.
    """
    compared = 0
    for case in golden.load_json("golden_token_strings.json")["string_to_units"]:
        if "error" in case or case["kwargs"] or not WELL_FORMED.fullmatch(case["string"]):
            continue
        drawn = case["output"].get("style", "").startswith("<")
        output = {key: value for key, value in case["output"].items() if not (drawn and key == "style")}
        wanted = plain_codes(output, {"units": "hubert", "pitch": "pitch", "style": "style"})
        if wanted is None:
            continue
        found = parse(case["string"], PUBLISHED_EXPRESSIVE).codes
        for name in found:
            np.testing.assert_array_equal(found[name], wanted[name], err_msg=case["string"])
        assert wanted.keys() - found.keys() <= ({"style"} if "[St" not in case["string"] else set())
        compared += 1
    assert compared >= 5


def test_string_to_units():
    cases = golden.load_json("golden_token_strings.json")["string_to_units"]
    found, wanted = [], []
    for case in cases:
        result, expected = (
            outcome(string_to_units, case["string"], **case["kwargs"]),
            case.get("error") or case["output"],
        )
        if "[Pi" in case["string"] and isinstance(expected, dict):
            check_missing_style(case, result, expected)
        found.append(result)
        wanted.append(expected)
    assert cases
    assert not failures(found, wanted, cases)


def check_missing_style(case, result, expected):
    """Where the release draws a style at random, checks ours and takes it out of the comparison."""
    key = case["kwargs"].get("style_key", "style")
    drawn = "style_is_random_one_of" in case or ("[St" not in case["string"] and key in expected)
    if drawn:
        allowed = {str(style) for style in case.get("style_is_random_one_of", MISSING_STYLES)}
        styles = result.pop(key).split()
        assert len(styles) == case.get("style_count", len(expected[key].split()))
        assert len(set(styles)) <= 1
        assert set(styles) <= allowed
        expected.pop(key)


def test_every_missing_style_is_one_that_the_release_draws():
    cases = golden.load_json("golden_token_strings.json")["string_to_units"]
    drawn = {style for case in cases for style in case.get("style_is_random_one_of", ())}
    assert drawn == set(MISSING_STYLES)


def test_the_real_utterance_to_the_letter():
    real = json.loads(next(golden.require_real().glob("*.json")).read_text(encoding="utf-8"))
    units, pitch, style = (np.array(real[name], np.int32) for name in ("units", "pitch", "style"))
    assert render(make_speech(units), PUBLISHED_BASE) == real["base_string"]
    assert render(make_speech(units, pitch, style), PUBLISHED_EXPRESSIVE) == real["expressive_string"]


def records_with_strings(values):
    if {"string", "units"} <= set(values):
        yield values
    for value in values.values():
        if isinstance(value, dict):
            yield from records_with_strings(value)


def test_strings_of_encoded_audio():
    cases = list(records_with_strings(golden.load_json("golden_e2e.json")))
    assert cases
    for case in cases:
        flags = {f"has_{name}": name in case["units"] for name in ("pitch", "style")}
        assert units_to_string(case["units"], **flags) == case["string"]
        assert string_to_units(case["string"]) == case["string_to_units"]
