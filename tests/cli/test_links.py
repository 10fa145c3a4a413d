from __future__ import annotations

import io
import json
import tomllib

import pytest

from gproxy.cli.main import main
from gproxy.subscription.formats.sip002 import Link, read_link

KEY, OWN = "AAECAwQFBgcICQoLDA0ODw==", "Dw4NDAsKCQgHBgUEAwIBAA=="
MODERN = "2022-blake3-aes-128-gcm"
LINK = "ss://YWVzLTEyOC1nY206dGVzdA@192.0.2.1:8888/?plugin=obfs-local%3Bobfs%3Dhttp#Example1"
RETIRED = "ss://cmM0LW1kNTpwYXNzd2Q@192.0.2.1:8888"
OUTBOUND = {
    "type": "shadowsocks", "tag": "Example1", "server": "192.0.2.1", "server_port": 8888, "method": "aes-128-gcm",
    "password": "test", "plugin": "obfs-local", "plugin_opts": "obfs=http",
}  # fmt: skip


def printed(tmp_path, capsys, *arguments, **config):
    path = tmp_path / "c.json"
    path.write_text(json.dumps(config))
    code = main(["tools", "link", "print", "-c", str(path), *arguments])
    captured = capsys.readouterr()
    return code, captured.out.splitlines(), captured.err


def inbound(**more):
    return {"type": "shadowsocks", "tag": "in", "listen_port": 8388, "method": MODERN, "password": KEY} | more


# -- print -------------------------------------------------------------------------------------------------------------


def test_each_outbound_is_a_link(tmp_path, capsys):
    plain = {"type": "shadowsocks", "server": "2001:db8::1", "server_port": 1, "method": MODERN, "password": KEY}
    outbounds = [{"type": "direct", "tag": "d"}, OUTBOUND, plain]
    code, lines, err = printed(tmp_path, capsys, outbounds=outbounds, inbounds=[inbound()])
    assert (code, err) == (0, "")
    assert lines == [LINK, f"ss://{MODERN}:{KEY.replace('=', '%3D')}@[2001:db8::1]:1"]


def test_each_user_of_an_inbound_is_a_link(tmp_path, capsys):
    users = [{"name": "ann", "password": OWN}]
    aead = {"method": "aes-128-gcm", "users": [{"name": "ben", "password": "b"}], "password": "", "tag": "aead"}
    relay = {"destinations": [{"name": "far", "server": "192.0.2.9", "server_port": 1, "password": OWN}], "tag": "r"}
    inbounds = [
        inbound(),
        inbound(users=users, tag="several", listen_port=8389),
        inbound(**aead, listen_port=None, listen_ports=["9000-9001"]),
        inbound(**relay, listen_port=8390),
    ]
    code, lines, err = printed(tmp_path, capsys, "--host", "Proxy.Example", inbounds=inbounds)
    assert (code, err) == (0, "")
    assert [read_link(line) for line in lines] == [
        Link(MODERN, KEY, "proxy.example", 8388, tag="in"),
        Link(MODERN, f"{KEY}:{OWN}", "proxy.example", 8389, tag="ann"),
        Link("aes-128-gcm", "b", "proxy.example", 9000, tag="ben"),
        Link(MODERN, f"{KEY}:{OWN}", "proxy.example", 8390, tag="far"),
    ]


@pytest.mark.parametrize(
    ("server", "client"),
    [
        ("", ""),
        ("obfs=tls", "obfs=tls"),
        ("obfs=http;obfs-host=x.test;http-method=POST;reverse_proxy", "obfs=http;obfs-host=x.test;http-method=POST"),
    ],
)
def test_the_other_half_of_simple_obfs(server, client, tmp_path, capsys):
    options = {"plugin": "obfs-server", "plugin_opts": server}
    _, [line], _ = printed(tmp_path, capsys, "--host", "::1", inbounds=[inbound(**options)])
    found = read_link(line)
    assert (found.server, found.plugin) == ("::1", "obfs-local")
    assert found.plugin_opts == (client or "obfs=http")


