"""The software bill of materials: what a bundle is made of, as CycloneDX 1.6 (https://cyclonedx.org/docs/1.6/json/)."""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from email.parser import HeaderParser
from typing import Any


@dataclass(frozen=True)
class Component:
    """A wheel: the SHA-256 of the file, and its METADATA."""

    name: str
    version: str
    sha256: str
    metadata: str

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
        if not text:
            raise SystemExit(f"{self.name} states no licence")
        return {"license": {"id": text} if re.fullmatch(r"[A-Za-z0-9.-]+", text) else {"name": text}}

    def as_json(self) -> dict[str, Any]:
        """The component's object."""
        return {
            "type": "library",
            "bom-ref": self.purl,
            "name": self.name,
            "version": self.version,
            "hashes": [{"alg": "SHA-256", "content": self.sha256}],
            "licenses": [self.licence],
            "purl": self.purl,
        }


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
