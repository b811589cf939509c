"""Where a run's weights come from: random, or a checkpoint that fits the configuration."""

import json

import jax
from jax.sharding import Mesh

from spirit_jax.config import ARCHITECTURE, Dtype, RunConfig
from spirit_jax.core.errors import UserError
from spirit_jax.core.settings import to_dict
from spirit_jax.model.checkpoint import find_stored_model, load_model
from spirit_jax.model.llama import Llama, abstract, init_sharded
from spirit_jax.tokens.text import TextTokenizer
from spirit_jax.tokens.vocabulary import Vocabulary

FIX = "import them with the codec and tokenizer of the shards"
FIXED = ("rows", *ARCHITECTURE)  # the other settings may change


def check_start(config: RunConfig, vocabulary: Vocabulary, tokenizer_fingerprint: str) -> None:
    """Raises a UserError, naming both, if the weights of `checkpoint.init_from` don't fit the model, the
    vocabulary or the tokenizer of the shards.

    Reads no weights. Weights without a tokenizer fit any tokenizer with the vocabulary's ids.
    """
    path = config.checkpoint.init_from
    if path is None:
        return
    stored = find_stored_model(path)
    here, there = to_dict(config.model), to_dict(stored.model)
    for name in FIXED:
        if here[name] != there[name]:
            said = {
                side: json.dumps(values[name], separators=(",", ":"))
                for side, values in (("here", here), ("there", there))
            }
            raise UserError(
                f"model.{name}",
                said["here"],
                f"the weights in {path} have {said['there']}",
                f"set model.{name}={said['there']}",
            )
    if stored.vocabulary != vocabulary:
        ours, theirs = vocabulary.to_dict(), stored.vocabulary.to_dict()
        raise UserError("vocabulary", ours, f"the weights in {path} were made for {theirs}", FIX)
    theirs = None if stored.tokenizer_path is None else TextTokenizer.load(stored.tokenizer_path).fingerprint
    if theirs not in (None, tokenizer_fingerprint):
        raise UserError("tokenizer", tokenizer_fingerprint, f"the weights in {path} have {theirs}", FIX)


def start_model(config: RunConfig, mesh: Mesh) -> Llama:
    """The model before the first step, split over `mesh`. Settings that may change, such as rope_theta, are
    the configuration's.
    """
    if config.checkpoint.init_from is None:
        return init_sharded(config.model, jax.random.key(config.train.seed), mesh)
    loaded = load_model(config.checkpoint.init_from, mesh, Dtype.FLOAT32).llama
    return jax.tree.unflatten(jax.tree.structure(abstract(config.model, mesh)), jax.tree.leaves(loaded))
