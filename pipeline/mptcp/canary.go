package mptcp

import "encoding/binary"

// Our canary is an experimental option that no stack knows: a reply that carries it was made by copying
// our options.
const (
	kindExperiment = 254    // RFC 4727 §2.2
	exID           = 0x4d43 // "MC", the experiment's identifier: RFC 6994 §3
	lengthExID     = 4      // the shortest option that has an identifier
	lengthCanary   = 8      // identifier and nonce
)

// Canary is what became of our canary in a reply.
type Canary string

const (
	CanaryNone     Canary = "none"     // no option of our experiment
	CanaryMirrored Canary = "mirrored" // the option that we sent
	CanaryAltered  Canary = "altered"  // of our experiment, but with another length or nonce, or cut short
)

// FindCanary looks in the options of a reply for the canary with the given nonce. The first option of
// our experiment counts. Like Parse, it accepts any bytes.
func FindCanary(area []byte, nonce uint32) Canary {
	for len(area) > 0 {
		option, whole := first(area)
		switch {
		case option[0] == kindEOL:
			return CanaryNone
		case !isExperiment(option):
		case whole && len(option) == lengthCanary && binary.BigEndian.Uint32(option[4:]) == nonce:
			return CanaryMirrored
		default:
			return CanaryAltered
		}
		area = area[len(option):]
	}
	return CanaryNone
}

// isExperiment says whether an option, which may be cut short, carries our identifier within both its
// bytes and what its length byte claims.
func isExperiment(option []byte) bool {
	return len(option) >= lengthExID && option[0] == kindExperiment && option[1] >= lengthExID &&
		binary.BigEndian.Uint16(option[2:]) == exID
}
