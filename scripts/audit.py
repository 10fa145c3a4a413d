"""Audits the lock: whether every line has a hash, its licence, its age, and what is known against it.

Exit status: 0 when all is well; 1 when something is wrong: a line without a hash, a licence that is not allowed, a
known vulnerability; 2 when nothing is wrong but no database of vulnerabilities could be asked about every line.

Licences and ages are read from the wheelhouse (`make wheelhouse`), and so is what the wheels say is compiled into them.
Vulnerabilities are asked of PyPI by pip-audit, for the lines of the lock: one of the OpenSSL within cryptography is
known there once cryptography's authors have reported it. Newer versions are asked of the index by pip.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from sbom import Inner, read_component

ROOT = Path(__file__).resolve().parent.parent
LOCKS = (ROOT / "requirements.lock", ROOT / "requirements-dev.lock")
# What may be given on together with Apache-2.0, under no more conditions than keeping notices.
ALLOWED = {
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "MIT",
    "MIT-0",
    "PSF-2.0",
    "Unicode-3.0",
    "Unlicense",
    "ZPL-2.1",
}
OLD = 2 * 365  # days after which a release deserves a look: is it finished, or given up?
LINE = re.compile(r"([A-Za-z0-9._-]+)==([^ ;]+)(?: ; [^\\]*?)?((?: +--hash=sha256:[0-9a-f]{64})*) *")
FINE, WRONG, UNKNOWN = 0, 1, 2


@dataclass(frozen=True)
class Part:
    """A locked distribution, as its wheel tells."""

    name: str
    version: str
    licence: str
    built: datetime.date | None
    inner: tuple[Inner, ...] = ()

    def age(self, today: datetime.date) -> int | None:
        """Days since it was built, if its wheel tells when."""
        return (today - self.built).days if self.built else None


def main() -> None:
    """Print the audit, and exit with its status."""
    parser = argparse.ArgumentParser(description="Audit requirements.lock.")
    parser.add_argument(
        "--wheelhouse", type=Path, default=ROOT / "build/wheelhouse", help="folder of wheels, and below"
    )
    parser.add_argument("--pip-audit", type=Path, default=ROOT / "build/audit/bin/pip-audit", help="the program")
    options = parser.parse_args()
    wrong = [f"{path.name}: {each}" for path in LOCKS for each in check_lock(path.read_text("utf-8"))]
    pinned = pins(LOCKS[0].read_text("utf-8"))
    wheels = list(options.wheelhouse.rglob("*.whl"))
    parts = [part for part in map(read_wheel, wheels_of(wheels, pinned)) if part]
    missing = {name for name, _, _ in pinned} - {part.name for part in parts}
    wrong += [f"{name}: no wheel of it in {options.wheelhouse}: run `make wheelhouse`" for name in sorted(missing)]
    wrong += check_licences(parts)
    print_table(parts, datetime.datetime.now(datetime.UTC).date())
    known, unasked = ask_database(options.pip_audit, LOCKS[0])
    for each in wrong + known:
        print(f"WRONG  {each}")
    for each in unasked:
        print(f"UNKNOWN  {each}")
    print("wrong" if wrong or known else "no database was asked about all of it" if unasked else "all is well")
    sys.exit(WRONG if wrong or known else UNKNOWN if unasked else FINE)


def check_lock(text: str) -> Iterator[str]:
    """What is wrong with a lock: a line that is no pin, has no hash, or brings options or addresses of its own."""
    for line in text.replace("\\\n", " ").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        match = LINE.fullmatch(re.sub(r" +", " ", line))
        if not match:
            yield f"not a pinned version with hashes: {line[:60]}"
        elif not match[3]:
            yield f"{match[1]} has no hash"


def pins(text: str) -> list[tuple[str, str, frozenset[str]]]:
    """Name, version and hashes of every line that is one."""
    lines = (LINE.fullmatch(re.sub(r" +", " ", line)) for line in text.replace("\\\n", " ").splitlines())
    return [(line[1], line[2], frozenset(re.findall("[0-9a-f]{64}", line[3]))) for line in lines if line]


def wheels_of(wheels: Iterable[Path], pinned: list[tuple[str, str, frozenset[str]]]) -> Iterator[tuple[str, str, Path]]:
    """A wheel for each pin, one is enough: those for other Pythons are made of the same sources."""
    by_hash = {hashlib.sha256(path.read_bytes()).hexdigest(): path for path in sorted(wheels)}
    for name, version, hashes in pinned:
        found = sorted(hashes & by_hash.keys())
        if found:
            yield name, version, by_hash[found[0]]


def read_wheel(wheel: tuple[str, str, Path]) -> Part:
    """What a wheel says of itself."""
    name, version, path = wheel
    with zipfile.ZipFile(path) as archive:
        component = read_component(archive, name, version, "")
        built = max(datetime.date(*each.date_time[:3]) for each in archive.infolist())
    said = component.licence
    words = said.get("expression") or said["license"].get("id") or said["license"]["name"]
    # A zip can't tell an earlier date than 1980: builders that want the same bytes twice write that.
    return Part(name, version, words, built if built.year > 1980 else None, component.inner)


def check_licences(parts: Iterable[Part]) -> Iterator[str]:
    """The parts, and what is in them, whose licence is not allowed."""
    for part in parts:
        for each in (part, *part.inner):
            if not permits(each.licence, ALLOWED):
                where = f" in {part.name}" if each is not part else ""
                yield f"{each.name} {each.version}{where}: the licence {each.licence!r} is not among those allowed"


def permits(expression: str, allowed: Collection[str]) -> bool:
    """Whether the allowed licences meet an SPDX expression: of an `OR` one side is enough, of an `AND` all are needed.

    What is no expression is not met; a licence `WITH` an exception only if it is among them by that name.
    """
    words = re.findall(r"[()]|[^\s()]+(?: WITH [^\s()]+)?", expression)

    def either() -> bool:
        met = every()
        while words[:1] == ["OR"]:
            del words[0]
            met = every() or met
        return met

    def every() -> bool:
        met = one()
        while words[:1] == ["AND"]:
            del words[0]
            met = one() and met
        return met

    def one() -> bool:
        word = words.pop(0)
        if word != "(":
            return word in allowed
        met = either()
        return words[:1] == [")"] and words.pop(0) == ")" and met

    try:
        return either() and not words
    except IndexError:  # it ends where a licence should stand
        return False


def print_table(parts: Iterable[Part], today: datetime.date) -> None:
    """One line for each part, and one for what is in it."""
    print(f"{'name':17} {'version':16} {'built':10} {'days':>5}  {'newest':16} licence")
    for part in parts:
        age = part.age(today)
        days = "?" if age is None else f"{age}{'!' * (age > OLD)}"
        built = str(part.built or "?")
        print(f"{part.name:17} {part.version:16} {built:10} {days:>5}  {newest(part.name):16} {part.licence}")
        crates = [each for each in part.inner if each.purl.startswith("pkg:cargo/")]
        others = [f"{each.name} {each.version}" for each in part.inner if each not in crates]
        if part.inner:
            print("    with " + ", ".join([*others, f"{len(crates)} crates of Rust"] if crates else others))


def newest(name: str) -> str:
    """The newest version on the index; `?` if that can't be asked."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "index", "versions", name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    except subprocess.TimeoutExpired:
        return "?"
    match = re.match(r"\S+ \((.+)\)", done.stdout)
    return match[1] if match else "?"