def test_what_no_link_can_lead_to_is_told(tmp_path, capsys):
    inbounds = [
        inbound(tag="unix", listen="unix:/run/x", listen_port=None, network="tcp"),
        inbound(tag="program", plugin="true"),
        inbound(tag="managed", managed=True, listen_port=8389),
        inbound(tag="web", transport={"type": "ws"}, listen_port=8390),
    ]
    secret = OUTBOUND | {"tag": "secret", "tls": {"enabled": True}, "plugin": "", "plugin_opts": ""}
    service = {"type": "ssm-api", "listen": "127.0.0.1", "listen_port": 1, "servers": {"/": "managed"}}
    code, lines, err = printed(
        tmp_path, capsys, "--host", "192.0.2.1", inbounds=inbounds, outbounds=[secret], services=[service]
    )
    assert (code, lines) == (1, [])
    assert "inbound `web` has TLS or a transport" in err
    assert "outbound `secret` has TLS or a transport" in err
    assert "`managed` has the users" in err
    assert "`unix` has no port" in err
    assert "`program` wants a plugin" in err
    assert "nothing here" in err
    assert KEY not in err


def test_without_a_host_there_are_no_inbounds(tmp_path, capsys):
    code, lines, err = printed(tmp_path, capsys, inbounds=[inbound()])
    assert (code, lines) == (1, [])
    assert "nothing here" in err


def test_a_host_that_is_none(tmp_path, capsys):
    assert printed(tmp_path, capsys, "--host", "a b", inbounds=[inbound()])[0] == 2


def test_a_configuration_that_is_refused(tmp_path, capsys):
    assert printed(tmp_path, capsys, outbounds=[OUTBOUND | {"method": "x"}])[0] == 3


# -- read --------------------------------------------------------------------------------------------------------------


def read(capsys, *arguments):
    code = main(["tools", "link", "read", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_link_becomes_an_outbound(capsys):
    code, out, err = read(capsys, LINK)
    assert (code, err) == (0, "")
    assert tomllib.loads(out) == {"outbounds": [OUTBOUND]}
    assert json.loads(read(capsys, "--json", LINK, LINK)[1]) == {"outbounds": [OUTBOUND, OUTBOUND]}


def test_what_was_read_is_a_configuration_with_the_same_link(tmp_path, capsys):
    path = tmp_path / "c.toml"
    path.write_text(read(capsys, LINK, RETIRED)[1])
    assert main(["tools", "link", "print", "-c", str(path)]) == 0
    assert capsys.readouterr().out.split() == [LINK, RETIRED]


def test_a_retired_cipher_is_told(capsys):
    _, out, err = read(capsys, RETIRED)
    assert "rc4-md5 is a retired cipher" in err
    assert tomllib.loads(out)["outbounds"][0]["legacy"] is True


def test_links_from_standard_input(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(f"\n{LINK}\n  {RETIRED}\n\n"))
    assert [each["server_port"] for each in tomllib.loads(read(capsys, "-")[1])["outbounds"]] == [8888, 8888]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    assert read(capsys, "-")[0] == 1


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("vmess://s3cr3t", "expected `ss://…`"),
        ("ss://aes-128-gcm:s3cr3t@192.0.2.1", "expected `host:port`"),
        ("ss://aes-128-xyz:s3cr3t@192.0.2.1:1", "its method is another one"),
        (f"ss://{MODERN}:s3cr3t@192.0.2.1:1", f"not right for {MODERN}"),
        ("ss://aes-128-gcm:@192.0.2.1:1", "expected a password"),
    ],
)
def test_a_bad_link_is_told_without_its_password(text, why, capsys):
    code, out, err = read(capsys, text)
    assert (code, out) == (1, "")
    assert why in err
    assert "s3cr3t" not in err


def test_the_help_says_that_links_hold_passwords(capsys):
    for arguments in ([], ["print"], ["read"]):
        main(["tools", "link", *arguments, "--help"])
        assert "password" in capsys.readouterr().out
