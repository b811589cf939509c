import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.core.foreign_config import ForeignConfig

IGNORED = {"training": ("dropout", "seed"), "names": ("author",)}


def test_a_key_that_nothing_reads_stops_it_by_name_and_value():
    config = ForeignConfig("config.json", {"width": 3, "dropout": 0.1, "gate": "swish"})
    assert config["width"] == 3
    with pytest.raises(UserError, match=r"config\.json gate = 'swish': is a key that is neither read nor"):
        config.finish(IGNORED)
    assert config.get("gate") == "swish"
    config.finish(IGNORED)


def test_to_look_for_a_key_is_not_to_read_it():
    config = ForeignConfig("config.json", {"gate": None})
    assert "gate" in config
    assert [*config] == ["gate"]
    with pytest.raises(UserError, match="gate = None"):
        config.finish(IGNORED)


def test_keys_of_which_some_values_are_implemented():
    fixed = {"act": ("gelu", "relu"), "bias": (False,)}
    config = ForeignConfig("config.json", {"act": "relu"})
    config.require(fixed)
    config.finish({})
    with pytest.raises(UserError, match=r"config\.json bias = True: must be False: others are not"):
        ForeignConfig("config.json", {"bias": True}).require(fixed)


def test_parts_have_keys_too():
    config = ForeignConfig("model.pt", {"mel": {"rate": 16000, "floor": [1] * 99}, "name": "x"})
    mel = config.part("mel")
    assert mel["rate"] == 16000
    with pytest.raises(UserError, match=r"^model\.pt mel floor = \[1, 1, 1, 1, 1, 1, \.\.\.\]"):
        mel.finish({})
    with pytest.raises(UserError, match="model.pt name = 'x': must be keys"):
        config.part("name")
    with pytest.raises(KeyError):
        config.part("absent")
