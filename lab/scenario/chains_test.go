package scenario

import (
	"net/netip"
	"testing"
)

// Hops, places and addresses of chains are consistent, and no address is anybody else's.
func TestChains(t *testing.T) {
	seen := map[netip.Addr]string{HostileHost.IPv4: "hostile", HostileHost.IPv6: "hostile"}
	population := Default()
	add := func(a netip.Addr, name string) {
		t.Helper()
		if seen[a] != "" {
			t.Errorf("%s and %s both have %s", seen[a], name, a)
		}
		seen[a] = name
		if _, ok := population.Index(a); ok {
			t.Errorf("%s of %s is one of the population", a, name)
		}
		if host, ok := HostAt(a); ok {
			t.Errorf("%s of %s is that of %s", a, name, host.Name)
		}
	}
	for _, r := range Chains[0].Routers[:TrunkHops] {
		add(r.IPv4, "trunk")
		add(r.IPv6, "trunk")
	}
	names := make(map[string]bool)
	for _, c := range Chains {
		if names[c.Name] {
			t.Errorf("two chains are called %s", c.Name)
		}
		names[c.Name] = true
		for i, family := range Families {
			for _, r := range c.Routers[TrunkHops:] {
				for _, a := range r.Addrs(family) {
					add(a, c.Name)
				}
			}
			host := c.Addrs()[i]
			add(host, c.Name)
			if found, ok := ChainAt(host); !ok || found.Name != c.Name || !BehindTrunk(host) || FamilyOf(host) != family {
				t.Errorf("%s is not found at %s", c.Name, host)
			}
			truth := c.Truth(family)
			branch := len(c.Routers) - TrunkHops
			if branch < 2 || branch > 4 || truth.BoxHop != 0 && (truth.BoxHop <= TrunkHops || truth.BoxHop > len(c.Routers)) {
				t.Errorf("%s, %s: %d routers behind the trunk, box behind hop %d", c.Name, family, branch, truth.BoxHop)
			}
			if (truth.BoxHop == 0) != (truth.Acts == Nowhere) {
				t.Errorf("%s, %s: box behind hop %d acts %q", c.Name, family, truth.BoxHop, truth.Acts)
			}
			// A finding that names a place has the box in it.
			if placed := truth.Finding != "kept"; placed && !(truth.After <= truth.BoxHop && truth.BoxHop < truth.By) || !placed && truth.After+truth.By != 0 {
				t.Errorf("%s, %s: %s between hops %d and %d, box behind hop %d", c.Name, family, truth.Finding, truth.After, truth.By, truth.BoxHop)
			}
			// The rules for final verdicts, where they are plain.
			if truth.Connected == Proven && truth.Final != finalTrue ||
				truth.Verdict == Potential && truth.Connected != Proven && truth.Final != finalAffected ||
				truth.Verdict == NoRow && truth.Final != finalNone {
				t.Errorf("%s, %s: scanned as %q, %s, but %q in the end", c.Name, family, truth.Verdict, truth.Connected, truth.Final)
			}
		}
	}
	if clean, proxied := Chains[0], Chains[11]; proxied.Name != "synproxy" || proxied.Truth("ipv6") != clean.Truth("ipv6") || proxied.Truth("ipv4").BoxHop != 5 {
		t.Errorf("%s: %+v, %+v", proxied.Name, proxied.Truth("ipv4"), proxied.Truth("ipv6"))
	}
	if _, ok := ChainAt(netip.MustParseAddr("198.19.2.200")); ok {
		t.Error("a chain ends at 198.19.2.200")
	}
}

func TestHostile(t *testing.T) {
	for family, want := range map[string]int{"ipv4": 200, "ipv6": 65} {
		servers := Hostile(family)
		if len(servers) != want {
			t.Errorf("%s: %d servers, want %d", family, len(servers), want)
		}
		kinds := make(map[Hostility]int)
		for _, s := range servers {
			kinds[s.Kind]++
			if kind, ok := HostileAt(s.Addr); !ok || kind != s.Kind || !BehindTrunk(s.Addr) || FamilyOf(s.Addr) != family {
				t.Errorf("%s is %s, %t, want %s", s.Addr, kind, ok, s.Kind)
			}
			if len(s.HTTP) == 0 || len(s.TLS) == 0 {
				t.Errorf("%s: no outcome expected", s.Kind)
			}
		}
		for kind, n := range kinds {
			if len(kinds) != 13 || n < want/13 {
				t.Errorf("%s: %d of %d servers are %s", family, n, want, kind)
			}
		}
	}
	for _, nobody := range []string{"198.19.3.0", "198.19.3.201", "198.19.2.1", "2001:db8:ffff:d::", "2001:db8:ffff:d::42", "2001:db8:ffff:d:1::1"} {
		if kind, ok := HostileAt(netip.MustParseAddr(nobody)); ok {
			t.Errorf("%s is %s", nobody, kind)
		}
	}
}
