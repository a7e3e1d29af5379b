package rows

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"strconv"
	"time"
)

// Row is a reply as the module sees it.
type Row struct {
	Target, Scanner         netip.Addr
	TargetPort, ScannerPort uint16
	TTL                     uint8
	IPID                    uint16 // of IPv4

	Kind     Kind
	Seq, Ack uint32 // this and the next five: of a TCP reply
	Window   uint16
	Flags    uint8
	Options  []byte
	MPTCP    MPTCP
	Probe    string // V0, V1 or Plain
	SentKey  uint64 // of V0

	ICMPType, ICMPCode uint8 // this and the next two: of ICMP
	Responder          netip.Addr
	Quote              []byte

	ProbeTTL uint8  // this and the next: of a trace
	Sent     []byte // our SYN, from its IP header on; nil in a scan

	Repeat, Cooldown bool
	Time             time.Time
}

// Kind is what a reply is.
type Kind uint8

// Kinds of replies.
const (
	SYNACK Kind = iota
	RST
	ICMP
)

func (k Kind) String() string { return [...]string{"synack", "rst", "icmp"}[k] }

// MPTCP is what the module prints about the MPTCP option of a TCP reply.
type MPTCP struct {
	Presence string
	Detailed bool // the next three are there
	Version  uint8
	Flags    uint8
	Length   uint8
	HasKey   bool
	Key      uint64
}

// AppendTo adds the row as a line of ZMap 4.3.4's output module json, with all fields (-f '*').
//
// The order is that of src/recv.c: fs_add_ip_fields, the module's row_add (zmap-module/row/row.c),
// fs_add_system_fields. src/output_modules/module_json.c leaves NULL fields out, and prints with
// JSON_C_TO_STRING_PLAIN: no space between tokens.
func (r *Row) AppendTo(b []byte) []byte {
	b = r.appendIPFields(b)
	b = appendNumber(b, `,"sport":`, uint64(r.TargetPort))
	b = appendNumber(b, `,"dport":`, uint64(r.ScannerPort))
	if r.Kind != ICMP {
		b = appendNumber(b, `,"seqnum":"`, uint64(r.Seq))
		b = appendNumber(b, `","acknum":"`, uint64(r.Ack))
		b = appendNumber(b, `","window":`, uint64(r.Window))
		b = appendNumber(b, `,"tcp_flags":`, uint64(r.Flags))
	}
	b = appendText(b, `,"probe":"`, r.Probe)
	if r.Kind != ICMP {
		b = appendHex(b, `,"tcp_options":"`, r.Options)
		b = appendMPTCPFields(b, &r.MPTCP)
	}
	if r.Probe == V0 {
		b = appendKey(b, `,"sent_key":"`, r.SentKey)
	}
	b = append(append(append(b, `,"classification":"`...), r.Kind.String()...), '"')
	// In a trace every answer is a success, for ZMap's duplicate filter.
	b = strconv.AppendBool(append(b, `,"success":`...), r.Kind == SYNACK || r.Sent != nil)
	if r.Kind == ICMP {
		b = r.appendICMPFields(b)
	}
	if r.Sent != nil {
		b = appendNumber(b, `,"probe_ttl":`, uint64(r.ProbeTTL))
		b = appendHex(b, `,"sent":"`, r.Sent)
	}
	return r.appendSystemFields(b)
}

// appendIPFields: the module takes the raw addresses and the identification out of IPv6 rows.
func (r *Row) appendIPFields(b []byte) []byte {
	b = appendAddress(b, `{"saddr":"`, r.Target)
	if r.Target.Is4() {
		b = appendNumber(b, `,"saddr_raw":`, raw(r.Target))
	}
	b = appendAddress(b, `,"daddr":"`, r.Scanner)
	if r.Target.Is4() {
		b = appendNumber(b, `,"daddr_raw":`, raw(r.Scanner))
		b = appendNumber(b, `,"ipid":`, uint64(r.IPID))
	}
	return appendNumber(b, `,"ttl":`, uint64(r.TTL))
}

// raw is an address in network order, read as a number by a little-endian machine.
func raw(a netip.Addr) uint64 {
	bytes := a.As4()
	return uint64(binary.LittleEndian.Uint32(bytes[:]))
}

func appendMPTCPFields(b []byte, m *MPTCP) []byte {
	b = appendText(b, `,"mptcp":"`, m.Presence)
	if m.Detailed {
		b = appendNumber(b, `,"mptcp_version":`, uint64(m.Version))
		b = appendNumber(b, `,"mptcp_flags":`, uint64(m.Flags))
		b = appendNumber(b, `,"mptcp_length":`, uint64(m.Length))
	}
	if m.HasKey {
		b = appendKey(b, `,"mptcp_key":"`, m.Key)
	}
	return b
}

func (r *Row) appendICMPFields(b []byte) []byte {
	b = appendNumber(b, `,"icmp_type":`, uint64(r.ICMPType))
	b = appendNumber(b, `,"icmp_code":`, uint64(r.ICMPCode))
	b = appendAddress(b, `,"responder":"`, r.Responder)
	return appendHex(b, `,"quote":"`, r.Quote)
}

func (r *Row) appendSystemFields(b []byte) []byte {
	b = strconv.AppendBool(append(b, `,"repeat":`...), r.Repeat)
	b = strconv.AppendBool(append(b, `,"cooldown":`...), r.Cooldown)
	b = r.Time.AppendFormat(append(b, `,"timestamp_str":"`...), "2006-01-02T15:04:05.000-0700")
	b = appendNumber(b, `","timestamp_ts":`, uint64(r.Time.Unix()))
	b = appendNumber(b, `,"timestamp_us":`, uint64(r.Time.Nanosecond())/uint64(time.Microsecond))
	return append(b, "}\n"...)
}

func appendNumber(b []byte, name string, n uint64) []byte {
	return strconv.AppendUint(append(b, name...), n, 10)
}

func appendText(b []byte, name, text string) []byte {
	return append(append(append(b, name...), text...), '"')
}

func appendAddress(b []byte, name string, a netip.Addr) []byte {
	return append(a.AppendTo(append(b, name...)), '"')
}

func appendHex(b []byte, name string, bytes []byte) []byte {
	return append(hex.AppendEncode(append(b, name...), bytes), '"')
}

func appendKey(b []byte, name string, key uint64) []byte {
	var bytes [8]byte
	binary.BigEndian.PutUint64(bytes[:], key)
	return appendHex(b, name, bytes[:])
}
