package main

// The commands. Each is a line that begins with a number, and is answered with
// that number and "ok", "ok VALUE" or "error WHY". A command may wait while
// later ones are answered. FILE is the last name that a file had, also after it
// was unlinked; "." is the directory. Numbers are Go's: 65536, 0x61.
//
//	make FILE SIZE BYTE [INO]      a file of that byte; INO is the inode number that stat(2) tells
//	truncate FILE SIZE             change it as another machine would: the kernel is not told
//	fill FILE OFFSET N BYTE        the same, growing the file if need be
//	notify FILE                    tell the kernel: it forgets pages and attributes
//	push FILE OFFSET N             give the kernel these bytes, and a size that holds them
//	size FILE                      in bytes
//	bytes FILE OFFSET N            in hexadecimal
//	sizes FILE                     to which the kernel set the file's size, in order
//
//	hold OP FILE                   calls wait from now on
//	held OP FILE [N]               answered when N calls wait, or one
//	waiting OP FILE                how many calls wait
//	release OP FILE                no more: those that wait go on
//	fail OP FILE ERRNO [N]         the next N calls fail with ENOSPC..., or all
//	delay OP FILE DURATION         each call takes 10ms... longer
//	heal OP FILE                   ends fail and delay
//	count OP FILE                  calls so far
//	await OP FILE N                answered when there were N calls
//	calls                          op:file of all calls since this was last asked
//
// OP is one of operations; calls.go says how FILE "*" and several rules work
// together.
//
// What Linux makes of it (6.18):
//
//   - ENOSYS for open, create, flush, fsync or fallocate is for good: the kernel
//     never asks this mount again. fsync and flush then succeed, fallocate is
//     EOPNOTSUPP. ENOSYS for statfs is the caller's error, each time.
//   - The kernel asks again before it reports an error: twice to look up a name
//     that it knows, twice for read(2), three times for a page fault.
//   - close(2) waits for flush, but not for release, whose errors nobody sees.
//   - setattr, fallocate, write(2) and fsync of one file take turns, and so does
//     the start of a flush. A write-back waits for setattr.
//   - A store asks nothing of the server but the page: no space is found out in
//     write-back. The error is told once to each open file: to one msync(2) or
//     fsync(2). After it the page counts as written.
//   - An open(2) without the flag -keep, and a size or time that is news to the
//     kernel, first write dirty pages back and then forget all pages.
//   - Removing a shared mapping, by munmap(2) or by another mapping in its place,
//     writes back what is dirty in the file, by whatever mapping, and waits for
//     it. Meanwhile no thread of the process can map anything, and a Go program
//     soon stands still. So what removes a mapping while a write or setattr is
//     held belongs in a child.
//   - Reading makes the kernel ask for attributes again, whatever the flag -valid.
//     A read that finds the file shorter than the kernel knew tells it the size.
//   - With the flag -writeback, the size is the kernel's: of what another machine
//     does, it believes only a push.

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

type control struct {
	calls    *calls
	files    *files
	kernel   *fuse.Server
	patience time.Duration
}

// run obeys until the input ends.
func (c *control) run(in io.Reader, out io.Writer) {
	var mu sync.Mutex
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		number, command, _ := strings.Cut(lines.Text(), " ")
		go func() {
			answer := "ok"
			value, err := c.obey(strings.Fields(command))
			if err != nil {
				answer, value = "error", strings.ReplaceAll(err.Error(), "\n", " ")
			}
			mu.Lock()
			defer mu.Unlock()
			fmt.Fprintln(out, number, answer, value)
		}()
	}
}

