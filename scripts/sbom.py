"""The software bill of materials: what a bundle is made of, as CycloneDX 1.6 (https://cyclonedx.org/docs/1.6/json/)."""

from __future__ import annotations

import json
import re
import uuid
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.parser import HeaderParser
from typing import Any

# What a wheel calls its licence in words, and what its LICENSE file is.
READ = {
    ("google-re2", "BSD License"): "BSD-3-Clause",
    ("pyopenssl", "Apache License, Version 2.0"): "Apache-2.0",
}
UNSAID = {"openssl": "Apache-2.0"}  # licences that a wheel's bill leaves out


@dataclass(frozen=True)
class Inner:
    """What is compiled into a wheel, as the wheel's own bill of materials has it."""

    name: str
    version: str
    licence: str
    purl: str
    hashes: tuple[tuple[str, str], ...]  # algorithm and digest

    def as_json(self) -> dict[str, Any]:
        """The object within the component's."""
        hashes = [{"alg": algorithm, "content": digest} for algorithm, digest in self.hashes]
        licences = [{"expression": self.licence}] if self.licence else []
        facts = {"name": self.name, "version": self.version, "hashes": hashes, "licenses": licences, "purl": self.purl}
        return {"type": "library", **{name: value for name, value in facts.items() if value}}


@dataclass(frozen=True)
class Component:
    """A wheel: the SHA-256 of the file, its METADATA, and what it says that it is made of."""

    name: str
    version: str
    sha256: str
    metadata: str
    inner: tuple[Inner, ...] = ()

    @property
    def purl(self) -> str:
        """The package's address in the world of package-url."""
        return f"pkg:pypi/{self.name.lower()}@{self.version}"

    @property
    def licence(self) -> dict[str, Any]:
        """An SPDX expression, or the words of METADATA."""
        headers = HeaderParser().parsestr(self.metadata)
        if headers["License-Expression"]:
            return {"expression": headers["License-Expression"]}
        words = str(headers["License"] or "").strip().partition("\n")[0]
        named = [line.rpartition(" :: ")[2] for line in headers.get_all("Classifier", []) if line.startswith("License")]
        text = words or (named[0] if named else "")
        text = READ.get((self.name, text), text)
        if not text:
            raise SystemExit(f"{self.name} states no licence")
        return {"license": {"id": text} if re.fullmatch(r"[A-Za-z0-9.-]+", text) else {"name": text}}

    def as_json(self) -> dict[str, Any]:
        """The component's object."""
        inner = {"components": [each.as_json() for each in self.inner]} if self.inner else {}
        return {
            "type": "library",
            "bom-ref": self.purl,
            "name": self.name,
            "version": self.version,
            "hashes": [{"alg": "SHA-256", "content": self.sha256}],
            "licenses": [self.licence],
            "purl": self.purl,
            **inner,
        }


def read_component(archive: zipfile.ZipFile, name: str, version: str, sha256: str) -> Component:
    """What a wheel tells of itself: its METADATA, and the bills of materials in its `sboms` (PEP 770)."""
    files = {"/".join(each.split("/")[1:]): each for each in archive.namelist() if ".dist-info/" in each}
    bills = [json.loads(archive.read(path)) for part, path in files.items() if re.fullmatch(r"sboms/[^/]+", part)]
    inner = sorted({each for bill in bills for each in _read_bill(bill, name)}, key=lambda each: each.purl)
    return Component(name, version, sha256, archive.read(files["METADATA"]).decode(), tuple(inner))


def _read_bill(bill: dict[str, Any], wheel: str) -> Iterator[Inner]:
    """The foreign parts that are in the binaries: not the wheel's own, nor what only building it needed."""
    if bill.get("bomFormat") != "CycloneDX":
        raise SystemExit(f"{wheel} has a bill of materials that is not CycloneDX")
    for part in bill.get("components", []):
        purl = part["purl"]
        if part.get("scope") == "excluded" or "download_url=file:" in purl:
            continue
        said = [each.get("expression") or each["license"].get("id", "") for each in part.get("licenses", [])]
        licence = " AND ".join(said) or UNSAID.get(part["name"], "")
        hashes = tuple((each["alg"], each["content"]) for each in part.get("hashes", []))
        yield Inner(part["name"], part["version"], licence, purl, hashes)


def sbom(version: str, components: list[Component], when: int | None) -> str:
    """The document. The same bundle gives the same text: its serial number is made from what it names."""
    own = f"pkg:generic/gproxy@{version}"
    parts = [each.as_json() for each in sorted(components, key=lambda each: each.name)]
    subject = {
        "type": "application",
        "bom-ref": own,
        "name": "gproxy",
        "version": version,
        "licenses": [{"license": {"id": "Apache-2.0"}}],
        "purl": own,
    }
    metadata: dict[str, Any] = {"component": subject}
    if when is not None:
        metadata["timestamp"] = datetime.fromtimestamp(when, UTC).isoformat()
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, own + json.dumps(parts))}",
        "version": 1,
        "metadata": metadata,
        "components": parts,
        "dependencies": [{"ref": own, "dependsOn": [part["purl"] for part in parts]}],
    }
    return json.dumps(document, indent=2) + "\n"
