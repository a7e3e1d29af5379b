// Package targets turns hitlists into target files, and reads those.
//
// A target file holds the addresses of one family that the probe module maps into memory and probes
// by their index; zmap-module/wire/target_file.h is its other reader. All integers are big-endian:
//
//	 0  8  magic "mptarget"
//	 8  1  format version, 1
//	 9  1  address family, 4 or 6
//	10  6  zero
//	16  8  number of records, 1 to MaxCount
//	24  8  zero
//	32     records, ascending, each once: 4 bytes (IPv4) or 16 (IPv6), the address in network order
package targets

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
)

const (
	magic         = "mptarget"
	formatVersion = 1
	headerSize    = 32
)

// header is the first part of a target file of count records.
func header(f Family, count uint64) []byte {
	b := append(make([]byte, 0, headerSize), magic...)
	b = append(b, formatVersion, byte(f), 0, 0, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint64(b, count)
	return append(b, make([]byte, 8)...)
}

// parseHeader reads the header of a file of the given size, and checks that they agree.
func parseHeader(b []byte, fileSize int64) (f Family, count uint64, err error) {
	if len(b) < headerSize || string(b[:len(magic)]) != magic {
		return 0, 0, errors.New("no target file")
	}
	if b[8] != formatVersion {
		return 0, 0, fmt.Errorf("target file of format version %d, which this program does not know", b[8])
	}
	f, count = Family(b[9]), binary.BigEndian.Uint64(b[16:])
	if f != IPv4 && f != IPv6 {
		return 0, 0, fmt.Errorf("damaged target file: address family %d", b[9])
	}
	if !bytes.Equal(b[10:16], make([]byte, 6)) || !bytes.Equal(b[24:headerSize], make([]byte, 8)) {
		return 0, 0, errors.New("damaged target file: reserved bytes are not zero")
	}
	if count < 1 || count > MaxCount {
		return 0, 0, fmt.Errorf("damaged target file: it says that it has %d targets, a file has 1 to %d", count, uint64(MaxCount))
	}
	if want := headerSize + int64(count)*int64(f.size()); fileSize != want {
		return 0, 0, fmt.Errorf("damaged target file: %d bytes long, %d targets take %d", fileSize, count, want)
	}
	return f, count, nil
}

// IsTargetFile tells a target file, whole or damaged, from a text hitlist. What is no regular file,
// such as a pipe, is none, and is not read.
func IsTargetFile(path string) (bool, error) {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return false, err
	}
	file, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer file.Close()
	b := make([]byte, len(magic))
	_, err = io.ReadFull(file, b)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return false, nil
	}
	return err == nil && string(b) == magic, err
}

// File is an open target file. Safe for concurrent use.
type File struct {
	Family Family
	Count  uint64

	file *os.File
}

// Open opens a target file and checks its header and size; Blocked and SHA256 read all of it.
func Open(path string) (*File, error) {
	// A pipe must not keep Open waiting.
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: a target file must be a regular file", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	b := make([]byte, headerSize)
	n, err := file.ReadAt(b, 0)
	if err == io.EOF {
		err = nil
	}
	f := &File{file: file}
	if err == nil {
		f.Family, f.Count, err = parseHeader(b[:n], info.Size())
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("%s: %w: make it with mpcensus targets build", path, err)
	}
	return f, nil
}

// Close closes the file.
func (f *File) Close() error { return f.file.Close() }

// At is the target of index i, which must be below Count.
func (f *File) At(i uint64) (netip.Addr, error) {
	if i >= f.Count {
		return netip.Addr{}, fmt.Errorf("%s: no target %d, there are %d", f.file.Name(), i, f.Count)
	}
	b := make([]byte, f.Family.size())
	if _, err := f.file.ReadAt(b, headerSize+int64(i)*int64(len(b))); err != nil {
		return netip.Addr{}, err
	}
	addr, _ := netip.AddrFromSlice(b)
	return addr, nil
}

// First is the first target: all were sorted.
func (f *File) First() (netip.Addr, error) { return f.At(0) }

// SHA256 is the digest of the whole file, in hexadecimal.
func (f *File) SHA256() (string, error) {
	digest := sha256.New()
	if _, err := io.CopyN(digest, io.NewSectionReader(f.file, 0, f.bytes()), f.bytes()); err != nil {
		return "", fmt.Errorf("%s: %w", f.file.Name(), err)
	}
	return hex.EncodeToString(digest.Sum(nil)), nil
}

func (f *File) bytes() int64 { return headerSize + int64(f.Count)*int64(f.Family.size()) }

// Blocked counts the targets that are on a blocklist, and returns the first of them. A file whose
// targets are not in ascending order, or not each once, is refused: `targets build` makes none.
func (f *File) Blocked(list *Blocklist) (n uint64, first netip.Addr, err error) {
	records := bufio.NewReaderSize(io.NewSectionReader(f.file, headerSize, f.bytes()-headerSize), 1<<20)
	b := make([]byte, f.Family.size())
	blocks := list.of(f.Family)
	var previous address
	for i := range f.Count {
		if _, err := io.ReadFull(records, b); err != nil {
			return 0, netip.Addr{}, fmt.Errorf("%s: target %d: %w", f.file.Name(), i, err)
		}
		a := addressFrom(b)
		if i > 0 && previous.compare(a) >= 0 {
			return 0, netip.Addr{}, fmt.Errorf("%s: target %d, %s, is not above the one before it: make the file with mpcensus targets build",
				f.file.Name(), i, a.addr(f.Family))
		}
		previous = a
		for len(blocks) > 0 && blocks[0].last().compare(a) < 0 {
			blocks = blocks[1:]
		}
		if len(blocks) > 0 && blocks[0].first.compare(a) <= 0 {
			if n == 0 {
				first = a.addr(f.Family)
			}
			n++
		}
	}
	return n, first, nil
}
