import dataclasses
import re
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

from spirit_jax.config import MeshConfig, RopeScaling
from spirit_jax.core.errors import UserError
from spirit_jax.core.files import write_json
from spirit_jax.model_io.exporting import export_llama
from spirit_jax.model_io.foreign_folders import open_foreign_folder
from spirit_jax.model_io.importing import ImportOptions, import_llama
from spirit_jax.model_io.new_rows import Init, NewRowOptions
from spirit_jax.model_io.resumable_folder import Journal
from spirit_jax.model_io.vocabulary_plan import VocabularyRequest
from spirit_jax.sharding import make_mesh
from spirit_jax.tokens.text import TextTokenizer
from spirit_jax.tokens.vocabulary import Vocabulary
from tests.model.tiny import CONFIG
from tests.model_io.conftest import PIECES, SPEECH, TEXT_CONFIG
from tests.model_io.folders.llama_folders import INV_FREQ, equal, listing, read_config, tensors, write_folder
from tests.model_io.folders.tokenizer_folders import write_open_llama, write_twin
from tests.speech_codes import make_streams, make_vocabulary
from tests.weights_folder import load_stored


@pytest.mark.parametrize("init", list(Init))
def test_speech_rows_come_after_the_text_rows(tmp_path, source, init):
    plan = import_llama(
        source, tmp_path / "out", ImportOptions(SPEECH, NewRowOptions(init), rope_theta=100_000.0)
    )
    loaded, old = load_stored(tmp_path / "out"), tensors(TEXT_CONFIG)["model.embed_tokens.weight"]
    assert plan.vocabulary == loaded.vocabulary == make_vocabulary(PIECES, 10, 4, 3)
    assert loaded.config == dataclasses.replace(
        TEXT_CONFIG, rows=384, rope_theta=100_000.0, dtype=loaded.config.dtype, remat=loaded.config.remat
    )
    assert TextTokenizer.load(loaded.tokenizer_path).size == PIECES
    for table in (loaded.llama.embed_VD[...], loaded.llama.head_VD[...]):
        assert (np.abs(table[PIECES : loaded.vocabulary.size]).sum(1) > 0).all()
        assert (table[loaded.vocabulary.size :] == 0).all()
    np.testing.assert_array_equal(loaded.llama.embed_VD[:PIECES], old[:PIECES])
    new = np.asarray(loaded.llama.embed_VD[PIECES : loaded.vocabulary.size])
    if init is Init.MEAN:
        np.testing.assert_allclose(
            new, np.broadcast_to(old[:PIECES].mean(0), new.shape), rtol=1e-4, atol=1e-6
        )
    else:
        assert len(np.unique(new[:, 0])) == len(new)


def test_a_model_with_speech_rows_is_left_as_it_is(tmp_path, source):
    import_llama(source, tmp_path / "a", ImportOptions(SPEECH))
    export_llama(tmp_path / "a", tmp_path / "b")
    plan = import_llama(
        tmp_path / "b", tmp_path / "c", ImportOptions(VocabularyRequest(make_streams(units=7)))
    )
    assert plan.keep
    assert plan.vocabulary == make_vocabulary(PIECES, 10, 4, 3)
    assert equal(load_stored(tmp_path / "a").llama, load_stored(tmp_path / "c").llama)


def test_published_rows_are_recognised(tmp_path, tokenizer):
    for vocabulary in (Vocabulary.base(PIECES), Vocabulary.expressive(PIECES)):
        cfg = dataclasses.replace(CONFIG, rows=vocabulary.rows())
        folder = write_folder(tmp_path / str(cfg.rows), tensors(cfg), cfg)
        shutil.copy(tokenizer / "tokenizer.model", folder)
        plan = import_llama(
            folder, tmp_path / "out", ImportOptions(VocabularyRequest(make_streams(units=10)))
        )
        assert (plan.vocabulary, plan.rows, plan.keep) == (vocabulary, cfg.rows, True)


