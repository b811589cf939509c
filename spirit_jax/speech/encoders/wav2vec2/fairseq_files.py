"""Checkpoint files of fairseq's models: in the published form, or as fairseq's trainer saves them."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spirit_jax.core.errors import UserError
from spirit_jax.speech.weights.torch_files import read_pickle, require_keys

PUBLISHED = ("model_cfg", "task_cfg", "model_weight")
# classes of which fairseq stores objects; none of them holds a weight or a size of a model
OBJECTS = ("fairseq.data.dictionary.Dictionary", "argparse.Namespace")
PLAIN = "{k: v for k, v in c['cfg'][%r].items() if isinstance(v, (str, bool, int, float))}"
OLD_SIZES = ("encoder_", "conv_", "extractor_", "layer_norm_first", "activation_fn")
OLD_MODEL = f"{{k: v for k, v in vars(c['args']).items() if k.startswith({OLD_SIZES})}}"
OLD_TASK = "{k: v for k, v in vars(c['args']).items() if k in ('sample_rate', 'normalize')}"


@dataclasses.dataclass(frozen=True)
class FairseqCheckpoint:
    """The configurations of model and task, and the weights by name."""

    model_cfg: Mapping[str, Any]
    task_cfg: Mapping[str, Any]
    weights: Mapping[str, Any]


def read_fairseq(path: str | Path) -> FairseqCheckpoint:
    """Reads a checkpoint without fairseq and without running code of the file. UserError, with the command
    that saves it in the published form, where that is not possible.
    """
    save = _how_to_save(path, PLAIN % "model", PLAIN % "task")
    content = read_pickle(path, numpy_arrays=True, without_code=OBJECTS, fix=save)
    if isinstance(content, Mapping) and "model" in content and "model_weight" not in content:
        require_keys(content, path)
        cfg = content.get("cfg")
        if not isinstance(cfg, Mapping):
            rule = "is of an old fairseq, whose one list of arguments holds the model's sizes"
            raise UserError("weight file", path, rule, _how_to_save(path, OLD_MODEL, OLD_TASK))
        require_keys(cfg, f"{path} cfg", ("model", "task"))
        parts = cfg["model"], cfg["task"], content["model"]
    else:
        require_keys(content, path, PUBLISHED)
        parts = tuple(content[key] for key in PUBLISHED)
    for name, part in zip(PUBLISHED, parts):
        require_keys(part, f"{path} {name}")
    return FairseqCheckpoint(*parts)


def _how_to_save(path: str | Path, model: str, task: str) -> str:
    """The command that writes the published form next to the file."""
    published = Path(path).with_suffix(".published.pt")
    parts = f"{{'model_cfg': {model}, 'task_cfg': {task}, 'model_weight': c['model']}}"
    load = f"c = torch.load('{path}', map_location='cpu', weights_only=False)"
    command = f"python -c \"import torch; {load}; torch.save({parts}, '{published}')\""
    return f"if you trust the file, which can run code, then where fairseq is installed: {command}"
