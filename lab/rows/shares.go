package rows

import "math/rand/v2"

// kind is what a target does with the probe.
type kind uint8

const (
	noMPTCP    kind = iota // SYN-ACK without MPTCP
	mirrored               // SYN-ACK with our MP_CAPABLE
	genuine                // SYN-ACK with a key of the host's own, random
	tampered               // SYN-ACK with our MP_CAPABLE, changed on the way
	malformed              // SYN-ACK with an MP_CAPABLE of a length that no RFC has
	otherMPTCP             // SYN-ACK with MP_JOIN
	rst
	icmp
)

// Shares of the targets by kind, in 1/1,000,000.
//
// "From Single Lane to Highways" (IFIP Networking 2021) has 9,000 true hosts in IPv4, after its echo
// filter took away about 96 % of what had MP_CAPABLE: some 225,000. About 55 million hosts answered with
// a SYN-ACK, so that 0.4 % of the SYN-ACKs carry the option. The paper does not count what else has
// MPTCP in it, nor RST and ICMP: those shares are chosen, so that each occurs in a file of a million rows.
var kindShares = [...]uint32{
	noMPTCP:    876_480,
	mirrored:   3_379, // 96 % of the 3,520 with MPTCP
	genuine:    120,
	tampered:   9,
	malformed:  7,
	otherMPTCP: 5,
	rst:        90_000,
	icmp:       30_000,
}

// Chosen shares of a scan's rows.
const (
	// repeatShare is the share of the rows that repeat the SYN-ACK of a target: it was sent again, as
	// there was no ACK.
	repeatShare = 0.005
	// cooldownShare is the share of the rows, the last, that come in after the last probe is sent.
	cooldownShare = 0.002
)

// draw returns an index of shares with its share as probability.
func draw(random *rand.Rand, shares []uint32, total uint32) int {
	n := random.Uint32N(total)
	for i, share := range shares {
		if n < share {
			return i
		}
		n -= share
	}
	return len(shares) - 1
}

func sum(shares []uint32) (total uint32) {
	for _, share := range shares {
		total += share
	}
	return total
}
