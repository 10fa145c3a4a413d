"""Rule sets out of nothing, compiled by sing-box and by us, read by the other, and asked of both.

With GPROXY_FULL=1 each of the 300 is a file of its own; else they are rules of a few files, so that few processes do,
and of the longest ones only the first rules are taken.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gproxy.cli.main import main
from gproxy.route.formats.adguard import read_adguard
from gproxy.route.formats.geosite import write_geosite
from gproxy.route.formats.source import read_source, write_source
from gproxy.route.formats.srs import fitting_version, inflate, read_srs, write_srs
from gproxy.route.headless import HeadlessRule
from gproxy.route.trial import Trial
from tests.interop.lab import program
from tests.interop.rule_sets import Tree, queries, rule_set
from tests.support.mmdb import mmdb

FILES = 300
FULL = bool(os.environ.get("GPROXY_FULL"))
TOGETHER = 1 if FULL else 15
LONGEST = 2000 if FULL else 100
_VERSIONS = 5
_HEAD = 4  # bytes before what is compressed


def sing_box(*arguments: str, here: Path) -> subprocess.CompletedProcess[str]:
    """Run a command of it, which must succeed."""
    done = subprocess.run(
        [program("sing-box"), "--disable-color", *arguments],
        cwd=here,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def bundles() -> Iterator[list[int]]:
    """The seeds of files that become one; they have the same version."""
    for version in range(_VERSIONS):
        seeds = list(range(version, FILES, _VERSIONS))
        for start in range(0, len(seeds), TOGETHER):
            yield seeds[start : start + TOGETHER]


def bundle(seeds: list[int]) -> Tree:
    """A file with the rules of all: those of each are one logical rule, unless there is just one."""
    trees = [rule_set(seed) for seed in seeds]
    if len(trees) == 1:
        return trees[0]
    joined = [{"type": "logical", "mode": "or", "rules": tree["rules"][:LONGEST]} for tree in trees]
    return {"version": trees[0]["version"], "rules": joined}


def compiled(tree: Tree, here: Path) -> tuple[bytes, bytes]:
    """The file as sing-box compiles it, and as we do."""
    text = json.dumps(tree, ensure_ascii=False).encode()
    (here / "source.json").write_bytes(text)
    sing_box("rule-set", "compile", "source.json", "-o", "theirs.srs", here=here)
    source = read_source(text)
    ours = write_srs(source.rules, fitting_version(source.rules, source.version))
    (here / "ours.srs").write_bytes(ours)
    return (here / "theirs.srs").read_bytes(), ours


@pytest.mark.parametrize("seeds", list(bundles()), ids=lambda seeds: f"{seeds[0]}-{seeds[-1]}")
def test_either_reads_what_the_other_has_compiled(seeds, tmp_path):
    theirs, ours = compiled(bundle(seeds), tmp_path)
    assert ours[:_HEAD] == theirs[:_HEAD]
    assert inflate(ours[_HEAD:]) == inflate(theirs[_HEAD:])

    sing_box("rule-set", "decompile", "ours.srs", "-o", "theirs.json", here=tmp_path)
    read = read_srs(theirs)
    assert json.loads(write_source(read.rules, read.version)) == json.loads((tmp_path / "theirs.json").read_bytes())


@pytest.mark.parametrize("case", range(5 * _VERSIONS if FULL else _VERSIONS))
def test_both_match_the_same(case, tmp_path):
    """Each asks the file that the other has compiled."""
    tree = rule_set(1000 + case, plain=True)
    tree["rules"] = [*tree["rules"], *rule_set(2000 + case, plain=True)["rules"]][:400]
    theirs, _ = compiled(tree, tmp_path)
    trial = Trial(read_srs(theirs).rules)
    matched = 0
    for asked in queries(tree, case, 40):
        said = sing_box("rule-set", "match", "-f", "binary", "ours.srs", asked, here=tmp_path)
        expected = [int(index) for index in re.findall(r"match rules\.\[(\d+)\]", said.stderr)]
        found = [index for index, _ in trial.matching(asked)]
        assert found == expected, f"{asked}: {[tree['rules'][at] for at in set(found) ^ set(expected)][:3]}"
        matched += len(found)
    assert matched > 10


FILTER = """! a filter
example.org
0.0.0.0 hosts.example
127.0.0.1 other.example
||ads.example.org^
|exact.example^
sub*str
||*.wild.example^
.dotted.example
-dash.example
||imp.example^$important
@@||ok.example^
@@||impok.example^$important
/^ads[0-9]+\\./
/^10\\.1/
@@/^good/
||rw.example^$dnsrewrite=0.0.0.0
||rw6.example^$dnsrewrite=1.2.3.4
||dom.example^$domain=foo
https://scheme.example^
||path.example/foo
1.2.3.4
10.0.
||port.example:80^
example.com##.ad
a~b
||end.|
|x.example|
||noend.
ads.
"""


@pytest.mark.parametrize("text", [FILTER, "a.example\nb.example\n", "0.0.0.0 a.example\n# x\n", "||a^\n@@||b.a^\n"])
def test_a_filter_becomes_the_same_file(text, tmp_path):
    (tmp_path / "filter.txt").write_text(text)
    sing_box("rule-set", "convert", "-t", "adguard", "filter.txt", "-o", "theirs.srs", here=tmp_path)
    theirs, ours = (tmp_path / "theirs.srs").read_bytes(), write_srs(read_adguard(text.encode()).rules, 2)
    assert ours[:_HEAD] == theirs[:_HEAD]
    assert inflate(ours[_HEAD:]) == inflate(theirs[_HEAD:])


def test_a_filter_matches_the_same(tmp_path):
    converted = read_adguard(FILTER.encode())
    (tmp_path / "ours.srs").write_bytes(write_srs(converted.rules, 2))
    trial = Trial(converted.rules)
    for asked in (
        "example.org", "www.example.org", "ads.example.org", "x.ads.example.org", "exact.example", "www.exact.example",
        "subxstr.test", "a.wild.example", "wild.example", "x.dotted.example", "dotted.example", "x-dash.example",
        "imp.example", "ok.example", "impok.example", "ads7.test", "xads7.test", "good.ads.example.org", "end",
        "x.end", "end.x", "noend.test", "x.noend.y", "my-ads.test", "nothing.test",
    ):  # fmt: skip
        said = sing_box("rule-set", "match", "-f", "binary", "ours.srs", asked, here=tmp_path)
        assert bool(list(trial.matching(asked))) == ("match rules" in said.stderr), asked


def ours(*arguments: str, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """What our command prints, which must succeed."""
    monkeypatch.chdir(here)
    capsys.readouterr()
    assert main(arguments) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("command", ["format", "upgrade"])
def test_files_are_laid_out_the_same(command, tmp_path, monkeypatch, capsys):
    for seed in (0, 4) if command == "format" else (0,):
        (tmp_path / "a.json").write_text(json.dumps(rule_set(seed)))
        arguments = ("rule-set", command, "a.json")
        printed = ours(*arguments, here=tmp_path, monkeypatch=monkeypatch, capsys=capsys)
        assert json.loads(printed) == json.loads(sing_box(*arguments, here=tmp_path).stdout)


def test_files_are_merged_the_same(tmp_path, monkeypatch, capsys):
    (tmp_path / "more").mkdir()
    for name, seed in (("b.json", 1), ("more/c.json", 4), ("more/a.json", 0)):
        (tmp_path / name).write_text(json.dumps(rule_set(seed)))
    arguments = ("rule-set", "merge", "-c", "b.json", "-C", "more")
    sing_box(*arguments, "theirs.out", here=tmp_path)
    printed = ours(*arguments, "-", here=tmp_path, monkeypatch=monkeypatch, capsys=capsys)
    assert json.loads(printed) == json.loads((tmp_path / "theirs.out").read_bytes())


SITES = {
    "google": HeadlessRule(
        domain=("google.com", "x.y"),
        domain_suffix=(".google.com",),
        domain_keyword=("goog",),
        domain_regex=("^g.*le$",),
    ),
    "cn": HeadlessRule(domain_suffix=(".cn",)),
}


@pytest.mark.parametrize(
    "arguments",
    [("list",), ("lookup", "www.google.com"), ("lookup", "cn", "a.cn"), ("export", "google", "-o", "stdout")],
)
def test_sites_are_told_the_same(arguments, tmp_path, monkeypatch, capsys):
    (tmp_path / "geosite.db").write_bytes(write_geosite(SITES))
    printed = ours("geosite", *arguments, here=tmp_path, monkeypatch=monkeypatch, capsys=capsys)
    assert printed.split() == sing_box("geosite", *arguments, here=tmp_path).stdout.split()


@pytest.mark.parametrize(
    "arguments",
    [
        ("list",),
        *(("lookup", ip) for ip in ("9.1.1.1", "8.8.8.8", "10.0.0.1", "2001:db8::1")),
        ("export", "de", "-o", "stdout"),
    ],
)
def test_countries_are_told_the_same(arguments, tmp_path, monkeypatch, capsys):
    networks = {"9.0.0.0/8": "de", "8.0.0.0/9": "fr", "2001:db8::/32": "de", "11.128.0.0/9": "de"}
    (tmp_path / "geoip.db").write_bytes(mmdb("sing-geoip", networks, ["de", "fr"]))
    printed = ours("geoip", *arguments, here=tmp_path, monkeypatch=monkeypatch, capsys=capsys)
    assert printed.split() == sing_box("geoip", *arguments, here=tmp_path).stdout.split()
