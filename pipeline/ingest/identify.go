package ingest

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
	"github.com/mpcensus/mpcensus/pipeline/zmap"
)

// Reasons of this package's own.
const (
	ErrForeign zmap.Reason = "foreign" // a row of another scan than the first one, or than the parameters say
	ErrTrace   zmap.Reason = "trace"   // a row of mptcp_trace, not of a scan
)

// foreign compares a row with what is known of the scan.
func foreign(p *dataset.Partition, row *zmap.Row) error {
	switch {
	case row.ProbeTTL.Valid:
		return fmt.Errorf("%w: probe_ttl is %d: give rows of a trace to mpcensus trace --rows", ErrTrace, row.ProbeTTL.V)
	case p.Family != "" && p.Family != family(row.Saddr):
		return fmt.Errorf("%w: saddr is %s, the scan is of %s", ErrForeign, row.Saddr, p.Family)
	case p.Port != 0 && row.Sport.Valid && p.Port != row.Sport.V:
		return fmt.Errorf("%w: sport is %d, the scan is of port %d", ErrForeign, row.Sport.V, p.Port)
	case p.Probe != "" && row.Probe != "" && p.Probe != row.Probe:
		return fmt.Errorf("%w: probe is %s, the scan is of %s", ErrForeign, row.Probe, p.Probe)
	}
	return nil
}

// identify looks for the scan's first row in a block, and takes from it what is not known of the scan.
// Afterwards scan has an ID if there is such a row. linesBefore is the number of lines before the block.
func identify(scan *dataset.ScanKey, block *zmap.Block, linesBefore int64) error {
	var decoder zmap.Decoder
	var row zmap.Row
	for line := range block.Lines() {
		if decodeLine(&decoder, line, &scan.Partition, &row) != nil {
			continue
		}
		if missing := complete(&scan.Partition, &row); missing != nil {
			return &UnknownScanError{Line: linesBefore + line.Number, Missing: missing}
		}
		scan.ID = scan.ScanID(row.Time)
		return nil
	}
	return nil
}

// complete takes from the first row what is not known of the scan, and returns what is missing then.
func complete(p *dataset.Partition, row *zmap.Row) []string {
	p.Family = family(row.Saddr)
	if p.Port == 0 {
		p.Port = row.Sport.V
	}
	if p.Probe == "" {
		p.Probe = row.Probe
	}
	if p.Date == "" && !row.Time.IsZero() {
		p.Date = row.Time.Format(time.DateOnly)
	}
	return missing(*p)
}

func missing(p dataset.Partition) []string {
	var names []string
	for _, key := range []struct {
		name  string
		known bool
	}{
		{"port", p.Port != 0}, {"probe", p.Probe != ""}, {"family", p.Family != ""}, {"date", p.Date != ""},
	} {
		if !key.known {
			names = append(names, key.name)
		}
	}
	return names
}

func family(a netip.Addr) string {
	if a.Is4() {
		return dataset.IPv4
	}
	return dataset.IPv6
}
