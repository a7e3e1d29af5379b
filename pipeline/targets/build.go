package targets

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/netip"
)

// A file that is built holds up to 2^maxTargetBits addresses, and so may any CIDR: of IPv6, that is
// 4 GB.
const maxTargetBits = 28

// sortedAtATime is how many prefixes are sorted while others are read: 24 MB of them.
const sortedAtATime = 1 << 20

// progressInterval is the number of lines between two calls of Params.Progress.
const progressInterval = 1 << 18

// Input is a hitlist: see hitlist.go for its grammar.
type Input struct {
	Name string // stands in errors
	Text io.Reader
}

// Params says what goes into a target file.
type Params struct {
	Inputs    []Input
	Blocklist *Blocklist // required
	// Family is the one that the file shall hold; addresses of the other are counted and left out. 0:
	// the lists' only one, and it is an error if they have both.
	Family Family
	// Progress, if not nil, is called now and then while hitlists are read.
	Progress func(Summary)
}

// Summary counts what Build did. Addresses = Duplicates + Blocked + Written.
type Summary struct {
	Family      Family
	Lines       uint64 // of all inputs, with comments and blank ones
	OtherFamily uint64 // lines left out because Params.Family is not theirs
	Addresses   uint64 // named, CIDRs expanded
	Duplicates  uint64
	Blocked     uint64
	Written     uint64
}

// Build writes the target file out: the addresses of the hitlists, sorted, each once, minus the
// blocklist. The same addresses give the same bytes. The file appears whole or not at all; a file of
// that name is replaced if it is a target file or empty.
//
// Memory grows with the number of distinct lines (24 bytes each), not with what CIDRs expand to.
func Build(ctx context.Context, out string, p Params) (Summary, error) {
	file, err := createOutput(out)
	if err != nil {
		return Summary{}, err
	}
	defer file.discard()
	b := builder{ctx: ctx, Params: p, summary: Summary{Family: p.Family}}
	named, err := b.read()
	if err != nil {
		return b.summary, err
	}
	if b.summary.Addresses == 0 {
		return b.summary, b.nothingNamed()
	}
	if err := b.Blocklist.Check(b.summary.Family); err != nil {
		return b.summary, err
	}
	w := newWriter(ctx, file, b.summary.Family)
	if err := b.write(w, named); err != nil {
		return b.summary, err
	}
	if b.summary.Written == 0 {
		return b.summary, fmt.Errorf("no target is left: all %d addresses of the hitlist are on the blocklist", b.summary.Addresses)
	}
	if err := w.finish(b.summary.Written); err != nil {
		return b.summary, err
	}
	return b.summary, file.commit(out)
}

type builder struct {
	Params
	ctx     context.Context
	summary Summary
}

// nothingNamed is the error of lists without any address for the file.
func (b *builder) nothingNamed() error {
	if b.summary.OtherFamily > 0 {
		return fmt.Errorf("no %s address in the hitlist: all %d entries are of the other family", b.Family, b.summary.OtherFamily)
	}
	return errors.New("no address in the hitlist")
}

// read returns what the lists name, in order, without prefixes that are in another.
func (b *builder) read() (iter.Seq[prefix], error) {
	sorter := newSorter(sortedAtATime)
	for _, input := range b.Inputs {
		if err := b.readInput(input, sorter); err != nil {
			sorter.sorted() // ends its goroutine
			return nil, cmp.Or(b.ctx.Err(), err)
		}
	}
	return sorter.sorted(), nil
}

func (b *builder) readInput(input Input, sorter *sorter) error {
	entries, err := newEntryReader(b.ctx, input.Name, input.Text)
	if err != nil {
		return err
	}
	defer entries.close()
	before := b.summary.Lines
	for {
		entry, err := entries.next()
		b.summary.Lines = before + entries.number
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if entries.number%progressInterval == 0 {
			if err := b.pause(); err != nil {
				return err
			}
		}
		p, ok, err := b.accept(entry)
		if err != nil {
			return entries.errorf("%w", err)
		}
		if ok {
			sorter.add(p)
		}
	}
}

// pause reports progress, and whether to stop.
func (b *builder) pause() error {
	if b.Progress != nil {
		b.Progress(b.summary)
	}
	return b.ctx.Err()
}

// accept checks an entry; ok is false if it is to be left out.
func (b *builder) accept(entry netip.Prefix) (p prefix, ok bool, err error) {
	family := familyOf(entry.Addr())
	switch {
	case b.summary.Family == 0:
		b.summary.Family = family
	case b.summary.Family != family && b.Family != 0:
		b.summary.OtherFamily++
		return prefix{}, false, nil
	case b.summary.Family != family:
		return prefix{}, false, fmt.Errorf("%s is %s, addresses before it are %s: a target file has one family, choose it by targets build --family",
			entry, family, b.summary.Family)
	}
	p = prefixOf(entry)
	switch {
	case addressOf(entry.Addr()) != p.first:
		return prefix{}, false, fmt.Errorf("%s has bits set beyond its prefix: write %s for all of it, or the address alone", entry, entry.Masked())
	case p.hostBits > maxTargetBits:
		return prefix{}, false, fmt.Errorf("%s has 2^%d addresses, a CIDR may have 2^%d: name the addresses to probe, or smaller CIDRs", entry, p.hostBits, maxTargetBits)
	}
	b.summary.Addresses += p.size()
	return p, true, nil
}

// write writes the addresses that are not on the blocklist.
func (b *builder) write(w *writer, named iter.Seq[prefix]) error {
	blocks := b.Blocklist.of(b.summary.Family)
	var unique uint64
	for p := range named {
		unique += p.size()
		for len(blocks) > 0 && blocks[0].last().compare(p.first) < 0 {
			blocks = blocks[1:]
		}
		if err := w.writeOutside(p, blocks); err != nil {
			return err
		}
	}
	b.summary.Written = w.count
	b.summary.Blocked = unique - w.count
	b.summary.Duplicates = b.summary.Addresses - unique
	return nil
}
