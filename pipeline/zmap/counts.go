package zmap

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

// Counts are the numbers of a ZMap run; schemas/tables.yaml says of what. NULL is not known.
type Counts struct {
	ProbesSent         sql.Null[uint64]
	SendFailures       sql.Null[uint64]
	Received           sql.Null[uint64]
	Invalid            sql.Null[uint64]
	KernelDrops        sql.Null[uint64]
	InterfaceDrops     sql.Null[uint64]
	BacklogDrops       sql.Null[uint64]
	Duplicates         sql.Null[uint64]
	AnsweredInCooldown sql.Null[uint64]
}

// countsMark is between a probe module's name and what it counted, in the line that it prints before ZMap ends.
const countsMark = ": counts "

// moduleCounts is the JSON of that line (zmap-module/wire/counts.h).
type moduleCounts struct {
	PacketsSent     *uint64           `json:"packets_sent"` // these two only where the module does the sending
	SendFailures    *uint64           `json:"send_failures"`
	Received        *uint64           `json:"received"`
	Invalid         *uint64           `json:"invalid"`
	InvalidByReason map[string]uint64 `json:"invalid_by_reason"`
}

// parseModuleCounts reads what follows countsMark.
func parseModuleCounts(text string) (moduleCounts, error) {
	var c moduleCounts
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return moduleCounts{}, err
	}
	if c.Received == nil || c.Invalid == nil {
		return moduleCounts{}, fmt.Errorf("no received or no invalid")
	}
	var invalid uint64
	for _, n := range c.InvalidByReason {
		if n > *c.Invalid-invalid {
			return moduleCounts{}, fmt.Errorf("the reasons add up to more than %d invalid", *c.Invalid)
		}
		invalid += n
	}
	if invalid != *c.Invalid || *c.Invalid > *c.Received {
		return moduleCounts{}, fmt.Errorf("%d received, %d invalid, %d by reason", *c.Received, *c.Invalid, invalid)
	}
	return c, nil
}

// metadata is what ZMap writes into its metadata file (summary.c in its sources). 2.1.1 prints
// pcap's unsigned 32-bit numbers as signed ones.
type metadata struct {
	Allowed2 *uint64 `json:"blacklist_total_allowed"` // by 2.1.1
	Allowed4 *uint64 `json:"blocklist_total_allowed"` // by 4
	Sent2    *uint64 `json:"total_sent"`              // 2.1.1: targets; those that the kernel did not take count too
	Sent4    *uint64 `json:"packets_sent"`            // 4: as above, packets
	Failures *uint64 `json:"send_to_failures"`        // 2.1.1: tries, of which a packet has several; 4: packets

	KernelDrops    *int64 `json:"pcap_drop"`
	InterfaceDrops *int64 `json:"pcap_ifdrop"`

	Success        *uint64 `json:"success_total"`
	SuccessTargets *uint64 `json:"success_unique"`
	InCooldown     *uint64 `json:"success_cooldown_unique"`
}

// allowed is the number of ZMap's targets, of all shards together.
func (m metadata) allowed() sql.Null[uint64] {
	if m.Allowed4 != nil {
		return known(m.Allowed4)
	}
	return known(m.Allowed2)
}

func readMetadata(path string) (metadata, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return metadata{}, fmt.Errorf("zmap's metadata: %w", err)
	}
	// What json-c makes of 0/0: the hit rate of a scan that sent nothing.
	clean := strings.ReplaceAll(string(text), ": NaN", ": null")
	var m metadata
	if err := json.Unmarshal([]byte(clean), &m); err != nil {
		return metadata{}, fmt.Errorf("zmap's metadata in %s, whose disk may be full: %w", path, err)
	}
	return m, nil
}

// counts puts together what ZMap and the probe module counted. Where both know, the module does: it
// hands packets to the kernel itself inside ZMap 2.1.1.
func (m metadata) counts(module moduleCounts) Counts {
	c := Counts{
		ProbesSent:         known(module.PacketsSent),
		SendFailures:       known(module.SendFailures),
		Received:           known(module.Received),
		Invalid:            known(module.Invalid),
		KernelDrops:        unsigned32(m.KernelDrops),
		InterfaceDrops:     unsigned32(m.InterfaceDrops),
		Duplicates:         difference(m.Success, m.SuccessTargets),
		AnsweredInCooldown: known(m.InCooldown),
	}
	switch {
	case c.ProbesSent.Valid:
	case m.Sent4 != nil:
		c.ProbesSent, c.SendFailures = difference(m.Sent4, m.Failures), known(m.Failures)
	default:
		c.ProbesSent = known(m.Sent2)
	}
	return c
}

func known(n *uint64) sql.Null[uint64] {
	if n == nil {
		return sql.Null[uint64]{}
	}
	return sql.Null[uint64]{V: *n, Valid: true}
}

func unsigned32(n *int64) sql.Null[uint64] {
	if n == nil {
		return sql.Null[uint64]{}
	}
	return sql.Null[uint64]{V: uint64(uint32(*n)), Valid: true}
}

func difference(a, b *uint64) sql.Null[uint64] {
	if a == nil || b == nil || *a < *b {
		return sql.Null[uint64]{}
	}
	return sql.Null[uint64]{V: *a - *b, Valid: true}
}
