// Package netlab runs the lab: network namespaces that hold a simulated
// Internet, some real hosts, chains of real routers with middleboxes and hostile
// servers, and from which no packet can leave.
//
// Up starts one background process, the keeper. It makes the namespaces, plays
// the population, runs the real hosts and servers and answers on a control socket. When it
// ends, however it ends, everything is gone. A lock on the state directory,
// held as long as the keeper lives, says whether a lab is up.
package netlab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ErrUp says that a lab with the same scenario runs in the directory already,
// ErrOtherUp that one with another does.
var (
	ErrUp      = errors.New("the lab is up already: `mpcensus lab down` ends it")
	ErrOtherUp = errors.New("a lab with another scenario is up already: end it with `mpcensus lab down` first")
)

// Up starts a lab in dir with a scenario, given as YAML under a name for error
// messages, and waits until it is ready.
//
// The running program is started again with the arguments `lab keeper`, and
// must then call Keep.
func Up(ctx context.Context, dir, scenarioName string, scenarioYAML []byte) (*State, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	lock, err := lockDir(dir)
	if errors.Is(err, ErrUp) {
		return nil, sameScenario(dir, scenarioYAML)
	}
	if err != nil {
		return nil, err
	}
	defer lock.Close() // the keeper holds on to it
	cleanUp(dir)       // after one that was killed

	outside, err := OutsideInode()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(config{dir, scenarioName, scenarioYAML, outside})
	if err != nil {
		return nil, err
	}
	if os.Geteuid() == 0 {
		err = startKeeper(ctx, dir, text, lock, false)
	}
	// Root inside a container may lack the capability, as others do.
	if os.Geteuid() != 0 || errors.Is(err, unix.EPERM) {
		err = startKeeper(ctx, dir, text, lock, true)
	}
	if err != nil {
		return nil, err
	}
	return Status(dir)
}

// sameScenario is ErrUp or, where the lab in dir has another scenario, ErrOtherUp.
func sameScenario(dir string, scenarioYAML []byte) error {
	// It is about to come up or to go: no reason to name another one.
	if s, err := Status(dir); err == nil && s.ScenarioSHA256 != digest(scenarioYAML) {
		return fmt.Errorf("%w (%s)", ErrOtherUp, s.Scenario)
	}
	return ErrUp
}

// lockDir makes the state directory and locks it.
func lockDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the lab's directory: %w", err)
	}
	lock, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("open the lab's directory: %w", err)
	}
	info, err := lock.Stat()
	if err == nil && (info.Sys().(*syscall.Stat_t).Uid != uint32(os.Geteuid()) || info.Mode()&0o022 != 0) {
		err = errors.New("it is not yours, or others may write to it: name another with --dir")
	}
	if err != nil {
		lock.Close()
		return nil, fmt.Errorf("use the lab's directory %s: %w", dir, err)
	}
	if err := onlyOurs(dir); err != nil {
		lock.Close()
		return nil, err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		if err == unix.EWOULDBLOCK {
			return nil, ErrUp
		}
		return nil, fmt.Errorf("lock the lab's directory %s: %w", dir, err)
	}
	return lock, nil
}

// onlyOurs refuses a directory with files of somebody else's: ours, among them one that others call
// blocklist.conf too, come and go with the lab.
func onlyOurs(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("read the lab's directory: %w", err)
	}
	names := make(map[string]bool)
	for _, e := range entries {
		names[e.Name()] = true
	}
	ours := names[logFile]
	for _, name := range []string{controlFile, blocklistFile, logFile} {
		delete(names, name)
	}
	if len(names) > 0 || len(entries) > 0 && !ours {
		return fmt.Errorf("use the lab's directory %s: it holds other files: name an empty one with --dir", dir)
	}
	return nil
}

