from spirit_jax.tokens.text import TextTokenizer
from tests.data_prep.conftest import prepare


def test_the_tokenizer_knows_the_corpus(stages):
    tokenizer = TextTokenizer.load(stages.tokenizer)
    assert tokenizer.size == 320
    assert tokenizer.decode(tokenizer.encode("today the old farmer")) == "today the old farmer"


def test_training_the_tokenizer_again_gives_the_same(stages, tmp_path):
    assert prepare("tokenizer", "--texts", stages.manifest, "--size", 320, "--out", tmp_path) == 0
    assert TextTokenizer.load(tmp_path).fingerprint == TextTokenizer.load(stages.tokenizer).fingerprint


def test_the_tokenizer_sees_no_held_out_text(stages, tmp_path, capsys):
    (tmp_path / "m.jsonl").write_text('{"text": "a", "split": "heldout"}\n')
    assert prepare("tokenizer", "--texts", tmp_path / "m.jsonl", "--out", tmp_path / "out") == 2
    assert "held-out" in capsys.readouterr().err
