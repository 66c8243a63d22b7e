package main

import (
	"fmt"
	"io"
	"path"
	"strings"
)

// An archive is an initramfs: a cpio archive of the kind "newc", which the kernel
// unpacks into its first root file system. After the first error, which close
// returns, it writes no more.
type archive struct {
	w    io.Writer
	n    int64 // bytes written
	last int   // inode
	dirs map[string]bool
	err  error
}

func newArchive(w io.Writer) *archive {
	return &archive{w: w, dirs: map[string]bool{".": true, "/": true}}
}

// The types of files in their mode.
const (
	modeDir  = 0o040000
	modeFile = 0o100000
	modeLink = 0o120000
)

// dir adds a directory, and those that it is in.
func (a *archive) dir(name string) {
	name = strings.TrimPrefix(path.Clean(name), "/")
	if name != "" && !a.dirs[name] {
		a.dir(path.Dir(name))
		a.dirs[name] = true
		a.entry(name, modeDir|0o755, nil)
	}
}

func (a *archive) file(name string, perm int, contents []byte) {
	a.dir(path.Dir(name))
	a.entry(name, modeFile|perm, contents)
}

func (a *archive) link(name, target string) {
	a.dir(path.Dir(name))
	a.entry(name, modeLink|0o777, []byte(target))
}

func (a *archive) close() error {
	a.last = -1
	a.entry("TRAILER!!!", 0, nil)
	return a.err
}

func (a *archive) entry(name string, mode int, contents []byte) {
	a.last++
	name = strings.TrimPrefix(name, "/") + "\x00"
	links := 1
	if mode&modeDir != 0 {
		links = 2
	}
	// inode, mode, owner, group, links, time, size, device, its own device, length of the name, checksum
	header := "070701"
	for _, field := range []int{a.last, mode, 0, 0, links, 0, len(contents), 0, 0, 0, 0, len(name), 0} {
		header += fmt.Sprintf("%08X", field)
	}
	a.padded([]byte(header + name))
	a.padded(contents)
}

// padded writes b, and zeroes up to a multiple of 4 bytes.
func (a *archive) padded(b []byte) {
	for _, b := range [][]byte{b, make([]byte, -(a.n+int64(len(b)))&3)} {
		if a.err == nil {
			var n int
			n, a.err = a.w.Write(b)
			a.n += int64(n)
		}
	}
}
