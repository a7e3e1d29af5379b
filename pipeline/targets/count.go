package targets

import "net/netip"

// Outside counts the addresses in IPv4 prefixes that are not on the list: what ZMap probes that is given both.
func (b *Blocklist) Outside(prefixes []netip.Prefix) uint64 {
	named := make([]prefix, len(prefixes))
	for i, p := range prefixes {
		named[i] = prefixOf(p)
	}
	var count uint64
	for _, p := range disjoint(named) {
		count += p.size()
		for _, block := range b.ipv4 {
			// Of two prefixes, one is in the other, or they have nothing in common.
			switch {
			case block.first.compare(p.first) <= 0 && p.last().compare(block.last()) <= 0:
				count -= p.size()
			case p.first.compare(block.first) <= 0 && block.last().compare(p.last()) <= 0:
				count -= block.size()
			}
		}
	}
	return count
}

// Entries counts the prefixes on the list.
func (b *Blocklist) Entries() int { return len(b.ipv4) + len(b.ipv6) }