def ask_database(program: Path, lock: Path) -> tuple[list[str], list[str]]:
    """What is known against the lock's lines, and what could not be asked."""
    if not program.exists():
        return [], [f"no database reachable: {program.name} is not installed"]
    options = [
        "--require-hashes",
        "--disable-pip",
        "--progress-spinner=off",
        "--format=json",
        "--requirement",
        str(lock),
    ]
    try:
        done = subprocess.run([str(program), *options], capture_output=True, text=True, check=False, timeout=120)
    except subprocess.TimeoutExpired:
        return [], ["no database reachable: no answer in 120 seconds"]
    return read_answer(done.stdout)


def read_answer(text: str) -> tuple[list[str], list[str]]:
    """What pip-audit's JSON says: vulnerabilities, and parts that its database did not know."""
    try:
        parts = json.loads(text)["dependencies"]
    except (ValueError, KeyError):
        return [], ["no database reachable: pip-audit gave no answer"]
    known = [
        f"{part['name']} {part['version']}: {each['id']}, fixed in {', '.join(each['fix_versions']) or 'no version'}"
        for part in parts
        for each in part.get("vulns", [])
    ]
    skipped = [part for part in parts if "skip_reason" in part]
    if skipped and len(skipped) == len(parts):
        return known, ["no database reachable: it answered for none of the packages"]
    return known, [f"{part['name']}: {part['skip_reason']}" for part in skipped]


if __name__ == "__main__":
    main()
