package dataset

import (
	"fmt"
	"path"
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

// rejectsFolder is beside the tables.
const rejectsFolder = "rejects"

// Partition is what all rows of a scan share: the keys in the names of its folders.
type Partition struct {
	Date   string `json:"date"`   // UTC, YYYY-MM-DD
	Family string `json:"family"` // IPv4 or IPv6
	Port   uint16 `json:"port"`
	Probe  string `json:"probe"` // zmap.ProbeV0, …
}

// ScanKey is a scan's name, and the partition that it lies in.
type ScanKey struct {
	ID string `json:"id"`
	Partition
}

// folder is the partition's name below a table, Hive style.
func (p Partition) folder() string {
	return fmt.Sprintf("date=%s/family=%s/port=%d/probe=%s", p.Date, p.Family, p.Port, p.Probe)
}

// Path is where a table's rows of one scan are, for a table with one file a scan, in a local folder.
func (p Partition) Path(dir, table, scanID string, format Format) string {
	return filepath.Join(dir, filepath.FromSlash(p.file(table, scanID, string(format))))
}

// file is the name in a dataset of a scan's file.
func (p Partition) file(folder, name, extension string) string {
	return path.Join(folder, p.folder(), name+"."+extension)
}

// scanFile is the name of the file with the scan's row in `scans`.
func (k ScanKey) scanFile(format Format) string { return k.file(ScansTable, k.ID, string(format)) }

// partFile is the name that a part has once it belongs to the scan.
func (k ScanKey) partFile(p Part) string {
	return k.file(p.folder(), fmt.Sprintf("%s-%05d", k.ID, p.Number), path.Ext(p.Name)[1:])
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
