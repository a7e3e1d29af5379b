package targets

import (
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
)

// The addresses of 198.18.0.0/24 are counted one by one.
func TestOutside(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	draw := func(n int) (prefixes []netip.Prefix) {
		for range n {
			address := netip.AddrFrom4([4]byte{198, 18, 0, byte(random.Uint32())})
			prefixes = append(prefixes, netip.PrefixFrom(address, 24+random.IntN(9)).Masked())
		}
		return prefixes
	}
	for range 500 {
		named, blocked := draw(1+random.IntN(5)), draw(1+random.IntN(5))
		var text strings.Builder
		for _, p := range blocked {
			text.WriteString(p.String() + "\n")
		}
		list, err := ParseBlocklist("test", strings.NewReader(text.String()))
		if err != nil {
			t.Fatal(err)
		}
		within := func(prefixes []netip.Prefix, a netip.Addr) bool {
			for _, p := range prefixes {
				if p.Contains(a) {
					return true
				}
			}
			return false
		}
		var want uint64
		for i := range 256 {
			if a := netip.AddrFrom4([4]byte{198, 18, 0, byte(i)}); within(named, a) && !within(blocked, a) {
				want++
			}
		}
		if got := list.Outside(named); got != want {
			t.Fatalf("%v without %v: %d, want %d", named, blocked, got, want)
		}
	}
	everything := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}
	list, err := ParseBlocklist("test", strings.NewReader("240.0.0.0/4\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got := list.Outside(everything); got != 15<<28 {
		t.Errorf("all of IPv4 without a sixteenth: %d", got)
	}
}
