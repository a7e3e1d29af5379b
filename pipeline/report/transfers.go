package report

import (
	"cmp"
	"fmt"
	"slices"
)

// Transfer compares connections by MPTCP with those by plain TCP to the same targets, of a date, family,
// port and protocol, for what is on the path to them.
type Transfer struct {
	Date, Family string
	Port         uint16
	Protocol     string // http or tls
	Path         string // clean, other changes, a finding, not seen, not traced

	Targets                   int64
	MPTCP, TCP                int64 // connections tried
	MPTCPSucceeded            int64 // a response was read
	TCPSucceeded              int64
	StillMPTCP                int64 // after data
	Connect, FirstByte, Total Ratio // of the times, MPTCP : TCP
}

// transferPaths are what a path can be in the order of the table, clean ones first.
var transferPaths = []string{"clean", "other changes", "removed", "changed", "dropped", "answered-nearer", "not seen", "not traced"}

// notConnected says why a table of connections has no rows.
const notConnected = "Not enough data: no target was connected to. Run mpcensus verify."

var connectionColumns = []Column{dateColumn, familyColumn, portColumn,
	{Name: "protocol", Meaning: "http, or tls for HTTP over TLS."}}

// connections makes the tables of connections.
func (r *reader) connections() error {
	if err := r.execute("newestgrabs"); err != nil {
		return err
	}
	return cmp.Or(r.verification(), r.outcomes(), r.transfers())
}

// verificationResults are the columns of the table Verification, and how a figure names them.
var verificationResults = []struct{ column, label, meaning string }{
	{"proven", "MPTCP after data", "A connection was still MPTCP after bytes of a response: MPTCP, proven."},
	{"fallback_at_connect", "TCP at connect", "None was proven; one had no MP_CAPABLE in its SYN-ACK."},
	{"fallback_after_connect", "TCP after data", "None was proven; one was MPTCP when it was established, and TCP after data."},
	{"not_known", "not known", "Connections were established, but no response told."},
	{"not_connected", "no connection", "No connection was established, be it MPTCP or TCP."},
	{"skipped", "skipped", "Not tried: a limit of the host or of the run was reached."},
}

// counted is a table of counts by a place, with a column for each of the names.
func (r *reader) counted(t *Table, query string, keys int, names []string) error {
	records, err := r.records(query)
	if err != nil {
		return err
	}
	rows := make(map[string][]any)
	for _, record := range records {
		cells := pick(record, t.Columns[:keys])
		at := fmt.Sprint(cells...)
		if rows[at] == nil {
			for range len(names) + 1 {
				cells = append(cells, int64(0))
			}
			rows[at] = cells
			t.Rows = append(t.Rows, cells)
		}
		name, _ := record["name"].(string)
		column := slices.Index(names, name)
		if column < 0 {
			return fmt.Errorf("report of %s: %q is unknown: was it made by a newer version?", query, name)
		}
		n, _ := record["count"].(int64)
		rows[at][keys+1+column] = n
		rows[at][keys] = rows[at][keys].(int64) + n
	}
	return nil
}

// verification makes the table Verification.
func (r *reader) verification() error {
	t := &r.census.Verification
	*t = Table{
		Name: "verification", Title: "What real connections prove",
		Note: "Targets of the newest verification of each, by what their connections with the kernel's MPTCP show. The first column that holds counts.",
		Columns: append(slices.Clone(connectionColumns),
			Column{Name: "targets", Meaning: "Targets that mpcensus verify turned to."}),
		Empty: notConnected,
	}
	keys := len(connectionColumns)
	var names []string
	for _, result := range verificationResults {
		names = append(names, result.column)
		t.Columns = append(t.Columns, Column{Name: result.column, Unit: "targets", Meaning: result.meaning})
	}
	return r.counted(t, "verification", keys, names)
}

// outcomesOfGrabs are the values of the column outcome of grabs.
var outcomesOfGrabs = []string{"ok", "truncated", "connect-timeout", "refused", "unreachable", "reset", "timeout", "closed-early",
	"tls-error", "protocol-error", "skipped", "error"}

// outcomes makes the table Outcomes.
func (r *reader) outcomes() error {
	t := &r.census.Outcomes
	*t = Table{
		Name: "outcomes", Title: "How connections ended",
		Note: "Connections of the newest verification of each target, those by MPTCP and those by TCP beside them. What the columns mean stands at outcome in the table grabs.",
		Columns: append(slices.Clone(connectionColumns),
			Column{Name: "transport", Meaning: "What the kernel was asked for: mptcp or tcp."},
			Column{Name: "connections", Meaning: "All of them."}),
		Empty: notConnected,
	}
	keys := len(connectionColumns) + 1
	for _, name := range outcomesOfGrabs {
		t.Columns = append(t.Columns, Column{Name: name, Unit: "connections", Meaning: "Outcome " + name + "."})
	}
	return r.counted(t, "outcomes", keys, outcomesOfGrabs)
}