def test_as_is_and_no_tokenizer_leave_the_rows(tmp_path, source):
    plan = import_llama(source, tmp_path / "a", ImportOptions(VocabularyRequest(as_is=True)))
    assert (plan.rows, plan.vocabulary) == (384, Vocabulary.text_only(PIECES))
    (source / "tokenizer.model").unlink()
    plan = import_llama(source, tmp_path / "b")
    assert (plan.rows, plan.vocabulary) == (384, Vocabulary.text_only(384))
    assert equal(load_stored(tmp_path / "a").llama, load_stored(tmp_path / "b").llama)


def test_a_converted_model_is_restored_on_any_mesh(tmp_path):
    import_llama(write_folder(tmp_path / "a", tensors(dtype="bfloat16")), tmp_path / "b")
    one, eight = (
        load_stored(tmp_path / "b").llama,
        load_stored(tmp_path / "b", make_mesh(MeshConfig(2, 2, 2))).llama,
    )
    assert equal(one, eight)
    assert {leaf.dtype for leaf in jax.tree.leaves(one)} == {np.dtype(np.float32)}
    assert len(eight.embed_VD[...].sharding.device_set) == 8


def spoil_missing(arrays):
    del arrays["model.layers.1.mlp.up_proj.weight"]


def spoil_surplus(arrays):
    arrays["model.layers.0.self_attn.q_proj.bias"] = np.zeros(32, np.float32)


def spoil_shape(arrays):
    arrays["model.norm.weight"] = np.zeros(31, np.float32)


def spoil_type(arrays):
    arrays["model.norm.weight"] = np.zeros(32, np.int32)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (spoil_missing, "lacks 1 tensors, first model.layers.1.mlp.up_proj.weight"),
        (spoil_surplus, "q_proj.bias, which is neither used nor named as ignored"),
        (spoil_shape, r"model.norm.weight = \(31,\): must have shape \(32,\)"),
        (spoil_type, "model.norm.weight = I32: must be float32, float16 or bfloat16"),
    ],
)
def test_wrong_tensors_stop_it_before_anything_is_written(tmp_path, spoil, says):
    arrays = tensors()
    spoil(arrays)
    folder = write_folder(tmp_path / "a", arrays)
    before = listing(tmp_path)
    with pytest.raises(UserError, match=says):
        import_llama(folder, tmp_path / "out")
    assert listing(tmp_path) == before


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"model_type": "mistral"}, "model_type = mistral: must be llama"),
        ({"attention_bias": True}, "attention_bias = True"),
        (
            {"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0}},
            "rope_type = yarn: must be default or llama3",
        ),
        ({"num_hidden_layers": 3}, "lacks 9 tensors"),
        ({"intermediate_size": 40}, "must have shape"),
    ],
)
def test_a_wrong_configuration_stops_it_before_anything_is_written(tmp_path, config, says):
    folder = write_folder(tmp_path / "a", tensors(), **config)
    before = listing(tmp_path)
    with pytest.raises(UserError, match=re.escape(says)):
        import_llama(folder, tmp_path / "out")
    assert listing(tmp_path) == before


def test_tensors_named_as_ignored_are_passed_over(tmp_path):
    folder = write_folder(tmp_path / "a", {**tensors(), INV_FREQ: np.ones(4, np.float32)})
    import_llama(folder, tmp_path / "b")
    assert load_stored(tmp_path / "b").config.layers == CONFIG.layers


def test_a_head_that_contradicts_tied_embeddings_is_refused(tmp_path):
    folder = write_folder(tmp_path / "a", tensors(), tie_word_embeddings=True)
    with pytest.raises(UserError, match="declares tied embeddings, but lm_head.weight differs"):
        import_llama(folder, tmp_path / "b")


def test_a_tokenizer_larger_than_the_model_is_refused(tmp_path, tokenizer):
    folder = write_folder(tmp_path / "a", tensors())
    shutil.copy(tokenizer / "tokenizer.model", folder)
    with pytest.raises(UserError, match="has more ids than the model has rows"):
        import_llama(folder, tmp_path / "b")


def test_only_what_the_same_command_wrote_is_replaced(tmp_path):
    folder = write_folder(tmp_path / "a", tensors())
    import_llama(folder, tmp_path / "ours")
    import_llama(folder, tmp_path / "ours")
    export_llama(tmp_path / "ours", tmp_path / "theirs")
    before = listing(tmp_path)
    for start, source, out in (
        (import_llama, folder, "theirs"),
        (export_llama, tmp_path / "ours", "a"),
        (import_llama, folder, "a"),
    ):
        with pytest.raises(UserError, match="exists, and this command did not write it|contains the source"):
            start(source, tmp_path / out)
    assert listing(tmp_path) == before


