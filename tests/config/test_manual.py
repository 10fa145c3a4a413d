from __future__ import annotations

from pathlib import Path

from gproxy.config.manual import MARK, manual, renew
from gproxy.config.parse import parse
from gproxy.protocol import INBOUNDS, OUTBOUNDS

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_the_manual_is_up_to_date():
    page = PAGE.read_text("utf-8")
    assert page == renew(page), "run: python -m gproxy.config.manual docs/configuration.md"
    assert page.startswith("# Configuration")
    assert page.count(MARK) == 1


def test_the_manual_has_every_type_and_says_what_is_required():
    text = manual()
    assert all(f"### `{name}`" in text for name in [*INBOUNDS.names(), *OUTBOUNDS.names()])
    assert "| `server` | text | required | Server address: an IP address or a domain. |" in text
    assert "| `udp_timeout` | duration | `5m` |" in text
    assert "integer or text or" not in text


def test_the_example_of_the_manual_is_a_configuration():
    example = PAGE.read_text("utf-8").partition("```toml\n")[2].partition("```")[0]
    assert parse(example, "toml")["inbounds"][0]["type"] == "mixed"
