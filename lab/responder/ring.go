package responder

import (
	"fmt"
	"slices"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Many small blocks, each handed over after a millisecond at the latest: this
// shape lost nothing at the highest rate that ZMap could send (289,000 SYNs a
// second), where a TUN device lost from 100,000 on.
const (
	blockBytes   = 64 << 10
	blocks       = 1024
	frameBytes   = 2048
	blockMillis  = 1
	socketQueues = 8 << 20
)

// ring is an AF_PACKET socket with a TPACKET_V3 receive ring
// (Documentation/networking/packet_mmap.rst in the kernel's source).
type ring struct {
	fd   int
	mem  []byte
	next int // block that the kernel fills next
}

// openRing listens on every interface of the calling thread's network namespace
// for SYNs. (Bound to one interface, it would fail for good when that is deleted,
// and poll(2) no longer wait.)
func openRing() (*ring, error) {
	// Protocol 0 receives nothing: the filter must stand before bind.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open packet socket: %w", err)
	}
	r := &ring{fd: fd}
	if err := r.setUp(); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *ring) setUp() error {
	for _, option := range []struct {
		name  string
		id    int
		value int
	}{
		{"PACKET_VERSION", unix.PACKET_VERSION, unix.TPACKET_V3},
		{"PACKET_IGNORE_OUTGOING", unix.PACKET_IGNORE_OUTGOING, 1},
		{"PACKET_QDISC_BYPASS", unix.PACKET_QDISC_BYPASS, 1},
	} {
		if err := unix.SetsockoptInt(r.fd, unix.SOL_PACKET, option.id, option.value); err != nil {
			return fmt.Errorf("set %s: %w", option.name, err)
		}
	}
	if err := unix.SetsockoptInt(r.fd, unix.SOL_SOCKET, unix.SO_SNDBUF, socketQueues); err != nil {
		return fmt.Errorf("set SO_SNDBUF: %w", err)
	}
	program := synFilter()
	filter := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	if err := unix.SetsockoptSockFprog(r.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &filter); err != nil {
		return fmt.Errorf("attach packet filter: %w", err)
	}
	request := unix.TpacketReq3{
		Block_size: blockBytes, Block_nr: blocks,
		Frame_size: frameBytes, Frame_nr: blocks * blockBytes / frameBytes,
		Retire_blk_tov: blockMillis,
	}
	if err := unix.SetsockoptTpacketReq3(r.fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &request); err != nil {
		return fmt.Errorf("make receive ring of %d MiB: %w", blocks*blockBytes>>20, err)
	}
	mem, err := unix.Mmap(r.fd, 0, blocks*blockBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map receive ring: %w", err)
	}
	r.mem = mem
	if err := unix.Bind(r.fd, &unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_ALL)}); err != nil {
		return fmt.Errorf("bind packet socket: %w", err)
	}
	return nil
}

func networkOrder(v uint16) uint16 { return v>>8 | v<<8 } // every Linux that ZMap runs on is little-endian

func (r *ring) close() {
	if r.mem != nil {
		unix.Munmap(r.mem)
	}
	unix.Close(r.fd)
}

// readBlock hands each frame of the next block to handle, with the interface that
// it came in by, and gives the block back to the kernel. It waits a tenth of a
// second for one. Frames are valid during the call only.
func (r *ring) readBlock(handle func(frame []byte, ifindex int32)) error {
	block := r.mem[r.next*blockBytes:][:blockBytes]
	header := (*unix.TpacketHdrV1)(unsafe.Pointer(&block[unsafe.Offsetof(unix.TpacketBlockDesc{}.Hdr)]))
	if atomic.LoadUint32(&header.Block_status)&unix.TP_STATUS_USER == 0 {
		_, err := unix.Poll([]unix.PollFd{{Fd: int32(r.fd), Events: unix.POLLIN}}, 100)
		if err != nil && err != unix.EINTR {
			return fmt.Errorf("wait for packets: %w", err)
		}
		if atomic.LoadUint32(&header.Block_status)&unix.TP_STATUS_USER == 0 {
			return nil
		}
	}
	offset := header.Offset_to_first_pkt
	for range header.Num_pkts {
		packet := (*unix.Tpacket3Hdr)(unsafe.Pointer(&block[offset]))
		// struct sockaddr_ll follows the header (its size is a multiple of TPACKET_ALIGNMENT).
		from := (*unix.RawSockaddrLinklayer)(unsafe.Pointer(&block[offset+uint32(unsafe.Sizeof(*packet))]))
		handle(block[offset+uint32(packet.Mac):][:packet.Snaplen], from.Ifindex)
		offset += packet.Next_offset
	}
	atomic.StoreUint32(&header.Block_status, unix.TP_STATUS_KERNEL)
	r.next = (r.next + 1) % blocks
	return nil
}

// drops is how many frames found the ring full since the last call.
func (r *ring) drops() (uint64, error) {
	stats, err := unix.GetsockoptTpacketStatsV3(r.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		return 0, fmt.Errorf("read PACKET_STATISTICS: %w", err)
	}
	return uint64(stats.Drops), nil
}

// synFilter accepts TCP SYNs without ACK straight after an IPv4 or IPv6 header,
// unfragmented. What else arrives (the scanner's RSTs) stays out of the ring.
func synFilter() []unix.SockFilter {
	const (
		loadByte  = unix.BPF_LD | unix.BPF_B | unix.BPF_ABS
		loadHalf  = unix.BPF_LD | unix.BPF_H | unix.BPF_ABS
		loadIPLen = unix.BPF_LDX | unix.BPF_B | unix.BPF_MSH // X = 4*(A[k]&0xf)
		loadByteX = unix.BPF_LD | unix.BPF_B | unix.BPF_IND
		and       = unix.BPF_ALU | unix.BPF_AND | unix.BPF_K
		equal     = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		anySet    = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
		ret       = unix.BPF_RET | unix.BPF_K
		whole     = 0xffff
	)
	reject := unix.SockFilter{Code: ret}
	accept := unix.SockFilter{Code: ret, K: whole}
	ipv4 := []unix.SockFilter{
		{Code: loadByte, K: etherBytes + 9},
		{Code: equal, K: protocolTCP, Jt: 1}, reject,
		{Code: loadHalf, K: etherBytes + 6},
		{Code: anySet, K: 0x3fff, Jf: 1}, reject,
		{Code: loadIPLen, K: etherBytes},
		{Code: loadByteX, K: etherBytes + 13},
		{Code: and, K: flagSYN | flagACK},
		{Code: equal, K: flagSYN, Jt: 1}, reject, accept,
	}
	ipv6 := []unix.SockFilter{
		{Code: equal, K: etherTypeIPv6, Jt: 1}, reject,
		{Code: loadByte, K: etherBytes + 6},
		{Code: equal, K: protocolTCP, Jt: 1}, reject,
		{Code: loadByte, K: etherBytes + ipv6Bytes + 13},
		{Code: and, K: flagSYN | flagACK},
		{Code: equal, K: flagSYN, Jt: 1}, reject, accept,
	}
	return slices.Concat([]unix.SockFilter{
		{Code: loadHalf, K: 12},
		{Code: equal, K: etherTypeIPv4, Jf: uint8(len(ipv4))},
	}, ipv4, ipv6)
}
