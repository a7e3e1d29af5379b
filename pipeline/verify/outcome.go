package verify

import (
	"context"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Outcome is a value of the column `outcome`.
type Outcome string

const (
	OutcomeOK            Outcome = "ok"
	OutcomeTruncated     Outcome = "truncated"
	OutcomeTimeout       Outcome = "timeout"
	OutcomeReset         Outcome = "reset"
	OutcomeRefused       Outcome = "refused"
	OutcomeUnreachable   Outcome = "unreachable"
	OutcomeClosedEarly   Outcome = "closed-early"
	OutcomeTLSError      Outcome = "tls-error"
	OutcomeProtocolError Outcome = "protocol-error"
	OutcomeSkipped       Outcome = "skipped"
	OutcomeError         Outcome = "error" // of this machine

	OutcomeConnectTimeout Outcome = "connect-timeout"
)

// stage is how far a connection has got.
type stage int

const (
	connecting  stage = iota
	handshaking       // TLS
	requesting        // until the header of the response is read
	receiving         // its body
)

// outcomeOf is the outcome of a connection that failed. What the network said counts more than what a
// decoder made of it.
func (c *connector) outcomeOf(err error) Outcome {
	if errors.Is(err, errBody) {
		return OutcomeTruncated
	}
	if c.wire != nil && c.wire.failed != nil {
		err = c.wire.failed
	}
	if c.stage == connecting {
		return connectOutcome(err)
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, unix.ETIMEDOUT), errors.Is(err, context.Canceled):
		return OutcomeTimeout
	case errors.Is(err, unix.ECONNRESET), errors.Is(err, unix.EPIPE):
		return OutcomeReset
	case errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.ENETUNREACH):
		return OutcomeUnreachable
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return OutcomeClosedEarly
	case c.stage == handshaking:
		return OutcomeTLSError
	default:
		return OutcomeProtocolError
	}
}

func connectOutcome(err error) Outcome {
	switch {
	case errors.Is(err, errNotSent):
		return OutcomeSkipped
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, unix.ETIMEDOUT):
		return OutcomeConnectTimeout
	case errors.Is(err, unix.ECONNREFUSED):
		return OutcomeRefused
	case errors.Is(err, unix.ECONNRESET): // established, and reset before we looked
		return OutcomeReset
	// What routers and firewalls say by ICMP (tcp(7)).
	case errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.EHOSTDOWN),
		errors.Is(err, unix.EACCES), errors.Is(err, unix.ENOPROTOOPT), errors.Is(err, unix.EPROTO):
		return OutcomeUnreachable
	default:
		return OutcomeError
	}
}
