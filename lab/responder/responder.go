// Package responder plays the simulated population: it reads SYNs from a
// packet socket and answers as each target's behaviour says.
//
// It builds and reads packets by itself, from the RFCs. The scanner's module
// and the census' own decoder share no code with it, so a misreading on one
// side shows.
package responder

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/mpcensus/mpcensus/lab/scenario"
)

// Count is what one kind of target saw and sent. Of real hosts it has the SYNs;
// their replies are their kernels'.
type Count struct {
	Behaviour string `json:"behaviour"`
	Family    string `json:"family"`
	Probe     string `json:"probe"`
	Port      uint16 `json:"port"`
	SYNs      uint64 `json:"syns"`
	Targets   uint64 `json:"targets"`          // distinct ones among them
	Most      uint64 `json:"most"`             // SYNs that one target got
	Replies   uint64 `json:"replies"`          // handed to the interface, repeats included
	Forged    uint64 `json:"forged,omitempty"` // packets that answer no SYN
}

// Counts is everything that arrived.
type Counts struct {
	SYNs      uint64  `json:"syns"`      // what those of Targets add up to
	Repeated  uint64  `json:"repeated"`  // of them, to a target that had got one on that port with that probe
	Replies   uint64  `json:"replies"`   // what those of Targets add up to
	Forged    uint64  `json:"forged"`    // what those of Targets add up to
	Chains    uint64  `json:"chains"`    // SYNs to the hosts of router chains and to hostile servers, who answer themselves
	Strangers uint64  `json:"strangers"` // SYNs to addresses that the lab does not have
	Ignored   uint64  `json:"ignored"`   // SYNs to other ports, and what was no SYN
	Invalid   uint64  `json:"invalid"`   // damaged SYNs
	Dropped   uint64  `json:"dropped"`   // frames that found the receive ring full
	Unsent    uint64  `json:"unsent"`    // replies that the interface refused
	Traced    Traced  `json:"traced"`
	Targets   []Count `json:"targets"` // sorted
}

// Traced is what came with a TTL below ScanTTL, to known targets and ports. None of it is in the other
// counts.
type Traced struct {
	SYNs     uint64 `json:"syns"`
	Exceeded uint64 `json:"exceeded"` // Time Exceeded sent
	Replies  uint64 `json:"replies"`  // sent by targets, and by boxes in their place
}

// ScanTTL is the TTL of a scan's SYNs. Those of a trace have less, and so have those of the kernel from
// whose namespace the lab is scanned.
const ScanTTL = 64

// frameRoom holds every answer to a SYN of a scan or trace, and batchRoom all those to a block of SYNs.
const (
	frameRoom = 256
	batchRoom = 1024 * frameRoom
)

// maxForged ends the forgers' floods for the life of a responder.
const maxForged = 1 << 20

type kind struct {
	behaviour scenario.Behaviour
	family    string
	probe     scenario.Probe
	port      uint16
}

// question is a SYN as far as it can be asked twice.
type question struct {
	target netip.Addr
	port   uint16
	probe  scenario.Probe
}

// Responder answers SYNs until its context ends.
type Responder struct {
	ring       *ring
	population *Population
	batch      batch
	forged     int

	mu      sync.Mutex // over what follows
	counts  Counts
	targets map[kind]*Count
	asked   map[question]uint64
}

// New opens the packet socket in the calling thread's network namespace. Nothing
// is read or sent before Run.
func New(s *scenario.Scenario) (*Responder, error) {
	ring, err := openRing()
	if err != nil {
		return nil, err
	}
	start := time.Now()
	return &Responder{
		ring:       ring,
		population: NewPopulation(s, rand.Uint64(), func() time.Duration { return time.Since(start) }),
		batch:      batch{names: make(map[link]*unix.RawSockaddrLinklayer)},
		targets:    make(map[kind]*Count),
		asked:      make(map[question]uint64),
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
		counts.Repeated += c.SYNs - c.Targets
		counts.Replies += c.Replies
		counts.Forged += c.Forged
		counts.Targets = append(counts.Targets, *c)
	}
	slices.SortFunc(counts.Targets, func(a, b Count) int {
		return cmp.Or(cmp.Compare(a.Family, b.Family), cmp.Compare(a.Port, b.Port),
			cmp.Compare(a.Probe, b.Probe), cmp.Compare(a.Behaviour, b.Behaviour))
	})
	return counts
}

