package verify

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"database/sql"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
	"github.com/mpcensus/mpcensus/pipeline/targets"
)

// page is what well-behaved servers answer: long enough to take several segments.
var page = strings.Repeat("0123456789abcdef", 2000)

// listen listens on an address, by MPTCP or by plain TCP alone.
func listen(t *testing.T, address string, mptcp bool) net.Listener {
	t.Helper()
	var c net.ListenConfig
	c.SetMultipathTCP(mptcp)
	l, err := c.Listen(context.Background(), "tcp", address)
	must(t, err)
	t.Cleanup(func() { l.Close() })
	return l
}

// servePage answers every request with the page; over TLS if there is a configuration.
func servePage(l net.Listener, secure *tls.Config) {
	if secure != nil {
		l = tls.NewListener(l, secure)
	}
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Server", "test server/1.0")
		fmt.Fprint(w, page)
	}))
}

// hostileName is a certificate's name that would turn a terminal's text red.
const hostileName = "evil\x1b[31m.example"

// certificate is a server's, signed by itself.
func certificate(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "host.example"},
		DNSNames: []string{"host.example", "www.example", hostileName}, IPAddresses: []net.IP{net.IPv4(198, 18, 0, 1)},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1, 0), // long over: it is not verified
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(t, err)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// targetFile is a target file of the addresses.
func targetFile(t *testing.T, addresses ...string) *targets.File {
	t.Helper()
	blocklist, err := targets.ParseBlocklist("test", strings.NewReader("192.0.2.0/24\n2001:db8:ffff::/48\n"))
	must(t, err)
	name := filepath.Join(t.TempDir(), "list.targets")
	_, err = targets.Build(context.Background(), name, targets.Params{
		Inputs: []targets.Input{{Name: "test", Text: strings.NewReader(strings.Join(addresses, "\n"))}}, Blocklist: blocklist,
	})
	must(t, err)
	file, err := targets.Open(name)
	must(t, err)
	t.Cleanup(func() { file.Close() })
	return file
}

// params are those of a quick run.
func params(file *targets.File, port uint16, protocol string) Params {
	return Params{
		Partition: dataset.Partition{Date: "2026-11-24", Family: file.Family.String(), Port: port, Probe: "v1"},
		Protocol:  protocol, Rounds: 1, Connections: 64, Rate: 2000,
		ConnectTimeout: 3600 * time.Millisecond, Timeout: 6 * time.Second, MaxResponse: 64 << 10,
		Targets: file, ToolVersion: "test", Arguments: []string{"--test"},
	}
}

// verified runs a verification, and returns its result and the dataset that it wrote.
func verified(t *testing.T, p Params) (Result, string) {
	t.Helper()
	dir := t.TempDir()
	db := open(t, dir)
	began := time.Now()
	result, err := Run(context.Background(), db, dir, p)
	must(t, err)
	if took := time.Since(began); took > p.Bound() {
		t.Errorf("the run took %v, its bound is %v", took, p.Bound())
	}
	return result, dir
}

func open(t *testing.T, dir string) *sql.DB {
	t.Helper()
	db, err := dataset.OpenDuckDB(context.Background(), dir, dataset.DuckDBOptions{MemoryLimit: "256MiB", Threads: 1})
	must(t, err)
	t.Cleanup(func() { db.Close() })
	return db
}

// row is a row of grabs as the tests look at it; NULL is "NULL".
type row struct {
	outcome, atConnect, afterData, fallback, status, server string
	connect, firstByte, received, mptcpReceived             int64 // -1: NULL
	names, tls, problem                                     string
}

// key is what tells rows of a run apart.
type key struct {
	target    netip.Addr
	transport string
	round     int
}

// rowsOf reads the rows of the dataset's only run.
func rowsOf(t *testing.T, dir string) map[key]row {
	t.Helper()
	rows, err := open(t, dir).Query(`
		SELECT target, transport, round, outcome, coalesce(mptcp_at_connect::VARCHAR, 'NULL'), coalesce(mptcp_after_data::VARCHAR, 'NULL'),
			coalesce(fallback, 'NULL'), coalesce(status::VARCHAR, 'NULL'), coalesce(server, 'NULL'),
			coalesce(connect_us, -1), coalesce(first_byte_us, -1), coalesce(bytes_received, -1), coalesce(mptcp_bytes_received, -1),
			coalesce(array_to_string(certificate_names, '|'), 'NULL'), coalesce(tls_version, 'NULL'), coalesce(error, 'NULL')
		FROM grabs`)
	must(t, err)
	defer rows.Close()
	all := make(map[key]row)
	var before key
	for rows.Next() {
		var k key
		var target string
		var r row
		must(t, rows.Scan(&target, &k.transport, &k.round, &r.outcome, &r.atConnect, &r.afterData, &r.fallback, &r.status, &r.server,
			&r.connect, &r.firstByte, &r.received, &r.mptcpReceived, &r.names, &r.tls, &r.problem))
		k.target = netip.MustParseAddr(target)
		if _, ok := all[k]; ok {
			t.Errorf("two rows of %v", k)
		}
		if cmp.Or(before.target.Compare(k.target), cmp.Compare(before.round, k.round), cmp.Compare(before.transport, k.transport)) > 0 {
			t.Errorf("%v stands before %v", before, k)
		}
		before, all[k] = k, r
	}
	must(t, rows.Err())
	return all
}

// checkVerification checks what verifications says of the dataset's only run.
func checkVerification(t *testing.T, dir string, p Params) {
	t.Helper()
	var version, arguments, kernel, name, digest string
	var targets, rows, fileRows, size, blackholes uint64
	var started, finished time.Time
	must(t, open(t, dir).QueryRow(`
		SELECT tool_version, array_to_string(arguments, ' '), kernel, targets, rows, blackholes, started, finished,
			files[1].path, files[1].rows, files[1].bytes, files[1].sha256
		FROM verifications`).Scan(&version, &arguments, &kernel, &targets, &rows, &blackholes, &started, &finished, &name, &fileRows, &size, &digest))
	content, err := os.ReadFile(filepath.Join(dir, name))
	must(t, err)
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	must(t, err)
	if digest != fmt.Sprintf("%x", sha256.Sum256(content)) || size != uint64(len(content)) || fileRows != rows {
		t.Errorf("%s: %d rows, %d bytes, SHA-256 %s", name, fileRows, size, digest)
	}
	if want := 2 * uint64(p.Rounds) * p.Targets.Count; rows != want || targets != p.Targets.Count || blackholes != 0 {
		t.Errorf("%d rows, want %d; %d targets, %d blackholes", rows, want, targets, blackholes)
	}
	if version != "test" || arguments != "--test" || kernel != strings.TrimSpace(string(release)) {
		t.Errorf("version %q, arguments %q, kernel %q", version, arguments, kernel)
	}
	if took := finished.Sub(started); took <= 0 || took > p.Bound() || time.Since(finished) > time.Minute {
		t.Errorf("from %v to %v", started, finished)
	}
}

// filesOf are the names of all files in a folder.
func filesOf(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	must(t, filepath.WalkDir(dir, func(name string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			names = append(names, name)
		}
		return err
	}))
	return names
}
