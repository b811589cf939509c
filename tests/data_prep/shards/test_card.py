"""The card says what the shards hold, and how they were made."""

import json

import numpy as np
import yaml

from data_prep.shards.card import CARD, PAGE
from data_prep.shards.counts import Counts, total
from spirit_jax.core.files import read_json
from spirit_jax.datasets.shards import find_version, open_shards, split_sizes
from spirit_jax.datasets.units_folder import open_units
from tests.data_prep.conftest import prepare


def test_the_facts_are_those_of_the_rows(stages):
    version = find_version(stages.shards)
    facts = read_json(version / CARD)
    rows = list(open_units(stages.units).rows())
    assert facts["splits"].keys() == split_sizes(version).keys()
    for name, split in facts["splits"].items():
        records = list(open_shards(version, split=name))
        assert split["rows"] == split["stored_rows"] == len(records)
        assert split["tokens"]["text"] == sum(len(record.text_ids) for record in records)
        assert split["words_with_times"] == sum(record.words for record in records if record.aligned)
        assert split["speakers"] == len({record.voice for record in records} - {""})
        assert split["fingerprint"] == open_shards(version, split=name).fingerprint
        seconds = sum(row["duration_s"] for row in rows if row["split"] == name)
        np.testing.assert_allclose(split["hours"] * 3600, seconds, atol=0.05 * len(records))
    whole = facts["total"]
    assert whole["rows"] == sum(split["rows"] for split in facts["splits"].values())
    assert whole["speakers"] == len({row["voice"] for row in rows})
    assert facts["encoder_fingerprint"] == open_shards(version).metadata.encoder_fingerprint
    assert "--tokenizer" in facts["made_with"]["command"]
    assert facts["made_with"]["versions"]["numpy"] == np.__version__


def test_sources_licences_and_languages_are_counted(stages, tmp_path):
    texts = tmp_path / "t.jsonl"
    lines = [
        {"text": "a", "licence": "CC0", "language": "en", "source": "x|y"},
        {"text": "b", "licence": "CC0", "language": "de"},
        {"text": "c", "split": "dev"},
    ]
    texts.write_text("".join(json.dumps(line) + "\n" for line in lines))
    options = ("--texts", texts, "--tokenizer", stages.tokenizer, "--out", tmp_path / "out")
    assert prepare("shards", *options) == 0
    version = find_version(tmp_path / "out")
    shares = read_json(version / CARD)["total"]["shares"]
    counted = {kind: {name: share["rows"] for name, share in found.items()} for kind, found in shares.items()}
    assert counted == {
        "source": {"t": 2, "x|y": 1},
        "licence": {"CC0": 2, "unknown": 1},
        "language": {"de": 1, "en": 1, "unknown": 1},
    }
    page = (version / PAGE).read_text()
    header = yaml.safe_load(page.split("---")[1])
    assert header == {"pretty_name": "spirit_tokens", "language": ["de", "en"]}
    assert "| x\\|y | 1 | 0.000 |" in page
    assert "| CC0 | 2 | 0.000 |" in page


def test_a_card_of_interleaved_shards_says_how_documents_were_made(stages, tmp_path):
    options = (*stages.shard_options, "--config", "interleaved", "--draws", 2, "--poisson", 3, 2)
    assert prepare("shards", *options, "--out", tmp_path) == 0
    facts = read_json(find_version(tmp_path) / CARD)
    assert facts["finished"]["data.poisson_span_words"] == [3.0, 2.0]
    assert facts["splits"]["train"]["stored_rows"] == 2 * facts["splits"]["train"]["rows"]


def test_counts_of_parts_add_up_to_those_of_all(stages):
    records = list(open_shards(stages.shards, split="train"))
    vocabulary = open_shards(stages.shards).metadata.vocabulary

    def count(part) -> Counts:
        counts = Counts(vocabulary)
        for record in part:
            counts.add(record, {"source": record.source})
        return counts

    parts = total([count(records[:7]), count(records[7:]), count([])], vocabulary)
    assert parts.to_dict() == count(records).to_dict()
    assert parts.coverage() == count(records).coverage()
