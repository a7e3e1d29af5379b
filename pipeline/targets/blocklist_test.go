package targets

import (
	"net/netip"
	"strings"
	"testing"
)

// A list that blocks nothing of the family to be probed is no blocklist, and no file is built with it.
func TestBlocklistOfTheOtherFamily(t *testing.T) {
	for _, test := range []struct{ list, blocked, want string }{
		{"192.0.2.1", "2001:db8::/32", "the blocklist has no ipv4 entry"},
		{"2001:db8::1", "192.0.2.0/24", "the blocklist has no ipv6 entry"},
		{"192.0.2.1", "2001:db8::/32\n198.51.100.0/24", ""},
		{"2001:db8::1", "192.0.2.0/24\nff00::/8", ""},
	} {
		_, _, err := build(t, test.blocked, 0, test.list)
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.HasPrefix(err.Error(), test.want)) {
			t.Errorf("%q without %q: %v, want %q", test.list, test.blocked, err, test.want)
		}
	}
}

func TestFirstOutside(t *testing.T) {
	for _, test := range []struct{ prefix, blocked, want string }{
		{"192.0.2.0/24", "198.51.100.0/24", "192.0.2.0"},
		{"192.0.2.7/24", "198.51.100.0/24", "192.0.2.0"}, // as ZMap reads it
		{"192.0.2.7/32", "192.0.2.7", ""},
		{"192.0.2.0/24", "192.0.0.0/16", ""},
		{"192.0.2.0/30", "192.0.2.0/31\n192.0.2.2", "192.0.2.3"},
		{"192.0.2.0/30", "192.0.2.1", "192.0.2.0"},
		{"0.0.0.0/0", "255.0.0.0/8", "0.0.0.1"},
		{"0.0.0.0/0", "0.0.0.0/8\n10.0.0.0/8", "1.0.0.0"},
		{"0.0.0.0/32", "255.0.0.0/8", ""},
		{"255.255.255.254/31", "255.255.255.255", "255.255.255.254"},
		{"255.255.255.254/31", "255.255.255.254/31", ""},
		{"0.0.0.0/0", "0.0.0.0/0", ""},
		{"2001:db8::/64", "2001:db8::/65", "2001:db8:0:0:8000::"},
		{"ffff::/16", "ffff::/16", ""},
		{"::/0", "::/0", ""},
	} {
		want := netip.Addr{}
		if test.want != "" {
			want = netip.MustParseAddr(test.want)
		}
		if got := blocklist(t, test.blocked).FirstOutside(netip.MustParsePrefix(test.prefix)); got != want {
			t.Errorf("%s without %q: %s, want %s", test.prefix, test.blocked, got, want)
		}
	}
}
