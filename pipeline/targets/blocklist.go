package targets

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
)

// Blocklist is a set of addresses never to probe.
type Blocklist struct {
	ipv4, ipv6 []prefix // sorted and disjoint
}

// OpenBlocklist reads a blocklist from a file: see ParseBlocklist.
func OpenBlocklist(path string) (*Blocklist, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return ParseBlocklist(path, file)
}

// ParseBlocklist reads a blocklist: the grammar is that of hitlists (see hitlist.go), but a prefix
// with host bits blocks all of the prefix. A list without any entry is an error: it would block
// nothing. name stands in errors.
func ParseBlocklist(name string, text io.Reader) (*Blocklist, error) {
	entries, err := newEntryReader(context.Background(), name, text)
	if err != nil {
		return nil, err
	}
	defer entries.close()
	list := new(Blocklist)
	for {
		entry, err := entries.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		if entry.Addr().Is4() {
			list.ipv4 = append(list.ipv4, prefixOf(entry))
		} else {
			list.ipv6 = append(list.ipv6, prefixOf(entry))
		}
	}
	if len(list.ipv4)+len(list.ipv6) == 0 {
		return nil, fmt.Errorf("blocklist %s has no entry", name)
	}
	list.ipv4, list.ipv6 = disjoint(list.ipv4), disjoint(list.ipv6)
	return list, nil
}

// WriteIPv4 writes the list's IPv4 part, for a ZMap that probes IPv4 directly: ZMap 2.1.1 gives up
// at an IPv6 line. (It would also ask the DNS for names, read 010.0.0.1 as octal and cut lines at 999
// bytes; what it gets here leaves nothing to interpret.)
func (b *Blocklist) WriteIPv4(w io.Writer) error {
	for _, p := range b.ipv4 {
		if _, err := fmt.Fprintln(w, netip.PrefixFrom(p.first.addr(IPv4), 32-int(p.hostBits))); err != nil {
			return err
		}
	}
	return nil
}

// Check refuses a list without an entry of the family: like an empty one, it would block nothing.
func (b *Blocklist) Check(f Family) error {
	if len(b.of(f)) > 0 {
		return nil
	}
	multicast := "224.0.0.0/4"
	if f == IPv6 {
		multicast = "ff00::/8"
	}
	return fmt.Errorf("the blocklist has no %s entry and would block nothing: add the networks that asked not to be scanned, and special-purpose ones such as %s", f, multicast)
}

// FirstOutside is the first address of a prefix that is not on the list; it is not valid if there is
// none. 0.0.0.0 does not count: ZMap never probes it.
func (b *Blocklist) FirstOutside(p netip.Prefix) netip.Addr {
	f, within := familyOf(p.Addr()), prefixOf(p)
	a := within.first
	if f == IPv4 && a == (address{}) {
		a = a.next()
	}
	for _, block := range b.of(f) {
		if a.compare(block.first) < 0 {
			break
		}
		if block.last().compare(within.last()) >= 0 {
			return netip.Addr{} // here, as the last of all addresses has no next
		}
		if a.compare(block.last()) <= 0 {
			a = block.last().next()
		}
	}
	if a.compare(within.last()) > 0 {
		return netip.Addr{}
	}
	return a.addr(f)
}

func (b *Blocklist) of(f Family) []prefix {
	if f == IPv4 {
		return b.ipv4
	}
	return b.ipv6
}
