"""What a codec keeps, on an Expresso in miniature."""

import json

import numpy as np
import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.evals.benchmarks import RESYNTHESIS
from spirit_jax.evals.evaluation import Evaluation
from spirit_jax.evals.metrics.f0_errors import count_frame_errors
from spirit_jax.evals.results import to_json
from spirit_jax.evals.task import measure
from spirit_jax.speech import audio
from spirit_jax.tokens.vocabulary import Modality
from tests.evals.fakes import PlantedModel
from tests.generation.world import Tones, sentence
from tests.speech_codes import make_speech

pytest.importorskip("whisper_normalizer")
STYLES = ("happy", "sad", "whisper")
ITEMS = 6


def write_expresso(root, items=ITEMS):
    """Recording i has style i % 3 and is a tone of unit 10 (i % 3)."""
    folder = root / "expresso"
    texts, listed = [], []
    for number in range(items):
        style, id = STYLES[number % 3], f"ex01_{STYLES[number % 3]}_{number:05d}"
        wav = Tones().decode(make_speech(np.array([10 * (number % 3)] * 25)))
        audio.save(folder / f"audio_48khz/read/ex01/{style}/base/{id}.wav", wav)
        texts.append(f"{id}\t{sentence(number)}\n")
        listed.append(f"{id}\n")
    (folder / "splits").mkdir(parents=True)
    (folder / "read_transcriptions.txt").write_text("".join(texts))
    (folder / "splits/dev.txt").write_text("".join(listed[:-1]))
    (folder / "splits/train.txt").write_text(listed[-1])
    return root


class Codec(Tones):
    """Keeps tones up to unit 15, and makes others silent."""

    def decode(self, speech, speaker=None, style=None):
        kept = speech.units <= 15
        return super().decode(speech) * np.repeat(kept, 640)


class Ears:
    """Hears the text of a tone, nothing in silence."""

    about = "ears"

    def __init__(self, texts):
        self.texts = texts

    def transcribe(self, wavs):
        return [text if np.abs(wav).max() > 0 else "" for text, wav in zip(self.texts, wavs)]


class StyleJudge:
    labels, about = STYLES, "styles"

    def classify(self, wavs):
        units = [Tones().encode_batch([wav])[0].units[0] if np.abs(wav).max() else 20 for wav in wavs]
        return [STYLES[round(unit / 10)].upper() for unit in units]


class Judged:
    classifiers = {Modality.SPEECH: StyleJudge()}
    recogniser = Ears([sentence(number) for number in (0, 3, 1, 4, 2)])  # in the order of the paths


class Model(PlantedModel):
    codec = Codec()


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_expresso(tmp_path_factory.mktemp("data"))


def ask(name, root, codec=None, split="dev"):
    model = Model()
    model.codec = codec or Codec()
    return measure(RESYNTHESIS[name], Evaluation(model, [], data=root, judges=Judged(), split=split))


def test_words_are_lost_where_the_sound_is(root):
    result = ask("resynthesis_wer", root)
    assert result.details["original"] == 0.0
    assert result.value == pytest.approx(1 / 5), "one of five is silent, and as long as the others"
    silent = [row for row in result.rows if row["counted"]]
    assert [row["style"] for row in silent] == ["whisper"]
    assert all(row["counted_in_original"] == 0 < row["of"] for row in result.rows)
    assert ask("resynthesis_wer", root, Tones()).value == 0.0
    assert "counted_in_original" not in ask("resynthesis_ffe", root).rows[0]


def test_styles_are_kept_or_not(root):
    result = ask("resynthesis_style", root)
    assert (result.value, result.details["original"], result.n) == (1.0, 1.0, 5)

    class Flat(Tones):
        def decode(self, speech, speaker=None, style=None):
            return super().decode(make_speech(np.zeros(len(speech.units), int)))

    flat = ask("resynthesis_style", root, Flat())
    assert (flat.value, flat.details["original"]) == (2 / 5, 1.0)


def test_a_classifier_of_something_else_is_refused(root):
    class Sentiments(StyleJudge):
        labels = ("positive", "negative")

    class Wrong:
        classifiers = {Modality.SPEECH: Sentiments()}

    with pytest.raises(UserError, match="none of the styles happy"):
        measure(RESYNTHESIS["resynthesis_style"], Evaluation(Model(), [], data=root, judges=Wrong()))


def test_the_same_pitch_has_no_frame_errors_and_silence_many(root):
    assert ask("resynthesis_ffe", root, Tones()).value < 0.1
    assert ask("resynthesis_ffe", root).value > 0.15
    assert "original" not in ask("resynthesis_ffe", root).details


@pytest.mark.parametrize(
    ("other", "errors"),
    [
        ([100, 0, 200, 100], 0),
        ([119, 0, 170, 100], 0),
        ([121, 0, 200, 100], 1),
        ([0, 100, 200, 100], 2),
        ([100, 0, 200, 100, 300], 0),
    ],
)
def test_a_frame_error_is_of_voicing_or_a_fifth_of_the_pitch(other, errors):
    assert count_frame_errors(np.array([100, 0, 200, 100.0]), np.array(other, float)) == (errors, 4)


def test_what_cannot_be_used_is_set_aside(tmp_path):
    write_expresso(tmp_path)
    path = next((tmp_path / "expresso").rglob("*_00000.wav"))
    path.write_bytes(b"RIFF")
    texts = tmp_path / "expresso/read_transcriptions.txt"
    texts.write_text("".join(line for line in texts.read_text().splitlines(True) if "_00001" not in line))
    result = ask("resynthesis_wer", tmp_path)
    assert result.n == 3
    assert result.details["set_aside"] == {"no_text": 1, "unreadable": 1}
    assert ask("resynthesis_style", tmp_path).n == 4


def test_the_result_is_json_with_the_papers_figures(root):
    once = to_json(ask("resynthesis_style", root))
    assert json.loads(json.dumps(once)) == once
    assert once["paper"] == {"original": 0.652, "base": 0.204, "expressive": 0.414}
    assert once["codec"] == "tones"


@pytest.mark.parametrize(
    ("gone", "says"), [("expresso", "no folder expresso"), ("expresso/splits", "split dev")]
)
def test_missing_data_is_named_with_its_layout_and_source(tmp_path, gone, says):
    write_expresso(tmp_path)
    (tmp_path / gone).rename(tmp_path / "gone")
    with pytest.raises(UserError, match=says) as caught:
        RESYNTHESIS["resynthesis_wer"].fingerprint(tmp_path, "dev")
    assert "read_transcriptions.txt" in str(caught.value)
    assert "https://" in str(caught.value)
