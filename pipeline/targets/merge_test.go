package targets

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

func TestSorterAgreesWithModel(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 5))
	for _, n := range []int{0, 1, 15, 16, 17, 16 * maxRuns, 16*maxRuns + 1, 5000} {
		s := newSorter(16)
		addrs := map[address]bool{}
		for range n {
			p := prefix{address{uint64(random.IntN(3)), random.Uint64N(2000) &^ 7}, 0}
			if random.IntN(20) == 0 {
				p.hostBits = 3
			}
			for i := range p.size() {
				addrs[address{p.first.high, p.first.low + i}] = true
			}
			s.add(p)
		}
		var got []address
		for p := range s.sorted() {
			for i := range p.size() {
				got = append(got, address{p.first.high, p.first.low + i})
			}
		}
		var want []address
		for a := range addrs {
			want = append(want, a)
		}
		slices.SortFunc(want, address.compare)
		if !slices.Equal(got, want) {
			t.Errorf("%d prefixes: got %d addresses, want %d", n, len(got), len(want))
		}
	}
}

// A list that names the same addresses over and over takes the memory of a few of them.
func TestSorterForgetsDuplicates(t *testing.T) {
	s := newSorter(1000)
	for range 10_000 {
		for i := range uint64(100) {
			s.add(prefix{address{0, i}, 0})
		}
	}
	s.blocks <- s.block
	close(s.blocks)
	size := 0
	for _, run := range <-s.runs {
		size += cap(run)
	}
	if size > maxRuns*2*100 {
		t.Errorf("room for %d prefixes, 100 are distinct", size)
	}
}

func TestPrefix(t *testing.T) {
	for _, text := range []string{"::/0", "::/1", "8000::/1", "2001:db8::/63", "2001:db8::/64", "2001:db8::/65", "2001:db8::/127", "::1/128",
		"ffff:ffff:ffff:ffff::/64", "0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/1", "255.255.255.255/32"} {
		p := netip.MustParsePrefix(text)
		q := prefixOf(p)
		family := familyOf(p.Addr())
		if q.first.addr(family) != p.Addr() || !p.Contains(q.last().addr(family)) || p.Contains(q.last().addr(family).Next()) {
			t.Errorf("%s: from %s to %s", p, q.first.addr(family), q.last().addr(family))
		}
		if next := q.last().addr(family).Next(); next.IsValid() && (q.last().next() != addressOf(next) || addressOf(next).previous() != q.last()) {
			t.Errorf("%s: after %s comes %s", p, q.last().addr(family), q.last().next().addr(family))
		}
	}
}
