package report

import (
	"cmp"
	"fmt"
	"slices"
)

// topNetworks is how many AS or countries of a family are named.
const topNetworks = 10

// network is an AS or a country of a family, or what has none that is known.
type network struct {
	family              string
	number              any // of the AS; nil for a country
	name                any
	known               bool
	potential, mirrored int64
}

// latestNote says which scans are counted, in tables of them.
const latestNote = "Of the newest date with a complete v0 or v1 scan, for each family and port."

// networks makes the tables ASes and Countries.
func (r *reader) networks() error {
	systems, countries, err := r.readNetworks()
	if err != nil {
		return err
	}
	counts := []Column{
		{Name: "potential", Unit: "addresses", Meaning: "Addresses that are potential on any port, to any version."},
		{Name: "potential_share", Share: true, Meaning: "Of all potential addresses of the family."},
		{Name: "mirrored", Unit: "addresses", Meaning: "Addresses from which our option comes back, on any port, to any version."},
		{Name: "mirrored_share", Share: true, Meaning: "Of all mirrored addresses of the family."},
	}
	note := latestNote + " The %d %s of each family with most potential addresses; then all others together, and addresses of which none is known. An address counts once."
	r.census.ASes = Table{
		Name: "ases", Title: "Autonomous systems",
		Note: fmt.Sprintf(note, topNetworks, "autonomous systems"),
		Columns: slices.Concat([]Column{familyColumn, {Name: "asn", Number: true, Meaning: "Number of the autonomous system."},
			{Name: "as_name", Meaning: "Its name, as its source has it."}}, counts),
	}
	r.census.Countries = Table{
		Name: "countries", Title: "Countries",
		Note:    fmt.Sprintf(note, topNetworks, "countries"),
		Columns: slices.Concat([]Column{familyColumn, {Name: "country", Meaning: "ISO 3166-1 code."}}, counts),
	}
	r.fillNetworks(&r.census.ASes, systems, "AS", func(n network) []any { return []any{n.family, n.number, n.name} })
	r.fillNetworks(&r.census.Countries, countries, "country", func(n network) []any { return []any{n.family, n.name} })
	return nil
}

// readNetworks counts the addresses of the latest scans by AS and by country.
func (r *reader) readNetworks() (systems, countries []network, err error) {
	type place struct {
		family  string
		number  uint32
		country string
		known   bool
	}
	add := func(to map[place]*network, p place, n network) *network {
		if to[p] == nil {
			to[p] = &network{known: p.known}
		}
		to[p].add(n)
		return to[p]
	}
	var here network
	var number *uint32
	var name, country *string
	bySystem, byCountry := make(map[place]*network), make(map[place]*network)
	err = r.query("networks", nil, func() error {
		in := place{family: here.family}
		if number != nil {
			in.number, in.known = *number, true
		}
		system := add(bySystem, in, here)
		if number != nil {
			system.number = int64(*number)
		}
		// One number can have several names: the first in the alphabet.
		if name != nil && (system.name == nil || *name < system.name.(string)) {
			system.name = *name
		}
		in = place{family: here.family}
		if country != nil {
			in.country, in.known = *country, true
		}
		add(byCountry, in, here).name = in.country
		return nil
	}, &here.family, &number, &name, &country, &here.potential, &here.mirrored)
	for _, n := range bySystem {
		systems = append(systems, *n)
	}
	for _, n := range byCountry {
		countries = append(countries, *n)
	}
	return systems, countries, err
}

// noLatest says why a table of the latest scans has no rows.
const noLatest = "Not enough data: no complete v0 or v1 scan."

// fillNetworks makes the rows of a table of networks, whose first cells a function gives.
func (r *reader) fillNetworks(t *Table, all []network, what string, cells func(network) []any) {
	switch {
	case len(r.census.latest()) == 0:
		t.Empty = noLatest
	case len(all) == 0:
		t.Empty = "No address is potential or mirrored."
	case !slices.ContainsFunc(all, func(n network) bool { return n.known }):
		t.Empty = fmt.Sprintf("Not enough data: of no address the %s is known. Run mpcensus enrich.", what)
	default:
		for _, family := range r.census.Families {
			other := func(n network) bool { return n.family != family }
			t.Rows = append(t.Rows, familyRows(slices.DeleteFunc(slices.Clone(all), other), cells)...)
		}
	}
}

// familyRows are the rows of the networks of one family.
func familyRows(all []network, cells func(network) []any) (rows [][]any) {
	slices.SortFunc(all, func(a, b network) int {
		return cmp.Or(compareKnown(a, b), cmp.Compare(b.potential, a.potential), cmp.Compare(b.mirrored, a.mirrored),
			cmp.Compare(fmt.Sprintf("%10v %v", a.number, a.name), fmt.Sprintf("%10v %v", b.number, b.name)))
	})
	var sum, others, unknown network
	others.name, unknown.name = "(all others)", "(not known)"
	named := 0
	for i, n := range all {
		sum.add(n)
		switch {
		case !n.known:
			unknown.add(n)
		case i < topNetworks && n.potential > 0:
			named++
		default:
			others.add(n)
		}
	}
	for _, n := range append(slices.Clone(all[:named]), others, unknown) {
		if n.potential+n.mirrored > 0 {
			rows = append(rows, append(cells(n),
				n.potential, share(n.potential, sum.potential), n.mirrored, share(n.mirrored, sum.mirrored)))
		}
	}
	return rows
}

// add adds the addresses of another network of the family.
func (n *network) add(other network) {
	n.family = other.family
	n.potential += other.potential
	n.mirrored += other.mirrored
}

// compareKnown puts what is not known last.
func compareKnown(a, b network) int {
	switch {
	case a.known == b.known:
		return 0
	case a.known:
		return -1
	}
	return 1
}

// fingerprints makes the table Fingerprints.
func (r *reader) fingerprints() error {
	const most = 20 // as fingerprints.sql has it
	records, err := r.records("fingerprints")
	if err != nil {
		return err
	}
	t := Table{
		Name: "fingerprints", Title: "TCP options of hosts and of boxes that mirror",
		Note: latestNote + fmt.Sprintf(" Kinds of the TCP options in the SYN-ACK, in their order, padding (1) included; 30 is MP_CAPABLE. A stack has an order of its own. The %d orders that most potential or mirrored hosts have; a host counts once a scan.", most),
		Columns: []Column{
			{Name: "option_order", Meaning: "Kinds in their order; – where the reply's options are not recorded."},
			{Name: "potential", Unit: "hosts", Meaning: "Potential hosts."},
			{Name: "potential_share", Share: true, Meaning: "Of all potential hosts."},
			{Name: "mirrored", Unit: "hosts", Meaning: "Hosts from which our option comes back."},
			{Name: "mirrored_share", Share: true, Meaning: "Of all of these."},
			{Name: "other_filtered", Unit: "hosts", Meaning: "Tampered and implausible ones."},
			{Name: "no_mptcp", Unit: "hosts", Meaning: "Hosts without MP_CAPABLE."},
		},
	}
	switch {
	case len(r.census.latest()) == 0:
		t.Empty = noLatest
	case len(records) == 0:
		t.Empty = "No host sent a SYN-ACK."
	case records[0]["recorded"] == int64(0):
		t.Empty = "Not enough data: no host has its TCP options recorded. If an earlier version classified the scans, run mpcensus classify again."
	default:
		for _, record := range records {
			t.Rows = append(t.Rows, pick(record, t.Columns))
		}
	}
	r.census.Fingerprints = t
	return nil
}