func startKeeper(ctx context.Context, dir string, config []byte, lock *os.File, userNamespace bool) error {
	log, err := os.OpenFile(filepath.Join(dir, logFile), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the keeper's log: %w", err)
	}
	defer log.Close()
	ready, readyKeeper, err := os.Pipe()
	if err != nil {
		return err
	}
	defer ready.Close()

	cmd := exec.Command("/proc/self/exe", "lab", "keeper")
	cmd.Stdin = bytes.NewReader(config)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{readyFD - 3: readyKeeper, lockFD - 3: lock}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Cloneflags: unix.CLONE_NEWNET}
	if userNamespace {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	err = cmd.Start()
	readyKeeper.Close()
	if err != nil {
		if userNamespace {
			return forbidden(err)
		}
		return fmt.Errorf("start the lab's keeper: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	stop := context.AfterFunc(ctx, func() { cmd.Process.Kill() })
	defer stop()

	said, err := io.ReadAll(ready)
	if err != nil {
		return fmt.Errorf("wait for the lab's keeper: %w", err)
	}
	if string(said) == readyWord {
		return ctx.Err()
	}
	err = <-ended
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case len(said) == 0:
		return fmt.Errorf("the lab's keeper died while it started (%v): see %s", err, log.Name())
	case userNamespace && strings.Contains(string(said), unix.EPERM.Error()):
		return forbidden(errors.New(string(said)))
	}
	return fmt.Errorf("start the lab: %s", said)
}

func forbidden(err error) error {
	return fmt.Errorf("this kernel gives ordinary users no network of their own (%w): run as root, or allow it (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns)", err)
}

// Down ends the lab in dir and waits until it is gone. ErrNotUp where none
// runs.
func Down(dir string) error {
	conn, err := dial(dir)
	if err != nil {
		return err
	}
	defer conn.Close()
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var peer *unix.Ucred
	if cerr := raw.Control(func(fd uintptr) {
		peer, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); cerr != nil {
		return cerr
	}
	if err != nil {
		return fmt.Errorf("identify the lab's keeper: %w", err)
	}
	pidfd, err := unix.PidfdOpen(int(peer.Pid), 0)
	if err != nil {
		return fmt.Errorf("find the lab's keeper, process %d: %w", peer.Pid, err)
	}
	defer unix.Close(pidfd)
	// Whoever answers on the socket after pidfd_open had that number then, so
	// it is the keeper and no later process with a number used again.
	if _, err := ask(conn); err != nil {
		return err
	}
	if err := unix.PidfdSendSignal(pidfd, unix.SIGTERM, nil, 0); err != nil {
		return fmt.Errorf("end the lab's keeper, process %d: %w", peer.Pid, err)
	}
	return waitEnd(pidfd, int(peer.Pid))
}

func waitEnd(pidfd, pid int) error {
	const patience = 10 * time.Second
	deadline := time.Now().Add(patience)
	for {
		left := time.Until(deadline)
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, int(max(0, left.Milliseconds())))
		switch {
		case err == unix.EINTR:
		case err != nil:
			return fmt.Errorf("wait for the lab's keeper, process %d: %w", pid, err)
		case n > 0:
			return nil
		default:
			return fmt.Errorf("the lab's keeper, process %d, did not end within %s: end it with `kill -9 %d`", pid, patience, pid)
		}
	}
}

// ScannerNamespace is where a scan runs.
const ScannerNamespace = "scanner"

// Command is the command line that runs argv in the namespace of that name. It
// is refused when the lab is not isolated. (A Go program cannot enter a user
// namespace itself, as it has several threads; util-linux's nsenter can.)
func Command(dir, namespace string, argv ...string) ([]string, error) {
	s, err := Status(dir)
	if err != nil {
		return nil, err
	}
	if s.Problem != "" {
		return nil, fmt.Errorf("the lab must not be used: %s", s.Problem)
	}
	net, ok := s.Namespaces[namespace]
	if !ok {
		names := slices.Sorted(maps.Keys(s.Namespaces))
		return nil, fmt.Errorf("the lab has no namespace %q: choose of %s", namespace, strings.Join(names, ", "))
	}
	nsenter, err := exec.LookPath("nsenter")
	if err != nil {
		return nil, fmt.Errorf("enter the lab: %w: install util-linux", err)
	}
	enter := []string{nsenter, "--net=" + net}
	ours, err := os.Readlink("/proc/self/ns/user")
	if err != nil {
		return nil, err
	}
	user := "/proc/" + strconv.Itoa(s.PID) + "/ns/user"
	theirs, err := os.Readlink(user)
	if err != nil {
		return nil, fmt.Errorf("enter the lab: %w: run this as the user who started it", err)
	}
	if ours != theirs {
		enter = append(enter, "--user="+user, "--preserve-credentials")
	}
	return append(append(enter, "--"), argv...), nil
}
