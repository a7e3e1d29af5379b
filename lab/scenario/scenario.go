// Package scenario describes the population of a simulated Internet: which
// addresses and ports exist, and how each behaves when it is probed. It opens
// no socket, so that the truth is known without a running lab.
package scenario

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// DefaultYAML is the scenario used where none is named.
//
//go:embed default.yaml
var DefaultYAML []byte

// AllYAML is that scenario with hosts of the one behaviour that it leaves out.
var AllYAML = append(bytes.Clone(DefaultYAML), "  biased-key: 0.005\n"...)

// Space and Space6 hold every simulated address: half of the benchmarking range
// of RFC 2544, and half of the documentation prefix of RFC 3849. The other
// halves number the lab's real hosts and links.
var (
	Space  = netip.MustParsePrefix("198.18.0.0/16")
	Space6 = netip.MustParsePrefix("2001:db8::/33")
)

// ErrScenario is wrapped by every complaint about a scenario's text.
var ErrScenario = errors.New("bad scenario")

// Scenario is a decoded population.
type Scenario struct {
	Seed   uint64
	Ranges []netip.Prefix // sorted, disjoint, inside Space
	IPv6   []netip.Addr   // sorted, sparse, inside Space6
	Ports  []uint16       // sorted

	size       int // addresses in all ranges
	index6     map[netip.Addr]int
	population map[lot][]Behaviour
}

// Parse decodes a scenario; name stands in its errors, before the line.
func Parse(name string, text []byte) (*Scenario, error) {
	d := decoder{name: name}
	s, err := d.scenario(text)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Default is the scenario of DefaultYAML.
func Default() *Scenario {
	s, err := Parse("default.yaml", DefaultYAML)
	if err != nil {
		panic(err) // embedded text: a test decodes it
	}
	return s
}

// All is the scenario of AllYAML.
func All() *Scenario {
	s, err := Parse("all", AllYAML)
	if err != nil {
		panic(err) // as in Default
	}
	return s
}

type decoder struct{ name string }

func (d decoder) errorf(n *yaml.Node, format string, args ...any) error {
	return fmt.Errorf("%w: %s:%d: %s", ErrScenario, d.name, n.Line, fmt.Sprintf(format, args...))
}

func (d decoder) scenario(text []byte) (*Scenario, error) {
	var doc yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(text))
	if err := dec.Decode(&doc); err != nil {
		return nil, fmt.Errorf("%w: %s: %v", ErrScenario, d.name, err)
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: %s: a second document: keep one", ErrScenario, d.name)
	}
	fields, err := d.mapping(doc.Content[0])
	if err != nil {
		return nil, err
	}
	s := &Scenario{index6: make(map[netip.Addr]int), population: make(map[lot][]Behaviour)}
	var shares *yaml.Node
	size6 := 0
	for _, f := range fields {
		switch f.key.Value {
		case "seed":
			if s.Seed, err = strconv.ParseUint(f.value.Value, 10, 64); err != nil {
				return nil, d.errorf(f.value, "seed %q is not an unsigned number", f.value.Value)
			}
		case "ranges":
			err = d.ranges(s, f.value)
		case "ipv6":
			size6, err = d.ipv6(f.value)
		case "ports":
			err = d.ports(s, f.value)
		case "behaviours":
			shares = f.value
		default:
			err = d.errorf(f.key, "unknown field %q: use seed, ranges, ipv6, ports, behaviours", f.key.Value)
		}
		if err != nil {
			return nil, err
		}
	}
	switch {
	case s.size+size6 == 0:
		return nil, d.errorf(doc.Content[0], "no addresses: add e.g. ranges: [%s] or ipv6: {addresses: 1000}", Space)
	case len(s.Ports) == 0:
		return nil, d.errorf(doc.Content[0], "no ports: add e.g. ports: [80, 443]")
	case shares == nil:
		return nil, d.errorf(doc.Content[0], "no behaviours: add e.g. behaviours: {tcp: 0.2}")
	}
	s.spread(size6)
	for i, size := range []int{s.size, size6} {
		if size == 0 {
			continue
		}
		counts, err := d.counts(shares, size)
		if err != nil {
			return nil, err
		}
		s.populate(Families[i], size, counts)
	}
	return s, nil
}

type field struct{ key, value *yaml.Node }

