package report

import (
	"fmt"
	"slices"

	"github.com/mpcensus/mpcensus/pipeline/classify"
)

// losses makes the table Losses.
func (r *reader) losses() {
	r.census.Losses = Table{
		Name: "losses", Title: "What was dropped, rejected or undecided",
		Note: "Of each scan. Counts of packets are ZMap's and the kernel's; of rows that came from a file they are not known.",
		Columns: slices.Concat(partitionColumns, []Column{scanColumn, completeColumn,
			{Name: "probes_sent", Unit: "SYNs", Meaning: "SYNs that the kernel took for sending."},
			{Name: "send_failures", Unit: "SYNs", Meaning: "SYNs that it did not take: targets that were not probed."},
			{Name: "received", Unit: "packets", Meaning: "Packets that reached the probe module."},
			{Name: "invalid", Unit: "packets", Meaning: "Those that answer no probe of the scan; they have no row."},
			{Name: "kernel_drops", Unit: "packets", Meaning: "Dropped as ZMap did not read them in time: replies may be missing."},
			{Name: "interface_drops", Unit: "packets", Meaning: "Dropped by the interface or its driver, ours or not."},
			{Name: "backlog_drops", Unit: "packets", Meaning: "Dropped before a processor's full backlog, ours or not."},
			{Name: "duplicates", Unit: "packets", Meaning: "SYN-ACKs of targets that had sent one before."},
			{Name: "rows_rejected", Unit: "lines", Meaning: "Lines that are no row of the scan; they are in the folder rejects."},
			{Name: "undecided", Unit: "targets", Meaning: "Potential, though more keys have their weight than genuine ones explain: it does not tell which of them are genuine."},
			{Name: "not_judged", Unit: "targets", Meaning: "Potential, but not judged by their weight: too few keys, or classified by an earlier version."}}),
	}
	t := &r.census.Losses
	for _, s := range r.scans {
		s.record["scan"] = s.ID
		s.record["undecided"], s.record["not_judged"] = s.undecided, s.unjudged
		t.Rows = append(t.Rows, pick(s.record, t.Columns))
	}
}

var scanColumn = Column{Name: "scan", Meaning: "Id of the scan."}

// provenance makes the table Provenance.
func (r *reader) provenance() {
	r.census.Provenance = Table{
		Name: "provenance", Title: "Where the scans come from",
		Note: "What is needed to make a scan again, and to know its input again.",
		Columns: slices.Concat(partitionColumns, []Column{scanColumn, completeColumn,
			{Name: "started", Meaning: "UTC; of a file, time of its first reply."},
			{Name: "finished", Meaning: "UTC; of a file, time of its last reply."},
			{Name: "tool_version", Meaning: "Version of mpcensus."},
			{Name: "zmap_version", Meaning: "Version of ZMap; not known of a file."},
			{Name: "zmap_arguments", Meaning: "ZMap's command line; not known of a file."},
			{Name: "seed", Meaning: "Seed of ZMap's permutation."},
			{Name: "static_key", Meaning: "The one key that was sent to every target, in hexadecimal digits; none where keys differ."},
			{Name: "campaign", Meaning: "Shared by the scans of one paired campaign."},
			{Name: "targets", Meaning: "Targets of the scan; of one in shards, of all shards."},
			{Name: "targets_sha256", Meaning: "SHA-256 of the target file."},
			{Name: "input", Meaning: "Name of the file that was ingested."},
			{Name: "input_xxh3", Meaning: "XXH3 digest of the rows read."}}),
	}
	t := &r.census.Provenance
	for _, s := range r.scans {
		s.record["scan"] = s.ID
		t.Rows = append(t.Rows, pick(s.record, t.Columns))
	}
}

// treatments makes the table Treatments: a row a campaign, place and version, a column a treatment.
func (r *reader) treatments() error {
	t := Table{
		Name: "treatments", Title: "How targets treat MP_CAPABLE",
		Note: "Targets of paired campaigns, which send plain, v0, v1 and canary SYNs to the same targets, by what host and path do with MP_CAPABLE. docs/tables.md has the meaning of each treatment.",
		Columns: slices.Concat([]Column{{Name: "campaign", Meaning: "Id of the campaign."}}, partitionColumns,
			[]Column{{Name: "targets", Meaning: "Targets that answered any probe of the campaign."}}),
		Empty: "Not enough data: no paired campaign that is classified. mpcensus scan --paired makes one.",
	}
	first := len(t.Columns)
	at := make(map[string]int)
	for i, name := range classify.Treatments {
		t.Columns = append(t.Columns, Column{Name: name, Unit: "targets", Meaning: treatmentMeanings[name]})
		at[name] = first + i
	}
	records, err := r.records("treatments")
	if err != nil {
		return err
	}
	var previous string
	for _, record := range records {
		start := pick(record, t.Columns[:first-1])
		if key := fmt.Sprintf("%q", start); key != previous {
			previous = key
			start = append(start, int64(0))
			for range classify.Treatments {
				start = append(start, int64(0))
			}
			t.Rows = append(t.Rows, start)
		}
		row := t.Rows[len(t.Rows)-1]
		name := fmt.Sprint(record["treatment"])
		if at[name] == 0 {
			return fmt.Errorf("campaign %v: treatment %q is unknown: was it made by a newer version?", record["campaign"], name)
		}
		n := record["count"].(int64)
		row[first-1] = row[first-1].(int64) + n
		row[at[name]] = n
	}
	r.census.Treatments = t
	return nil
}

var treatmentMeanings = map[string]string{
	"supports":    "MP_CAPABLE that passed all tests on keys.",
	"mirrors":     "Our MP_CAPABLE or our canary came back.",
	"tampers":     "The key was made from one that we sent.",
	"implausible": "The key or the option cannot be a genuine host's.",
	"strips":      "No MP_CAPABLE, though a canary came back.",
	"ignores":     "No MP_CAPABLE: no MPTCP, or a path that removes it.",
	"resets":      "RST, where a plain SYN got a SYN-ACK.",
	"drops":       "No answer, where a plain SYN got a SYN-ACK.",
	"unclear":     "A SYN-ACK, but neither to this probe nor to the plain one.",
	"closed":      "No SYN-ACK to any probe of the campaign.",
}

// sources makes the table Sources.
func (r *reader) sources() error {
	records, err := r.records("sources")
	if err != nil {
		return err
	}
	t := Table{
		Name: "sources", Title: "Where AS and country come from",
		Note: "Files that mpcensus enrich was given.",
		Columns: []Column{
			{Name: "name", Meaning: "Name of the file."},
			{Name: "gives", Meaning: "asn or country."},
			{Name: "format", Meaning: "Its format."},
			{Name: "family", Meaning: "ipv4 or ipv6; – for both."},
			{Name: "date", Meaning: "Date of the data."},
			{Name: "ranges", Meaning: "Ranges of addresses read."},
			{Name: "rejected", Meaning: "Lines or entries that were not."},
			{Name: "licence", Meaning: "Licence, as the file's publisher gives it."},
			{Name: "attribution", Meaning: "Words that the licence wants."},
			{Name: "sha256", Meaning: "SHA-256 of the file."}},
		Empty: "Not enriched: AS and country are not known. Run mpcensus enrich.",
	}
	for _, record := range records {
		t.Rows = append(t.Rows, pick(record, t.Columns))
	}
	r.census.Sources = t
	return nil
}
