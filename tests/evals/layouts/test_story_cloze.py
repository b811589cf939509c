import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.evals.benchmarks import BENCHMARKS
from spirit_jax.evals.layouts.trials import Sound
from tests.evals.data_sets import Writer, write_stories


@pytest.fixture
def writer(tmp_path):
    return Writer(tmp_path)


def read(writer, name):
    return BENCHMARKS[name].layout.read(writer.root, "dev")


def kinds(said):
    return ["speech" if isinstance(one, Sound) else "text" for one in said]


@pytest.mark.parametrize(
    ("direction", "given", "compared"),
    [("t", "text", "text"), ("s", "speech", "speech"), ("t2s", "text", "speech"), ("s2t", "speech", "text")],
)
@pytest.mark.parametrize("name", ["storycloze", "topic_storycloze"])
def test_beginnings_are_the_context_of_endings(writer, name, direction, given, compared):
    write_stories(writer, "sStoryCloze", 3)
    write_stories(writer, "tStoryCloze", 3)
    trials = read(writer, f"{name}_{direction}")
    assert len(trials) == 3
    for trial in trials:
        assert (kinds(trial.context), kinds(trial.candidates)) == ([given], [compared] * 2)
        if compared == "text":
            assert trial.candidates[0] in writer.right
        else:
            assert [one.name for one in trial.candidates] == [
                f"{trial.item}_correct",
                f"{trial.item}_incorrect",
            ]


def test_whole_stories_have_no_context(writer):
    write_stories(writer, "sStoryCloze", 2, beginnings=False)
    for name in ("storycloze_s", "storycloze_t"):
        assert [trial.context for trial in read(writer, name)] == [(), ()]
    with pytest.raises(UserError, match=r"no file \*_mutual.txt"):
        read(writer, "storycloze_t2s")


def test_pairs_are_by_name_and_a_missing_partner_is_set_aside(writer):
    """The next story takes no part of one that is incomplete."""
    write_stories(writer, "sStoryCloze", 4)
    (writer.root / "sStoryCloze/1_incorrect.wav").unlink()
    (writer.root / "sStoryCloze/2_mutual.wav").unlink()
    trials = {trial.item: trial for trial in read(writer, "storycloze_s")}
    assert {item: trial.fault for item, trial in trials.items()} == {
        "0": "",
        "1": "missing_partner",
        "2": "missing_partner",
        "3": "",
    }
    assert "1_incorrect" in trials["1"].detail
    assert "2_mutual" in trials["2"].detail
    for item in "03":
        assert all(
            one.name.startswith(f"{item}_") for one in (*trials[item].context, *trials[item].candidates)
        )
    assert not any(trial.fault for trial in read(writer, "storycloze_t"))


def test_ids_may_contain_an_underscore(writer):
    writer.text("sStoryCloze/a_correct_1_correct.txt", "x", True)
    writer.text("sStoryCloze/a_correct_1_incorrect.txt", "y", False)
    (trial,) = read(writer, "storycloze_t")
    assert (trial.item, trial.candidates) == ("a_correct_1", ("x", "y"))


def test_what_is_missing_is_named(writer):
    with pytest.raises(UserError, match="no folder sStoryCloze.*_mutual.*https://"):
        read(writer, "storycloze_s")
    write_stories(writer, "tStoryCloze", 1)
    (writer.root / "tStoryCloze/0_correct.wav").unlink()
    with pytest.raises(UserError, match="nothing to ask, 1 set aside"):
        read(writer, "topic_storycloze_s")
