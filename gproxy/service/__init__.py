"""What runs beside the protocols and carries nobody's bytes. This catalogue is the only list of services.

A room's `__init__` holds its row, SERVICE. A service lives in one process: control, or the only one.
"""

from __future__ import annotations

from gproxy.schema.registry import Registry

CATALOGUE: dict[str, str] = {
    "metrics": "gproxy.service.metrics:SERVICE",
    "ssm-api": "gproxy.service.ssm:SERVICE",
}

# Types that sing-box 1.14 knows and gproxy does not do yet: refused by that name.
_NOT_YET = ("derp", "resolved", "ccm", "ocm", "oom-killer", "api", "hysteria-realm", "usbip-server", "usbip-client")

SERVICES = Registry("service", CATALOGUE, _NOT_YET)
