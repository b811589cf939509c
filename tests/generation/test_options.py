import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.generation.options import Options
from spirit_jax.generation.sampling import GREEDY, Sampling
from spirit_jax.tokens.prompt_format import Task
from spirit_jax.tokens.vocabulary import Modality


@pytest.mark.parametrize(
    ("options", "prompt_tokens", "after_text", "modality", "new_tokens", "sampling"),
    [
        ({}, 9, True, Modality.TEXT, 50, Sampling(0.8, 0.95)),
        ({}, 9, False, Modality.TEXT, 50, Sampling(0.8, 0.95)),
        ({"output": "speech"}, 9, True, Modality.SPEECH, 200, Sampling(0.8, 0.95)),
        ({"output": "speech"}, 9, False, Modality.SPEECH, 300, Sampling(0.8, 0.95)),
        ({"output": "arbitrary"}, 9, True, Modality.ARBITRARY, 200, Sampling(0.8, 0.95)),
        ({"task": "speak"}, 9, True, Modality.SPEECH, 200, GREEDY),
        ({"task": "transcribe"}, 9, False, Modality.TEXT, 50, GREEDY),
        ({"task": "transcribe"}, 400, False, Modality.TEXT, 400, GREEDY),
        ({"task": "transcribe", "temperature": 1}, 9, False, Modality.TEXT, 50, Sampling(1, 0.95)),
        ({"task": "transcribe", "max_new_tokens": 7}, 400, False, Modality.TEXT, 7, GREEDY),
        ({"top_k": 5, "top_p": 0.5, "repetition_penalty": 2}, 9, True, Modality.TEXT, 50,
         Sampling(0.8, 0.5, 5, 2)),
    ],
)  # fmt: skip
def test_defaults_are_the_papers(options, prompt_tokens, after_text, modality, new_tokens, sampling):
    found = Options.from_mapping(options)
    assert found.modality is modality
    assert found.new_tokens(prompt_tokens, after_text) == new_tokens
    assert found.sampling == sampling


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"task": "transcribe", "output": "speech"}, "output"),
        ({"task": "speak", "output": "arbitrary"}, "output"),
        ({"temperature": 0, "top_p": 0.9}, "top_p"),
        ({"temperature": 0.0, "top_k": 3}, "top_k"),
        ({"task": "transcribe", "top_p": 0.9}, "top_p"),
        ({"output": "speech", "stop": "."}, "stop"),
        ({"task": "speak", "stop": ["."]}, "stop"),
        ({"speaker": 0}, "speaker"),
        ({"task": "transcribe", "style": 1}, "style"),
    ],
)
def test_what_has_no_effect_is_refused(values, name):
    with pytest.raises(UserError, match=f"^{name} = .*has no effect"):
        Options.from_mapping(values)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"top-p": 0.9}, "option = top-p: is none of output, task, temperature"),
        ({"output": "video"}, "output = video: must be one of text, speech, arbitrary"),
        ({"output": 3}, "output = 3"),
        ({"task": "sing"}, "task = sing"),
        ({"temperature": "0.8"}, "temperature = 0.8: must be of the type float"),
        ({"temperature": True}, "temperature = True"),
        ({"temperature": -1}, "temperature = -1"),
        ({"top_k": 1.5}, "top_k = 1.5"),
        ({"max_new_tokens": 0}, "max_new_tokens = 0"),
        ({"max_new_tokens": 10**12}, "max_new_tokens"),
        ({"seed": -1}, "seed = -1"),
        ({"seed": 2**32}, "seed"),
        ({"stop": 3}, "stop = 3"),
        ({"stop": [""]}, "stop"),
        ({"stop": ["a", 1]}, "stop"),
        ({"published_rules": 1}, "published_rules = 1"),
    ],
)
def test_other_values_are_refused(values, says):
    with pytest.raises(UserError) as refused:
        Options.from_mapping(values)
    assert says in str(refused.value)


def test_none_is_the_default_and_enumerations_are_taken_as_they_are():
    given = {"output": None, "task": Task.CONTINUE, "seed": None, "stop": None}
    assert Options.from_mapping(given) == Options()
    assert Options.from_mapping({"output": Modality.SPEECH, "stop": None}).modality is Modality.SPEECH
    assert Options.from_mapping({"stop": "end"}).stop == ("end",)
