package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Local is a folder of this machine. Folders are made when a file needs them and removed when they
// become empty, so that the store looks as an object store does.
type Local struct {
	root     string
	location string
}

func openFileURL(location string) (*Local, error) {
	u, err := url.Parse(location)
	switch {
	case err != nil:
		return nil, err
	case u.Host != "" && u.Host != "localhost":
		return nil, fmt.Errorf("%s: %q is another machine: write file:///PATH", location, u.Host)
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.User != nil:
		return nil, fmt.Errorf("%s: write %%3F for ? and %%23 for # in a path", location)
	}
	return openLocal(location, u.Path)
}

func openLocal(location, root string) (*Local, error) {
	if root == "" {
		return nil, fmt.Errorf("%q names no folder", location)
	}
	info, err := os.Stat(root)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err == nil && !info.IsDir() {
		return nil, fmt.Errorf("%s is a file: name a folder, which need not be there yet", location)
	}
	return &Local{root: filepath.Clean(root), location: location}, nil
}

// Path is where the file of that name is, for those that read it by themselves.
func (l *Local) Path(name string) string { return filepath.Join(l.root, filepath.FromSlash(name)) }

// String implements Store.
func (l *Local) String() string { return l.location }

// Close implements Store.
func (l *Local) Close() error { return nil }

// Create implements Store.
func (l *Local) Create(ctx context.Context, name string) (File, error) {
	return l.create(ctx, name, os.Rename)
}

// create begins a file that gets its name by put. All temporary files are in the root, where the
// next writer finds those of the dead.
func (l *Local) create(ctx context.Context, name string, put func(from, to string) error) (File, error) {
	if err := cmp.Or(checkName(name), ctx.Err()); err != nil {
		return nil, err
	}
	file, err := createAtomic(l.root, func(temporary string) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return l.place(temporary, name, put)
	})
	if err != nil {
		return nil, err // not a nil *atomicFile as a File
	}
	return file, nil
}

// place gives a file its name, on stable storage.
func (l *Local) place(path, name string, put func(from, to string) error) error {
	target := l.Path(name)
	folder := filepath.Dir(target)
	// Others may remove the folder, being empty, before the file is in it.
	for attempt := 0; ; attempt++ {
		err := makeFolder(folder)
		if err == nil {
			err = put(path, target)
		}
		if err == nil {
			return syncIfThere(folder)
		}
		if !errors.Is(err, fs.ErrNotExist) || attempt == 10 {
			return err
		}
	}
}

// Claim implements Store.
func (l *Local) Claim(ctx context.Context, name string, content []byte) error {
	file, err := l.create(ctx, name, func(from, to string) error {
		// Unlike a rename, a link never replaces.
		if err := os.Link(from, to); err != nil {
			return err
		}
		os.Remove(from) // else it is a leftover
		return nil
	})
	if err != nil {
		return err
	}
	defer file.Discard()
	if _, err := file.Write(content); err != nil {
		return err
	}
	return file.Commit(ctx)
}

// Move implements Store.
func (l *Local) Move(ctx context.Context, from, to string) error {
	if err := cmp.Or(checkMove(from, to), ctx.Err()); err != nil {
		return err
	}
	source := l.Path(from)
	if _, err := os.Lstat(source); err != nil {
		return err // before folders are made
	}
	if err := l.place(source, to, os.Rename); err != nil {
		return err
	}
	return l.tidy(filepath.Dir(source))
}

// Remove implements Store.
func (l *Local) Remove(ctx context.Context, name string) error {
	if err := cmp.Or(checkName(name), ctx.Err()); err != nil {
		return err
	}
	err := os.Remove(l.Path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return l.tidy(filepath.Dir(l.Path(name)))
}

// tidy brings it to stable storage that a file left a folder, and removes folders that are empty now.
func (l *Local) tidy(folder string) error {
	for folder != l.root {
		if err := unix.Rmdir(folder); err != nil && err != unix.ENOENT {
			break
		}
		folder = filepath.Dir(folder)
	}
	return syncIfThere(folder)
}

// syncIfThere is syncFolder, unless another process emptied the folder and removed it meanwhile.
func syncIfThere(folder string) error {
	err := syncFolder(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Open implements Store.
func (l *Local) Open(ctx context.Context, name string) (Reader, error) {
	if err := cmp.Or(checkName(name), ctx.Err()); err != nil {
		return nil, err
	}
	file, err := os.Open(l.Path(name))
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a file", file.Name())
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return localReader{file, info.Size()}, nil
}

type localReader struct {
	*os.File
	size int64
}

// Size implements Reader.
func (r localReader) Size() int64 { return r.size }

// List implements Store.
func (l *Local) List(ctx context.Context, folder string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		if err := checkFolder(folder); err != nil {
			yield(Info{}, err)
			return
		}
		l.list(ctx, folder, yield)
	}
}

// list yields the files below a folder, and says whether to go on.
func (l *Local) list(ctx context.Context, folder string, yield func(Info, error) bool) bool {
	entries, err := os.ReadDir(l.Path(folder))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return true
	}
	if err = cmp.Or(err, ctx.Err()); err != nil {
		yield(Info{}, err)
		return false
	}
	// The order of whole names: "a-b" comes before "a/b".
	key := func(e fs.DirEntry) string {
		if e.IsDir() {
			return e.Name() + "/"
		}
		return e.Name()
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(key(a), key(b)) })
	for _, entry := range entries {
		name := path.Join(folder, entry.Name())
		switch {
		case strings.HasPrefix(entry.Name(), temporaryPrefix):
		case entry.IsDir():
			if !l.list(ctx, name, yield) {
				return false
			}
		case entry.Type().IsRegular():
			info, err := entry.Info()
			if errors.Is(err, fs.ErrNotExist) {
				continue // removed since
			}
			if err != nil {
				yield(Info{}, err)
				return false
			}
			if !yield(Info{Name: name, Size: info.Size()}, nil) {
				return false
			}
		}
	}
	return true
}
