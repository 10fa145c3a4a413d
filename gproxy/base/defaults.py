"""Every timeout, size and limit that is not configured, each with its reason."""

from __future__ import annotations

# -- time, in seconds -------------------------------------------------------------------------------------------------

# A client that has not said what it wants by then is a slow-loris; sing-box's TLS handshakes get as long.
HANDSHAKE_TIMEOUT = 15.0

# A load balancer sends its PROXY header with the first segment; HAProxy gives it about as long.
PROXY_HEADER_TIMEOUT = 5.0

# What the dial and listen fields say when they are left out, or 0, as in sing-box.
CONNECT_TIMEOUT = 5.0
FALLBACK_DELAY = 0.3
TCP_KEEP_ALIVE = 300.0
TCP_KEEP_ALIVE_INTERVAL = 75.0

# How long a client is heard out that may still be sending when it has been told all: a refused one, or one whose target
# has answered and hung up before it had heard all.
LINGER = 2.0

# A resolve action; sing-box gives a DNS query as long.
RESOLVE_TIMEOUT = 10.0

# Between two pieces of a ClientHello, where the system can't tell what has arrived; as in sing-box.
FRAGMENT_DELAY = 0.5

# How long a request head waits for the first payload to leave together with it: the client may be one that lets the
# server speak first. As in sing-box.
FIRST_PAYLOAD = 0.3

# How long a client's first bytes are waited for to be sniffed, unless the rule says otherwise. As in sing-box.
SNIFF_TIMEOUT = 0.3

# A client that has said nothing by then may be waiting for its server: how long it is looked which of the two speaks
# first. Banners that come later are not worth remembering.
FIRST_WORD = 2.0

# How long a destination is known to be one whose server speaks first, so that no client of it is waited for. Browsers
# open connections ahead of need, which look alike if the server then says that nothing came.
SERVER_FIRST = 600.0

# A tunnel without a byte either way: long enough for a shell that is left open for a day; dead peers are found sooner,
# by TCP keep-alive.
TCP_IDLE = 24 * 3600.0

# After one side has ended, how long the other may stay silent. A half-closed request may take minutes to answer.
HALF_CLOSE_IDLE = 300.0

# How often idle relays are looked for. Coarse, since it costs a pass over all relays.
IDLE_SWEEP = 1.0

# A listener that ran out of descriptors tries again after this; then twice as long, up to the ceiling.
ACCEPT_BACKOFF = 0.05
ACCEPT_BACKOFF_CEILING = 1.0

# A UDP session that says nothing; RFC 4787 requirement 5 recommends this, and sing-box has it.
UDP_IDLE = 300.0

# UDP sessions by the destination's port: answers to these come at once or not at all (as sing-box has it).
UDP_PORT_TIMEOUTS = {53: 10.0, 123: 10.0, 3478: 10.0, 443: 30.0}

# The same by what was sniffed, which says more than a port.
UDP_PROTOCOL_TIMEOUTS = {"dns": 10.0, "ntp": 10.0, "stun": 10.0, "quic": 30.0, "dtls": 30.0}

# A UDP destination that could not be dialled (its name did not resolve, the proxy on the way was down) is tried again
# after this. Not sooner, since the client's other datagrams wait for each try.
UDP_RETRY = 10.0

# HTTP: an idle client between two requests, as nginx has it.
HTTP_KEEP_ALIVE = 75.0

# DNS over TCP and TLS: an idle client between two questions. RFC 7766 asks for seconds; Unbound and BIND give 30.
DNS_IDLE = 30.0

# -- sizes, in bytes --------------------------------------------------------------------------------------------------

# One read of a stream outside the pumps. Handshakes are small; layers read records of 16 KiB.
READ_CHUNK = 64 * 1024

# The pumps' one scratch buffer for each worker. 256 KiB took half the CPU of 64 KiB, more brought nothing.
SCRATCH = 256 * 1024

# The batch pump's, for records: as much is read at once while the target takes all of it, which took a quarter less CPU
# than 256 KiB. A target that does not may have to be waited for with what was read, so a flow begins with less.
RECORD_SCRATCH = 1024 * 1024
RECORD_READ = 256 * 1024

# The most of an incomplete record that is kept between two others. No format's records are longer.
RECORD_KEPT = 128 * 1024

# From this much in one read on, a flow counts as bulk and moves on to splice; below it, copying is cheaper.
SPLICE_FROM = 128 * 1024

# A link of many streams: all that its streams have not read yet. When it is full the link is not listened to, which a
# format's windows make rare: 32 streams of 256 KiB. smux has no windows; its own ends stop at 4 MiB.
LINK_INBOX = 8 * 1024 * 1024

# What its streams may queue between two turns of its writer, and one of them at a time while others wait.
# A turn is enough for a whole READ_CHUNK and a head that a layer puts before it.
LINK_TURN = READ_CHUNK + 64
LINK_OUTBOX = 4 * LINK_TURN

# An answer by UDP, unless the client takes less: what passes every network without being cut into fragments, which are
# lost and forged more easily (DNS flag day 2020; RFC 9715).
DNS_DATAGRAM = 1232

# The largest datagram that UDP over IPv4 or IPv6 can carry.
MAX_DATAGRAM = 65535

# -- counts -----------------------------------------------------------------------------------------------------------

# Connections taken at one wake-up, so that one busy listener does not starve the open sessions.
ACCEPT_BURST = 64

# Datagrams read from one socket at one wake-up.
DATAGRAM_BURST = 64

LISTEN_BACKLOG = 4096

# Streams of one link that a peer may have open at once, as smux's backlog.
LINK_STREAMS = 1024

# One client's unread datagrams; more are dropped and counted.
UDP_INBOX = 256

# Datagrams of one destination that are held back while they are sniffed: a browser's QUIC hello takes two or three.
SNIFF_DATAGRAMS = 16

# Destinations that are known to let their server speak first.
SERVER_FIRST_KNOWN = 4096

# UDP sessions of one listener; the longest idle is ended for a new one.
UDP_SESSIONS = 8192

# Questions of one socket, or of one session, in work at once: each has a greenlet. What comes beyond is dropped if it
# came as a datagram, and waits if it came on a stream.
QUERIES_IN_WORK = 1024
QUERIES_OF_ONE = 64

# Destinations for which one UDP session remembers a decision.
UDP_DECISIONS = 1024
