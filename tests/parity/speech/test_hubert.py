"""HuBERT features and units against the published release's, on random weights in its file format."""

import numpy as np
import pytest

from spirit_jax.speech.encoders.hubert import extract_features, load_hubert
from spirit_jax.speech.kernels.choice import fastest
from spirit_jax.speech.quantizers.linear import load_quantizer
from tests.parity import golden
from tests.parity.golden import assert_close, assert_row
from tests.parity.speech.encoder_stages import trace

pytestmark = pytest.mark.parity
pytest.importorskip("torch", reason="reading the published files needs requirements-parity.txt")
FOLDER = golden.require(
    "golden_hubert.npz", "golden_hubert.json", "golden_hubert_long.npz", "audio.npz", "hubert_25hz"
)
GOLDEN, LONG, AUDIO = (
    np.load(FOLDER / name) for name in ("golden_hubert.npz", "golden_hubert_long.npz", "audio.npz")
)
CASES = [name for name in AUDIO.files if f"{name}|features" in GOLDEN.files]
LAYER = int(GOLDEN["meta_output_layer"])


@pytest.fixture(scope="module")
def hubert():
    return load_hubert(FOLDER / "hubert_25hz/mhubert_base_25hz.pt", LAYER)


@pytest.fixture(scope="module")
def quantizer():
    return load_quantizer(FOLDER / "hubert_25hz/L11_quantizer_500.pt")


@pytest.fixture(scope="module", params=[lambda encoder: encoder, fastest], ids=["plain", "fast"])
def stages(hubert, request):
    return dict(zip(CASES, trace(request.param(hubert.encoder), [AUDIO[case] for case in CASES])))


def test_rates(hubert):
    assert hubert.encoder.cfg.hop == GOLDEN["meta_code_hop_size"]
    assert hubert.frame_rate == GOLDEN["meta_frame_rate"]


def test_features_alone_and_in_company(hubert):
    together = extract_features(hubert, [AUDIO[case] for case in CASES])
    for case, features_TD in zip(CASES, together):
        assert_close(features_TD, GOLDEN[f"{case}|features"][0], case)
        assert np.array_equal(features_TD, extract_features(hubert, [AUDIO[case]])[0])


@pytest.mark.parametrize("case", CASES)
def test_every_stage(stages, case):
    names = {name.partition("|")[2] for name in GOLDEN.files if name.startswith(f"{case}|")} & set(
        stages[case]
    )
    assert {"conv_features", f"layer{LAYER}"} <= names
    for name in sorted(names):
        assert_close(stages[case][name], GOLDEN[f"{case}|{name}"], f"{case} {name}")


@pytest.mark.parametrize("case", CASES)
def test_units(hubert, quantizer, case):
    for shape in (1, 2):  # [T] and [1, T]
        wav = AUDIO[case].reshape((1,) * (shape - 1) + (-1,))
        units = quantizer.quantize(extract_features(hubert, [wav]))[0]
        assert np.array_equal(units, GOLDEN[f"{case}|tokenizer_codes_{shape}d"])
    assert np.array_equal(units, GOLDEN[f"{case}|tokenizer_codes_3d"][0, 0])


def test_normalized_waveform(hubert):
    """`task_cfg.normalize` as intended; the published release itself fails on it."""
    normalized = type(hubert)(hubert.encoder, hubert.layer, 1e-5)
    for case in CASES:
        if f"{case}_normalized|features" in GOLDEN.files:
            assert_close(
                extract_features(normalized, [AUDIO[case]])[0], GOLDEN[f"{case}_normalized|features"][0], case
            )


def test_two_channels_are_averaged(hubert, quantizer):
    features = extract_features(hubert, [GOLDEN["stereo2ch|input"]])
    assert_close(features[0], GOLDEN["stereo2ch|dense"][0], "stereo")
    assert np.array_equal(quantizer.quantize(features)[0], GOLDEN["stereo2ch|codes"])


def test_batch(hubert, quantizer):
    rows = [AUDIO["chirp"][:24000], AUDIO["speech"][8000:32000]]
    features = extract_features(hubert, rows)
    units, released = quantizer.quantize(features), GOLDEN["batch2|codes"]
    assert released.shape == (len(rows), 1, len(units[0]))
    for unit_T, (released_T,), features_TD in zip(units, released, features):
        assert_row(unit_T, released_T, np.argmax(quantizer(features_TD), axis=-1), quantizer.unit_count - 1)


@pytest.mark.parametrize("name", [name for name in GOLDEN.files if name.startswith("chunk")])
def test_pieces(hubert, quantizer, name):
    piece, length, what = name.split("|")
    features = extract_features(
        hubert, [AUDIO["speech"][: int(length.removeprefix("n"))]], int(piece.removeprefix("chunk"))
    )
    if what == "dense":
        assert_close(features[0], GOLDEN[name][0], name)
    else:
        assert np.array_equal(quantizer.quantize(features)[0], GOLDEN[name])


@pytest.mark.parametrize(
    ("length", "expected"), golden.load_json("golden_hubert.json")["min_lengths"].items()
)
def test_short_input_gives_units_or_none(hubert, quantizer, length, expected):
    """Where the published release fails for want of samples, there is no unit."""
    units = quantizer.quantize(extract_features(hubert, [AUDIO["speech"][20000 : 20000 + int(length)]]))[0]
    assert units.tolist() == expected.get("codes", [])


@pytest.mark.slow
@pytest.mark.parametrize("length", sorted({name.split("|")[0] for name in LONG.files}))
def test_over_100_seconds(hubert, quantizer, length):
    both = np.concatenate([AUDIO["speech"], AUDIO["chirp"]])
    wav = np.tile(both, -(-int(length[1:]) // len(both)))[: int(length[1:])]
    assert np.array_equal(
        quantizer.quantize(extract_features(hubert, [wav]))[0], LONG[f"{length}|hubert_codes"]
    )