func (d decoder) mapping(n *yaml.Node) ([]field, error) {
	if n.Kind != yaml.MappingNode {
		return nil, d.errorf(n, "want fields with values, as in `seed: 1`")
	}
	var fields []field
	for i := 0; i < len(n.Content); i += 2 {
		f := field{n.Content[i], n.Content[i+1]}
		if slices.ContainsFunc(fields, func(g field) bool { return g.key.Value == f.key.Value }) {
			return nil, d.errorf(f.key, "%q stands twice", f.key.Value)
		}
		fields = append(fields, f)
	}
	return fields, nil
}

// maxRanges bounds the search for an address, maxIPv6 the memory for them.
const (
	maxRanges = 64
	maxIPv6   = 1 << 20
)

// ipv6 reads the number of sparse IPv6 addresses.
func (d decoder) ipv6(n *yaml.Node) (addresses int, err error) {
	fields, err := d.mapping(n)
	if err != nil {
		return 0, err
	}
	for _, f := range fields {
		if f.key.Value != "addresses" {
			return 0, d.errorf(f.key, "unknown field %q of ipv6: use addresses", f.key.Value)
		}
		addresses, err = strconv.Atoi(f.value.Value)
		if err != nil || addresses < 0 || addresses > maxIPv6 {
			return 0, d.errorf(f.value, "addresses %q is not a number up to %d", f.value.Value, maxIPv6)
		}
	}
	return addresses, nil
}

func (d decoder) ranges(s *Scenario, n *yaml.Node) error {
	if n.Kind != yaml.SequenceNode || len(n.Content) > maxRanges {
		return d.errorf(n, "ranges is not a list of at most %d prefixes, as in [%s]", maxRanges, Space)
	}
	for _, item := range n.Content {
		p, err := netip.ParsePrefix(item.Value)
		switch {
		case err != nil:
			return d.errorf(item, "range %q is not a prefix such as %s", item.Value, Space)
		case p != p.Masked():
			return d.errorf(item, "range %s has host bits set: write %s", p, p.Masked())
		case p.Bits() < Space.Bits() || !Space.Contains(p.Addr()):
			return d.errorf(item, "range %s is not inside %s", p, Space)
		}
		for _, q := range s.Ranges {
			if p.Overlaps(q) {
				return d.errorf(item, "range %s overlaps %s", p, q)
			}
		}
		s.Ranges = append(s.Ranges, p)
		s.size += 1 << (32 - p.Bits())
	}
	slices.SortFunc(s.Ranges, func(p, q netip.Prefix) int { return p.Addr().Compare(q.Addr()) })
	return nil
}

func (d decoder) ports(s *Scenario, n *yaml.Node) error {
	if n.Kind != yaml.SequenceNode {
		return d.errorf(n, "ports is not a list, as in [80, 443]")
	}
	for _, item := range n.Content {
		port, err := strconv.ParseUint(item.Value, 10, 16)
		if err != nil || port == 0 {
			return d.errorf(item, "port %q is not between 1 and 65535", item.Value)
		}
		if slices.Contains(s.Ports, uint16(port)) {
			return d.errorf(item, "port %d stands twice", port)
		}
		s.Ports = append(s.Ports, uint16(port))
	}
	slices.Sort(s.Ports)
	return nil
}

// counts turns the shares into numbers of addresses of one family. A number with a decimal
// point is a share of them, one without is a count.
func (d decoder) counts(n *yaml.Node, size int) (counts [Behaviours]int, err error) {
	fields, err := d.mapping(n)
	if err != nil {
		return counts, err
	}
	sum := 0
	for _, f := range fields {
		b, err := simulated(f.key.Value)
		if err != nil {
			return counts, d.errorf(f.key, "%v", err)
		}
		switch f.value.Tag {
		case "!!float":
			share, err := strconv.ParseFloat(f.value.Value, 64)
			if err != nil || !(share >= 0 && share <= 1) {
				return counts, d.errorf(f.value, "share %q of %s is not between 0.0 and 1.0", f.value.Value, b)
			}
			counts[b] = int(math.Round(share * float64(size)))
		case "!!int":
			count, err := strconv.ParseUint(f.value.Value, 10, 31)
			if err != nil {
				return counts, d.errorf(f.value, "count %q of %s is not a number of addresses", f.value.Value, b)
			}
			counts[b] = int(count)
		default:
			return counts, d.errorf(f.value, "%q of %s is neither a share (0.25) nor a count (25)", f.value.Value, b)
		}
		if sum += counts[b]; sum > size {
			return counts, d.errorf(f.key, "%s and what stands before it need %d addresses, a family has %d: lower the shares", b, sum, size)
		}
	}
	return counts, nil
}
