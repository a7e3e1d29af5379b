package targets

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// indexBase is the IPv4 address that stands for the first record of a target file: ZMap always
// leaves 0.0.0.0 out.
const indexBase = 1 << 24

// MaxCount is the largest number of targets that a file may hold: the IPv4 addresses from indexBase on.
const MaxCount = 1<<32 - indexBase

// IndexCIDRs is the set of indices that ZMap is given to permute: the fewest CIDRs, ascending, that
// are exactly the count addresses from 1.0.0.0 on. The probe module reads each of them as an index
// into the target file.
func IndexCIDRs(count uint64) []string {
	var cidrs []string
	for at := uint64(indexBase); count > 0; {
		// The largest aligned block that begins here and does not reach beyond the end.
		hostBits := min(bits.TrailingZeros64(at), bits.Len64(count)-1)
		cidrs = append(cidrs, netip.PrefixFrom(ipv4(uint32(at)), 32-hostBits).String())
		at += 1 << hostBits
		count -= 1 << hostBits
	}
	return cidrs
}

func ipv4(n uint32) netip.Addr {
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, n)))
}
