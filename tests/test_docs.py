"""README and docs/: commands, options, links and paths exist, and pages are short and narrow."""

import argparse
import functools
import importlib
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.verbs import ROOT, TABLES

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MAKEFILE = (ROOT / "Makefile").read_text()
WIDTH, README_WORDS = 100, 900
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"python -m (spirit_jax|data_prep) ([a-z-]+)(.*)")
FOLDERS = ("spirit_jax/", "data_prep/", "tpu_configs/", "tests/", "benchmarks/", "docs/")

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def fenced_lines(text: str) -> list[str]:
    """Lines of the blocks without a language: what is typed into a shell."""
    blocks = [body for language, body in FENCE.findall(text) if not language]
    return [line for body in blocks for line in body.replace("\\\n", " ").splitlines()]


def prose(text: str) -> str:
    return FENCE.sub("", text)


def code_spans(text: str) -> list[str]:
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose(text))]


def written_commands(text: str) -> list[str]:
    return [*fenced_lines(text), *code_spans(text)]


@functools.cache
def parser_of(package: str, command: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(exit_on_error=False)
    importlib.import_module(TABLES[package][command][0]).add_arguments(parser)
    parser.add_argument("--stage-log")  # as `commands.run` adds it
    return parser


def options_of(parser: argparse.ArgumentParser) -> set[str]:
    """Of the parser and of its subcommands."""
    options = set(parser._option_string_actions)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            options = options.union(*(options_of(child) for child in action.choices.values()))
    return options


def check_parses(line: str) -> None:
    match = COMMAND.search(line)
    if match:
        package, command, rest = match.groups()
        assert command in TABLES[package], f"python -m {package} has no command {command}"
        parser_of(package, command).parse_args(shlex.split(rest.partition(" > ")[0]))


def anchors_of(page: Path) -> set[str]:
    """GitHub's anchors of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", prose(page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_page
def test_commands_in_blocks_parse(page):
    for line in fenced_lines(page.read_text()):
        check_parses(line)


@each_page
def test_verbs_in_blocks_run_commands_that_parse(page):
    for line in fenced_lines(page.read_text()):
        if line.startswith("make ") and not line.startswith("make demo"):
            words = shlex.split(line)
            printed = subprocess.run(
                [words[0], "-n", *words[1:]], cwd=ROOT, capture_output=True, text=True, check=False
            )
            assert printed.returncode == 0, f"{line}: {printed.stderr}"
            for ran in printed.stdout.replace("\\\n", " ").splitlines():
                check_parses(ran.rpartition(" || ")[2])


@each_page
def test_verbs_and_their_variables_are_in_the_makefile(page):
    verbs = set(re.findall(r"^([a-z-]+):.*## ", MAKEFILE, re.MULTILINE))
    for line in written_commands(page.read_text()):
        if match := re.match(r"make ([a-z][a-z-]*)(.*)", line):
            assert match[1] in verbs, f"make has no verb {match[1]}"
            for name in re.findall(r"(?:^| )([A-Z_]+)=", match[2]):
                assert re.search(rf"\b{name}\b", MAKEFILE), f"the Makefile has no variable {name}"


@each_page
def test_options_in_running_text_exist(page):
    for line in code_spans(page.read_text()):
        if match := COMMAND.search(line):
            package, command, rest = match.groups()
            assert command in TABLES[package], f"python -m {package} has no command {command}"
            unknown = (
                set(re.findall(r"--[a-z0-9-]+", rest)) - options_of(parser_of(package, command)) - {"--help"}
            )
            assert not unknown, f"{line}: {unknown}"


@each_page
def test_benchmarks_and_their_options_exist(page):
    for line in written_commands(page.read_text()):
        if match := re.search(r"python -m benchmarks\.(\w+)(.*)", line):
            source = (ROOT / "benchmarks" / f"{match[1]}.py").read_text()
            for option in re.findall(r"--[a-z0-9-]+", match[2]):
                assert f'"{option}"' in source, f"{line}: no option {option}"


@each_page
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page.read_text())):
        if not link.startswith("https://"):
            name, _, anchor = link.partition("#")
            target = (page.parent / name).resolve() if name else page
            assert target.exists(), f"{link}: no such file"
            assert not anchor or anchor in anchors_of(target), f"{link}: no such heading"


@each_page
def test_paths_that_are_named_exist(page):
    for span in code_spans(page.read_text()):
        if span.startswith(FOLDERS) and re.fullmatch(r"[\w./]+", span):
            assert (ROOT / span).exists(), f"{span}: no such file"


def test_modules_in_the_picture_of_the_data_exist():
    (picture,) = [body for _, body in FENCE.findall((ROOT / "docs/design.md").read_text())]
    named = re.findall(r"\b((?:\w+/)+(?:\w+|\*))", picture)
    modules = [name for name in named if (ROOT / "spirit_jax" / name.split("/")[0]).is_dir()]
    assert len(modules) > 20
    for name in modules:
        assert list((ROOT / "spirit_jax").glob(f"{name.removesuffix('/*')}*")), f"{name}: no such module"


@each_page
def test_prose_is_at_most_100_wide(page):
    wide = [line for line in prose(page.read_text()).splitlines() if len(line) > WIDTH and line[0] != "|"]
    assert not wide


@each_page
def test_python_blocks_import_what_is_there(page):
    for language, body in FENCE.findall(page.read_text()):
        if language == "python":
            compile(body, str(page), "exec")
            for module, names in re.findall(r"^from (spirit_jax[\w.]*) import (.*)$", body, re.MULTILINE):
                found = importlib.import_module(module)
                for name in names.split(", "):
                    assert hasattr(found, name) or importlib.import_module(f"{module}.{name}")


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().split()) < README_WORDS


def test_the_readme_links_every_page():
    linked = set(re.findall(r"\]\(docs/(\w+\.md)\)", (ROOT / "README.md").read_text()))
    assert linked >= {page.name for page in PAGES if page.parent.name == "docs"}


def test_a_wrong_option_is_found():
    check_parses(".venv/bin/python -m spirit_jax encode a.wav --codec codec > codes.jsonl")
    with pytest.raises((SystemExit, argparse.ArgumentError)):
        check_parses(".venv/bin/python -m spirit_jax encode a.wav --codek codec")
