"""A codec on disk: it loads as it was saved, and damaged folders are refused."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import fingerprint
from spirit_jax.speech.codec import Codec, Decoder, StreamEncoder
from spirit_jax.speech.codec_folder import DECODERS, ENCODERS, load_codec, save_codec
from spirit_jax.speech.codec_identity import Identity, read_identity
from spirit_jax.speech.encoders.hubert import Hubert
from spirit_jax.speech.quantizers.linear import LinearQuantizer
from spirit_jax.speech.stored_parts import LATER, arrays_by_name, part_fingerprint
from spirit_jax.tokens.streams import Stream
from tests.speech.synthetic import babble
from tests.speech.tiny_codec import tiny_codec, with_parts
from tests.speech.tiny_encoders import AT_25_HZ, random_encoder


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("codec") / "codec"
    save_codec(tiny_codec(), folder)
    return folder


@dataclasses.dataclass(frozen=True)
class Emphasis:
    """A second encoder with a field of the unit encoder's name, and a setting."""

    quantizer: LinearQuantizer
    threshold: float = 0.1
    stream = Stream("emphasis", "Em", 21, 25.0)

    def encode(self, sounds):
        return [np.zeros(0, np.int32) for _ in sounds.wavs]


def change(folder, tmp_path, **values):
    """A copy of the folder with another codec.json."""
    copy = shutil.copytree(folder, tmp_path / "copy", dirs_exist_ok=True)
    about = json.loads((folder / "codec.json").read_text())
    (copy / "codec.json").write_text(json.dumps({**about, **values}))
    return copy


def read_and_load(folder):
    read_identity(folder)
    load_codec(folder)


@pytest.mark.parametrize(
    ("kind", "protocol"),
    [
        *((kind, StreamEncoder) for kind in ENCODERS.values()),
        *((kind, Decoder) for kind in DECODERS.values()),
    ],
)
def test_a_part_has_all_that_its_protocol_names(kind, protocol):
    named = {name for name in vars(protocol) if not name.startswith("_")}
    assert named <= set(dir(kind)) | {field.name for field in dataclasses.fields(kind)}


@pytest.mark.parametrize("variant", ["expressive", "base"])
def test_a_stored_codec_is_the_same(variant, tmp_path):
    codec, wav = tiny_codec(variant), babble(1.2, seed=8)[0]
    save_codec(codec, tmp_path / "codec")
    loaded = load_codec(tmp_path / "codec")
    assert (loaded.streams, loaded.fingerprint) == (codec.streams, codec.fingerprint)
    (speech,), (wanted,) = loaded.encode_batch([wav]), codec.encode_batch([wav])
    for name, codes in wanted.codes.items():
        np.testing.assert_array_equal(speech.codes[name], codes)
    np.testing.assert_array_equal(loaded.decode(speech), codec.decode(speech))


def test_a_hubert_with_a_batch_norm_is_stored_too(tmp_path):
    cfg = dataclasses.replace(AT_25_HZ, position_batch_norm=True)
    codec, wav = with_parts("base", hubert=Hubert(random_encoder(cfg), 1)), babble(1.2, seed=8)[0]
    save_codec(codec, tmp_path / "codec")
    loaded = load_codec(tmp_path / "codec")
    assert loaded.fingerprint == codec.fingerprint != tiny_codec("base").fingerprint
    (speech,), (wanted,) = loaded.encode_batch([wav]), codec.encode_batch([wav])
    np.testing.assert_array_equal(speech.units, wanted.units)


def test_a_folder_that_lacks_later_sizes_keeps_its_fingerprint(stored, tmp_path):
    """Of a version that did not know them, which wrote the fingerprint of the sizes it knew."""
    about = json.loads((stored / "codec.json").read_text())
    for encoder in about["encoders"]:
        for part in encoder["parts"].values():
            for sizes in (part["sizes"], part["sizes"].get("encoder", {})):
                for name in LATER:
                    sizes.pop(name, None)
    assert about != json.loads((stored / "codec.json").read_text())
    older = change(stored, tmp_path, **about)
    assert load_codec(older).fingerprint == about["fingerprint"]
    hubert = tiny_codec().encoders[0].hubert
    sizes = next(encoder["parts"]["hubert"]["sizes"] for encoder in about["encoders"])
    arrays = [np.ascontiguousarray(array).tobytes() for array in arrays_by_name(hubert.encoder).values()]
    assert part_fingerprint(hubert) == fingerprint(json.dumps(sizes, sort_keys=True).encode(), *arrays)


def test_a_codec_without_a_decoder_is_stored_too(tmp_path):
    codec = with_parts(vocoder_expressive=None, vocoder_base=None, style=None)
    save_codec(codec, tmp_path / "codec")
    assert load_codec(tmp_path / "codec").decoder is None
    assert read_identity(tmp_path / "codec") == Identity(codec.streams, codec.fingerprint)


def test_encoders_with_like_named_networks_keep_their_own_weights(tmp_path, monkeypatch):
    monkeypatch.setitem(ENCODERS, "emphasis", Emphasis)
    units, other = tiny_codec("base").encoders[0], LinearQuantizer([(np.eye(3, 21), np.arange(21.0))])
    codec = Codec((units, Emphasis(other)))
    save_codec(codec, tmp_path / "codec")
    loaded = load_codec(tmp_path / "codec")
    np.testing.assert_array_equal(loaded.encoders[1].quantizer.biases[0], other.biases[0])
    np.testing.assert_array_equal(loaded.encoders[0].quantizer.biases[0], units.quantizer.biases[0])
    assert loaded.fingerprint == codec.fingerprint
    for changed in (Emphasis(units.quantizer), Emphasis(other, threshold=0.2)):
        assert Codec((units, changed)).fingerprint != codec.fingerprint


def test_a_folder_of_other_things_is_left_alone(tmp_path):
    (tmp_path / "recording.wav").write_text("precious")
    with pytest.raises(UserError, match="other things"):
        save_codec(tiny_codec(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["recording.wav"]


def test_a_spoilt_folder_is_refused(stored, tmp_path):
    with pytest.raises(UserError, match="no such file"):
        load_codec(tmp_path)
    with pytest.raises(UserError, match="fingerprint = 0123"):
        load_codec(change(stored, tmp_path, fingerprint="0123"))
    for values, says in (
        ({"format": 3}, "format 2"),
        ({"colour": "red"}, "colour"),
        ({"encoders": [{"kind": "telepathy"}]}, "telepathy"),
        ({"streams": [{"name": "units"}]}, "stream keys"),
    ):
        folder = change(stored, tmp_path, **values)
        with pytest.raises(UserError, match=says):
            read_and_load(folder)


def test_spoilt_weights_are_refused(stored, tmp_path):
    copy = change(stored, tmp_path)
    weights = copy / "weights" / "hubert.safetensors"
    for spoil, says in (
        (lambda: weights.write_bytes(weights.read_bytes()[:-200]), "codec weights"),
        (lambda: shutil.copy(copy / "weights" / "quantizer.safetensors", weights), "do not fit"),
        (weights.unlink, "no such file"),
    ):
        spoil()
        with pytest.raises(UserError, match=says):
            load_codec(copy)


@pytest.mark.parametrize("kind", ["embedded", "speech", "vocoded"])
def test_a_folder_of_an_earlier_format_names_the_command_that_makes_it_again(kind, tmp_path):
    (tmp_path / "codec.json").write_text(json.dumps({"kind": kind, "unit_count": 100}))
    for read in (load_codec, read_identity):
        with pytest.raises(UserError, match="format 1, this version reads 2; make it again: python -m"):
            read(tmp_path)