func (c *control) obey(words []string) (value string, err error) {
	if len(words) == 0 {
		return "", errors.New("no command")
	}
	a := &arguments{words: words[1:]}
	// What a command reads is all read before it does anything.
	var do func() error
	switch words[0] {
	case "make":
		name, size, b, ino := a.word(), a.number(), a.number(), a.numberOr(0)
		do = func() error { return c.files.make(name, size, byte(b), ino) }
	case "truncate":
		name, size := a.word(), a.number()
		do = func() error { return c.files.change(name, func(f *file) error { return f.resize(size) }) }
	case "fill":
		name, off, n, b := a.word(), a.number(), a.number(), a.number()
		do = func() error { return c.files.change(name, func(f *file) error { return f.fill(off, n, byte(b)) }) }
	case "notify":
		name := a.word()
		do = func() error { return c.files.notify(c.kernel, name) }
	case "push":
		name, off, n := a.word(), a.number(), a.number()
		do = func() error { return c.files.push(c.kernel, name, off, n) }
	case "size":
		name := a.word()
		do = func() error {
			return c.files.look(name, func(f *file) { value = fmt.Sprint(len(f.data)) })
		}
	case "bytes":
		name, off, n := a.word(), a.number(), a.number()
		do = func() error {
			return c.files.look(name, func(f *file) { value = hex.EncodeToString(f.part(off, n)) })
		}
	case "sizes":
		name := a.word()
		do = func() error {
			return c.files.look(name, func(f *file) { value = strings.Trim(fmt.Sprint(f.sizes), "[]") })
		}
	case "hold":
		w := a.where()
		do = func() error { c.calls.hold(w); return nil }
	case "held":
		w, n := a.where(), a.numberOr(1)
		do = func() error {
			return c.calls.wait(w, "are held", int(n), c.patience, func(r *rule) int { return r.waiting })
		}
	case "waiting":
		w := a.where()
		do = func() error {
			c.calls.change(w, func(r *rule) { value = fmt.Sprint(r.waiting) })
			return nil
		}
	case "release":
		w := a.where()
		do = func() error { c.calls.release(w); return nil }
	case "fail":
		w, errno, n := a.where(), a.errno(), a.numberOr(-1)
		do = func() error {
			c.calls.change(w, func(r *rule) { r.errno, r.fails = errno, int(n) })
			return nil
		}
	case "delay":
		w, d := a.where(), a.duration()
		do = func() error { c.calls.change(w, func(r *rule) { r.delay = d }); return nil }
	case "heal":
		w := a.where()
		do = func() error { c.calls.heal(w); return nil }
	case "count":
		w := a.where()
		do = func() error {
			c.calls.change(w, func(r *rule) { value = fmt.Sprint(r.count) })
			return nil
		}
	case "await":
		w, n := a.where(), a.number()
		do = func() error {
			return c.calls.wait(w, "have arrived", int(n), c.patience, func(r *rule) int { return r.count })
		}
	case "calls":
		do = func() error { value = c.calls.taken(); return nil }
	default:
		return "", fmt.Errorf("no command %q", words[0])
	}
	if len(a.words) > 0 {
		a.fail("too many words: %q", a.words)
	}
	if a.err != nil {
		return "", a.err
	}
	err = do()
	return value, err
}

// arguments takes the words of a command one after another, and keeps the first
// error.
type arguments struct {
	words []string
	err   error
}

func (a *arguments) fail(format string, args ...any) {
	if a.err == nil {
		a.err = fmt.Errorf(format, args...)
	}
}

func (a *arguments) word() string {
	if len(a.words) == 0 {
		a.fail("too few words")
		return ""
	}
	w := a.words[0]
	a.words = a.words[1:]
	return w
}

func (a *arguments) number() int64 {
	w := a.word()
	n, err := strconv.ParseInt(w, 0, 64)
	if err != nil {
		a.fail("no number: %q", w)
	}
	return n
}

func (a *arguments) numberOr(n int64) int64 {
	if len(a.words) > 0 {
		return a.number()
	}
	return n
}

func (a *arguments) where() where {
	w := where{a.word(), a.word()}
	if !slices.Contains(operations, w.op) {
		a.fail("no operation %q", w.op)
	}
	return w
}

func (a *arguments) duration() time.Duration {
	w := a.word()
	d, err := time.ParseDuration(w)
	if err != nil {
		a.fail("no duration: %q", w)
	}
	return d
}

func (a *arguments) errno() unix.Errno {
	w := a.word()
	for e := unix.Errno(1); e < 200; e++ {
		if unix.ErrnoName(e) == w {
			return e
		}
	}
	a.fail("no error %q", w)
	return 0
}
