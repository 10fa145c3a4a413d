"""How gproxy is installed. pyproject.toml sets up the tools that check it; the locks pin what it depends on."""

from __future__ import annotations

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent


def version() -> str:
    """The version that gproxy/__init__.py states; read, not imported, so that building needs no dependency."""
    found = re.search(r'^__version__ = "([^"]+)"$', (ROOT / "gproxy/__init__.py").read_text("utf-8"), re.MULTILINE)
    if found is None:
        raise SystemExit("gproxy/__init__.py states no __version__")
    return found[1]


def description() -> str:
    """The README, once there is one."""
    readme = ROOT / "README.md"
    return readme.read_text("utf-8") if readme.exists() else ""


setup(
    name="gproxy",
    version=version(),
    description="A universal proxy server for Linux",
    long_description=description(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    # Naming the root makes an editable install one path entry instead of an import hook that every start would pay for.
    package_dir={"": "."},
    packages=find_packages(include=["gproxy", "gproxy.*"]),
    package_data={"gproxy": ["py.typed"]},
    install_requires=[
        "blake3>=1.0",
        "click>=8.2",
        "cryptography>=49,<51",
        "dnspython>=2.9",
        "gevent>=26.4",
        "google-re2>=1.1",
        "greenlet>=3.1",
        "hpack>=4.1",
        "maxminddb>=3",
        "marisa-trie>=1.3",
        "msgspec>=0.21",
        "pycryptodome>=4.0",
        "pyopenssl>=26.4,<26.5",
    ],
    extras_require={
        "dev": [
            "coverage>=7.6",
            "h11>=0.16",
            "h2>=4.2",
            "hypothesis>=6.120",
            "import-linter>=2.1",
            "mypy>=1.14",
            "pytest>=8.3",
            "pytest-timeout>=2.3",
            "pytest-xdist>=3.6",
            "ruff>=0.9",
            "types-gevent>=24.11",
        ],
        "fuzz": ["atheris>=2.3; python_version < '3.14'"],
    },
    entry_points={"console_scripts": ["gproxy = gproxy.__main__:main"]},
    classifiers=[
        "Environment :: No Input/Output (Daemon)",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.11",
        "Topic :: Internet :: Proxy Servers",
        "Typing :: Typed",
    ],
)
