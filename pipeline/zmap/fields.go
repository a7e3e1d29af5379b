package zmap

import (
	"database/sql"
	"slices"

	"github.com/mpcensus/mpcensus/pipeline/mptcp"
)

// field is a member that schemas/row.schema.json knows.
type field uint8

const (
	unknown field = iota // any other member
	saddr
	daddr
	sport
	dport
	ipid
	ttl
	window
	tcpFlags
	seqnum
	acknum
	probe
	classification
	success
	repeat
	cooldown
	timestampTS
	timestampUS
	tcpOptions
	presence
	mptcpVersion
	mptcpFlags
	mptcpLength
	mptcpKey
	sentKey
	sentCanary
	canary
	responder
	icmpType
	icmpCode
	quote
	probeTTL
	sent
	endOfRow // the end of a shape
)

var fieldNames = [endOfRow]string{
	saddr:          "saddr",
	daddr:          "daddr",
	sport:          "sport",
	dport:          "dport",
	ipid:           "ipid",
	ttl:            "ttl",
	window:         "window",
	tcpFlags:       "tcp_flags",
	seqnum:         "seqnum",
	acknum:         "acknum",
	probe:          "probe",
	classification: "classification",
	success:        "success",
	repeat:         "repeat",
	cooldown:       "cooldown",
	timestampTS:    "timestamp_ts",
	timestampUS:    "timestamp_us",
	tcpOptions:     "tcp_options",
	presence:       "mptcp",
	mptcpVersion:   "mptcp_version",
	mptcpFlags:     "mptcp_flags",
	mptcpLength:    "mptcp_length",
	mptcpKey:       "mptcp_key",
	sentKey:        "sent_key",
	sentCanary:     "sent_canary",
	canary:         "canary",
	responder:      "responder",
	icmpType:       "icmp_type",
	icmpCode:       "icmp_code",
	quote:          "quote",
	probeTTL:       "probe_ttl",
	sent:           "sent",
}

func (f field) name() string { return fieldNames[f] }

// fields finds a field by its name.
var fields = func() map[string]field {
	m := map[string]field{ // ZMap 2.1.1's spelling
		"timestamp-ts": timestampTS,
		"timestamp-us": timestampUS,
	}
	for f := unknown + 1; f < endOfRow; f++ {
		m[f.name()] = f
	}
	return m
}()

// hasType says whether a value has one of the JSON types of a known field.
func (f field) hasType(value []byte) bool {
	switch f {
	case saddr, daddr, responder, probe, classification, tcpOptions, presence, mptcpKey, sentKey, sentCanary, canary, quote, sent:
		return value[0] == '"'
	case seqnum, acknum:
		return value[0] == '"' || isInteger(value)
	case success, repeat, cooldown:
		return value[0] == 't' || value[0] == 'f' || isInteger(value)
	default:
		return isInteger(value)
	}
}

// The values of fields that are one of few words.
var (
	classifications = []string{SYNACK, RST, ICMP}
	presences       = []mptcp.Presence{mptcp.None, mptcp.Capable, mptcp.Malformed, mptcp.Other}
	canaries        = []mptcp.Canary{mptcp.CanaryNone, mptcp.CanaryMirrored, mptcp.CanaryAltered}
)

// common is what fields say that have the same few values in all rows. In a learned shape they are part of
// the text.
type common struct {
	probe, classification     string
	success, repeat, cooldown sql.Null[bool]
	presence                  mptcp.Presence
	canary                    mptcp.Canary
}

func (f field) isCommon() bool {
	switch f {
	case probe, classification, success, repeat, cooldown, presence, canary:
		return true
	}
	return false
}

// maxSeconds is the last second of the year 9999, beyond which dates have no common text form
// (RFC 3339 §1).
const maxSeconds = 253402300799

// take reads the value of a field that text begins with, and returns its length: 0 if text begins with no
// value that the field can have. Strings with escapes are not understood here.
func (d *Decoder) take(f field, text []byte) int {
	r := d.row
	switch f {
	case saddr:
		return takeAddress(text, &r.Saddr)
	case daddr:
		return d.daddr.take(text, &r.Daddr)
	case sport:
		return takeInteger(text, &r.Sport, 1<<16-1)
	case dport:
		return takeInteger(text, &r.Dport, 1<<16-1)
	case ipid:
		return takeInteger(text, &r.IPID, 1<<16-1)
	case ttl:
		return takeInteger(text, &r.TTL, 1<<8-1)
	case window:
		return takeInteger(text, &r.Window, 1<<16-1)
	case tcpFlags:
		return takeInteger(text, &r.TCPFlags, 1<<8-1)
	case seqnum:
		return takeSequence(text, &r.Seqnum)
	case acknum:
		return takeSequence(text, &r.Acknum)
	case probe:
		return takeWord(text, &d.common.probe, Probes)
	case classification:
		return takeWord(text, &d.common.classification, classifications)
	case success:
		return takeBoolean(text, &d.common.success)
	case repeat:
		return takeBoolean(text, &d.common.repeat)
	case cooldown:
		return takeBoolean(text, &d.common.cooldown)
	case timestampTS:
		return takeInteger(text, &d.seconds, maxSeconds)
	case timestampUS:
		return takeInteger(text, &d.microseconds, 999999)
	case tcpOptions:
		return takeHex(text, &r.TCPOptions, d.tcpOptions[:])
	case presence:
		return takeWord(text, &d.common.presence, presences)
	case mptcpVersion:
		return takeInteger(text, &d.printed.Version, 15)
	case mptcpFlags:
		return takeInteger(text, &d.printed.Flags, 1<<8-1)
	case mptcpLength:
		return takeInteger(text, &d.printed.Length, 1<<8-1)
	case mptcpKey:
		return takeKey(text, &d.printed.Key)
	case sentKey:
		return takeKey(text, &r.SentKey)
	case sentCanary:
		return takeNonce(text, &r.SentCanary)
	case canary:
		return takeWord(text, &d.common.canary, canaries)
	case responder:
		return takeAddress(text, &r.Responder)
	case icmpType:
		return takeInteger(text, &r.ICMPType, 1<<8-1)
	case icmpCode:
		return takeInteger(text, &r.ICMPCode, 1<<8-1)
	case quote:
		d.quote = slices.Grow(d.quote[:0], len(text)/2)
		return takeHex(text, &r.Quote, d.quote[:cap(d.quote)])
	case probeTTL:
		return takeInteger(text, &r.ProbeTTL, 1<<8-1)
	case sent:
		return takeHex(text, &r.Sent, d.sent[:])
	default:
		return skipPlain(text)
	}
}
