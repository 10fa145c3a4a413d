from __future__ import annotations

import io
import sys

import pytest

from gproxy.config.load import MAX_SIZE, ConfigProblems, load


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_files_come_in_order_and_then_directories_by_name(here):
    (here / "b.toml").write_text('x = ["b"]\n[log]\nlevel = "warn"\n')
    (here / "a.json").write_text('{"x": ["a"], "log": {"level": "info"}}')
    (here / "d").mkdir()
    (here / "d" / "2.toml").write_text('x = ["2"]\n')
    (here / "d" / "1.json").write_text('{"x": ["1"]}')
    (here / "d" / "note.txt").write_text("not a configuration")
    loaded = load(["b.toml", "a.json"], ["d"])
    assert loaded.tree == {"x": ["b", "a", "1", "2"], "log": {"level": "info"}}
    assert [source.name for source in loaded.sources] == ["b.toml", "a.json", "d/1.json", "d/2.toml"]


def test_without_a_name_the_working_directory_has_it(here):
    (here / "config.json").write_text('{"a": 1}')
    assert load().tree == {"a": 1}
    (here / "config.toml").write_text("a = 2")
    assert load().tree == {"a": 2}


@pytest.mark.parametrize(("text", "tree"), [('// x\n{"a": 1,}', {"a": 1}), ("a = 1", {"a": 1}), ("[a]\n", {"a": {}})])
@pytest.mark.parametrize("name", ["stdin", "-"])
def test_standard_input_is_known_by_its_looks(monkeypatch, name, text, tree):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert load([name]).tree == tree


def test_line_ends_and_marks_of_other_systems(here):
    (here / "c.toml").write_bytes(b'\xef\xbb\xbfa = 1\r\nb = """x\r\ny"""\r\n')
    assert load(["c.toml"]).tree == {"a": 1, "b": "x\ny"}


@pytest.mark.parametrize(
    ("name", "raw", "message"),
    [
        ("c.toml", b"a = 1\nb = '\xff'", "c.toml:2: not UTF-8 text"),
        ("c.yaml", b"a: 1", r"c.yaml: a configuration's name ends in .toml or .json"),
        ("d", None, "d: is a directory"),
    ],
)
def test_files_that_cant_be_used(here, name, raw, message):
    if raw is None:
        (here / name).mkdir()
    else:
        (here / name).write_bytes(raw)
    with pytest.raises(ConfigProblems, match=message):
        load([name])


def test_directories_that_cant_be_used(here):
    with pytest.raises(ConfigProblems, match=r"^d: no such file or directory$"):
        load([], ["d"])
    (here / "d").mkdir()
    with pytest.raises(ConfigProblems, match=r"^d: holds no \.toml or \.json file$"):
        load([], ["d"])


def test_a_file_without_end_is_not_read_to_it():
    with pytest.raises(ConfigProblems, match=f"larger than {MAX_SIZE // 2**20} MiB"):
        load(["/dev/zero"])
