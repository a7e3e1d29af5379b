package netlab

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/mpcensus/mpcensus/lab/scenario"
)

// pageBytes is how long the servers' page is: some seventy segments, so that a
// transfer takes several round trips.
const pageBytes = 100_000

// tlsPort is the one of scenario.HostPorts where HTTP is served over TLS.
const tlsPort = 443

// serve runs all servers of the lab.
func (n *network) serve() error {
	for _, h := range scenario.Hosts {
		if err := n.hosts[h.Name].serve(h.Name, h.Behaviour.String(), h.Addrs(), h.Behaviour != scenario.KernelTCP); err != nil {
			return err
		}
	}
	for _, c := range scenario.Chains {
		if err := n.chains.hosts[c.Name].serve(c.Name, "chain", c.Addrs(), true); err != nil {
			return err
		}
	}
	return n.chains.hostile.serveHostile()
}

// serve serves HTTP, and HTTP over TLS, by the namespace's own kernel: listeners on
// each port of each address, of MPTCP or of plain TCP. The page begins with the
// server's name, and the header Server has name and kind.
func (n *Namespace) serve(name, kind string, addrs []netip.Addr, mptcp bool) error {
	server := &http.Server{
		ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second,
		Handler: page(name, kind),
	}
	config, err := selfSigned(name)
	if err != nil {
		return err
	}
	var listen net.ListenConfig
	listen.SetMultipathTCP(mptcp)
	return n.Do(func() error {
		for _, a := range addrs {
			for _, port := range scenario.HostPorts {
				l, err := listen.Listen(context.Background(), "tcp", netip.AddrPortFrom(a, port).String())
				if err != nil {
					return fmt.Errorf("listen in %s: %w", n.Name, err)
				}
				if port == tlsPort {
					l = tls.NewListener(l, config)
				}
				go server.Serve(l)
			}
		}
		return nil
	})
}

// page is what the servers answer, under every path.
func page(name, kind string) http.Handler {
	text := append([]byte(name), '\n')
	text = append(text, bytes.Repeat([]byte("."), pageBytes-len(text)-1)...)
	text = append(text, '\n')
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Server", serverHeader(name, kind))
		w.Header().Set("Content-Type", "text/plain")
		w.Write(text)
	})
}

func serverHeader(name, kind string) string { return name + " (" + kind + ")" }

// selfSigned makes a certificate for NAME.lab.example.
func selfSigned(name string) (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key of %s: %w", name, err)
	}
	domain := name + ".lab.example"
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: domain}, DNSNames: []string{domain},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	certificate, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make certificate of %s: %w", name, err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{certificate}, PrivateKey: key}}}, nil
}
