# shellcheck shell=sh
# Sourced by shell scripts that send: a veth pair `scanner` - `drop` from the network namespace
# that they run in, an empty one of their own, to another one. Sets $peer, whose end is the
# caller's to kill.

alone() {
	unshare "$@" true 2>/dev/null
}

# The command that gives a script its own network namespace; empty if that is not allowed.
own_namespace() {
	if alone -n; then echo "unshare -n"; elif alone -rn; then echo "unshare -rn"; fi
}

in_peer() {
	nsenter --net="/proc/$peer/ns/net" "$@"
}

make_pair() {
	unshare -n sleep 1000 &
	peer=$!
	while [ "$(readlink "/proc/$peer/ns/net")" = "$(readlink /proc/self/ns/net)" ]; do
		sleep 0.05
	done
	ip link add scanner type veth peer name drop netns "/proc/$peer/ns/net"
	ip link set scanner addrgenmode none up
	in_peer ip link set drop addrgenmode none up
}

links() {
	"$@" ip -o link | sed 's/^[0-9]*: \([^:@]*\).*/\1/' | sort | tr '\n' ' '
}

# Nothing else at either end, and no route: what is sent cannot get further than the peer.
is_isolated() {
	[ "$(links)" = "lo scanner " ] && [ "$(links in_peer)" = "drop lo " ] || return 1
	for family in -4 -6; do
		[ -z "$(ip $family route show)$(in_peer ip $family route show)" ] || return 1
	done
}

# Frames that the peer has received.
received() {
	awk '$1 == "drop:" { print $3 }' "/proc/$peer/net/dev"
}
