import dataclasses
import json

import pytest

from spirit_jax.config import Schedule, Source, resolve_paths
from spirit_jax.core.errors import UserError
from spirit_jax.core.settings import to_dict
from spirit_jax.runs.run_folder import check_owner, write_identity
from tests.speech_codes import make_streams, write_codec_json
from tests.training.tiny import VOCABULARY, StandInTokenizer, make_config


def write(out, config) -> None:
    write_identity(out, config, VOCABULARY, StandInTokenizer(), {}, {})


@pytest.fixture
def out(tmp_path):
    write(tmp_path / "run", make_config())
    return tmp_path / "run"


def test_a_folder_knows_its_run(out):
    assert {path.name for path in out.iterdir()} == {
        "config.json",
        "vocabulary.json",
        "data.json",
        "tokenizer.model",
    }
    check_owner(out, make_config())


@pytest.mark.parametrize(
    "changes",
    [
        {"mesh": {"data": 2}},
        {"train": {"log_every": 5, "evaluate_every": 7}},
        {"train": {"steps": 99}},
        {"checkpoint": {"every_steps": 1, "keep_last": 9, "keep_every": 3}},
    ],
)
def test_what_changes_neither_data_nor_numbers_may_differ(out, changes):
    check_owner(out, make_config(**changes))


def test_data_may_move_and_start_weights_with_their_name(out):
    """What was moved is known by fingerprints, which `check_identity` compares."""
    config = make_config(checkpoint={"init_from": "base"}, data={"codec": "codec"})
    write(out, dataclasses.replace(config, data=dataclasses.replace(config.data, codec=None)))
    (out / "config.json").write_text(json.dumps(to_dict(config)))
    check_owner(out, resolve_paths(config, "/local/disk"))
    renamed = dataclasses.replace(config.data, sources=(Source("elsewhere/other"),), tokenizer="elsewhere")
    check_owner(out, dataclasses.replace(config, data=renamed))
    for changed in (Source("shards", weight=2.0), Source("shards", split="other")):
        other = dataclasses.replace(config.data, sources=(changed,))
        with pytest.raises(UserError, match=r"data\.sources"):
            check_owner(out, dataclasses.replace(config, data=other))
    with pytest.raises(UserError, match=r"data\.codec"):
        check_owner(out, dataclasses.replace(config, data=dataclasses.replace(config.data, codec=None)))
    (out / "data.json").unlink()  # a run of an earlier version: only its paths say which data it was
    with pytest.raises(UserError, match=r"data\.sources"):
        check_owner(out, resolve_paths(config, "/local/disk"))


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"optim": {"peak_lr": 0.5}}, "optim.peak_lr 0.01 there, 0.5 here"),
        ({"train": {"seed": 3}}, "train.seed 0 there, 3 here"),
        ({"train": {"batch_rows": 8}}, "train.batch_rows 4 there, 8 here"),
        ({"data": {"speech_first": 0.1}}, "data.speech_first 0.5 there, 0.1 here"),
        ({"checkpoint": {"init_from": "x"}}, 'checkpoint.init_from null there, "x" here'),
    ],
)
def test_another_configuration_is_refused_with_the_difference(out, changes, difference):
    before = (out / "config.json").read_bytes()
    with pytest.raises(UserError) as refused:
        check_owner(out, make_config(**changes))
    assert difference in str(refused.value)
    assert (out / "config.json").read_bytes() == before


def test_a_cosine_run_keeps_its_number_of_steps(tmp_path):
    write(tmp_path, make_config(optim={"schedule": Schedule.COSINE}))
    with pytest.raises(UserError, match="train.steps 6 there, 7 here"):
        check_owner(tmp_path, make_config(optim={"schedule": Schedule.COSINE}, train={"steps": 7}))


def test_checkpoints_without_a_configuration_are_not_adopted(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    check_owner(tmp_path, make_config())  # killed before its first checkpoint: starts again
    (tmp_path / "checkpoints/3").mkdir()
    check_owner(tmp_path, make_config())  # killed while it saved its first checkpoint
    (tmp_path / "checkpoints/3/commit_success.txt").touch()
    with pytest.raises(UserError, match=r"no config.json"):
        check_owner(tmp_path, make_config())


def test_a_codec_that_is_no_runs_is_not_replaced(tmp_path):
    codecs = [tmp_path / name for name in ("own", "work/codec")]
    for codec in codecs:
        write_codec_json(codec, make_streams(9), codec.parent.name)
    with pytest.raises(UserError, match="holds the codec work"):
        check_owner(tmp_path / "work", make_config(data={"codec": str(codecs[0])}))
    check_owner(tmp_path / "work", make_config(data={"codec": str(codecs[1])}))
