// Package networks invents autonomous systems and countries for the lab's addresses, as files that
// `mpcensus enrich` reads: the Internet's own know nothing of them.
package networks

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/mpcensus/mpcensus/lab/scenario"
)

// system is an autonomous system with its share of the simulated addresses.
type system struct {
	bits    int // beyond those of the scenario's Space or Space6
	country string
}

// firstASN is the first of those for documentation (RFC 5398 §4): 64496 to 64511.
const firstASN = 64496

// systems are of unequal size, so that a table of the largest ten leaves one out. The countries are codes
// that ISO 3166-1 leaves to users, so that no real one is spoken of.
var systems = []system{
	{2, "XA"}, {3, "XA"}, {3, "XB"},
	{4, "XB"}, {4, "XC"}, {4, "XC"}, {4, "XD"}, {4, "XE"}, {4, "XF"}, {4, "XG"}, {4, "XH"},
}

// carriers have the simulated routers, half each.
var carriers = []system{{1, "XI"}, {1, "XJ"}}

// kernels are the real hosts' own, routers on the way to them included.
const (
	kernelsASN     = 64511
	kernelsCountry = "XZ"
)

// Network is a range of addresses.
type Network struct {
	First, Last netip.Addr
	ASN         uint32
	Name        string
	Country     string
}

// Of are the networks of a family, by address.
func Of(family string) (all []Network) {
	space, routers, bits := scenario.Space, scenario.RouterSpace, 24
	if family == scenario.Families[1] {
		space, routers, bits = scenario.Space6, scenario.RouterSpace6, 64
	}
	all = append(divided(space, systems, firstASN), divided(routers, carriers, firstASN+uint32(len(systems)))...)
	for _, real := range [][]netip.Addr{scenario.Hosts[0].Addrs(), scenario.Chains[0].Addrs(), trunk()} {
		for _, a := range real {
			if scenario.FamilyOf(a) == family {
				all = append(all, network(netip.PrefixFrom(a, bits).Masked(), kernelsASN, kernelsCountry))
			}
		}
	}
	slices.SortFunc(all, func(a, b Network) int { return a.First.Compare(b.First) })
	return all
}

// trunk is a router that all chains share.
func trunk() []netip.Addr {
	router := scenario.Chains[0].Routers[1]
	return []netip.Addr{router.IPv4, router.IPv6}
}

// divided gives each system its share of a space, from its first address on.
func divided(space netip.Prefix, among []system, asn uint32) (all []Network) {
	next := space.Addr()
	for i, s := range among {
		n := network(netip.PrefixFrom(next, space.Bits()+s.bits), asn+uint32(i), s.country)
		all = append(all, n)
		next = n.Last.Next()
	}
	return all
}

func network(p netip.Prefix, asn uint32, country string) Network {
	last := p.Addr().AsSlice()
	for bit := p.Bits(); bit < len(last)*8; bit++ {
		last[bit/8] |= 0x80 >> (bit % 8)
	}
	end, _ := netip.AddrFromSlice(last)
	return Network{p.Addr(), end, asn, fmt.Sprintf("Example Network %d, Inc.", asn-firstASN+1), country}
}

// Write makes asn-ipv4.csv, asn-ipv6.csv, country-ipv4.csv and country-ipv6.csv in a folder, in the form
// of ip-location-db: first and last address, then AS number and name, or country.
func Write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, family := range scenario.Families {
		err := errors.Join(
			writeFile(filepath.Join(dir, "asn-"+family+".csv"), family, func(n Network) []string {
				return []string{strconv.FormatUint(uint64(n.ASN), 10), n.Name}
			}),
			writeFile(filepath.Join(dir, "country-"+family+".csv"), family, func(n Network) []string {
				return []string{n.Country}
			}))
		if err != nil {
			return err
		}
	}
	return nil
}

func writeFile(path, family string, fields func(Network) []string) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(writeCSV(file, family, fields), file.Close())
}

func writeCSV(out io.Writer, family string, fields func(Network) []string) error {
	w := csv.NewWriter(out)
	for _, n := range Of(family) {
		if err := w.Write(append([]string{n.First.String(), n.Last.String()}, fields(n)...)); err != nil {
			return err
		}
	}
	w.Flush()
	return w.Error()
}
