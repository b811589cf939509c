import json
import re
from html.parser import HTMLParser

import pytest

from spirit_jax.pages.rendering import compact
from spirit_jax.report import page
from spirit_jax.report.examples import make_examples, show_utterance
from spirit_jax.report.numbers import facts, loss_rows, report_numbers, result_tables, tiles, transcripts
from tests.generation.world import records, sentence, tiny_lm
from tests.report.test_examples import TITLES
from tests.report.test_numbers import AFTER, BEFORE, ROWS


@pytest.fixture(scope="module")
def examples():
    return make_examples(tiny_lm(), records(6), 2)


def render(examples, title="runs/tiny", **more):
    numbers = report_numbers(ROWS, BEFORE, AFTER)
    context = {
        "title": title,
        "tiles": tiles(numbers),
        "facts": facts(numbers, 960_000),
        "tables": result_tables(BEFORE, AFTER),
        "loss_rows": loss_rows(BEFORE, AFTER),
        "loss_svg": "<svg></svg>",
        "utterance": show_utterance(tiny_lm(), records(1), {}),
        "examples": examples,
        "transcripts": transcripts(AFTER),
        "decoder": {},
        "stages": {},
        "config": json.dumps({"a": 1}),
    }
    return page.render({**context, **more})


class Checker(HTMLParser):
    """Collects what the page refers to and holds that tags close in order."""

    VOID = {"meta", "br", "img", "link", "line", "circle"}

    def __init__(self):
        super().__init__()
        self.open, self.references = [], []

    def handle_starttag(self, tag, attrs):
        self.references += [
            value
            for name, value in attrs
            if name in ("src", "href", "xlink:href", "poster", "action") and value
        ]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.references += [value for name, value in attrs if name in ("src", "href", "xlink:href") and value]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_and_refers_to_nothing_outside(examples):
    html = render(examples)
    checker = Checker()
    checker.feed(html)
    assert checker.open == []
    assert checker.references
    assert all(reference.startswith(("data:", "#")) for reference in checker.references)
    assert not re.search(r"url\((?!#)", html)
    assert "@import" not in html


def test_all_that_was_measured_is_on_the_page(examples):
    html = render(examples)
    for shown in (
        "0.900",
        "0.500",
        "960 K",
        "190 pairs, 50 items",
        "Word error rate",
        "Lower is better",
        *TITLES,
        sentence(0).split(", ")[1],
    ):
        assert shown in html
    assert html.index(TITLES[0]) < html.index(TITLES[-1])


def test_text_from_outside_is_escaped(examples):
    assert "<b>x</b>" not in render(examples, title="<b>x</b>")


def test_a_run_with_little_to_show_has_a_page_too():
    html = render([], utterance=None, transcripts=transcripts({}), tables=[], loss_rows=[], tiles=[])
    assert "What it says" not in html
    assert "audio controls" not in html


def test_missing_and_extra_words_are_marked():
    assert page.difference("the big cat", "The cat sat.") == [
        ("same", "the"),
        ("extra", "big"),
        ("same", "cat"),
        ("missing", "sat"),
    ]
    assert page.difference("", "") == []
    assert [compact(n) for n in (7, 12_345, 960_000, 7e9)] == ["7", "12.3 K", "960 K", "7 B"]
