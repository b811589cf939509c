"""Where a run's weights come from: random, or a checkpoint that fits the configuration."""

import jax
from jax.sharding import Mesh

from spirit_jax.config import RunConfig
from spirit_jax.errors import UserError
from spirit_jax.model.checkpoint import find_model, load_model
from spirit_jax.model.llama import Llama, abstract, init_sharded
from spirit_jax.tokens.vocab import Vocabulary

SHAPES = ("rows", "width", "layers", "heads", "kv_heads", "head_width", "mlp_width", "tied")  # the rest of ModelConfig may change


def check_start(config: RunConfig, vocabulary: Vocabulary) -> None:
    """Raises a UserError if `checkpoint.init_from` doesn't fit the model or the vocabulary. Reads no weights."""
    path = config.checkpoint.init_from
    if path is None:
        return
    place = find_model(path)
    for name in SHAPES:
        here, there = getattr(config.model, name), getattr(place.model, name)
        if here != there:
            raise UserError(f"model.{name}", here, f"the weights in {path} have {there}", f"set model.{name}={str(there).lower()}")
    if place.vocabulary != vocabulary:
        ours, theirs = vocabulary.to_dict(), place.vocabulary.to_dict()
        fix = "import it with the codec and tokenizer of the shards"
        raise UserError("vocabulary", ours, f"the weights in {path} were made for {theirs}", fix)


def start_model(config: RunConfig, mesh: Mesh) -> Llama:
    """The model before the first step, split over `mesh`. What doesn't shape weights, rope_theta for one, is the configuration's."""
    if config.checkpoint.init_from is None:
        return init_sharded(config.model, jax.random.key(config.train.seed), mesh)
    loaded = load_model(config.checkpoint.init_from, mesh).llama
    return jax.tree.unflatten(jax.tree.structure(abstract(config.model, mesh)), jax.tree.leaves(loaded))
