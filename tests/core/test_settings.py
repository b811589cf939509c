"""Settings survive JSON, overrides are typed, mistakes are one useful line, and recipes load by path."""

import enum
import sys

import pytest

from spirit_jax.core.errors import UserError, require_positive
from spirit_jax.core.settings import from_dict, load, override, part, to_dict


class Shape(enum.Enum):
    FLAT = "flat"
    TALL = "tall"


@part
class Size:
    width: int = 4
    span: tuple[int, int] = (1, 2)
    shape: Shape = Shape.FLAT
    scale: float = 1.0

    def __post_init__(self):
        require_positive(self, "size", "width")


@part
class Recipe:
    name: str | None = None
    size: Size = Size()
    parts: tuple[Size, ...] = ()


def test_json_round_trip_is_identity():
    made = Recipe("a", Size(2, (3, 4), Shape.TALL), (Size(), Size(5)))
    assert from_dict(to_dict(made), Recipe) == made
    assert to_dict(made)["size"] == {"width": 2, "span": [3, 4], "shape": "tall", "scale": 1.0}


def test_override_is_typed():
    made = override(Recipe(), ["size.scale=1e-3", "size.shape=tall", "size.span=[2,3]", "name=x"])
    assert made == Recipe("x", Size(4, (2, 3), Shape.TALL, 1e-3))


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("size.widt=1", "did you mean size.width"),
        ("size.width=x", "size.width"),
        ("size.width=-1", "above 0"),
        ("nonsense", "KEY=VALUE"),
        ("size.width.deep=1", "size.width"),
        ('parts=[{"widht": 1}]', "widht"),
    ],
)
def test_mistakes_are_one_useful_line(setting, says):
    with pytest.raises(UserError, match=says) as caught:
        override(Recipe(), [setting])
    assert "\n" not in str(caught.value)


def test_a_recipe_of_another_kind_is_refused(tmp_path):
    (tmp_path / "recipe.py").write_text(
        "from tests.core.test_settings import Size\ndef config():\n    return Size(3)\n"
    )
    assert load(tmp_path / "recipe.py", Size) == Size(3)
    with pytest.raises(UserError, match="makes a Size; this command needs a Recipe"):
        load(tmp_path / "recipe.py", Recipe)


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("import json\ndef config():\n    return json.loads('{\\n')\n", "in line 3 with JSONDecodeError"),
        ("def config(:\n", "SyntaxError"),
        ("import nowhere_to_be_found\n", "in line 1 with ModuleNotFoundError"),
        ("config = 3\n", r"no function config\(\)"),
    ],
)
def test_a_broken_recipe_is_one_line(tmp_path, monkeypatch, code, says):
    (tmp_path / "recipe.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=says) as caught:
        load("recipe.py", Recipe)
    assert "\n" not in str(caught.value)


def test_a_recipe_that_moved_to_a_folder_below_names_its_new_path(tmp_path):
    (tmp_path / "configs/local").mkdir(parents=True)
    (tmp_path / "configs/local/recipe.py").write_text("")
    with pytest.raises(UserError, match="use .*/configs/local/recipe.py"):
        load(tmp_path / "configs/recipe.py", Recipe)


def test_a_recipe_imports_its_neighbours_by_the_outermost_package(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "outer_package/inner").mkdir(parents=True)
    (tmp_path / "outer_package/__init__.py").touch()
    (tmp_path / "outer_package/size.py").write_text("SIZE = 3\n")
    (tmp_path / "outer_package/inner/recipe.py").write_text(
        "from outer_package.size import SIZE\nfrom tests.core.test_settings import Size\n"
        "def config():\n    return Size(SIZE)\n"
    )
    assert load(tmp_path / "outer_package/inner/recipe.py", Size) == Size(3)


def test_a_missing_recipe_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        load(tmp_path / "none.py", Recipe)
    (tmp_path / "empty.py").write_text("x = 1\n")
    with pytest.raises(UserError, match="config"):
        load(tmp_path / "empty.py", Recipe)
