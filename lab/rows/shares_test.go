package rows

import (
	"bytes"
	"math"
	"math/bits"
	"strconv"
	"testing"

	"github.com/mpcensus/mpcensus/pipeline/zmap"
)

// kindOf reads a row's kind from what it says. Of rows with MPTCP, the decoder must agree with what they
// say.
func kindOf(t *testing.T, line []byte, p Params) kind {
	t.Helper()
	says := func(text string) bool { return bytes.Contains(line, []byte(text)) }
	switch {
	case says(`"classification":"rst"`):
		return rst
	case says(`"classification":"icmp"`):
		return icmp
	case says(`"mptcp":"none"`):
		return noMPTCP
	}
	if _, err := zmap.DecodeRow(line); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	switch {
	case says(`"mptcp":"malformed"`):
		return malformed
	case says(`"mptcp":"other"`):
		return otherMPTCP
	}
	r := parse(t, line)
	if p.Probe == V1 {
		switch {
		case r.number("mptcp_length") == 12:
			return genuine
		case r.number("mptcp_flags") == 1:
			return mirrored
		}
		return tampered
	}
	got, _ := strconv.ParseUint(r.text("mptcp_key"), 16, 64)
	sent, _ := strconv.ParseUint(r.text("sent_key"), 16, 64)
	switch distance := bits.OnesCount64(got ^ sent); {
	case distance == 0:
		return mirrored
	case distance <= 8: // a genuine key is as near with a chance of 3e-10
		return tampered
	}
	return genuine
}

// The shares of the table hold, within five standard deviations of a binomial. The table is checked
// against the paper: 0.4 % of the SYN-ACKs have MPTCP, and 96 % of these are mirrored.
func TestShares(t *testing.T) {
	if kindTotal != 1_000_000 {
		t.Errorf("the shares add up to %d", kindTotal)
	}
	mptcp := kindTotal - kindShares[noMPTCP] - kindShares[rst] - kindShares[icmp]
	synacks := mptcp + kindShares[noMPTCP]
	if share := float64(mptcp) / float64(synacks); math.Abs(share-0.004) > 0.00005 {
		t.Errorf("%v of the SYN-ACKs have MPTCP", share)
	}
	if share := float64(kindShares[mirrored]) / float64(mptcp); math.Abs(share-0.96) > 0.0005 {
		t.Errorf("%v of those with MPTCP are mirrored", share)
	}
	for _, p := range []Params{scans[0], scans[3]} {
		p.Rows = 500_000
		var firsts, repeats, cooldowns int
		var count [icmp + 1]int
		for _, line := range lines(write(t, p)) {
			if bytes.Contains(line, []byte(`"cooldown":true`)) {
				cooldowns++
			}
			if bytes.Contains(line, []byte(`"repeat":true`)) {
				repeats++
				continue
			}
			firsts++
			count[kindOf(t, line, p)]++
		}
		binomial(t, "repeat", repeats, int(p.Rows), repeatShare)
		binomial(t, "cooldown", cooldowns, int(p.Rows), cooldownShare)
		for k, n := range count {
			binomial(t, p.name()+" kind "+strconv.Itoa(k), n, firsts, float64(kindShares[k])/1e6)
			if n == 0 {
				t.Errorf("%s: no row of kind %d", p.name(), k)
			}
		}
	}
}

func binomial(t *testing.T, what string, got, of int, share float64) {
	t.Helper()
	want := float64(of) * share
	if math.Abs(float64(got)-want) > 5*math.Sqrt(want*(1-share)) {
		t.Errorf("%s: %d of %d, want about %.0f", what, got, of, want)
	}
}

// A key that we send has 16 bits, and none of them more often than another.
func TestSentKeys(t *testing.T) {
	s := newScan(scans[0])
	const keys = 100_000
	var set [64]int
	for range keys {
		key := Weight16(s.random)
		if bits.OnesCount64(key) != 16 {
			t.Fatalf("%016x has %d bits", key, bits.OnesCount64(key))
		}
		for bit := range set {
			set[bit] += int(key >> bit & 1)
		}
	}
	for bit, n := range set {
		binomial(t, "bit "+strconv.Itoa(bit), n, keys, 16.0/64)
	}
}

// Every stack's options are as long as a TCP header can have them, with the longest MPTCP option too.
func TestStacks(t *testing.T) {
	if stackTotal < 900 || stackTotal > 1100 {
		t.Errorf("the stacks' shares add up to %d of 1000", stackTotal)
	}
	for n, layout := range layouts {
		var options []byte
		for _, name := range layout {
			options = appendOption(options, name, &optionValues{})
		}
		if len(options) > 40-16 {
			t.Errorf("%s: %d bytes leave no room for MP_JOIN", stacks[n].layout, len(options))
		}
	}
}
