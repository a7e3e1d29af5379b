package verify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// dial connects to a host by the transport named, within a timeout.
//
// net.Dialer is not used: it tries again by plain TCP whatever became of an MPTCP connection
// (net/mptcpsock_linux.go), so that one that was refused or timed out would look like a fallback, and the
// error would be that of the second attempt.
func dial(ctx context.Context, transport string, host netip.AddrPort, timeout time.Duration) (*net.TCPConn, error) {
	socket, err := newSocket(transport, host.Addr())
	if err != nil {
		return nil, err
	}
	defer socket.Close() // FileConn makes a copy
	if err := socket.SetDeadline(time.Now().Add(timeout)); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { socket.SetDeadline(time.Now()) })
	defer stop()
	if err := connect(socket, socketAddress(host)); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("connect: %w", err)
	}
	conn, err := net.FileConn(socket)
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}

var errNoMPTCP = errors.New("the kernel makes no MPTCP connections (net.mptcp.enabled)")

// errNotSent means that no packet left this machine: there is no route, no free port, too many open files. Of
// the host it says nothing.
var errNotSent = errors.New("nothing was sent")

func newSocket(transport string, to netip.Addr) (*os.File, error) {
	family := unix.AF_INET6
	if to.Is4() {
		family = unix.AF_INET
	}
	protocol := unix.IPPROTO_TCP
	if transport == MPTCP {
		protocol = unix.IPPROTO_MPTCP
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, protocol)
	// net.mptcp.enabled is 0, or the kernel is without MPTCP (mptcp_create, inet_create).
	if errors.Is(err, unix.ENOPROTOOPT) || errors.Is(err, unix.EPROTONOSUPPORT) {
		return nil, errNoMPTCP
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNotSent, err)
	}
	return os.NewFile(uintptr(fd), "socket"), nil
}

func socketAddress(host netip.AddrPort) unix.Sockaddr {
	if host.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(host.Port()), Addr: host.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(host.Port()), Addr: host.Addr().As16()}
}

// connect waits until the socket is connected, fails, or its deadline passes.
func connect(socket *os.File, to unix.Sockaddr) error {
	raw, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	var result error
	begun := false
	err = raw.Write(func(fd uintptr) (done bool) {
		if !begun {
			begun = true
			switch result = unix.Connect(int(fd), to); {
			case errors.Is(result, unix.EINPROGRESS):
				return false
			case result != nil && !errors.Is(result, unix.ECONNREFUSED): // which loopback may say at once
				result = fmt.Errorf("%w: %w", errNotSent, result)
			}
			return true
		}
		number, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
		if err != nil || number != 0 {
			result = errors.Join(err, errnoOf(number))
			return true
		}
		// Without an error, a socket that became writable may still be connecting.
		_, err = unix.Getpeername(int(fd))
		result = nil
		return err == nil
	})
	return errors.Join(err, result)
}

func errnoOf(number int) error {
	if number == 0 {
		return nil
	}
	return unix.Errno(number)
}
