"""The reports on broken files, whole: `broken/NAME.toml` or `.json` beside `broken/NAME.….report`.

After a wanted change: `python -m tests.config.test_report` writes the reports anew, and the diff is to be read.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gproxy.config.load import ConfigProblems, Source, load, load_sources
from gproxy.config.root import read_root

BROKEN = Path(__file__).parent / "broken"
FILES = sorted(path for path in BROKEN.iterdir() if path.suffix in {".toml", ".json"})
SHOWN_NOWHERE = ("hunter2", "correct horse", "battery", "staple", "s3cret", "12345678", "MIIE", "bf000d23")


def report_on(*sources: Source) -> str:
    with pytest.raises(ConfigProblems) as caught:
        read_root(load_sources(sources, {}))
    return caught.value.report


def report_on_file(path: Path) -> str:
    text = path.read_text("utf-8")
    return report_on(Source(path.name, text, "toml" if path.suffix == ".toml" else "json")) + "\n"


def toml(text: str, name: str = "config.toml") -> Source:
    return Source(name, text, "toml")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_report_on_a_broken_file(path):
    assert report_on_file(path) == path.with_name(path.name + ".report").read_text("utf-8")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_report_holds_a_secret_or_moves_a_cursor(path):
    report = report_on_file(path).replace("# hunter2 in a comment is the writer's own doing", "")
    assert not [secret for secret in SHOWN_NOWHERE if secret in report]
    assert all(character.isprintable() or character == "\n" for character in report)


def test_problems_of_several_files_are_told_by_file_and_line():
    first = toml('[[inbounds]]\ntype = "mixed"\nlisten_port = 80\ntag = "x"\n', "a.toml")
    second = Source("b.json", '{"inbounds": [\n{"type": "mixed", "tag": "x", "listen_port": 80, "foo": 1}]}', "json")
    third = toml('[inbounds]\ntype = "mixed"\nlisten_port = 80\n', "c.toml")
    lines = [line for line in report_on(first, second, third).split("\n") if line[:1] in "abc"]
    assert lines == [
        "b.json:2:26: inbounds[1].tag: the tag `x` is taken by inbounds[0]",
        "b.json:2:50: inbounds[1].foo: unknown key",
        "c.toml:3:15: inbounds[2].listen_port: tcp 127.0.0.1:80 is bound by inbounds[0] already",
    ]


def test_a_document_that_does_not_parse_is_told_beside_others_that_do_not():
    with pytest.raises(ConfigProblems) as caught:
        load_sources([toml("a =", "a.toml"), toml("b = 1", "b.toml"), toml("c", "c.toml")], {})
    assert "a.toml:1:" in caught.value.report
    assert "c.toml:1:" in caught.value.report


def test_an_overridden_secret_on_a_quoted_line_is_hidden_too():
    one = Source("a.json", '{"outbounds": [], "x": {"password": "hunter2"}, "log": {"levle": 1}}', "json")
    two = Source("b.json", '{"x": {"password": "other"}}', "json")
    assert "hunter2" not in report_on(one, two)


SECRETS = st.text(st.characters(codec="utf-8", min_codepoint=0x21, exclude_categories=["C", "Z"]), min_size=8).map(
    lambda text: f"S3C{text}"
)
WRONG = st.sampled_from([
    "", "listen_port = 'x'\n", "listn_port = 1\n", "udp_timeout = 5\n", "tag = 1\n",
    "detour = 'nowhere'\n", "tls = 5\n",
])  # fmt: skip


@given(
    secret=SECRETS,
    wrong=WRONG,
    key=st.sampled_from(["password", "pasword", "passwords", "uuid"]),
    shape=st.integers(0, 5),
)
def test_no_secret_is_ever_in_a_report(secret, wrong, key, shape):
    quoted = '"' + secret.replace("\\", "\\\\").replace('"', '\\"') + '"'
    value = [quoted, f"[{quoted}]", f"{{ x = {quoted} }}", f'"""\n{quoted[1:-1]}"""', f"[[{quoted}]]", quoted][shape]
    user = f"{{ username = 5, {key} = {value} }}"
    kind = "mixed" if shape < 5 else "mixd"
    text = f'[[inbounds]]\ntype = "{kind}"\n{wrong}users = [{user}, 5]\n'
    assert "S3C" not in report_on(toml(text))


@given(
    secret=SECRETS.filter(lambda text: "\n" not in text), ending=st.sampled_from(["", '"]', "\n", " x", '" x', "\\q"])
)
def test_no_secret_is_in_the_report_on_a_syntax_error(secret, ending):
    for text, form in (
        (f'[[inbounds]]\nusers = [{{ username = "a", password = "{secret}{ending}', "toml"),
        (f'[tls]\nkey = """\n{secret}{ending}', "toml"),
        (f'{{"a": [{{"password": "{secret}{ending}', "json"),
        (f'{{"uuid":\n"{secret}{ending}', "json"),
    ):
        with pytest.raises(ConfigProblems) as caught:
            load_sources([Source("c", text, form)], {})
        assert "S3C" not in caught.value.report


def test_a_long_list_of_problems_is_cut_and_made_in_time():
    wrong = '{"type": "socks", "server": "x", "server_port": "x", "password": "hunter2", "detour": "nowhere"}'
    source = Source("c.json", f'{{"outbounds": [{", ".join([wrong] * 1000)}]}}', "json")
    report = report_on(source)
    assert report.endswith("\nand 1900 more problems")
    assert report.count("c.json:1:") == 100
    assert 'password": ***' in report


def test_a_value_from_the_environment_is_not_shown():
    source = toml('[log]\nlevel = "${LEVEL}"\noutput = 5\n')
    with pytest.raises(ConfigProblems) as caught:
        read_root(load_sources([source], {"LEVEL": "hunter2"}))
    assert "hunter2" not in caught.value.report
    assert "config.toml:2:9: log.level: expected one of" in caught.value.report


def test_files_that_cant_be_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigProblems, match=r"^no configuration: neither config\.toml nor config\.json in"):
        load()
    with pytest.raises(ConfigProblems, match=r"^x\.toml: no such file or directory$"):
        load(["x.toml"])


if __name__ == "__main__":
    for file in FILES:
        file.with_name(file.name + ".report").write_text(report_on_file(file), encoding="utf-8")
