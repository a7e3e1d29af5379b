package targets

import (
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
	entries, err := newEntryReader(name, text)
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

func (b *Blocklist) of(f Family) []prefix {
	if f == IPv4 {
		return b.ipv4
	}
	return b.ipv6
}
