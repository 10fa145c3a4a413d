from __future__ import annotations

import pytest

from gproxy.route.sniff.found import domain_in, no


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("Site.test", "site.test"),
        ("site.test.", "site.test"),
        ("a_b.test", "a_b.test"),
        ("192.0.2.1", ""),
        ("2001:db8::1", ""),
        ("127.1", ""),
        ("a b.test", ""),
        ("a\n.test", ""),
        ("a" * 64 + ".test", ""),
        ("", ""),
    ],
)
def test_only_a_domain_is_one(text: str, domain: str) -> None:
    assert domain_in(text) == domain


def test_a_no_says_to_what() -> None:
    assert str(no("SSH")) == "not SSH"