// transfers makes Transfers and their table.
func (r *reader) transfers() error {
	type ratios struct{ connect, firstByte, total []float64 }
	all := make(map[Transfer]*Transfer) // by what they are of
	lists := make(map[*Transfer]*ratios)
	var of, n Transfer
	var connect, firstByte, total *float64
	add := func(to *[]float64, ratio *float64) {
		if ratio != nil {
			*to = append(*to, *ratio)
		}
	}
	if err := r.query("transfers", nil, func() error {
		t := all[of]
		if t == nil {
			if !slices.Contains(transferPaths, of.Path) {
				return fmt.Errorf("path %q is unknown: was it made by a newer version?", of.Path)
			}
			t = new(of)
			all[of], lists[t] = t, &ratios{}
		}
		t.Targets++
		t.MPTCP += n.MPTCP
		t.TCP += n.TCP
		t.MPTCPSucceeded += n.MPTCPSucceeded
		t.TCPSucceeded += n.TCPSucceeded
		t.StillMPTCP += n.StillMPTCP
		list := lists[t]
		add(&list.connect, connect)
		add(&list.firstByte, firstByte)
		add(&list.total, total)
		return nil
	}, &of.Date, &of.Family, &of.Port, &of.Protocol, &of.Path, &n.MPTCP, &n.TCP, &n.MPTCPSucceeded, &n.TCPSucceeded, &n.StillMPTCP,
		&connect, &firstByte, &total); err != nil {
		return err
	}
	for t, list := range lists {
		t.Connect, t.FirstByte, t.Total = newRatio(list.connect), newRatio(list.firstByte), newRatio(list.total)
		r.census.Transfers = append(r.census.Transfers, *t)
	}
	slices.SortFunc(r.census.Transfers, func(a, b Transfer) int {
		return cmp.Or(cmp.Compare(b.Date, a.Date), cmp.Compare(a.Family, b.Family), cmp.Compare(a.Port, b.Port), cmp.Compare(a.Protocol, b.Protocol),
			cmp.Compare(slices.Index(transferPaths, a.Path), slices.Index(transferPaths, b.Path)))
	})
	r.census.TransfersTable = transfersTable(r.census.Transfers)
	return nil
}

// transfersTable is the table of transfers.
func transfersTable(transfers []Transfer) Table {
	t := Table{
		Name: "transfers", Title: "Transfers: MPTCP against TCP",
		Note: "Connections by MPTCP and by TCP to the same targets in turn, by what the newest trace shows on the path to them. A ratio is that of a " +
			"target's median times, above 1 where MPTCP is slower; the table has the median over targets, with an interval that covers it with at least 95 %. " +
			"Times are of connections that got a whole response; success says how many got one, or as much as the limit allows.",
		Columns: slices.Concat(connectionColumns, []Column{
			{Name: "path", Meaning: "clean (MP_CAPABLE and all else unchanged in every quote), other changes (of addresses, sequence numbers or other options), what became of MP_CAPABLE as in paths, not seen, or not traced."},
			{Name: "targets", Meaning: "Targets connected to."},
			{Name: "mptcp_success", Share: true, Meaning: "Connections asked for as MPTCP over which a response was read."},
			{Name: "tcp_success", Share: true, Meaning: "The same of those by plain TCP."},
			{Name: "still_mptcp", Share: true, Meaning: "Connections asked for as MPTCP that were MPTCP after data."}}),
		Empty: notConnected,
	}
	for _, ratio := range ratiosOfTransfers {
		t.Columns = append(t.Columns,
			Column{Name: ratio.column + "_ratio", Meaning: ratio.meaning},
			Column{Name: ratio.column + "_low", Meaning: "Lower end of its interval; – with too few targets, fewer than 6."},
			Column{Name: ratio.column + "_high", Meaning: "Upper end of its interval."})
	}
	for _, transfer := range transfers {
		row := []any{transfer.Date, transfer.Family, int64(transfer.Port), transfer.Protocol, transfer.Path, transfer.Targets,
			share(transfer.MPTCPSucceeded, transfer.MPTCP), share(transfer.TCPSucceeded, transfer.TCP), share(transfer.StillMPTCP, transfer.MPTCP)}
		for _, ratio := range ratiosOfTransfers {
			row = append(row, ratio.of(&transfer).cells()...)
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// ratiosOfTransfers are what is compared, in the order of a connection.
var ratiosOfTransfers = []struct {
	column, label, meaning string
	of                     func(*Transfer) Ratio
}{
	{"connect", "until connected", "Time until the connection was established, MPTCP : TCP.", func(t *Transfer) Ratio { return t.Connect }},
	{"first_byte", "until the first byte", "Time from the request to the first byte of the response, MPTCP : TCP.", func(t *Transfer) Ratio { return t.FirstByte }},
	{"total", "in all", "Time of the whole connection, MPTCP : TCP.", func(t *Transfer) Ratio { return t.Total }},
}
