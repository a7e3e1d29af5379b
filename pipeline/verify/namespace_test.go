package verify

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// insideVariable names, in the environment, the test that runs in a network namespace of its own.
const insideVariable = "MPCENSUS_TEST_INSIDE"

// inNamespace runs the test again in a process with a network namespace of its own, in which there is
// nothing but loopback: no packet of it gets out. It returns true there, and false in the outer process,
// whose test is over then.
func inNamespace(t *testing.T) bool {
	t.Helper()
	if os.Getenv(insideVariable) == t.Name() {
		prepare(t)
		return true
	}
	t.Parallel() // most of the time they wait for timeouts
	cmd := exec.Command("/proc/self/exe", "-test.v", "-test.run=^"+t.Name()+"$", "-test.timeout=100s", "-test.parallel=8")
	cmd.Env = append(os.Environ(), insideVariable+"="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER // where anyone may make network namespaces
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	var failed *exec.ExitError
	switch {
	case err != nil && !errors.As(err, &failed):
		cannot(t, err)
	case strings.Contains(string(out), "--- SKIP"):
		t.Skipf("%s", out)
	case err != nil:
		t.Fatalf("%v\n%s", err, out)
	default:
		t.Logf("%s", out)
	}
	return false
}

// cannot skips a test that the machine does not allow; in CI that would hide it.
func cannot(t *testing.T, why error) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("cannot run here: %v", why)
	}
	t.Skipf("cannot run here: %v", why)
}

// prepare checks that there is no way out, and makes what all tests need.
func prepare(t *testing.T) {
	t.Helper()
	interfaces, err := net.Interfaces()
	must(t, err)
	for _, i := range interfaces {
		if i.Flags&net.FlagLoopback == 0 && i.Flags&net.FlagUp != 0 {
			t.Fatalf("interface %s is no loopback: the namespace is not isolated", i.Name)
		}
	}
	if _, err := sysctl("enabled"); err != nil {
		cannot(t, fmt.Errorf("the kernel has no MPTCP: %w", err))
	}
	setSysctl(t, "blackhole_timeout", "0")
	command(t, "ip", "link", "set", "lo", "up")
}

// setSysctl sets one of net.mptcp.
func setSysctl(t *testing.T, name, value string) {
	t.Helper()
	must(t, os.WriteFile("/proc/sys/net/mptcp/"+name, []byte(value), 0))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// command runs a command in the namespace of this thread.
func command(t *testing.T, name string, arguments ...string) {
	t.Helper()
	commandWith(t, "", name, arguments...)
}

func commandWith(t *testing.T, input, name string, arguments ...string) {
	t.Helper()
	cmd := exec.Command(name, arguments...)
	cmd.Stdin = strings.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v: %s", name, arguments, err, out)
	}
}

// namespace is a further network namespace.
type namespace struct{ file *os.File }

func newNamespace(t *testing.T) namespace {
	t.Helper()
	var n namespace
	var err error
	onThread(func() {
		if err = unix.Unshare(unix.CLONE_NEWNET); err == nil {
			n.file, err = os.Open("/proc/thread-self/ns/net")
		}
	})
	must(t, err)
	t.Cleanup(func() { n.file.Close() })
	return n
}

// path names the namespace to the command ip.
func (n namespace) path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), n.file.Fd()) }

// do runs f there. Sockets that f makes, and those that they accept, stay there.
func (n namespace) do(t *testing.T, f func()) {
	t.Helper()
	var err error
	onThread(func() {
		if err = unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err == nil {
			f()
		}
	})
	must(t, err)
}

// onThread runs f on a thread that ends with it.
func onThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // for good: another goroutine must not run in f's namespace
		if unix.Gettid() == unix.Getpid() {
			onThread(f) // the first thread never ends: hold it, and take another
			runtime.UnlockOSThread()
			return
		}
		f()
	}()
	<-done
}
