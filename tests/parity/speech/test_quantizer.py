"""Units from features against the published release's quantizers, on random weights in its file formats."""

import jax
import numpy as np
import pytest

from spirit_jax.speech.quantizers.linear import fill_blanks, load_quantizer
from tests.parity import golden
from tests.parity.golden import assert_close, assert_row

pytestmark = pytest.mark.parity
pytest.importorskip("torch", reason="reading the published files needs requirements-parity.txt")
FOLDER = golden.require("golden_quantizer.npz", "golden_hubert.npz", "hubert_25hz")
GOLDEN, HUBERT = np.load(FOLDER / "golden_quantizer.npz"), np.load(FOLDER / "golden_hubert.npz")
CASES = [
    name.removesuffix("|codes")
    for name in GOLDEN.files
    if name.endswith("|codes") and not name.startswith("kmeans")
]
KMEANS_CASES = [
    name.split("|")[1] for name in GOLDEN.files if name.startswith("kmeans|") and name.endswith("|codes")
]


@pytest.fixture(scope="module")
def linear():
    return load_quantizer(FOLDER / "hubert_25hz/L11_quantizer_500.pt")


@pytest.fixture(scope="module")
def kmeans():
    return load_quantizer(FOLDER / "hubert_25hz/kmeans_optional.pt")


def features_of(case: str) -> np.ndarray:
    """[B, T, D]: stored with the case, or HuBERT's of an utterance."""
    return GOLDEN[f"{case}|x"] if f"{case}|x" in GOLDEN.files else HUBERT[f"{case}|features"]


@pytest.mark.parametrize("case", [case for case in CASES if f"{case}|log_probs" in GOLDEN.files])
def test_log_probabilities(linear, case):
    log_probs = [jax.nn.log_softmax(linear(x_TD)) for x_TD in features_of(case)]
    assert_close(np.stack(log_probs), GOLDEN[f"{case}|log_probs"], case)


@pytest.mark.parametrize("case", CASES)
def test_classes(linear, case):
    classes = [np.argmax(linear(x_TD), axis=-1) for x_TD in features_of(case)]
    assert np.array_equal(np.stack(classes), GOLDEN[f"{case}|argmax_raw"])


@pytest.mark.parametrize("case", CASES)
def test_units(linear, case):
    """The published release treats a batch as one long utterance, whose rows fill each other's leading
    blanks; here rows stay apart.
    """
    classes_BT, released_BT, blank = (
        GOLDEN[f"{case}|argmax_raw"],
        GOLDEN[f"{case}|codes"],
        linear.unit_count - 1,
    )
    assert np.array_equal(fill_blanks(classes_BT.reshape(-1), blank), released_BT.reshape(-1))
    units = linear.quantize(list(features_of(case)))
    assert len(units) == len(classes_BT)
    if len(classes_BT) == 1:
        assert np.array_equal(units[0], released_BT[0])
    for row_T, unit_T, classes_T in zip(released_BT, units, classes_BT):
        assert np.array_equal(unit_T, fill_blanks(classes_T, blank))
        assert_row(unit_T, row_T, classes_T, blank)


@pytest.mark.parametrize("case", KMEANS_CASES)
def test_kmeans(kmeans, case):
    assert np.array_equal(kmeans.centers_VD, GOLDEN["kmeans|cluster_centers"])
    units = kmeans.quantize([features_of(case)[0]])[0]
    assert np.array_equal(units, GOLDEN[f"kmeans|{case}|codes"][0])
    assert np.array_equal(units, GOLDEN[f"kmeans|{case}|codes_unbatched"])
