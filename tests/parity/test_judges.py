"""Judges in Hugging Face folders against transformers on random weights. Needs requirements-parity.txt."""

import numpy as np
import pytest

from spirit_jax.evals.judges.classifiers import load_classifier
from spirit_jax.evals.judges.recognisers import load_recogniser
from spirit_jax.evals.judges.toxicity import load_toxic_labels
from spirit_jax.speech.audio import normalize
from spirit_jax.speech.encoders.wav2vec2.checkpoints import HF_EPS
from spirit_jax.tokens.vocabulary import Modality
from tests.parity.test_transformers_live import SIZES, randomize

torch = pytest.importorskip("torch", reason="needs requirements-parity.txt")
transformers = pytest.importorskip("transformers", reason="needs requirements-parity.txt")
pytestmark = pytest.mark.parity

RNG = np.random.default_rng(0)
WAVS = [RNG.normal(0, 0.2, count).astype(np.float32) for count in (16_000, 9_000, 30_000, 4_321)]
WORDS = ("the", "fox", "saw", "a", "hen", "and", "fed", "it", "gladly", "sadly")
TEXTS = ["the fox saw a hen", "a hen fed it gladly and sadly", "it", " ".join(WORDS * 20)]
SPECIAL = ("<|endoftext|>", "<|startoftranscript|>", "<|notimestamps|>")
LABELS = {0: "fine", 1: "toxic", 2: "neutral"}


def draw_weights(model):
    """So large that outputs differ between inputs."""
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.normal_(0, 2 / weight.shape[-1] ** 0.5)
    return model.eval()


def likeliest(model, inputs) -> list[str]:
    """The label that transformers computes of each of the inputs, read alone."""
    with torch.inference_mode():
        labels = [LABELS[int(model(**one).logits[0].argmax())] for one in inputs]
    assert len(set(labels)) > 1
    return labels


def write_whisper(folder):
    """A Whisper that says bytes, English alone."""
    from tokenizers.pre_tokenizers import ByteLevel

    vocab = {piece: id for id, piece in enumerate([*sorted(ByteLevel.alphabet()), *SPECIAL])}
    end, start, no_times = (vocab[piece] for piece in SPECIAL)
    tokenizer = transformers.WhisperTokenizer(vocab=vocab, merges=[], pad_token=SPECIAL[0])
    ends = {"pad_token_id": end, "bos_token_id": end, "eos_token_id": end}
    config = transformers.WhisperConfig(
        vocab_size=len(vocab),
        d_model=32,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=48,
        decoder_ffn_dim=48,
        max_target_positions=40,
        decoder_start_token_id=start,
        **ends,
    )
    model = draw_weights(transformers.WhisperForConditionalGeneration(config))
    settings = {"max_length": 24, "is_multilingual": False, "no_timestamps_token_id": no_times}
    model.generation_config = transformers.GenerationConfig(decoder_start_token_id=start, **ends, **settings)
    features = transformers.WhisperFeatureExtractor()
    transformers.WhisperProcessor(features, tokenizer).save_pretrained(folder)
    model.save_pretrained(folder)
    return model, features, tokenizer


def test_a_whisper_folder_hears_what_transformers_generates(tmp_path):
    model, features, tokenizer = write_whisper(tmp_path)
    expected = []
    for wav in WAVS:
        mel = features(wav, sampling_rate=16_000, return_tensors="pt").input_features
        with torch.inference_mode():
            ids = model.generate(mel, num_beams=5)[0]
        expected.append(tokenizer.decode(ids, skip_special_tokens=True).strip())
    assert len(set(expected)) > 1
    recogniser = load_recogniser(tmp_path)
    heard = recogniser.transcribe([*WAVS, WAVS[0][:0]])
    assert heard == [*expected, ""]
    assert "transformers" in recogniser.about


def write_text_classifier(folder):
    known = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    tokenizer = transformers.BertTokenizer(vocab={word: id for id, word in enumerate(known)})
    config = transformers.BertConfig(
        vocab_size=len(known),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=48,
        max_position_embeddings=32,
        id2label=LABELS,
    )
    model = draw_weights(transformers.BertForSequenceClassification(config))
    tokenizer.model_max_length = 32
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    return model, tokenizer


def test_a_text_classifier_says_what_transformers_computes(tmp_path):
    model, tokenizer = write_text_classifier(tmp_path)
    expected = likeliest(model, [tokenizer(text, truncation=True, return_tensors="pt") for text in TEXTS])
    judge = load_classifier(tmp_path, Modality.TEXT, "--text-classifier")
    assert judge.classify(TEXTS) == expected
    assert judge.labels == tuple(LABELS.values())
    assert load_toxic_labels(tmp_path).find_toxic(TEXTS) == [label == "toxic" for label in expected]


@pytest.mark.parametrize(("size", "kind"), SIZES)
def test_a_speech_classifier_says_what_transformers_computes(size, kind, tmp_path):
    config = transformers.Wav2Vec2Config(**size, **kind, id2label=LABELS, classifier_proj_size=20)
    model = randomize(transformers.Wav2Vec2ForSequenceClassification(config))
    inputs = [{"input_values": torch.from_numpy(normalize(wav, HF_EPS))[None]} for wav in WAVS]
    with torch.no_grad():  # labels that are as likely on average, so that sounds have different ones
        model.classifier.bias -= torch.cat([model(**one).logits for one in inputs]).mean(dim=0)
    model.save_pretrained(tmp_path)
    expected = likeliest(model, inputs)
    judge = load_classifier(tmp_path, Modality.SPEECH, "--speech-classifier")
    assert judge.classify(WAVS) == expected