class Killed(BaseException):
    """Stands for a signal."""


def test_an_interrupted_import_resumes_and_gives_the_same_bits(tmp_path, source, monkeypatch):
    import_llama(source, tmp_path / "whole", ImportOptions(SPEECH))
    steps = []
    add = Journal.add
    monkeypatch.setattr(
        Journal,
        "add",
        lambda self, key: (steps.append(key), add(self, key), len(steps) == 9 and _die()),
    )
    with pytest.raises(Killed):
        import_llama(source, tmp_path / "out", ImportOptions(SPEECH))
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr(Journal, "add", lambda self, key: (steps.append(key), add(self, key)))
    import_llama(source, tmp_path / "out", ImportOptions(SPEECH))
    assert len(steps) == len(set(steps)) == len(tensors())
    assert equal(load_stored(tmp_path / "out").llama, load_stored(tmp_path / "whole").llama)
    assert not list(tmp_path.glob(".*"))


def _die():
    raise Killed


def test_an_attempt_with_other_options_is_not_resumed(tmp_path, source, monkeypatch):
    add = Journal.add
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "add", lambda self, key: (add(self, key), _die()))
        with pytest.raises(Killed):
            import_llama(source, tmp_path / "out", ImportOptions(SPEECH, NewRowOptions(Init.RANDOM)))
    import_llama(source, tmp_path / "out", ImportOptions(SPEECH, NewRowOptions(Init.MEAN)))
    import_llama(source, tmp_path / "other", ImportOptions(SPEECH, NewRowOptions(Init.MEAN)))
    assert equal(load_stored(tmp_path / "out").llama, load_stored(tmp_path / "other").llama)


def test_config_json_reads_back_in_its_older_form_too(tmp_path):
    cfg = dataclasses.replace(CONFIG, rope_scaling=RopeScaling(original_max_position=64))
    folder = write_folder(tmp_path / "a", tensors(cfg), cfg)
    newer = open_foreign_folder(folder).config
    older = read_config(folder)
    del older["rope_parameters"]
    write_json(folder / "config.json", older)
    assert (
        open_foreign_folder(folder).config
        == newer
        == dataclasses.replace(cfg, dtype=newer.dtype, remat=newer.remat)
    )


def test_an_export_that_will_need_a_file_is_announced_and_the_fix_works(tmp_path, capsys):
    """From the import on, not only after a training."""
    size = write_open_llama(tmp_path / "source").size
    cfg = dataclasses.replace(CONFIG, rows=size)
    write_folder(tmp_path / "source", tensors(cfg), cfg)
    import_llama(tmp_path / "source", tmp_path / "weights", ImportOptions(SPEECH))
    said = capsys.readouterr().err
    assert "warning: tokenizer.model normalises text and removes extra spaces, so an export will need" in said
    assert f"put it into {tmp_path / 'weights'}" in said
    with pytest.raises(UserError, match="removes extra spaces") as caught:
        export_llama(tmp_path / "weights", tmp_path / "out")
    write_twin(tmp_path / "source", Path(caught.value.fix.removeprefix("put it into ")))
    export_llama(tmp_path / "weights", tmp_path / "out")
    back = import_llama(tmp_path / "out", tmp_path / "again")
    assert back.vocabulary == make_vocabulary(size, 10, 4, 3)
    assert back.tokenizer.fingerprint == TextTokenizer.load(tmp_path / "source").fingerprint


def test_a_source_with_the_file_needs_no_warning(tmp_path, capsys):
    size = write_open_llama(tmp_path / "source").size
    write_twin(tmp_path / "source", tmp_path / "source")
    cfg = dataclasses.replace(CONFIG, rows=size)
    write_folder(tmp_path / "source", tensors(cfg), cfg)
    import_llama(tmp_path / "source", tmp_path / "weights", ImportOptions(SPEECH))
    assert "warning" not in capsys.readouterr().err
    export_llama(tmp_path / "weights", tmp_path / "out")
