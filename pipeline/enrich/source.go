package enrich

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
)

// Kind is what a source is read for.
type Kind string

const (
	ASN     Kind = "asn" // numbers and names of AS
	Country Kind = "country"
)

// Formats of sources, as the column `format` of the table `sources` has them.
const (
	formatCSV    = "csv"
	formatMMDB   = "mmdb"
	formatPfx2as = "pfx2as"
)

// Bounds on a source, several times what the largest known ones have.
const (
	maxFileBytes = 1 << 30
	maxTextBytes = 4 << 30 // when decompressed
	maxLineBytes = 4 << 10
	maxRanges    = 8 << 20 // some 700 MB while they are read
	maxNameBytes = 256     // of an AS
)

// Source is a file that was read, and what it says. Texts that are empty are not known.
type Source struct {
	Name        string // of the file
	Gives       Kind
	Format      string   // formatCSV, …
	Date        string   // of the data, YYYY-MM-DD
	SHA256      string   // of the file, hex
	Ranges      uint64   // ranges or prefixes read
	Rejected    uint64   // lines or records that are none
	Faults      []string // what is wrong with the first of them
	Licence     string
	Attribution string // whom the licence asks to name
	Networks    *Networks
}

// Covers says whether the source has ranges of a family.
func (s *Source) Covers(family string) bool {
	if family == dataset.IPv4 {
		return len(s.Networks.ipv4.starts) > 0
	}
	return len(s.Networks.ipv6.starts) > 0
}

// Family is the only one of which the source has ranges; empty if it has ranges of both.
func (s *Source) Family() string {
	switch {
	case !s.Covers(dataset.IPv6):
		return dataset.IPv4
	case !s.Covers(dataset.IPv4):
		return dataset.IPv6
	}
	return ""
}

// ReadSource reads a file of ranges: its content tells the format. date is that of the data, YYYY-MM-DD,
// for a file that does not say it itself; it may be empty. A range of which the file says nothing that is
// asked for counts as not known there.
//
// Up to one line in a hundred may be none of its format. An error names the file, and the first such line.
func ReadSource(ctx context.Context, path string, gives Kind, date string) (*Source, error) {
	s, err := readSource(ctx, path, gives, date)
	if err != nil {
		return nil, withName(path, err)
	}
	return s, nil
}

// withName says which file an error is about; those of the operating system say it.
func withName(path string, err error) error {
	if pathErr := new(os.PathError); errors.As(err, &pathErr) {
		return err
	}
	return fmt.Errorf("%s: %w", path, err)
}

func readSource(ctx context.Context, path string, gives Kind, date string) (*Source, error) {
	content, err := readFile(ctx, path)
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(content)
	s := &Source{Name: filepath.Base(path), Gives: gives, SHA256: hex.EncodeToString(digest[:])}
	if isMMDB(content) {
		err = s.readMMDB(ctx, content)
	} else {
		err = s.readText(readerWith(ctx, bytes.NewReader(content)))
	}
	if err != nil {
		return nil, err
	}
	s.describe(path, date)
	return s, nil
}

func readFile(ctx context.Context, path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	content, err := io.ReadAll(readerWith(ctx, io.LimitReader(file, maxFileBytes+1)))
	if err == nil && len(content) > maxFileBytes {
		err = fmt.Errorf("has more than the %d bytes that are read: is it a file of AS numbers or countries?", maxFileBytes)
	}
	return content, err
}

// readerWith is r until ctx ends.
func readerWith(ctx context.Context, r io.Reader) io.Reader { return interruptible{ctx, r} }

type interruptible struct {
	ctx context.Context
	io.Reader
}

func (r interruptible) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}

// isMMDB looks for what begins an MMDB's metadata, in the last 128 KiB of the file, as the format has it
// (maxmind.github.io/MaxMind-DB, "Database Metadata").
func isMMDB(content []byte) bool {
	end := content[max(0, len(content)-128<<10):]
	return bytes.Contains(end, []byte("\xab\xcd\xefMaxMind.com"))
}

// collector gathers what a source says.
type collector struct {
	list  *networkList
	spans []span
}

func newCollector() *collector { return &collector{list: newNetworkList()} }

func (c *collector) add(first, last netip.Addr, n Network) error {
	if len(c.spans) == maxRanges {
		return fmt.Errorf("has more than %d ranges: is it a file of AS numbers or countries?", maxRanges)
	}
	c.spans = append(c.spans, span{first, last, c.list.place(n)})
	return nil
}

func (c *collector) networks() *Networks { return flatten(c.spans, c.list.networks) }
