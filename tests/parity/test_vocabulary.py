"""Banned ids against what the published release bans."""

import numpy as np
import pytest

from spirit_jax.tokens.vocabulary import Modality, Vocabulary
from tests.parity import golden

pytestmark = pytest.mark.parity


def test_forbidden_ids():
    cases = golden.load_json("golden_prompts.json")["build_forbidden_tokens"]
    assert cases
    for case in cases:
        vocabulary = Vocabulary.expressive() if case["expressive"] else Vocabulary.base()
        wanted = np.zeros(vocabulary.size, bool)
        for begin, end in case["ranges_half_open_in_order"]:
            wanted[begin:end] = True
        found = vocabulary.forbidden(Modality[case["output_modality"]])
        np.testing.assert_array_equal(found[: vocabulary.size], wanted)
        assert found[vocabulary.size :].all()
