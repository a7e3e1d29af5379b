package enrich

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"
)

// maxMMDBLeaves bounds the walk through an MMDB's tree: a hostile one leads to the same leaves by as many
// ways as there are addresses. Real ones have fewer than ten million.
const maxMMDBLeaves = 64 << 20

// networkOf is what a record says of what is asked for, in the fields of its publisher.
func networkOf(record maxminddb.Result, gives Kind) (n Network, err error) {
	if gives == Country {
		var code string
		// ip-location-db; then GeoLite2 and GeoIP2 (Country, City), DB-IP.
		for _, path := range [][]any{{"country_code"}, {"country", "iso_code"}} {
			if err := record.DecodePath(&code, path...); err != nil {
				return n, err
			}
			if code != "" {
				break
			}
		}
		n.Country, err = parseCountry(code)
		return n, err
	}
	if err := record.DecodePath(&n.ASN, "autonomous_system_number"); err != nil || n.ASN == 0 {
		return n, err
	}
	var name string
	if err := record.DecodePath(&name, "autonomous_system_organization"); err != nil {
		return n, err
	}
	n.ASName, err = parseName(name)
	return n, err
}

// readMMDB reads a database of MaxMind's format.
func (s *Source) readMMDB(ctx context.Context, content []byte) error {
	s.Format = formatMMDB
	db, err := maxminddb.OpenBytes(content)
	if err != nil {
		return fmt.Errorf("is no sound MMDB: %w", err)
	}
	defer db.Close()
	if db.Metadata.BuildEpoch != 0 {
		s.Date = db.Metadata.BuildTime().UTC().Format(time.DateOnly)
	}
	c := newCollector()
	if err := s.readTree(ctx, db, c); err != nil {
		return err
	}
	s.Ranges = uint64(len(c.spans))
	if s.Rejected*maxRejectedShare > s.Ranges+s.Rejected {
		return s.badRecords(len(c.spans))
	}
	if len(c.list.networks) == 1 {
		return fmt.Errorf("no record has %s: its type is %s", s.mmdbField(), quote(db.Metadata.DatabaseType))
	}
	s.Networks = c.networks()
	return nil
}

func (s *Source) badRecords(good int) error {
	return fmt.Errorf("%d records cannot be used, beside %d that can: %s", s.Rejected, good, s.Faults[0])
}

func (s *Source) mmdbField() string {
	if s.Gives == ASN {
		return "autonomous_system_number"
	}
	return "country_code or country.iso_code"
}

// readTree walks through the prefixes of the database.
func (s *Source) readTree(ctx context.Context, db *maxminddb.Reader, c *collector) error {
	type decoded struct {
		network Network
		err     error
	}
	records := make(map[uintptr]decoded) // by offset: many prefixes share one
	leaves := 0
	for result := range db.Networks(maxminddb.IncludeNetworksWithoutData()) {
		if err := result.Err(); err != nil {
			return fmt.Errorf("is no sound MMDB: %w", err)
		}
		if leaves++; leaves > maxMMDBLeaves {
			return errors.New("is no sound MMDB: its tree has no end")
		}
		if leaves%(1<<16) == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if !result.Found() {
			continue
		}
		record, ok := records[result.Offset()]
		if !ok {
			record.network, record.err = networkOf(result, s.Gives)
			records[result.Offset()] = record
		}
		if record.err != nil {
			s.Rejected++
			if len(s.Faults) < shownFaults {
				s.Faults = append(s.Faults, fmt.Sprintf("%v: %v", result.Prefix(), record.err))
			}
			// records grows with them, and the good ones cannot become as many as that share asks for.
			if s.Rejected > maxRanges/(maxRejectedShare-1) {
				return s.badRecords(len(c.spans))
			}
			continue
		}
		first, last := endsOf(result.Prefix())
		if err := c.add(first, last, record.network); err != nil {
			return err
		}
	}
	return nil
}
