from __future__ import annotations

import subprocess
import sys

import pytest

from gproxy.cli.main import FAILED, INTERRUPTED, OK, REFUSED, USAGE, cli, main

GOOD = '[[inbounds]]\ntype = "mixed"\nlisten = "127.0.0.1"\nlisten_port = 1080\n'


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.toml").write_text(GOOD)
    (tmp_path / "bad.toml").write_text("[log]\nlevle = 1\n")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["check", "-c", "good.toml"], OK),
        (["-c", "good.toml", "check"], OK),
        (["--help"], OK),
        (["run", "-h"], OK),
        ([], USAGE),
        (["chekc"], USAGE),
        (["check", "--bogus"], USAGE),
        (["generate", "rand", "x"], USAGE),
        (["check", "-c", "bad.toml"], REFUSED),
        (["check", "-c", "none.toml"], REFUSED),
        (["check"], REFUSED),
        (["tools", "fetch", "ftp://x", "-c", "good.toml"], USAGE),
        (["tools", "connect", "127.0.0.1:x", "-c", "good.toml"], USAGE),
        (["tools", "connect", "127.0.0.1:1", "-c", "good.toml", "-o", "nope"], USAGE),
    ],
)
def test_exit_codes(arguments, code, capsys):
    assert main(arguments) == code


def test_errors_go_to_standard_error(capsys):
    main(["check", "-c", "bad.toml"])
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("bad.toml:2:1: log.levle: unknown key\n    2 | levle = ***\n")


def test_every_command_has_a_help_text(capsys):
    for name in cli.commands or cli.list_commands(None):
        command = cli.get_command(None, name)
        assert command is not None
        assert command.get_short_help_str()
    assert main(["--help"]) == OK
    assert "fetch" not in capsys.readouterr().out


def test_an_interrupt_has_its_own_code(monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("gproxy.config.root.read_root", interrupted)
    assert main(["check", "-c", "good.toml"]) == INTERRUPTED


def test_a_room_that_fails_is_one_line(monkeypatch, capsys):
    from gproxy.base.errors import DialError

    def failing(*_):
        raise DialError("no way")

    monkeypatch.setattr("gproxy.app.build.build", failing)
    assert main(["check", "-c", "good.toml"]) == FAILED
    assert capsys.readouterr().err == "gproxy: no way\n"


def test_a_reader_that_goes_away_is_no_crash():
    code = "import sys; from gproxy.cli.main import main; sys.exit(main(['schema']))"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert b"Traceback" not in process.stderr.read()
    process.stderr.close()
    assert process.wait() == FAILED


@pytest.mark.parametrize(
    "module", ["difflib", "json", "gproxy.config.report", "gproxy.config.locate", "gproxy.config.jsonschema", "ssl"]
)
def test_a_good_start_imports_nothing_for_bad_days(module):
    code = (
        "import sys; from gproxy.cli.sources import Sources; Sources(files=['good.toml']).root();"
        f"sys.exit({module!r} in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


PLAIN = """
outbounds = [
    { type = "direct", tag = "direct" },
    { type = "block", tag = "block" },
    { type = "socks", tag = "socks", server = "192.0.2.1", server_port = 1080 },
    { type = "http", tag = "http", server = "192.0.2.1", server_port = 8080 },
]
inbounds = [
    { type = "mixed", listen = "127.0.0.1", listen_port = 1080 },
    { type = "socks", listen = "127.0.0.1", listen_port = 1081 },
    { type = "http", listen = "127.0.0.1", listen_port = 1082 },
    { type = "direct", listen = "127.0.0.1", listen_port = 1083, override_address = "192.0.2.1", override_port = 53 },
]
"""
SEALED = """
[[{side}]]
type = "shadowsocks"
tag = "sealed"
method = "{method}"
legacy = {legacy}
password = "AAAAAAAAAAAAAAAAAAAAAA=="
{address} = "127.0.0.1"
{address}_port = 8388
"""
USUAL = {"click", "gevent", "greenlet", "zope"}
CIPHERS = {"cryptography", "_cffi_backend", "blake3"}
RETIRED = {"Crypto", "cffi", "pycparser"}
TLS = {"OpenSSL", "cryptography", "_cffi_backend"}
LIBRARIES = USUAL | CIPHERS | RETIRED | TLS | {"msgspec", "re2", "hpack", "dns"}


def libraries_of(configuration, here):
    """The libraries that are imported when all that a configuration names is built, as a worker does it."""
    (here / "built.toml").write_text(configuration)
    code = (
        "import sys; from gproxy.__main__ import main\n"
        "try: main()\nexcept SystemExit as end: assert not end.code\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    command = [sys.executable, "-c", code, "check", "-c", "built.toml"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=30)
    return set(done.stdout.splitlines()[-1].split()) & LIBRARIES


def test_what_nobody_seals_needs_no_cipher(here):
    assert libraries_of(PLAIN, here) == USUAL


def test_tls_brings_openssl(here):
    text = '[[outbounds]]\ntype = "http"\nserver = "192.0.2.1"\nserver_port = 443\ntls = { enabled = true }\n'
    assert libraries_of(text, here) == USUAL | TLS


@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_http2_brings_hpack(kind, here):
    text = '[[outbounds]]\ntype = "trojan"\nserver = "192.0.2.1"\nserver_port = 443\npassword = "x"\n'
    assert "hpack" not in libraries_of(text, here)
    assert "hpack" in libraries_of(text + f'transport = {{ type = "{kind}" }}\n', here)


@pytest.mark.parametrize(("side", "address"), [("inbounds", "listen"), ("outbounds", "server")])
@pytest.mark.parametrize(
    ("method", "legacy", "needed"),
    [
        ("aes-128-gcm", False, CIPHERS),
        ("2022-blake3-aes-128-gcm", False, CIPHERS),
        ("camellia-128-cfb", True, CIPHERS),
        ("salsa20", True, CIPHERS | RETIRED),
    ],
)
def test_ciphers_come_with_what_needs_them(side, address, method, legacy, needed, here):
    text = SEALED.format(side=side, address=address, method=method, legacy=str(legacy).lower())
    assert libraries_of(text, here) == USUAL | needed
