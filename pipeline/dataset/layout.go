package dataset

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Format is a file format of tables, and the extension of its files.
type Format string

const (
	Parquet Format = "parquet"
	Arrow   Format = "arrow" // Arrow IPC, file format
)

// Values of Partition.Family.
const (
	IPv4 = "ipv4"
	IPv6 = "ipv6"
)

// Partition is what all rows of a scan share: the keys in the names of its folders.
type Partition struct {
	Date   string // UTC, YYYY-MM-DD
	Family string // IPv4 or IPv6
	Port   uint16
	Probe  string // zmap.ProbeV0, …
}

// folder is the partition's path below a table, Hive style.
func (p Partition) folder() string {
	return filepath.Join("date="+p.Date, "family="+p.Family, fmt.Sprintf("port=%d", p.Port), "probe="+p.Probe)
}

// Path is where a table's rows of one scan are.
func (p Partition) Path(dir, table, scanID string, format Format) string {
	return filepath.Join(dir, table, p.folder(), scanID+"."+string(format))
}

// RejectsPath is where the rejected lines of one scan are.
func (p Partition) RejectsPath(dir, scanID string) string {
	return filepath.Join(dir, rejectsFolder, p.folder(), scanID+".jsonl")
}

// ScanID names the scan of a partition that began at start: 20261123T081500.123456Z-ipv4-443-v1, or
// 2026-11-23-ipv4-443-v1 when start is zero, the time being unknown.
func (p Partition) ScanID(start time.Time) string {
	when := p.Date
	if !start.IsZero() {
		when = start.UTC().Format("20060102T150405.000000Z")
	}
	return fmt.Sprintf("%s-%s-%d-%s", when, p.Family, p.Port, p.Probe)
}

// findScan returns the `scans` files of a scan, whatever date and format they have.
func findScan(dir string, p Partition, scanID string) ([]string, error) {
	p.Date = "*"
	paths, err := fs.Glob(os.DirFS(dir), filepath.ToSlash(p.Path("", ScansTable, scanID, "*")))
	for i := range paths {
		paths[i] = filepath.Join(dir, paths[i])
	}
	return paths, err
}
