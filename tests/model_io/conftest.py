import dataclasses
import shutil

import pytest

from spirit_jax.model_io.vocabulary_plan import VocabularyRequest
from tests.model.tiny import CONFIG
from tests.model_io.folders.llama_folders import tensors, write_folder
from tests.model_io.folders.tokenizer_folders import write_sentencepiece
from tests.speech_codes import make_streams

PIECES = 300
TEXT_CONFIG = dataclasses.replace(CONFIG, rows=384)  # 300 pieces, padded to 128
SPEECH = VocabularyRequest(make_streams(units=10, pitches=4, styles=3))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    """A folder with a small SentencePiece model."""
    folder = tmp_path_factory.mktemp("tokenizer")
    write_sentencepiece(folder, PIECES)
    return folder


@pytest.fixture
def source(tmp_path, tokenizer):
    """A text model's folder with its tokenizer."""
    folder = write_folder(tmp_path / "source", tensors(TEXT_CONFIG), TEXT_CONFIG)
    shutil.copy(tokenizer / "tokenizer.model", folder)
    return folder
