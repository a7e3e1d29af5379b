package keys

import "fmt"

// byteValues is a set of values for each byte of a key, each with the number of keys that have it; 0 is that
// of the values not in the set.
type byteValues [8][256]uint64

// in counts the bytes of key that have one of the values.
func (v *byteValues) in(key uint64) (n int) {
	for place := range v {
		if v[place][byteAt(key, place)] > 0 {
			n++
		}
	}
	return n
}

// sizes are the numbers of values by byte.
func (v *byteValues) sizes() (sizes [8]int) {
	for place := range v {
		for _, keys := range v[place] {
			if keys > 0 {
				sizes[place]++
			}
		}
	}
	return sizes
}

// byteAt is the byte of key at a place, of which 0 is the first on the wire.
func byteAt(key uint64, place int) uint8 { return uint8(key >> (Bits - 8 - 8*place)) }

// common is a value of two bytes of a key, or of one (twice the same place), and how many keys have it.
type common struct {
	places [2]int
	values [2]uint8
	keys   uint64
}

func (c common) String() string {
	if c.places[0] == c.places[1] {
		return fmt.Sprintf("byte %d is 0x%02x in %d", c.places[0], c.values[0], c.keys)
	}
	return fmt.Sprintf("bytes %d and %d are 0x%02x and 0x%02x in %d", c.places[0], c.places[1], c.values[0], c.values[1], c.keys)
}

// oneByte and twoBytes are the places of a byte and of two different ones.
var oneByte, twoBytes = func() (one, two [][2]int) {
	for i := range 8 {
		one = append(one, [2]int{i, i})
		for j := i + 1; j < 8; j++ {
			two = append(two, [2]int{i, j})
		}
	}
	return one, two
}()

// constantBytes finds, by group, the values of bytes that too many keys have.
func constantBytes(groups []Group, q float64) map[int]Finding {
	found := commonValues(groups, oneByte, 256, nil, q)
	named := make(map[int]*byteValues)
	name(found, named)
	inPairs := commonValues(groups, twoBytes, 65536, named, q)
	name(inPairs, named)
	for i, pairs := range inPairs {
		found[i] = append(found[i], pairs...)
	}

	findings := make(map[int]Finding)
	for i, hypotheses := range found {
		group, values, first := groups[i], named[i], hypotheses[0]
		var chances []float64
		for _, size := range values.sizes() {
			chances = append(chances, float64(size)/256)
		}
		f := Finding{
			P: first.p, AdjustedP: first.adjusted,
			Reason: fmt.Sprintf("constant-byte: %s of %d keys of %s%s, p %s",
				first.what, len(group.Keys), group.Name, andMore(len(hypotheses)-1), FormatP(first.p)),
		}
		f.Suspects, f.chance = suspects(group.Keys, values.in, chances, q)
		findings[i] = f
	}
	return findings
}

// name adds the values that were found to those named.
func name(found map[int][]hypothesis[common], named map[int]*byteValues) {
	for i, hypotheses := range found {
		if named[i] == nil {
			named[i] = new(byteValues)
		}
		for _, h := range hypotheses {
			for b, place := range h.what.places {
				named[i][place][h.what.values[b]] = h.what.keys
			}
		}
	}
}

// explains says whether a value of two bytes is common only because that of one is: where a byte is
// constant, whatever stands beside it twice looks too common. Of the keys with the named value, as many or
// more have some value in some other byte with chance 1/256 each.
func (v *byteValues) explains(c common, tails tails, q float64) bool {
	if v == nil {
		return false
	}
	first, second := v[c.places[0]][c.values[0]], v[c.places[1]][c.values[1]]
	switch {
	case first > 0 && second > 0:
		return true
	case first == 0 && second == 0:
		return false
	}
	return !possible(7*256*tails.upper(c.keys, max(first, second), 1./256), q)
}

// commonValues tests each of so many values of the bytes at each of the places, but those that the values
// already named explain: the number of the n keys that have it is Binomial(n, 1/values).
func commonValues(groups []Group, places [][2]int, values int, named map[int]*byteValues, q float64) map[int][]hypothesis[common] {
	var hypotheses []hypothesis[common]
	tails := make(tails)
	count := make([]uint32, 65536)
	for g, group := range groups {
		for _, at := range places {
			for _, key := range group.Keys {
				count[uint16(byteAt(key, at[0]))<<8|uint16(byteAt(key, at[1]))]++
			}
			for _, key := range group.Keys {
				a, b := byteAt(key, at[0]), byteAt(key, at[1])
				n := &count[uint16(a)<<8|uint16(b)]
				c := common{at, [2]uint8{a, b}, uint64(*n)}
				*n = 0 // so that each value is tested once, and the next group starts from nothing
				if c.keys < 2 {
					continue // not in common: counts as p = 1
				}
				if p := tails.upper(c.keys, uint64(len(group.Keys)), 1/float64(values)); possible(p, q) && !named[g].explains(c, tails, q) {
					hypotheses = append(hypotheses, hypothesis[common]{group: g, what: c, p: p})
				}
			}
		}
	}
	return reject(hypotheses, len(groups)*len(places)*values, q)
}
