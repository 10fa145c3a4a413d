"""What a matching rule asks for. The router only says it; the engine does it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

from gproxy.base.address import Address, Host
from gproxy.base.clock import now
from gproxy.base.defaults import SNIFF_TIMEOUT
from gproxy.base.errors import Rejected
from gproxy.base.session import DEFAULT_DIAL, DEFAULT_LOOKUP, DialOptions, LookupOptions, Session
from gproxy.route.sniff import Sniffer, packet_sniffers, stream_sniffers

RejectMethod = Literal["default", "drop"]

# As in sing-box: whoever is refused more often than this is not worth an answer any more.
_FLOOD_COUNT = 50
_FLOOD_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Overrides:
    """What a rule changes about a session: its target, and how it is dialled. None and False change nothing."""

    address: Host | None = None
    port: int | None = None
    fallback_delay: float | None = None  # seconds
    udp_timeout: float | None = None  # seconds
    udp_connect: bool = False
    udp_disable_domain_unmapping: bool = False
    tls_fragment: bool = False
    tls_record_fragment: bool = False
    tls_fragment_fallback_delay: float | None = None  # seconds
    internal: bool = False  # also where only this machine is to go
    limits: tuple[str, ...] = ()  # on top of those of rules before
    _from_default: DialOptions = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_from_default", self._dial(DEFAULT_DIAL))

    def apply(self, session: Session) -> None:
        """Write them into the session. `asked` keeps what the client wanted, from the first rewriting on."""
        if self.address is not None or self.port is not None:
            self._redirect(session)
        session.limits += self.limits
        session.dial = self._from_default if session.dial is DEFAULT_DIAL else self._dial(session.dial)

    def _redirect(self, session: Session) -> None:
        host, port = session.target
        if session.asked is None:
            session.asked = session.target
        if self.address is not None:
            host = self.address
            session.addresses = ()  # they belong to the name before
        session.target = Address(host, port if self.port is None else self.port)

    def _dial(self, before: DialOptions) -> DialOptions:
        changed = replace(
            before,
            fallback_delay=before.fallback_delay if self.fallback_delay is None else self.fallback_delay,
            udp_timeout=before.udp_timeout if self.udp_timeout is None else self.udp_timeout,
            udp_connect=before.udp_connect or self.udp_connect,
            udp_disable_domain_unmapping=before.udp_disable_domain_unmapping or self.udp_disable_domain_unmapping,
            tls_fragment=before.tls_fragment or self.tls_fragment,
            tls_record_fragment=before.tls_record_fragment or self.tls_record_fragment,
            tls_fragment_fallback_delay=(
                before.tls_fragment_fallback_delay
                if self.tls_fragment_fallback_delay is None
                else self.tls_fragment_fallback_delay
            ),
            internal=before.internal or self.internal or self.address is not None,
        )
        return before if changed == before else changed


@dataclass(frozen=True, slots=True)
class RouteTo:
    """Send the session to the outbound of this tag, after changing it as `overrides` say."""

    final: ClassVar[bool] = True

    outbound: str
    overrides: Overrides | None = None
    rule: str = ""  # how the rule is called in the log


class FloodGuard:
    """Tells when refusals come so fast that answering them would help the flood: more than 50 within 30 seconds."""

    __slots__ = ("_times",)

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=_FLOOD_COUNT + 1)

    def flooded(self) -> bool:
        """Count one refusal; whether it shall be a silent one."""
        times = self._times
        times.append(now())
        return len(times) > _FLOOD_COUNT and times[-1] - times[0] <= _FLOOD_SECONDS


@dataclass(frozen=True, slots=True)
class Reject:
    """Refuse the session: with an answer, or (`drop`) in silence. A flood is dropped too, unless `no_drop`."""

    final: ClassVar[bool] = True

    method: RejectMethod = "default"
    no_drop: bool = False
    rule: str = ""  # how the rule is called in the log
    _guard: FloodGuard = field(default_factory=FloodGuard, init=False, repr=False, compare=False)

    def error(self) -> Rejected:
        """The refusal of one session, to be raised or given to its Reply; it counts towards the flood guard."""
        if self.method == "drop":
            return Rejected(self.rule, drop=True)
        if not self.no_drop and self._guard.flooded():
            return Rejected(f"{self.rule}, dropped as a flood", drop=True)
        return Rejected(self.rule)


@dataclass(frozen=True, slots=True)
class HijackDns:
    """Take what the session says for questions about names, and answer them here."""

    final: ClassVar[bool] = True

    rule: str = ""  # how the rule is called in the log


@dataclass(frozen=True, slots=True)
class SetOptions:
    """Change the session as `overrides` say, and go on with the next rule."""

    final: ClassVar[bool] = False

    overrides: Overrides
    rule: str = ""  # how the rule is called in the log


@dataclass(frozen=True, slots=True)
class Resolve:
    """Find the addresses of a target that is a domain, write them into the session, and go on with the next rule."""

    final: ClassVar[bool] = False

    how: LookupOptions = DEFAULT_LOOKUP
    rule: str = ""  # how the rule is called in the log


@dataclass(frozen=True, slots=True)
class Sniff:
    """Look at what the client says first, write what that tells into the session, and go on with the next rule."""

    final: ClassVar[bool] = False

    sniffers: tuple[str, ...] = ()  # their names; none: all
    timeout: float = SNIFF_TIMEOUT  # seconds
    override: bool = False  # the sniffed domain becomes the target
    rule: str = ""  # how the rule is called in the log
    streams: tuple[Sniffer, ...] = field(init=False, repr=False, compare=False)
    packets: tuple[Sniffer, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "streams", stream_sniffers(self.sniffers))
        object.__setattr__(self, "packets", packet_sniffers(self.sniffers))


Action = RouteTo | Reject | HijackDns | SetOptions | Resolve | Sniff
"""One step of a walk. The last one of a walk is final, and no other."""
