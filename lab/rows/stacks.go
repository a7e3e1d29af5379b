package rows

import (
	"encoding/binary"
	"math/rand/v2"
	"strings"
)

// stack is how an operating system or a load balancer answers a SYN with the options of a Linux client
// (those of p0f 3.09's p0f.fp, sections tcp:response, and of systems seen since).
type stack struct {
	share    uint32 // of the SYN-ACKs, in 1/1000; chosen
	ttl      uint8  // as sent
	randomID bool   // IPv4 identification; else 0, as a packet that must not be fragmented may have
	windows  []uint16
	mss      []uint16
	scales   []uint8
	layout   string // of the options, in p0f's words; padding follows
}

var (
	ethernet = []uint16{1460}
	tunnels  = []uint16{1460, 1452, 1440, 1436, 1424, 1412, 1400, 1380, 1360, 1300}
)

var stacks = []stack{
	// Linux.
	{240, 64, false, []uint16{65160}, ethernet, []uint8{7, 7, 8, 9, 10}, "mss,sok,ts,nop,ws"},
	{120, 64, false, []uint16{28960, 28960, 28560, 27960}, ethernet, []uint8{7, 7, 8, 9}, "mss,sok,ts,nop,ws"},
	{60, 64, false, []uint16{14480, 5792}, tunnels, []uint8{5, 6, 7}, "mss,sok,ts,nop,ws"},
	{40, 64, false, []uint16{62643, 26847, 62727}, []uint16{8961, 8941}, []uint8{7, 8, 9}, "mss,sok,ts,nop,ws"},
	{90, 64, false, []uint16{64240, 29200, 14600}, tunnels, []uint8{7, 8, 9}, "mss,nop,nop,sok,nop,ws"},
	{25, 64, false, []uint16{65535, 29200}, tunnels, nil, "mss,nop,nop,sok"},
	{15, 64, false, []uint16{28960, 14480}, tunnels, nil, "mss,sok,ts"},
	{15, 64, false, []uint16{28960, 14480}, tunnels, nil, "mss,nop,nop,ts"},
	{15, 64, false, []uint16{29200, 14600}, tunnels, []uint8{6, 7}, "mss,nop,ws"},
	// Google, Cloudflare, Fastly, Akamai.
	{60, 128, true, []uint16{65535, 60192}, []uint16{1430, 1412}, []uint8{8}, "mss,sok,ts,nop,ws"},
	{60, 64, false, []uint16{65535}, []uint16{1460, 1400}, []uint8{10, 13}, "mss,nop,nop,sok,nop,ws"},
	// Windows.
	{70, 128, true, []uint16{65535, 64000, 8192}, ethernet, []uint8{8}, "mss,nop,ws,sok,ts"},
	{40, 128, true, []uint16{65535, 8192}, tunnels, []uint8{0, 8}, "mss,nop,ws,nop,nop,sok"},
	{10, 128, true, []uint16{16384}, tunnels, []uint8{0}, "mss,nop,ws,nop,nop,ts,nop,nop,sok"},
	// FreeBSD, OpenBSD, NetBSD, macOS, Solaris.
	{20, 64, true, []uint16{65535}, ethernet, []uint8{6, 9}, "mss,nop,ws,sok,ts"},
	{5, 64, true, []uint16{16384}, ethernet, []uint8{3, 6}, "mss,nop,nop,sok,nop,ws,nop,nop,ts"},
	{5, 64, true, []uint16{32768}, ethernet, []uint8{3}, "mss,nop,ws,sok,nop,nop,nop,nop,ts"},
	{5, 64, true, []uint16{65535}, ethernet, []uint8{5, 6}, "mss,nop,ws,nop,nop,ts,sok"},
	{5, 255, true, []uint16{49232, 64436}, ethernet, []uint8{1, 5}, "sok,ts,mss,nop,ws"},
	{5, 255, true, []uint16{33304}, ethernet, []uint8{0}, "nop,nop,ts,mss,nop,ws,nop,nop,sok"},
	// Load balancers and firewalls.
	{15, 255, true, []uint16{4380, 4356}, tunnels, nil, "mss,sok"},
	{10, 255, true, []uint16{4380}, tunnels, []uint8{0}, "mss,nop,ws,sok"},
	{10, 255, false, []uint16{8190, 8192}, tunnels, []uint8{0, 8}, "mss,nop,ws,nop,nop,sok"},
	{10, 64, true, []uint16{65535, 5840}, tunnels, nil, "mss,nop,nop,sok,nop,nop,nop,nop"},
	{5, 64, false, []uint16{28960}, tunnels, []uint8{7}, "mss,sok,ts,ws"},
	{5, 255, true, []uint16{5840}, tunnels, []uint8{2}, "nop,ws,mss,sok,nop,nop"},
	// Routers, cameras and other small devices.
	{25, 64, true, []uint16{5840, 2144, 1024, 512, 8192, 4096}, tunnels, nil, "mss"},
	{5, 255, true, []uint16{4128}, []uint16{1460, 536}, nil, "mss"},
	{5, 64, true, []uint16{5840, 5720}, tunnels, nil, "mss,sok,nop,nop"},
	{5, 255, true, []uint16{0, 8192, 65535}, nil, nil, ""},
}

// optionValues are what the options of a SYN-ACK hold.
type optionValues struct {
	mss             uint16
	scale           uint8
	tsValue, tsEcho uint32
}

// Options by their names in p0f: RFC 9293 §3.1 and §3.7.1, RFC 7323 §2 and §3, RFC 2018 §2.
func appendOption(b []byte, name string, v *optionValues) []byte {
	switch name {
	case "nop":
		return append(b, 1)
	case "mss":
		return binary.BigEndian.AppendUint16(append(b, 2, 4), v.mss)
	case "ws":
		return append(b, 3, 3, v.scale)
	case "sok":
		return append(b, 4, 2)
	case "ts":
		b = binary.BigEndian.AppendUint32(append(b, 8, 10), v.tsValue)
		return binary.BigEndian.AppendUint32(b, v.tsEcho)
	}
	panic("stacks: no option " + name)
}

// pad fills options up to whole words, with ends of the list: RFC 9293 §3.1.
func pad(options []byte) []byte {
	for len(options)%4 != 0 {
		options = append(options, 0)
	}
	return options
}

// layouts are those of stacks, taken apart.
var layouts = func() (all [][]string) {
	for _, s := range stacks {
		var names []string
		if s.layout != "" {
			names = strings.Split(s.layout, ",")
		}
		all = append(all, names)
	}
	return all
}()

var stackShares, stackTotal = func() (shares []uint32, total uint32) {
	for _, s := range stacks {
		shares = append(shares, s.share)
	}
	return shares, sum(shares)
}()

// pick returns one of the values, the zero one if there is none.
func pick[T any](random *rand.Rand, values []T) (value T) {
	if len(values) == 0 {
		return value
	}
	return values[random.IntN(len(values))]
}
