package rows

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"strconv"
	"time"
)

// appendRow adds a reply as a line of ZMap 4.3.4's output module json, with all fields (-f '*').
//
// The order is that of src/recv.c: fs_add_ip_fields, the module's row_add (zmap-module/row/row.c),
// fs_add_system_fields. src/output_modules/module_json.c leaves NULL fields out, and prints with
// JSON_C_TO_STRING_PLAIN: no space between tokens.
func (s *scan) appendRow(b []byte, r *reply) []byte {
	b = s.appendIPFields(b, r)
	b = appendNumber(b, `,"sport":`, uint64(s.params.Port))
	b = appendNumber(b, `,"dport":`, uint64(r.ourPort))
	if r.kind != icmp {
		b = appendNumber(b, `,"seqnum":"`, uint64(r.seq))
		b = appendNumber(b, `","acknum":"`, uint64(r.ack))
		b = appendNumber(b, `","window":`, uint64(r.window))
		b = appendNumber(b, `,"tcp_flags":`, uint64(r.flags))
	}
	b = appendText(b, `,"probe":"`, s.params.Probe)
	if r.kind != icmp {
		b = appendHex(b, `,"tcp_options":"`, r.options[:r.length])
		b = appendMPTCPFields(b, &r.mptcp)
	}
	if s.params.Probe == V0 {
		b = appendKey(b, `,"sent_key":"`, r.sentKey)
	}
	switch r.kind {
	case icmp:
		b = append(b, `,"classification":"icmp","success":false`...)
		b = appendICMPFields(b, r)
	case rst:
		b = append(b, `,"classification":"rst","success":false`...)
	default:
		b = append(b, `,"classification":"synack","success":true`...)
	}
	return appendSystemFields(b, r)
}

// appendIPFields: the module takes the raw addresses and the identification out of IPv6 rows.
func (s *scan) appendIPFields(b []byte, r *reply) []byte {
	b = appendAddress(b, `{"saddr":"`, r.target)
	if r.target.Is4() {
		b = appendNumber(b, `,"saddr_raw":`, raw(r.target))
	}
	b = appendAddress(b, `,"daddr":"`, s.scanner)
	if r.target.Is4() {
		b = appendNumber(b, `,"daddr_raw":`, raw(s.scanner))
		b = appendNumber(b, `,"ipid":`, uint64(r.ipid))
	}
	return appendNumber(b, `,"ttl":`, uint64(r.ttl))
}

// raw is an address in network order, read as a number by a little-endian machine.
func raw(a netip.Addr) uint64 {
	bytes := a.As4()
	return uint64(binary.LittleEndian.Uint32(bytes[:]))
}

func appendMPTCPFields(b []byte, m *mptcp) []byte {
	b = appendText(b, `,"mptcp":"`, m.presence)
	if m.detailed {
		b = appendNumber(b, `,"mptcp_version":`, uint64(m.version))
		b = appendNumber(b, `,"mptcp_flags":`, uint64(m.flags))
		b = appendNumber(b, `,"mptcp_length":`, uint64(m.length))
	}
	if m.hasKey {
		b = appendKey(b, `,"mptcp_key":"`, m.key)
	}
	return b
}

func appendICMPFields(b []byte, r *reply) []byte {
	b = appendNumber(b, `,"icmp_type":`, uint64(r.icmpType))
	b = appendNumber(b, `,"icmp_code":`, uint64(r.icmpCode))
	b = appendAddress(b, `,"responder":"`, r.responder)
	return appendHex(b, `,"quote":"`, r.quote[:r.quoteLength])
}

func appendSystemFields(b []byte, r *reply) []byte {
	b = strconv.AppendBool(append(b, `,"repeat":`...), r.repeat)
	b = strconv.AppendBool(append(b, `,"cooldown":`...), r.cooldown)
	when := scanStart.Add(r.time)
	b = when.AppendFormat(append(b, `,"timestamp_str":"`...), "2006-01-02T15:04:05.000-0700")
	b = appendNumber(b, `","timestamp_ts":`, uint64(when.Unix()))
	b = appendNumber(b, `,"timestamp_us":`, uint64(when.Nanosecond())/uint64(time.Microsecond))
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
