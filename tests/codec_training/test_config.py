import pytest

from spirit_jax.codec_training.config import PitchRun, StepsConfig, StyleRun, VocoderRun
from spirit_jax.core.errors import UserError
from spirit_jax.core.settings import override

RUNS = [
    VocoderRun(StepsConfig(2)),
    PitchRun(StepsConfig(2)),
    StyleRun(StepsConfig(2), "teacher", "student"),
]


@pytest.mark.parametrize("run", RUNS, ids=lambda run: type(run).__name__)
def test_weights_to_start_from_are_refused_since_nothing_reads_them(run):
    with pytest.raises(UserError, match="init_from = llama: has no effect .* set checkpoint.init_from=null"):
        override(run, ["checkpoint.init_from=llama"])
    assert override(run, ["checkpoint.init_from=null"]) == run
