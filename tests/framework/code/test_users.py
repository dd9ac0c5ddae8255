"""What counts of a user's files: all but the config, and what they read."""

import pathlib

import pytest

from podway.framework.code import imports, users

MODULE = """import x

SIZE = 1

def experiment():
    return (SIZE,
            "config.txt")

class Mine:
    pass
"""


@pytest.fixture
def write(tmp_path):
    def write(text: str) -> pathlib.Path:
        file = tmp_path / "mine.py"
        file.write_text(text)
        return file

    return write


def test_all_counts_but_the_config(write):
    before = users.content(write(MODULE))
    assert b"SIZE = 1" in before
    assert b"class Mine" in before
    assert b"return" not in before
    assert users.content(write(MODULE.replace("(SIZE,", "(SIZE + 2, 3,"))) == before
    assert users.content(write(MODULE.replace("SIZE = 1", "SIZE = 2"))) != before
    decorated = MODULE.replace("def experiment", "@x.twice\ndef experiment")
    assert users.content(write(decorated)) == before
    # Called by the model, or defined twice, or in a class, it is more than the config.
    for other in (
        f"{MODULE}WIDTH = experiment()[0]\n",
        f"{MODULE}{MODULE}",
        "class A:\n    def experiment(self):\n        pass\n",
    ):
        assert users.content(write(other)) == other.encode()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('open("a.txt")', "a.txt"),
        ('np.load(HERE / "data" / "b.txt")', "data/b.txt"),
        ('os.path.join(HERE, "data", "b.txt")', "data/b.txt"),
        ('HERE.joinpath("data", "b.txt")', "data/b.txt"),
        ('open("data/b.txt")', "data/b.txt"),
    ],
)
def test_files_that_a_module_names_count(write, tmp_path, text, name):
    (tmp_path / "data").mkdir()
    for each in ("a.txt", "data/b.txt", "raw.csv", "config.txt"):
        (tmp_path / each).write_text("1")
    file = write(
        f"{MODULE}def f(HERE):\n    'A text.'\n    return {text}, 'raw.csv', 'data', 'no'\n"
    )
    raw = {str(tmp_path / "raw.csv")}
    assert users.named({"mine": file}, set(), raw) == {f"mine:{name}": tmp_path / name}
    assert users.named({"mine": file}, set(), {"raw.csv", "a.txt", "data/b.txt"}) == {}


def test_files_that_a_field_names_count(write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "words.txt").write_text("1")
    fields = {"words.txt", "no.txt", "", "x" * 5000, "a\0b"}
    assert set(users.named({"mine": write("x = 1\n")}, fields, set())) == {":words.txt"}


def test_what_a_call_imports_by_its_name(write):
    file = write(
        "import importlib\nimportlib.import_module('a.b')\n__import__('c')\n"
        "importlib.import_module('.d', __package__)\nimportlib.import_module(computed)\n"
    )
    assert {"a.b", "c", "package.d"} <= imports.imported("package.mine", file)


def test_where_the_users_modules_lie(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "mine_of_test_users.py").write_text("")
    (tmp_path / "space_of_test_users").mkdir()
    assert imports.folder_of("mine_of_test_users") == tmp_path
    assert imports.folder_of("space_of_test_users") == tmp_path, "without an __init__.py"
    for name in ("numpy", "sys", "__main__", "no_such_module"):
        assert imports.folder_of(name) is None
