package networks

import (
	"encoding/csv"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/mpcensus/mpcensus/lab/scenario"
)

// Every address of the lab is in one network, and no network overlaps another.
func TestNetworksCoverTheLab(t *testing.T) {
	for i, family := range scenario.Families {
		all := Of(family)
		seen := map[uint32]int{}
		for j, n := range all {
			if n.Last.Less(n.First) || j > 0 && !all[j-1].Last.Less(n.First) {
				t.Errorf("%s: %s to %s follows what ends at %s", family, n.First, n.Last, all[max(j-1, 0)].Last)
			}
		}
		addresses := make([]netip.Addr, 0, scenario.Default().Size())
		for a := range scenario.Default().Addresses {
			addresses = append(addresses, a)
		}
		for _, h := range scenario.Hosts {
			addresses = append(addresses, h.Addrs()[i])
		}
		for _, c := range scenario.Chains {
			addresses = append(addresses, c.Addrs()[i])
			for _, r := range c.Routers[1:] { // the first is the scanner's own gateway
				addresses = append(addresses, r.Addrs(family)...)
			}
		}
		path := scenario.Default().Path(addresses[0], 443)
		if i == 1 {
			path = scenario.Default().Path(scenario.Default().IPv6[0], 443)
		}
		for hop := 1; hop <= path.Hops; hop++ {
			addresses = append(addresses, path.Router(hop).Addr)
		}
		for _, a := range addresses {
			if scenario.FamilyOf(a) != family {
				continue
			}
			in := 0
			for _, n := range all {
				if a.Compare(n.First) >= 0 && a.Compare(n.Last) <= 0 {
					in++
					seen[n.ASN]++
				}
			}
			if in != 1 {
				t.Fatalf("%s is in %d networks", a, in)
			}
		}
		if len(seen) < len(systems)+2 {
			t.Errorf("%s: %d systems have hosts", family, len(seen))
		}
		if largest, smallest := seen[firstASN], seen[firstASN+10]; largest < 3*smallest {
			t.Errorf("%s: the largest has %d addresses, the smallest %d", family, largest, smallest)
		}
	}
}

func TestWrite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "networks")
	if err := Write(dir); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]string{
		"asn-ipv4.csv":     {"198.18.0.0", "198.18.63.255", "64496", "Example Network 1, Inc."},
		"country-ipv4.csv": {"198.18.0.0", "198.18.63.255", "XA"},
		"asn-ipv6.csv":     {"2001:db8::", "2001:db8:1fff:ffff:ffff:ffff:ffff:ffff", "64496", "Example Network 1, Inc."},
		"country-ipv6.csv": {"2001:db8::", "2001:db8:1fff:ffff:ffff:ffff:ffff:ffff", "XA"},
	} {
		file, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		rows, err := csv.NewReader(file).ReadAll()
		if err != nil || len(rows) != len(systems)+len(carriers)+3 {
			t.Fatalf("%s: %d rows, %v", name, len(rows), err)
		}
		for i, field := range want {
			if rows[0][i] != field {
				t.Errorf("%s: %q, want %q", name, rows[0], want)
			}
		}
	}
}
