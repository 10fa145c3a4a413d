"""Rule sets out of nothing, compiled by sing-box and by us, read by the other, and asked of both.

With GPROXY_FULL=1 each of the 300 is a file of its own; else they are rules of a few files, so that few processes do.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gproxy.route.formats.adguard import read_adguard
from gproxy.route.formats.geosite import write_geosite
from gproxy.route.formats.source import read_source, write_source
from gproxy.route.formats.srs import fitting_version, inflate, read_srs, write_srs
from gproxy.route.headless import HeadlessRule
from gproxy.route.trial import Trial
from tests.interop.lab import program
from tests.interop.rule_sets import Tree, queries, rule_set

FILES = 300
TOGETHER = 1 if os.environ.get("GPROXY_FULL") else 15
_VERSIONS = 5
_HEAD = 4  # bytes before what is compressed


def sing_box(*arguments: str, here: Path) -> subprocess.CompletedProcess[str]:
    """Run a command of it, which must succeed."""
    done = subprocess.run(
        [program("sing-box"), "--disable-color", *arguments], cwd=here, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done


def bundles() -> Iterator[list[int]]:
    """The seeds of files that become one; they have the same version."""
    for version in range(_VERSIONS):
        seeds = list(range(version, FILES, _VERSIONS))
        for start in range(0, len(seeds), TOGETHER):
            yield seeds[start : start + TOGETHER]


def bundle(seeds: list[int], *, plain: bool = False) -> Tree:
    """A file with the rules of all: those of each are one logical rule, unless there is just one."""
    trees = [rule_set(seed, plain=plain) for seed in seeds]
    if len(trees) == 1:
        return trees[0]
    joined = [{"type": "logical", "mode": "or", "rules": tree["rules"]} for tree in trees]
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


@pytest.mark.parametrize("version", range(_VERSIONS))
def test_both_match_the_same(version, tmp_path):
    """Each asks the file that the other has compiled."""
    tree = rule_set(1000 + version, plain=True)
    tree["rules"] = [*tree["rules"], *rule_set(2000 + version, plain=True)["rules"]][:600]
    theirs, _ = compiled(tree, tmp_path)
    trial = Trial(read_srs(theirs).rules)
    matched = 0
    for asked in queries(tree, version, 300 // _VERSIONS if TOGETHER > 1 else 400):
        said = sing_box("rule-set", "match", "-f", "binary", "ours.srs", asked, here=tmp_path)
        expected = [int(index) for index in re.findall(r"match rules\.\[(\d+)\]", said.stderr)]
        found = [index for index, _ in trial.matching(asked)]
        assert found == expected, f"{asked}: {[tree['rules'][at] for at in set(found) ^ set(expected)][:3]}"
        matched += len(found)
    assert matched > 100