func (r *Responder) handle(frame []byte, ifindex int32) {
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
	}
	behaviour, ok := r.find(&s)
	if !ok {
		return
	}
	var scanned *Count
	replies := &r.counts.Traced.Replies
	if s.ttl < ScanTTL {
		r.counts.Traced.SYNs++
	} else {
		scanned = r.count(&s, behaviour)
		replies = &scanned.Replies
	}
	if behaviour >= scenario.KernelMPTCP {
		return // its kernel answers
	}
	reply, copies, exceeded := r.population.answer(r.batch.room(), &s, behaviour)
	if exceeded {
		replies = &r.counts.Traced.Exceeded
	}
	for range copies {
		r.batch.add(reply, ifindex, replies)
	}
	if behaviour == scenario.Forger && scanned != nil {
		r.population.forge(&s, func(frame []byte) bool {
			if r.forged == maxForged {
				return false
			}
			r.forged++
			r.batch.add(frame, ifindex, &scanned.Forged)
			return true
		})
	}
}

// find says what the target of a SYN is; false, and counted, for one that nobody answers to.
func (r *Responder) find(s *syn) (b scenario.Behaviour, ok bool) {
	population := r.population.scenario
	b, ports := population.Behaviour(s.target, s.targetPort), population.Ports
	if _, ok := population.Index(s.target); !ok {
		host, ok := scenario.HostAt(s.target)
		if scenario.BehindTrunk(s.target) {
			r.counts.Chains++
			return b, false
		}
		if !ok {
			r.counts.Strangers++
			return b, false
		}
		b, ports = host.Behaviour, scenario.HostPorts
	}
	if !slices.Contains(ports, s.targetPort) {
		r.counts.Ignored++
		return b, false
	}
	return b, true
}

// count enters a SYN of a scan where it belongs.
func (r *Responder) count(s *syn, b scenario.Behaviour) *Count {
	k := kind{b, scenario.FamilyOf(s.target), s.probe, s.targetPort}
	c := r.targets[k]
	if c == nil {
		c = &Count{Behaviour: k.behaviour.String(), Family: k.family, Probe: k.probe.String(), Port: k.port}
		r.targets[k] = c
	}
	q := question{s.target, s.targetPort, s.probe}
	r.asked[q]++
	c.SYNs++
	if r.asked[q] == 1 {
		c.Targets++
	}
	c.Most = max(c.Most, r.asked[q])
	return c
}

// batch gathers the replies to one block of SYNs.
type batch struct {
	messages []mmsghdr
	counters []*uint64 // what each adds to when it is sent
	names    map[link]*unix.RawSockaddrLinklayer
	memory   []byte // of replies, used again after each flush
	used     int    // bytes of it
}

// room is for one reply, until the next flush.
func (b *batch) room() []byte {
	if len(b.memory)-b.used < frameRoom {
		b.memory, b.used = make([]byte, batchRoom), 0
	}
	b.used += frameRoom
	return b.memory[b.used-frameRoom : b.used-frameRoom : b.used]
}

// link is an interface and an EtherType, in network order as the frame has it.
type link struct {
	ifindex  int32
	protocol [2]byte
}

// mmsghdr is the kernel's struct of that name (sendmmsg(2)).
type mmsghdr struct {
	header unix.Msghdr
	sent   uint32
}

func (b *batch) add(frame []byte, ifindex int32, counter *uint64) {
	to := link{ifindex, [2]byte(frame[12:14])}
	name := b.names[to]
	if name == nil {
		name = &unix.RawSockaddrLinklayer{
			Family: unix.AF_PACKET, Ifindex: ifindex,
			Protocol: binary.NativeEndian.Uint16(to.protocol[:]),
		}
		b.names[to] = name
	}
	vector := &unix.Iovec{Base: &frame[0]}
	vector.SetLen(len(frame))
	message := mmsghdr{header: unix.Msghdr{
		Iov: vector, Name: (*byte)(unsafe.Pointer(name)), Namelen: unix.SizeofSockaddrLinklayer,
	}}
	message.header.SetIovlen(1)
	b.messages = append(b.messages, message)
	b.counters = append(b.counters, counter)
}

// flush sends the batch. A reply that the interface refuses, for want of room or
// since it is gone, is counted and given up: a network would lose it too.
func (r *Responder) flush() error {
	messages, counters := r.batch.messages, r.batch.counters
	r.batch.messages, r.batch.counters, r.batch.used = messages[:0], counters[:0], 0
	for len(messages) > 0 {
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(r.ring.fd),
			uintptr(unsafe.Pointer(&messages[0])), uintptr(min(len(messages), 1024)), 0, 0, 0)
		switch errno {
		case 0:
		case unix.EINTR, unix.EAGAIN:
			continue
		case unix.ENOBUFS, unix.ENETDOWN, unix.ENXIO:
			r.mu.Lock()
			r.counts.Unsent++
			r.mu.Unlock()
			messages, counters = messages[1:], counters[1:]
			continue
		default:
			return fmt.Errorf("send replies: %w", errno)
		}
		r.mu.Lock()
		for _, counter := range counters[:n] {
			*counter++
		}
		r.mu.Unlock()
		messages, counters = messages[n:], counters[n:]
	}
	return nil
}
