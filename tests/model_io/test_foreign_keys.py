"""Keys of others' configurations: known ones of real files pass, unknown ones stop the conversion by name."""

import json
from pathlib import Path

import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import write_json
from spirit_jax.model_io.foreign_folders import open_foreign_folder
from spirit_jax.model_io.foreign_keys import KNOWN, READ, TABLE, check_keys
from spirit_jax.model_io.vocabulary_plan import read_tokenizer
from tests.model_io.folders.families import (
    CONFIGS,
    GENERATION,
    META_2_7B,
    META_3_1_8B,
    META_3_2_1B,
    TOKENIZER_2,
    TOKENIZER_3,
    write_small,
    write_tokenizers,
)
from tests.model_io.folders.llama_folders import tensors, write_folder
from tests.model_io.folders.tokenizer_folders import write_byte_level, write_sentencepiece


@pytest.fixture(scope="module")
def pieces(tmp_path_factory):
    return write_tokenizers(tmp_path_factory.mktemp("pieces"))


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "llama", tensors())


@pytest.mark.parametrize("name", CONFIGS)
def test_published_folders_are_read(tmp_path, pieces, name):
    folder, _ = write_small(name, tmp_path / "llama", pieces)
    open_foreign_folder(folder)
    assert read_tokenizer(folder).tokenizer.size


@pytest.mark.parametrize(
    ("part", "values"),
    [
        *(("config.json", config) for config in CONFIGS.values()),
        *(("params.json", params) for params in (META_2_7B, META_3_1_8B, META_3_2_1B)),
        ("generation_config.json", GENERATION),
        ("tokenizer_config.json", TOKENIZER_2),
        ("tokenizer_config.json", TOKENIZER_3),
    ],
)
def test_published_configurations_are_known(part, values):
    check_keys(values, part, Path(part))


def test_what_transformers_writes_is_known():
    transformers = pytest.importorskip("transformers")
    check_keys(transformers.LlamaConfig().to_dict(), "config.json", Path("config.json"))
    written = transformers.GenerationConfig().to_dict()
    assert set(written) <= KNOWN["generation_config.json"] | {None}


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("config.json", "sliding_window", 4096),
        ("config.json", "quantization_config", {"bits": 4}),
        ("config.json", "auto_map", {"AutoModel": "modeling.Other"}),
        ("rope", "mrope_section", [1, 2]),
        ("params.json", "moe", {"experts": 8}),
        ("generation_config.json", "new_way", 1),
        ("tokenizer_config.json", "auto_map", {"AutoTokenizer": ["other.Tokenizer", None]}),
        ("tokenizer.json", "segmenter", {"type": "new"}),
        ("tokenizer.json model", "random_merges", True),
        ("tokenizer.json added token", "stem", True),
    ],
)
def test_an_unknown_key_is_named_with_its_value_unless_it_is_null(part, key, value):
    with pytest.raises(UserError, match=f"f.json {key} = ") as caught:
        check_keys({key: value}, part, Path("f.json"))
    assert str(value) in str(caught.value)
    assert "neither read nor known not to matter" in str(caught.value)
    check_keys({key: None}, part, Path("f.json"))


def test_a_long_value_is_shortened():
    with pytest.raises(UserError) as caught:
        check_keys({"odd": "x" * 10_000}, "config.json", Path("config.json"))
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("config.json", "model_type", "mistral"),
        ("config.json", "is_encoder_decoder", True),
        ("config.json", "pruned_heads", {"0": [1]}),
        ("tokenizer_config.json", "sp_model_kwargs", {"enable_sampling": True}),
        ("tokenizer_config.json", "do_lower_case", True),
        ("tokenizer.json model", "dropout", 0.1),
    ],
)
def test_a_value_that_changes_the_model_or_its_tokens_is_refused(part, key, value):
    with pytest.raises(UserError, match=f"{key} = .*: must be "):
        check_keys({key: value}, part, Path(part))


def test_every_key_has_one_reason():
    for part, by_reason in TABLE.items():
        keys = " ".join(by_reason.values()).split()
        assert len(keys) == len(set(keys)), part
        assert all(reason for reason in by_reason)
        assert READ in by_reason or part == "generation_config.json"


@pytest.mark.parametrize(
    ("file", "values", "says"),
    [
        ("config.json", {"sliding_window": 64}, "config.json sliding_window = 64"),
        (
            "config.json",
            {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "sections": [1]}},
            r"config.json sections = \[1\]",
        ),
        ("generation_config.json", {"new_way": 1}, "generation_config.json new_way = 1"),
    ],
)
def test_a_model_with_an_unknown_key_is_not_opened(folder, file, values, says):
    path = folder / file
    write_json(path, (json.loads(path.read_text()) if path.is_file() else {}) | values)
    with pytest.raises(UserError, match=says):
        open_foreign_folder(folder)


@pytest.mark.parametrize("kind", ["sentencepiece", "byte level"])
def test_a_tokenizer_with_an_unknown_key_is_not_read(tmp_path, kind):
    (write_sentencepiece if kind == "sentencepiece" else write_byte_level)(tmp_path)
    write_json(tmp_path / "tokenizer_config.json", {"casefold": True})
    with pytest.raises(UserError, match="tokenizer_config.json casefold = True"):
        read_tokenizer(tmp_path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda values: values.update(segmenter=1), "tokenizer.json segmenter = 1"),
        (lambda values: values["model"].update(dropout=0.1), "tokenizer.json dropout = 0.1: must be 0.0"),
        (lambda values: values["model"].update(sampler=1), "tokenizer.json sampler = 1"),
        (lambda values: values["added_tokens"][0].update(stem=True), "tokenizer.json stem = True"),
        (lambda values: values.update(normalizer={"type": "New"}), "tokenizer.json: does not load: "),
    ],
)
def test_a_tokenizer_json_with_an_unknown_part_is_not_read(tmp_path, change, says):
    write_byte_level(tmp_path)
    values = json.loads((tmp_path / "tokenizer.json").read_text())
    change(values)
    (tmp_path / "tokenizer.json").write_text(json.dumps(values))
    with pytest.raises(UserError, match=says):
        read_tokenizer(tmp_path)


def varint(value: int) -> bytes:
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + varint(value >> 7)


def field(number: int, content: bytes) -> bytes:
    """A field of bytes in the wire format."""
    return varint(number << 3 | 2) + varint(len(content)) + content


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        (field(201, b"x"), "ModelProto 201"),
        (field(2, varint(200 << 3) + b"\x01"), "TrainerSpec 200"),
        (field(3, varint(7 << 3) + b"\x01"), "NormalizerSpec 7"),
    ],
)
def test_a_sentencepiece_model_with_an_unknown_field_is_not_read(tmp_path, extra, says):
    write_sentencepiece(tmp_path)
    path = tmp_path / "tokenizer.model"
    path.write_bytes(path.read_bytes() + extra)
    with pytest.raises(UserError, match=f"tokenizer.model = {says}: "):
        read_tokenizer(tmp_path)


def test_a_prefix_that_the_configuration_takes_away_is_noticed(tmp_path):
    write_sentencepiece(tmp_path)
    write_json(tmp_path / "tokenizer_config.json", {"add_prefix_space": True})
    read_tokenizer(tmp_path)
    write_json(tmp_path / "tokenizer_config.json", {"add_prefix_space": False})
    with pytest.raises(UserError, match="add_prefix_space = false: tokenizer.model says true"):
        read_tokenizer(tmp_path)
