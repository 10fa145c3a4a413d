"""Container images in the layout of the Open Container Initiative, out of folders, with the standard library alone.

Image specification 1.1: image-layout.md, manifest.md, config.md and layer.md of
https://github.com/opencontainers/image-spec. The same folders give the same bytes: names are sorted, there is one time,
and owners are what this module is told.

    oci-layout                       {"imageLayoutVersion": "1.0.0"}
    index.json                       names the manifest by its digest
    blobs/sha256/<hex>               the manifest, the configuration, and each layer as tar.gz
    manifest.json                    the same, for `docker load` of versions that don't know the layout
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

MEDIA = "application/vnd.oci.image."
Owner = Callable[[str], int]


@dataclass(frozen=True)
class Blob:
    """What the layout stores under its digest; `plain` is the digest before compression, which only layers have."""

    kind: str
    data: bytes
    plain: str = ""

    @property
    def hex(self) -> str:
        """The SHA-256, which is its name."""
        return hashlib.sha256(self.data).hexdigest()

    def descriptor(self, **more: Any) -> dict[str, Any]:
        """How others point to it."""
        return {"mediaType": MEDIA + self.kind, "digest": f"sha256:{self.hex}", "size": len(self.data), **more}


def layer(root: Path, when: int, owner: Owner) -> Blob:
    """A layer out of a folder. `owner` gives the number of the user and group that own a path, such as `etc/passwd`."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in tree(root):
            name = path.relative_to(root).as_posix()
            add(archive, path, name, when, owner(name))
    packed = gzip.compress(plain.getvalue(), compresslevel=9, mtime=0)
    return Blob("layer.v1.tar+gzip", packed, f"sha256:{hashlib.sha256(plain.getvalue()).hexdigest()}")


def tree(root: Path) -> Iterator[Path]:
    """All that is in a folder, each folder before its contents, sorted by name."""
    for path in sorted(root.iterdir()):
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from tree(path)


def add(archive: tarfile.TarFile, path: Path, name: str, when: int, owner: int) -> None:
    """Add one entry. Its mode is the file's own without setuid and setgid."""
    status = path.lstat()
    entry = tarfile.TarInfo(name)
    entry.uid = entry.gid = owner
    entry.mtime = when
    entry.mode = status.st_mode & 0o1777
    if path.is_symlink():
        entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, os.readlink(path), 0o777
        archive.addfile(entry)
    elif path.is_dir():
        entry.type = tarfile.DIRTYPE
        archive.addfile(entry)
    else:
        entry.size = status.st_size
        with path.open("rb") as data:
            archive.addfile(entry, data)


def as_json(kind: str, value: dict[str, Any]) -> Blob:
    """A blob that is a JSON document."""
    return Blob(kind, json.dumps(value, sort_keys=True, separators=(",", ":")).encode())


def write_image(
    to: Path,
    layers: list[Blob],
    settings: dict[str, Any],
    architecture: str,
    labels: dict[str, str],
    tag: str,
    when: int,
) -> str:
    """Write the image as a tar of the layout; gives the digest of its manifest.

    `settings` is the configuration's `config`; `tag` is like `gproxy:1.0`; `labels` also become annotations.
    """
    created = datetime.fromtimestamp(when, UTC).isoformat().replace("+00:00", "Z")
    config = {
        "architecture": architecture,
        "os": "linux",
        "created": created,
        "config": {**settings, "Labels": labels},
        "rootfs": {"type": "layers", "diff_ids": [each.plain for each in layers]},
        "history": [{"created": created, "created_by": "scripts/image.py"} for _ in layers],
    }
    configured = as_json("config.v1+json", config)
    manifest = as_json(
        "manifest.v1+json",
        {
            "schemaVersion": 2,
            "mediaType": MEDIA + "manifest.v1+json",
            "config": configured.descriptor(),
            "layers": [each.descriptor() for each in layers],
            "annotations": {**labels, "org.opencontainers.image.created": created},
        },
    )
    names = {"org.opencontainers.image.ref.name": tag.rpartition(":")[2]}
    platform = {"architecture": architecture, "os": "linux"}
    index = {"schemaVersion": 2, "manifests": [manifest.descriptor(annotations=names, platform=platform)]}
    docker = [
        {
            "Config": f"blobs/sha256/{configured.hex}",
            "RepoTags": [tag],
            "Layers": [f"blobs/sha256/{each.hex}" for each in layers],
        }
    ]
    files = {f"blobs/sha256/{each.hex}": each.data for each in (manifest, configured, *layers)}
    files |= {"index.json": json.dumps(index, sort_keys=True).encode(), "manifest.json": json.dumps(docker).encode()}
    files |= {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}'}
    with tarfile.open(to, "w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime, entry.mode = len(data), when, 0o644
            archive.addfile(entry, io.BytesIO(data))
    return f"sha256:{manifest.hex}"
