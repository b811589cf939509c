"""Configurations as the published models have them, and small folders that carry them."""

import shutil
from pathlib import Path

from spirit_jax.core.files import write_json
from spirit_jax.model_io import hf_config
from spirit_jax.tokens.streams import PUBLISHED_BASE
from spirit_jax.tokens.text import TextTokenizer
from spirit_jax.tokens.vocabulary import Vocabulary
from tests.model_io.folders.llama_folders import tensors, write_folder
from tests.model_io.folders.tokenizer_folders import write_byte_level, write_sentencepiece

COMMON = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_act": "silu",
    "initializer_range": 0.02,
    "model_type": "llama",
    "pretraining_tp": 1,
    "rms_norm_eps": 1e-05,
    "use_cache": True,
}
LLAMA_2 = COMMON | {
    "_name_or_path": "meta-llama/Llama-2-7b-hf",
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "max_position_embeddings": 4096,
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 32,
    "rope_scaling": None,
    "tie_word_embeddings": False,
    "torch_dtype": "float16",
    "transformers_version": "4.31.0.dev0",
    "vocab_size": 32000,
}
LLAMA_3 = COMMON | {
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 128000,
    "eos_token_id": 128001,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "max_position_embeddings": 8192,
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "rope_scaling": None,
    "rope_theta": 500000.0,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.40.0.dev0",
    "vocab_size": 128256,
}
SCALING = {
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
    "rope_type": "llama3",
}
LLAMA_3_1 = LLAMA_3 | {
    "max_position_embeddings": 131072,
    "mlp_bias": False,
    "rope_scaling": SCALING,
    "transformers_version": "4.43.0.dev0",
}
LLAMA_3_2 = LLAMA_3_1 | {
    "head_dim": 64,
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 16,
    "rope_scaling": SCALING | {"factor": 32.0},
    "tie_word_embeddings": True,
    "transformers_version": "4.45.0.dev0",
}
CONFIGS = {
    "Llama-2-7b-hf": LLAMA_2,
    "spirit-lm-base-7b": LLAMA_2 | {"vocab_size": 32512},
    "Meta-Llama-3-8B": LLAMA_3,
    "Llama-3.1-8B": LLAMA_3_1,
    "Llama-3.2-1B": LLAMA_3_2,
}
GENERATION = {
    "_from_model_config": True,
    "bos_token_id": 1,
    "do_sample": True,
    "eos_token_id": 2,
    "max_length": 4096,
    "pad_token_id": 0,
    "temperature": 0.6,
    "top_p": 0.9,
    "transformers_version": "4.31.0.dev0",
}
SPECIAL = {"__type": "AddedToken", "lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
TOKENIZER_2 = {
    "add_bos_token": True,
    "add_eos_token": False,
    "bos_token": SPECIAL | {"content": "<s>"},
    "clean_up_tokenization_spaces": False,
    "eos_token": SPECIAL | {"content": "</s>"},
    "legacy": False,
    "model_max_length": 10**30,
    "pad_token": None,
    "padding_side": "right",
    "sp_model_kwargs": {},
    "tokenizer_class": "LlamaTokenizer",
    "unk_token": SPECIAL | {"content": "<unk>"},
}
TOKENIZER_3 = {
    "bos_token": "<|begin_of_text|>",
    "clean_up_tokenization_spaces": True,
    "eos_token": "<|end_of_text|>",
    "model_input_names": ["input_ids", "attention_mask"],
    "model_max_length": 131072,
    "tokenizer_class": "PreTrainedTokenizerFast",
}
META_3_2_1B = {
    "dim": 2048,
    "ffn_dim_multiplier": 1.5,
    "multiple_of": 256,
    "n_heads": 32,
    "n_kv_heads": 8,
    "n_layers": 16,
    "norm_eps": 1e-05,
    "rope_theta": 500000.0,
    "use_scaled_rope": True,
    "vocab_size": 128256,
}
META_3_1_8B = META_3_2_1B | {"dim": 4096, "ffn_dim_multiplier": 1.3, "multiple_of": 1024, "n_layers": 32}
META_2_7B = {
    "dim": 4096,
    "multiple_of": 256,
    "n_heads": 32,
    "n_layers": 32,
    "norm_eps": 1e-05,
    "vocab_size": -1,
}


def write_small(name: str, folder: Path, pieces: dict[int, Path]) -> tuple[Path, dict]:
    """A folder with the configuration of a published model, but small sizes and a small tokenizer; and what a
    recipe's `model` is to be set to for it.

    pieces: folders of tokenizers as Llama 2's and Llama 3's, by 2 and 3.
    """
    config = CONFIGS[name]
    family = 2 if config["bos_token_id"] == 1 else 3
    shutil.copytree(pieces[family], folder)
    size = TextTokenizer.load(folder).size
    write_json(folder / "tokenizer_config.json", TOKENIZER_2 if family == 2 else TOKENIZER_3)
    write_json(folder / "generation_config.json", GENERATION)
    heads, shared = config["num_attention_heads"], config["num_key_value_heads"]
    sizes = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "num_key_value_heads": 4 * shared // heads,
        "vocab_size": size,
    }
    if config["vocab_size"] == 32512:  # a published Spirit LM
        sizes["vocab_size"] = Vocabulary(size, PUBLISHED_BASE).rows()
    small = config | sizes | ({"head_dim": 4} if "head_dim" in config else {})
    model = hf_config.read(small, folder)
    write_folder(folder, tensors(model), model)
    write_json(folder / "config.json", small)
    settings = ("width", "layers", "heads", "kv_heads", "head_width", "mlp_width")
    return folder, {key: getattr(model, key) for key in settings}


def write_tokenizers(root: Path) -> dict[int, Path]:
    """Small tokenizers as Llama 2's and Llama 3's."""
    write_sentencepiece(root / "two", 300)
    write_byte_level(root / "three")
    return {2: root / "two", 3: root / "three"}
