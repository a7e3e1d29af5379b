// Package s3test starts a real S3 server for tests: versitygw over a temporary folder, on loopback.
package s3test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	version = "v1.8.0"
	program = "github.com/versity/versitygw/cmd/versitygw@" + version

	bucket = "census"
	region = "us-east-1"
	// Made up: they open nothing but this server.
	accessKey = "mpcensus-test"
	secretKey = "mpcensus-test-secret"

	patience = 30 * time.Second // with a server that starts
)

// Server is a running S3 server with one empty bucket. Its temporary folder must be on a file system with
// extended attributes, where the server keeps metadata.
type Server struct {
	t       testing.TB
	folder  string
	address string
	process *exec.Cmd
}

// Start starts a server that ends with the test, and sets the credentials for it in the environment,
// for child processes too; so the test cannot be parallel. Where the server cannot be built, the test
// is skipped, but fails if CI=true.
func Start(t testing.TB) *Server {
	t.Helper()
	executable, err := build()
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID":         accessKey,
		"AWS_SECRET_ACCESS_KEY":     secretKey,
		"AWS_SESSION_TOKEN":         "",
		"AWS_PROFILE":               "",
		"AWS_CONFIG_FILE":           os.DevNull,
		"AWS_EC2_METADATA_DISABLED": "true", // nothing is sent beyond loopback
	} {
		t.Setenv(name, value)
	}
	s := &Server{t: t, folder: t.TempDir(), address: freeAddress(t)}
	if err := os.MkdirAll(filepath.Join(s.folder, "data", bucket), 0o777); err != nil {
		t.Fatal(err)
	}
	s.start(executable)
	t.Cleanup(s.Kill)
	return s
}

// Location is the server's bucket with a prefix, as store.Open takes it.
func (s *Server) Location(prefix string) string {
	return fmt.Sprintf("s3://%s/%s?region=%s&use_path_style=true&endpoint=http://%s", bucket, prefix, region, s.address)
}

// Kill ends the server without a chance to tidy up.
func (s *Server) Kill() {
	s.process.Process.Kill()
	s.process.Wait()
}

// Pause makes the server stand still: it takes connections, but does not answer.
func (s *Server) Pause() { s.signal(unix.SIGSTOP) }

// Resume ends a Pause.
func (s *Server) Resume() { s.signal(unix.SIGCONT) }

// Restart starts the server again after Kill, with the same address and data.
func (s *Server) Restart() {
	s.t.Helper()
	s.start(s.process.Path)
}

func (s *Server) signal(signal os.Signal) {
	s.t.Helper()
	if err := s.process.Process.Signal(signal); err != nil {
		s.t.Fatal(err)
	}
}

// start returns when the server takes connections.
func (s *Server) start(executable string) {
	s.t.Helper()
	log, err := os.OpenFile(filepath.Join(s.folder, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o666)
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	s.process = exec.Command(executable, "--quiet", "--port", s.address, "--region", region,
		"--access", accessKey, "--secret", secretKey, "--keep-alive",
		"posix", filepath.Join(s.folder, "data"))
	s.process.Stdout, s.process.Stderr = log, log
	s.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", s.address)
		if err == nil {
			conn.Close()
			return
		}
		if time.Now().After(end) {
			s.Kill()
			text, _ := os.ReadFile(log.Name())
			s.t.Fatalf("the S3 server does not answer: %v\n%s", err, text)
		}
	}
}

// freeAddress is a loopback address that nobody listens on.
func freeAddress(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// build makes the server's executable, once for a user.
func build() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	folder := filepath.Join(cache, "mpcensus", "versitygw-"+version)
	executable := filepath.Join(folder, "versitygw")
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return "", err
	}
	// Tests of several packages run at once.
	lock, err := os.Create(filepath.Join(folder, "lock"))
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return "", fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	if _, err := os.Stat(executable); err == nil {
		return executable, nil
	}
	install := exec.Command("go", "install", program)
	install.Env = append(os.Environ(), "GOBIN="+folder)
	if output, err := install.CombinedOutput(); err != nil {
		lines := strings.Split(strings.TrimSpace(string(output)), "\n")
		return "", fmt.Errorf("go install %s: %w: %s", program, err, lines[len(lines)-1])
	}
	return executable, nil
}
