package netlab

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Namespace is a network namespace, which an open file keeps in being.
type Namespace struct {
	Name string
	file *os.File
}

// OpenNamespace opens a namespace by its file, e.g. /proc/PID/ns/net.
func OpenNamespace(name, path string) (*Namespace, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open network namespace %s: %w", name, err)
	}
	return &Namespace{name, file}, nil
}

// NewNamespace makes an empty namespace.
func NewNamespace(name string) (n *Namespace, err error) {
	onThread(func() {
		if err = unix.Unshare(unix.CLONE_NEWNET); err != nil {
			err = fmt.Errorf("make network namespace %s: %w", name, err)
			return
		}
		n, err = OpenNamespace(name, "/proc/thread-self/ns/net")
	})
	return n, err
}

// Close lets the namespace go, with all in it that nothing else holds.
func (n *Namespace) Close() { n.file.Close() }

// Do runs f on a thread in the namespace. Sockets that f opens stay there, and
// so do commands that it starts.
func (n *Namespace) Do(f func() error) (err error) {
	onThread(func() {
		if err = unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
			err = fmt.Errorf("enter network namespace %s: %w", n.Name, err)
			return
		}
		err = f()
	})
	return err
}

// onThread runs f on a thread of its own, which ends with f: a goroutine that
// returns locked takes its thread along, so that no other goroutine runs in
// the wrong namespace.
func onThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The first thread never ends, and /proc/PID/ns shows its
			// namespaces as the process': held here, it leaves f another.
			onThread(f)
			runtime.UnlockOSThread()
			return
		}
		f()
	}()
	<-done
}

// inode identifies a namespace as long as it is held.
func (n *Namespace) inode() (uint64, error) {
	info, err := n.file.Stat()
	if err != nil {
		return 0, fmt.Errorf("identify network namespace %s: %w", n.Name, err)
	}
	return info.Sys().(*syscall.Stat_t).Ino, nil
}

// netlink opens a socket there by Do: netlink.NewHandleAt would move the
// calling thread for a moment, and that may be the first.
func (n *Namespace) netlink() (h *netlink.Handle, err error) {
	err = n.Do(func() (err error) {
		h, err = netlink.NewHandle(unix.NETLINK_ROUTE)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open netlink in %s: %w", n.Name, err)
	}
	return h, nil
}

// setting is a file below /proc/sys/net and what it is to have.
type setting struct{ path, value string }

// sysctl writes settings, whose files show the namespace of the thread that opens
// them.
func (n *Namespace) sysctl(settings ...setting) error {
	return n.Do(func() error {
		for _, s := range settings {
			if err := os.WriteFile("/proc/sys/net/"+s.path, []byte(s.value), 0); err != nil {
				return fmt.Errorf("set %s in %s: %w", s.path, n.Name, err)
			}
		}
		return nil
	})
}

// sysctlIfKnown is sysctl for what older kernels lack.
func (n *Namespace) sysctlIfKnown(path, value string) error {
	if err := n.sysctl(setting{path, value}); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
