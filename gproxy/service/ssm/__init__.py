"""The Shadowsocks server management API, version 1 (SIP 2023-1), as sing-box speaks it."""

from __future__ import annotations

from gproxy.schema.registry import Row
from gproxy.service.ssm.options import SsmApiOptions
from gproxy.service.ssm.service import SsmApi

SERVICE = Row(SsmApiOptions, SsmApi)
