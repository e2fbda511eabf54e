"""TOML files that users write: every mistake is told with its line."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurosim.errors import DataError, ParameterError
from neurosim.specification import Specification

TEXT = """# a claim
title = "x # no comment"
seeds = [1, 2,   # two
         3]

[levels.one]
settings = {eta = 0.1, "h i" = "a, } ]"}
sizes = [
    500,
    "three",
]
[levels."two.half".settings]
eta = 2_0.5e-1

[[claims]]
name = 'it''s'
[[claims]]
of = [["a", "b"], ["c", "d"]]
a.b.c = 2020-01-01T00:00:00Z
text = '''
[no table]
x = 1 '''
[claims.margins]
low = -1
""".replace("'it''s'", "'its'")


@pytest.fixture
def read(tmp_path):
    def write(text):
        path = tmp_path / "claim.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return Specification.read(path)

    return write


@pytest.mark.parametrize(
    ("place", "line"),
    [
        (("title",), 2),
        (("seeds",), 3),
        (("seeds", 1), 3),
        (("seeds", 2), 4),
        (("levels", "one"), 6),
        (("levels", "one", "settings", "eta"), 7),
        (("levels", "one", "settings", "h i"), 7),
        (("levels", "one", "sizes", 1), 10),
        (("levels", "two.half"), 12),
        (("levels", "two.half", "settings", "eta"), 13),
        (("claims", 0), 15),
        (("claims", 0, "name"), 16),
        (("claims", 0, "margin"), 15),  # not there: where its table is
        (("claims", 1), 17),
        (("claims", 1, "of", 1, 0), 18),
        (("claims", 1, "a", "b", "c"), 19),
        (("claims", 1, "text"), 20),
        (("claims", 1, "margins", "low"), 24),
    ],
)
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_line_of_every_key(read, place, line, ends):
    spec = read(TEXT.replace("\n", ends))
    assert spec.where(*place) == f"claim.toml, line {line}"


def test_what_is_not_there_is_the_file(read):
    assert read(TEXT).where("nothing", "here") == "claim.toml"


NAMES = st.text("abz_-9", min_size=1, max_size=3)
SCALARS = st.one_of(
    st.integers(-9, 9), st.booleans(), st.floats(-1, 1), st.text('ab"\\#=[]{},', max_size=5), st.just("1*ms")
)
VALUES = st.recursive(SCALARS, lambda each: st.lists(each, max_size=3), max_leaves=5)


def toml(value):
    if isinstance(value, list):
        return "[" + ",\n# one more ]\n ".join(map(toml, value)) + "]"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value).lower() if isinstance(value, bool) else repr(value)


@given(st.lists(st.tuples(NAMES, st.dictionaries(NAMES, VALUES, max_size=3)), max_size=4))
def test_lines_are_those_on_which_keys_were_written(tables):
    """Every key is written with its line counted by the writer; tables are elements of one array."""
    import tempfile
    from pathlib import Path

    text, lines = "", {}
    for number, (_, table) in enumerate(tables):
        text += "[[table]]  # ]] x = 1\n"
        for key, value in table.items():
            lines["table", number, key] = text.count("\n") + 1
            text += f"{key} = {toml(value)}\n"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "f.toml")
        path.write_text(text)
        spec = Specification.read(path)
    assert spec.tables == tomllib.loads(text)
    assert {place: spec.where(*place) for place in lines} == {p: f"f.toml, line {n}" for p, n in lines.items()}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = 1\nb = \n", r"claim.toml, line 2: not TOML: Invalid value"),
        ("a = 1\na = 2\n", r"claim.toml, line 2: not TOML: Cannot overwrite a value"),
        ("a = [1,\n2", r"claim.toml, line 2: not TOML"),
        (b"a = 1\nb = '\xff'", r"claim.toml, line 2: not a text in UTF-8"),
    ],
)
def test_what_is_not_toml_is_told_with_its_line(read, text, said):
    with pytest.raises(ParameterError, match=said):
        read(text)


def test_file_that_is_not_there(tmp_path):
    with pytest.raises(ParameterError, match=r"none.toml: cannot be read: No such file"):
        Specification.read(tmp_path / "none.toml")
    with pytest.raises(ParameterError, match=r"cannot be read: Is a directory"):
        Specification.read(tmp_path)


def test_unknown_key_has_its_line_and_the_nearest(read):
    spec = read("alpha = 1\n\n[levels.a]\nmodle = 'x'\n")
    spec.check((), ("alpha", "levels"))
    with pytest.raises(ParameterError, match=r"claim.toml, line 4: unknown key 'modle': did you mean 'model'\?"):
        spec.check(("levels", "a"), ("model", "data"))


@pytest.mark.parametrize(
    ("text", "kind", "more", "said"),
    [
        ("x = 'a'", int, {}, "x: a whole number is needed, got 'a'"),
        ("x = 1.5", int, {}, "x: a whole number is needed, got 1.5"),
        ("x = true", int, {}, "x: a whole number is needed, got True"),
        ("x = true", float, {}, "x: a number is needed, got True"),
        ("x = nan", float, {"within": (0, 1)}, "x: must be within 0 and 1, got nan"),
        ("x = 2", float, {"above": 0, "below": 0.5}, "x: must be above 0 and below 0.5, got 2"),
        ("x = 0.5", float, {"below": 0.5}, "x: must be below 0.5, got 0.5"),
        ("x = inf", float, {}, "x: must be finite, got inf"),
        ("x = [1]", str, {}, r"x: a text is needed, got \[1\]"),
        ("x = 'lowr'", ("lower", "higher"), {}, "unknown value of x 'lowr': did you mean 'lower'"),
    ],
)
def test_value_of_another_kind_is_refused_with_its_line(read, text, kind, more, said):
    with pytest.raises(ParameterError, match=f"claim.toml, line 2: {said}"):
        read(f"\n{text}\n").value("x", kind=kind, **more)


def test_values_of_their_kinds(read):
    spec = read("a = 1\nb = 0.5\nc = [1]\nd = 'x'\n")
    assert spec.value("a", kind=float) == 1 and spec.value("b", kind=float, above=0, below=1) == 0.5
    assert spec.value("c", kind=list) == [1] and spec.value("d", kind=("x", "y")) == "x"
    assert spec.value("e", kind=int, default=7) == 7


def test_error_inside_has_the_line_of_the_key_that_it_names(read):
    spec = read("[settings]\nbeta = 1\n[levels.a]\neta = 0\n")
    places = ("levels", "a"), ("settings",)
    for said, line in (
        ("unknown parameter 'beta': did you mean 'eta'? there are eta", 2),
        ("eta: must be > 0, got 0", 4),
        ("no room", 3),
    ):
        with pytest.raises(DataError, match=f"^claim.toml, line {line}: ") as caught, spec.naming(*places):
            raise DataError(said)
        assert str(caught.value).endswith(said)


def test_hash_is_of_the_bytes(read):
    assert read("a = 1").sha256 != read("a = 1 ").sha256
