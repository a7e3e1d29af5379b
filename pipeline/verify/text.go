package verify

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/zmap/zcrypto/tls"
)

// Bounds of text that hosts send.
const (
	maxText  = 200 // characters
	maxNames = 100 // of a certificate
)

// clean makes text from a host printable: control and format characters, which could rewrite a terminal
// or turn text around, and what is no UTF-8, become U+FFFD. It has at most limit characters.
func clean(text string, limit int) string {
	if len(text) > limit {
		if runes := []rune(text[:min(len(text), utf8.UTFMax*(limit+1))]); len(runes) > limit {
			text = string(runes[:limit]) + "…"
		}
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, text)
}

// certificateNames are the names in the host's own certificate: the common name, then the alternative
// ones (RFC 5280 §4.2.1.6), each once.
func certificateNames(h *tls.ServerHandshake) []string {
	if h == nil || h.ServerCertificates == nil || h.ServerCertificates.Certificate.Parsed == nil {
		return nil
	}
	certificate := h.ServerCertificates.Certificate.Parsed
	names := []string{}
	add := func(name string) {
		name = clean(name, maxText)
		if name != "" && len(names) < maxNames && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	add(certificate.Subject.CommonName)
	for _, name := range certificate.DNSNames {
		add(name)
	}
	for _, address := range certificate.IPAddresses {
		add(address.String())
	}
	return names
}
