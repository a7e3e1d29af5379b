package zmap

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// The two ZMaps are told the same, each in the names of its own zopt.ggo.
func TestArguments(t *testing.T) {
	direct := Scan{
		Targets: []string{"198.18.0.0/16"}, Port: 443, Probe: ProbeV1, Interface: "eth0",
		SourceIP: netip.MustParseAddr("192.0.2.7"), GatewayMAC: "02:00:00:00:00:01",
		Rate: 1000, Cooldown: 8, Blocklist: "block.conf", Shards: 3, Shard: 1,
	}
	indexed := direct
	indexed.Targets, indexed.TargetFile, indexed.Blocklist = []string{"1.0.0.0/31", "1.0.0.2/32"}, "six.targets", "/dev/null"
	indexed.SourceIP, indexed.Probe, indexed.ProbeArgs = netip.MustParseAddr("2001:db8::7"), ProbeCanary, "options=bare"
	indexed4 := indexed
	indexed4.SourceIP, indexed4.Probe, indexed4.ProbeArgs = direct.SourceIP, ProbeV0, ""

	trace := indexed
	trace.Targets, trace.Probe, trace.FirstTTL, trace.LastTTL = []string{"1.0.0.0/26"}, ProbeV1, 2, 9

	for _, test := range []struct {
		name     string
		scan     Scan
		version  string
		has      []string
		not      []string // no argument contains it
		trailing []string
	}{
		{"2.1.1", direct, "2.1.1",
			[]string{"--probe-module=mptcp_synscan", "--probe-args=probe=v1", "--target-port=443", "--blacklist-file=block.conf", "--source-ip=192.0.2.7", "--seed=5", "--shards=3", "--shard=1"},
			[]string{"--target-ports", "--blocklist-file", "targets="}, []string{"198.18.0.0/16"}},
		{"4", direct, "4.3.4",
			[]string{"--probe-args=probe=v1", "--target-ports=443", "--blocklist-file=block.conf", "--source-ip=192.0.2.7"},
			[]string{"--target-port=", "--blacklist-file", "targets="}, []string{"198.18.0.0/16"}},
		{"IPv6 on 2.1.1", indexed, "2.1.1",
			[]string{"--probe-args=probe=plain,canary=on,targets=six.targets,source=2001:db8::7,options=bare", "--source-ip=192.0.2.1", "--blacklist-file=/dev/null"},
			[]string{"probe=canary"}, []string{"1.0.0.0/31", "1.0.0.2/32"}},
		{"target file of IPv4", indexed4, "2.1.1",
			[]string{"--probe-args=probe=v0,targets=six.targets", "--source-ip=192.0.2.7"},
			[]string{"source=1", "ttl="}, []string{"1.0.0.0/31", "1.0.0.2/32"}},
		{"trace", trace, "2.1.1",
			[]string{"--probe-module=mptcp_trace", "--probe-args=probe=v1,targets=six.targets,ttl=2-9,source=2001:db8::7,options=bare"},
			[]string{"mptcp_synscan"}, []string{"1.0.0.0/26"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			args := test.scan.arguments(Installation{Version: test.version}, 5, "metadata.json")
			for _, want := range test.has {
				if !slices.Contains(args, want) {
					t.Errorf("no %s in %q", want, args)
				}
			}
			for _, not := range test.not {
				if slices.ContainsFunc(args, func(a string) bool { return strings.Contains(a, not) }) {
					t.Errorf("%s in %q", not, args)
				}
			}
			if !slices.Equal(args[len(args)-len(test.trailing):], test.trailing) || strings.HasPrefix(args[len(args)-len(test.trailing)-1], "1") {
				t.Errorf("%q does not end with %q", args, test.trailing)
			}
			names := map[string]bool{}
			for _, a := range args {
				name, _, option := strings.Cut(a, "=")
				if option && names[name] {
					t.Errorf("%s twice, which ZMap refuses", name)
				}
				names[name] = true
			}
		})
	}
}

func TestParseTTLs(t *testing.T) {
	for text, want := range map[string][2]uint8{"1-24": {1, 24}, "64-64": {64, 64}, "7-9": {7, 9}} {
		if first, last, err := ParseTTLs(text); err != nil || first != want[0] || last != want[1] {
			t.Errorf("%s: %d-%d, %v", text, first, last, err)
		}
	}
	for _, text := range []string{"", "5", "-5", "5-", "0-5", "6-5", "1-65", "1-257", "1--5", "1-5-9", "1- 5", "+1-5", "a-b", "1–5"} {
		if first, last, err := ParseTTLs(text); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %d-%d, %v", text, first, last, err)
		}
	}
}
