import dataclasses
import json

import pytest

from spirit_jax.config import Dtype
from spirit_jax.pod_check.command import tabulate_generation
from spirit_jax.pod_check.generation import MACHINES, generation_of
from tpu_configs.spirit import LLAMA2_7B, LLAMA3_8B


def on(machine: str, model=LLAMA2_7B) -> dict:
    return next(row for row in generation_of(model) if row["machine"] == machine)


def test_a_7b_needs_two_bytes_a_parameter_and_half_a_mebibyte_a_token():
    row = on("h200:1")
    assert row["weight_bytes"] == pytest.approx(2 * 6.74e9, rel=0.01)
    assert row["cache_bytes"] / row["rows"] == (4096 + 32) * 2**19
    assert row["peak_bytes"] == row["weight_bytes"] + row["cache_bytes"] + row["workspace_bytes"]
    assert row["fits"]


def test_a_host_of_eight_divides_what_one_chip_could_not_hold():
    whole, part = on("v5p:1x1x1"), on("v5e:2x4")
    assert (whole["tensor"], part["tensor"]) == (1, 8)
    assert whole["peak_bytes"] > part["hbm_bytes"]
    assert part["fits"]
    for kind in ("weight_bytes", "cache_bytes"):
        assert part[kind] / part["rows"] == pytest.approx(whole[kind] / whole["rows"] / 8, rel=0.01)


def test_a_model_that_is_too_large_does_not_fit():
    large = dataclasses.replace(LLAMA2_7B, layers=400, dtype=Dtype.FLOAT32)
    assert [row["fits"] for row in generation_of(large)] == [False, False, False]


def test_the_heads_bound_the_division():
    assert on("v5e:2x4", dataclasses.replace(LLAMA3_8B, kv_heads=4))["tensor"] == 4


def test_rows_are_json_and_a_table_with_a_line_for_each_model_and_machine():
    rows = [{"recipe": f"base_{n}", "generation": generation_of(LLAMA2_7B)} for n in (1, 2)]
    rows.append({"recipe": "other", "generation": generation_of(LLAMA3_8B)})
    assert json.loads(json.dumps(rows)) == rows
    lines = tabulate_generation(rows).splitlines()
    assert len(lines) == 2 + 2 * len(MACHINES)
    assert sum(line.startswith("| base_* |") for line in lines) == len(MACHINES)
