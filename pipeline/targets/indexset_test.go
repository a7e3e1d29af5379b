package targets

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

// The obvious way: begin with no address, add one after the other, and join two neighbours whenever
// they are the halves of a block.
func TestIndexCIDRsAgreesWithModel(t *testing.T) {
	var model []netip.Prefix
	for i := range uint32(70_000) {
		model = append(model, netip.PrefixFrom(ipv4(1<<24+i), 32))
		for len(model) > 1 {
			a, b := model[len(model)-2], model[len(model)-1]
			whole := netip.PrefixFrom(a.Addr(), a.Bits()-1)
			if a.Bits() != b.Bits() || whole != whole.Masked() || !whole.Contains(b.Addr()) {
				break
			}
			model = append(model[:len(model)-2], whole)
		}
		cidrs := IndexCIDRs(uint64(i) + 1)
		if !slices.EqualFunc(cidrs, model, func(s string, p netip.Prefix) bool { return s == p.String() }) {
			t.Fatalf("%d: got %v, want %v", i+1, cidrs, model)
		}
	}
}

func TestIndexCIDRs(t *testing.T) {
	for _, test := range []struct {
		count uint64
		want  []string
	}{
		{0, nil},
		{1, []string{"1.0.0.0/32"}},
		{255, []string{"1.0.0.0/25", "1.0.0.128/26", "1.0.0.192/27", "1.0.0.224/28", "1.0.0.240/29", "1.0.0.248/30", "1.0.0.252/31", "1.0.0.254/32"}},
		{256, []string{"1.0.0.0/24"}},
		{257, []string{"1.0.0.0/24", "1.0.1.0/32"}},
		{1 << 24, []string{"1.0.0.0/8"}},
		{1<<24 + 1, []string{"1.0.0.0/8", "2.0.0.0/32"}},
		{MaxCount, []string{"1.0.0.0/8", "2.0.0.0/7", "4.0.0.0/6", "8.0.0.0/5", "16.0.0.0/4", "32.0.0.0/3", "64.0.0.0/2", "128.0.0.0/1"}},
	} {
		if got := IndexCIDRs(test.count); !slices.Equal(got, test.want) {
			t.Errorf("%d: got %v, want %v", test.count, got, test.want)
		}
	}
}

// largeCounts are counts of all sizes, for the comparison with Python's ipaddress.
func largeCounts() []uint64 {
	random := rand.New(rand.NewPCG(1, 70_000))
	counts := []uint64{MaxCount - 1, 1<<31 - 1, 1 << 31, 1<<28 + 1}
	for bits := range 32 {
		for range 20 {
			counts = append(counts, 1+random.Uint64N(min(uint64(2)<<bits, MaxCount)))
		}
	}
	return counts
}
