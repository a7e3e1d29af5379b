package verify

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"unsafe"

	"golang.org/x/sys/unix"
)

// include/uapi/linux/mptcp.h: SOL_MPTCP, MPTCP_INFO, and the offsets of struct mptcp_info.
const (
	solMPTCP  = 284
	mptcpInfo = 1

	infoFlags         = 8
	infoBytesSent     = 56
	infoBytesReceived = 64
	infoBytesAcked    = 72
	infoSubflowsTotal = 80
	infoNeeded        = 81
)

// info is what the kernel knows of an MPTCP connection.
type info struct {
	flags                 uint32
	sent, received, acked uint64 // bytes
	subflows              uint8
}

// errFellBack means that a connection that was asked for as MPTCP is plain TCP.
var errFellBack = errors.New("fell back to TCP")

var errOldKernel = errors.New("this kernel's MPTCP_INFO lacks the counters of bytes: verify needs a newer Linux (6.12 has them)")

// readInfo asks the kernel for MPTCP_INFO. The error wraps errFellBack where that says so: a socket that
// fell back has no such option (EOPNOTSUPP, of IPv6 sockets ENOPROTOOPT), while SO_PROTOCOL stays MPTCP.
func readInfo(conn *net.TCPConn) (info, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return info{}, err
	}
	var b [256]byte
	var n int
	var failed error
	err = raw.Control(func(fd uintptr) { n, failed = getsockopt(fd, solMPTCP, mptcpInfo, b[:]) })
	switch err = errors.Join(err, failed); {
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOPROTOOPT):
		return info{}, errFellBack
	case err != nil:
		return info{}, fmt.Errorf("MPTCP_INFO: %w", err)
	case n < infoNeeded:
		return info{}, errOldKernel
	}
	return info{
		flags:    binary.NativeEndian.Uint32(b[infoFlags:]),
		sent:     binary.NativeEndian.Uint64(b[infoBytesSent:]),
		received: binary.NativeEndian.Uint64(b[infoBytesReceived:]),
		acked:    binary.NativeEndian.Uint64(b[infoBytesAcked:]),
		subflows: b[infoSubflowsTotal],
	}, nil
}

// getsockopt is the system call: package unix has none for bytes.
func getsockopt(fd uintptr, level, option int, b []byte) (int, error) {
	n := uint32(len(b))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, uintptr(level), uintptr(option),
		uintptr(unsafe.Pointer(&b[0])), uintptr(unsafe.Pointer(&n)), 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
