package dataset

import (
	"fmt"
	"path"
	"path/filepath"
	"strconv"
	"strings"
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

// CampaignsFolder is beside the tables, too: what mpcensus run notes of campaigns. Readers of Hive-partitioned
// folders leave out names with a dot.
const CampaignsFolder = ".campaigns"

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

// WholeFile is the name in a dataset of the one file of a table without partitions.
func WholeFile(table string) string { return table + "/" + table + "." + string(Parquet) }

// ViewsFile is the name in a dataset of the SQL that makes its views.
const ViewsFile = "views.sql"

// scanFile is the name of the file with the scan's row in `scans`.
func (k ScanKey) scanFile(format Format) string { return k.file(ScansTable, k.ID, string(format)) }

// partFile is the name that a part has once it belongs to the scan.
func (k ScanKey) partFile(p Part) string {
	name := k.ID
	if p.Sorted {
		name += sortedMark
	}
	return k.file(p.folder(), fmt.Sprintf("%s-%05d", name, p.Number), strings.TrimPrefix(path.Ext(p.Name), "."))
}

// owns says whether a file has a name that partFile gives to a scan in this format.
func (k ScanKey) owns(name string, format Format) bool {
	number := name[strings.LastIndex(name, "-")+1:]
	n, err := strconv.Atoi(strings.TrimSuffix(number, path.Ext(number)))
	if err != nil {
		return false
	}
	replies, rejects := RepliesTable+"-."+string(format), rejectsFolder+"-.jsonl"
	return name == k.partFile(Part{Name: replies, Number: n}) ||
		name == k.partFile(Part{Name: replies, Number: n, Sorted: true}) ||
		name == k.partFile(Part{Name: rejects, Number: n})
}

// sortedMark is in the names of files that Compact made.
const sortedMark = "-sorted"

// keyOfScanFile is the scan of a file of `scans`, and its format; not ok if no file there has that name.
func keyOfScanFile(name string) (key ScanKey, format Format, ok bool) {
	folders, file := path.Split(strings.TrimPrefix(name, ScansTable+"/"))
	format = Format(strings.TrimPrefix(path.Ext(file), "."))
	key.ID = strings.TrimSuffix(file, "."+string(format))
	for _, folder := range strings.Split(strings.TrimSuffix(folders, "/"), "/") {
		switch k, v, _ := strings.Cut(folder, "="); k {
		case "date":
			key.Date = v
		case "family":
			key.Family = v
		case "port":
			port, _ := strconv.ParseUint(v, 10, 16)
			key.Port = uint16(port)
		case "probe":
			key.Probe = v
		}
	}
	// Whatever is missing, doubled or misspelt shows here.
	ok = name == key.scanFile(format) && key.ID != "" && key.Date != "" && key.Family != "" && key.Port > 0 &&
		key.Probe != "" && (format == Parquet || format == Arrow)
	return key, format, ok
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
