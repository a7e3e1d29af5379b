// Package responder plays the simulated population: it reads SYNs from a
// packet socket and answers as each target's behaviour says.
//
// It builds and reads packets by itself, from the RFCs. The scanner's module
// and the census' own decoder share no code with it, so a misreading on one
// side shows.
package responder

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/mpcensus/mpcensus/lab/scenario"
)

// Count is what one kind of target saw and sent.
type Count struct {
	Behaviour string `json:"behaviour"`
	Probe     string `json:"probe"`
	Port      uint16 `json:"port"`
	SYNs      uint64 `json:"syns"`
	Replies   uint64 `json:"replies"` // handed to the interface, repeats included
}

// Counts is everything that arrived: SYNs are what Targets add up to, Ignored
// was no SYN for a port of the scenario, Invalid was damaged.
type Counts struct {
	SYNs    uint64  `json:"syns"`
	Replies uint64  `json:"replies"`
	Ignored uint64  `json:"ignored"`
	Invalid uint64  `json:"invalid"`
	Dropped uint64  `json:"dropped"` // found the receive ring full
	Unsent  uint64  `json:"unsent"`  // refused by the interface
	Targets []Count `json:"targets"` // sorted
}

// frameRoom holds a SYN-ACK with every option, so that it is allocated once.
const frameRoom = etherBytes + ipMinBytes + tcpMaxBytes

type kind struct {
	behaviour scenario.Behaviour
	probe     scenario.Probe
	port      uint16
}

// Responder answers SYNs until its context ends.
type Responder struct {
	ring       *ring
	population *population
	ports      []uint16
	batch      batch

	mu      sync.Mutex // over what follows
	counts  Counts
	targets map[kind]*Count
}

// New opens the packet socket on an interface of the calling thread's network
// namespace. Nothing is read or sent before Run.
func New(ifindex int, s *scenario.Scenario) (*Responder, error) {
	ring, err := openRing(ifindex, s.Ranges)
	if err != nil {
		return nil, err
	}
	return &Responder{
		ring:       ring,
		population: newPopulation(s),
		ports:      s.Ports,
		targets:    make(map[kind]*Count),
	}, nil
}

// Run answers until ctx ends, then closes the socket.
func (r *Responder) Run(ctx context.Context) error {
	defer r.ring.close()
	for ctx.Err() == nil {
		if err := r.ring.readBlock(r.handle); err != nil {
			return err
		}
		if err := r.flush(); err != nil {
			return err
		}
		dropped, err := r.ring.drops()
		if err != nil {
			return err
		}
		r.mu.Lock()
		r.counts.Dropped += dropped
		r.mu.Unlock()
	}
	return nil
}

// Counts says what was seen and sent so far.
func (r *Responder) Counts() Counts {
	r.mu.Lock()
	defer r.mu.Unlock()
	counts := r.counts
	counts.Targets = []Count{}
	for _, c := range r.targets {
		counts.SYNs += c.SYNs
		counts.Replies += c.Replies
		counts.Targets = append(counts.Targets, *c)
	}
	slices.SortFunc(counts.Targets, func(a, b Count) int {
		if a.Port != b.Port {
			return int(a.Port) - int(b.Port)
		}
		return strings.Compare(a.Probe+a.Behaviour, b.Probe+b.Behaviour)
	})
	return counts
}

func (r *Responder) handle(frame []byte) {
	s, err := parseSYN(frame)
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case errors.Is(err, errNotSYN):
		r.counts.Ignored++
		return
	case err != nil:
		r.counts.Invalid++
		return
	case !slices.Contains(r.ports, s.targetPort):
		r.counts.Ignored++
		return
	}
	k := kind{r.population.scenario.Behaviour(s.target, s.targetPort), s.probe, s.targetPort}
	c := r.targets[k]
	if c == nil {
		c = &Count{Behaviour: k.behaviour.String(), Probe: k.probe.String(), Port: k.port}
		r.targets[k] = c
	}
	c.SYNs++
	reply, copies := r.population.answer(make([]byte, 0, frameRoom), &s)
	r.batch.add(reply, copies, c)
}

// batch gathers the replies to one block of SYNs.
type batch struct {
	messages []mmsghdr
	of       []*Count // whose reply it is
}

// mmsghdr is the kernel's struct of that name (sendmmsg(2)).
type mmsghdr struct {
	header unix.Msghdr
	sent   uint32
}

func (b *batch) add(reply []byte, copies int, of *Count) {
	if copies == 0 {
		return
	}
	vector := &unix.Iovec{Base: &reply[0]}
	vector.SetLen(len(reply))
	for range copies {
		message := mmsghdr{header: unix.Msghdr{Iov: vector}}
		message.header.SetIovlen(1)
		b.messages = append(b.messages, message)
		b.of = append(b.of, of)
	}
}

// flush sends the batch. A reply that the interface refuses for want of room
// is counted and given up: a network would lose it too.
func (r *Responder) flush() error {
	messages, of := r.batch.messages, r.batch.of
	r.batch = batch{messages[:0], of[:0]}
	for len(messages) > 0 {
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(r.ring.fd),
			uintptr(unsafe.Pointer(&messages[0])), uintptr(min(len(messages), 1024)), 0, 0, 0)
		switch errno {
		case 0:
		case unix.EINTR, unix.EAGAIN:
			continue
		case unix.ENOBUFS:
			r.mu.Lock()
			r.counts.Unsent++
			r.mu.Unlock()
			messages, of = messages[1:], of[1:]
			continue
		default:
			return fmt.Errorf("send replies: %w", errno)
		}
		r.mu.Lock()
		for _, c := range of[:n] {
			c.Replies++
		}
		r.mu.Unlock()
		messages, of = messages[n:], of[n:]
	}
	return nil
}
