// Package chains is a router in userspace, for what Linux cannot be told to
// do on the way of a packet: to quote 8 bytes, to mirror options, to answer in a
// host's place, to rewrite sequence numbers.
//
// It reads and builds packets by itself, from the RFCs, and shares no code with
// the census: a misreading on one side shows.
package chains

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// Side is an interface of a router and the neighbour that it leads to.
type Side struct {
	Index     int // of the interface
	Neighbour net.HardwareAddr
}

// Router forwards between two interfaces of one namespace, whose own kernel must
// not forward, but answers for the router's addresses.
type Router struct {
	Name       string
	Up, Down   Side // towards the scanner, and towards the host
	IPv4, IPv6 netip.Addr
	ShortQuote bool // quote the IP header and 8 bytes, not as much as Linux does
	Box        Box  // nil: none
}

// What Linux quotes of a packet: ICMP messages up to 576 bytes (RFC 1812 §4.3.2.3),
// ICMPv6 up to the smallest MTU (RFC 4443 §2.4c).
const (
	mostQuoted  = 576 - ipv4Bytes - icmpBytes
	mostQuoted6 = 1280 - ipv6Bytes - icmpBytes
)

// maxPacket is Ethernet's MTU, which the lab's links have.
const maxPacket = 1500

// Start opens a packet socket in the calling thread's namespace and forwards
// until ctx ends.
func (r *Router) Start(ctx context.Context) error {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, int(networkOrder(unix.ETH_P_ALL)))
	if err != nil {
		return fmt.Errorf("open packet socket in %s: %w", r.Name, err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1); err != nil {
		unix.Close(fd)
		return fmt.Errorf("listen on packet socket in %s: %w", r.Name, err)
	}
	// A burst of a whole window; what the kernel does not grant, TCP repeats.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4<<20)
	socket := os.NewFile(uintptr(fd), r.Name)
	raw, err := socket.SyscallConn()
	if err != nil {
		socket.Close()
		return err
	}
	context.AfterFunc(ctx, func() { socket.Close() })
	go r.run(raw)
	return nil
}

// run ends when the socket is closed. A read that fails otherwise, as of an
// interface that went down, is followed by the next.
func (r *Router) run(raw rawConn) {
	buffer := make([]byte, maxPacket+1)
	for {
		var n int
		var from unix.Sockaddr
		var fd int
		err := raw.Read(func(f uintptr) bool {
			var err error
			fd = int(f)
			n, from, err = unix.Recvfrom(fd, buffer, 0)
			return err != unix.EAGAIN
		})
		if err != nil {
			return
		}
		if link, ok := from.(*unix.SockaddrLinklayer); ok && link.Pkttype == unix.PACKET_HOST && n > 0 && n <= maxPacket {
			r.handle(buffer[:n], link.Ifindex, func(p packet, to Side) { send(fd, p, to) })
		}
	}
}

type rawConn interface {
	Read(func(fd uintptr) bool) error
}

// handle forwards a packet that came in by an interface. What is for the router
// itself is its kernel's.
func (r *Router) handle(b []byte, ifindex int, send func(packet, Side)) {
	p, ok := parse(b)
	if !ok || !p.destination().IsGlobalUnicast() {
		return
	}
	from, to := r.Up, r.Down
	if ifindex == r.Down.Index {
		from, to = to, from
	}
	if *p.hopLimit() <= 1 {
		if p.isTCP() && !r.owns(p.destination()) { // no other traffic here is worth an error
			send(r.timeExceeded(p), from)
		}
		return
	}
	*p.hopLimit()--
	answer := packet{}
	switch {
	case r.Box == nil:
	case ifindex == r.Down.Index:
		p, ok = r.Box.backward(p)
	default:
		p, answer, ok = r.Box.forward(p)
	}
	if answer.ip != nil {
		answer.finish()
		send(answer, from)
	}
	if ok && !r.owns(p.destination()) {
		p.finish()
		send(p, to)
	}
}

func (r *Router) owns(a netip.Addr) bool { return a == r.IPv4 || a == r.IPv6 }

// timeExceeded quotes the packet as it came in (RFC 792, RFC 4443 §3.3).
func (r *Router) timeExceeded(p packet) packet {
	kind, protocol, own, most := byte(11), byte(protocolICMP), r.IPv4, mostQuoted
	if !p.is4() {
		kind, protocol, own, most = 3, protocolICMPv6, r.IPv6, mostQuoted6
	}
	if r.ShortQuote {
		most = p.payload + portsAndSeq
	}
	message := append([]byte{kind, icmpBytes - 1: 0}, p.ip[:min(most, len(p.ip))]...)
	answer := newPacket(own, p.source(), protocol, message)
	answer.finish()
	return answer
}

// newPacket puts an IP header before what it carries. Checksums are left to finish.
func newPacket(source, destination netip.Addr, protocol byte, carries []byte) packet {
	var header []byte
	if source.Is4() {
		header = []byte{0: 0x45, 8: ownHopLimit, 9: protocol, ipv4Bytes - 1: 0}
		binary.BigEndian.PutUint16(header[2:], uint16(ipv4Bytes+len(carries)))
	} else {
		header = []byte{0: 0x60, 6: protocol, 7: ownHopLimit, ipv6Bytes - 1: 0}
		binary.BigEndian.PutUint16(header[4:], uint16(len(carries)))
	}
	p := packet{append(header, carries...), len(header), protocol}
	a, b := p.addresses()
	copy(a, source.AsSlice())
	copy(b, destination.AsSlice())
	return p
}

// send hands a packet to the link. One that the link refuses is lost, as packets
// are.
func send(fd int, p packet, to Side) {
	address := unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_IP), Ifindex: to.Index, Halen: uint8(len(to.Neighbour))}
	if !p.is4() {
		address.Protocol = networkOrder(unix.ETH_P_IPV6)
	}
	copy(address.Addr[:], to.Neighbour)
	_ = unix.Sendto(fd, p.ip, 0, &address)
}

func networkOrder(protocol uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, protocol))
}
