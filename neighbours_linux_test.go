//go:build !mmap_posix

package mmap

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// What waits for a slow file system, and who does not: other regions, other files,
// the explanation of faults, the collector.

func TestAHeldResizeHoldsUpNobodyElse(t *testing.T) {
	page := os.Getpagesize()
	for name, inodes := range map[string][2]int{"two files": {77, 78}, "two files with one inode number": {77, 77}} {
		t.Run(name, func(t *testing.T) {
			fs := newFuse(t)
			a := fs.create("a", page, 'a', inodes[0])
			b := fs.create("b", page, 'b', inodes[1])
			p := startPuppet(t, childNeighbours, a, b)
			p.want("mapped")
			fs.hold("setattr", "a")
			p.tell("resize")
			fs.waitHeld("setattr", "a", 1)
			p.tell("go on")
			p.want("closed")
			fs.release("setattr", "a")
			p.end()
			diff(t, "sizes that a was given", fs.sizes("a"), []int{3 * page})
			if n := fs.size("b"); n != page && n != 2*page {
				t.Errorf("b has %d bytes", n)
			}
		})
	}
}

var childNeighbours = registerChild("neighbours of a region that is resized", func(t testing.TB, args []string) {
	page := os.Getpagesize()
	c := Config{Mode: ReadWrite, Reserve: int64(8 * page), Sparse: true}
	a := mapFor(t, "owned", args[0], c)
	sameFile := mapFor(t, "borrowed", args[0], c) // close(2) would write back, and wait
	b := mapFor(t, "borrowed", args[1], c)
	say(t, "mapped")
	hear(t)
	resized := make(chan error, 1)
	go func() { resized <- a.Resize(int64(3 * page)) }()
	hear(t)

	waiting := make(chan error, 1)
	go func() { waiting <- b.Resize(int64(2 * page)) }()
	for _, r := range []*Region{a, sameFile, b} {
		raw := r.Reserved()
		fault := Guard(func() error { held = raw[6*page]; return nil })
		wantErr(t, fault, ErrTruncated)
	}
	if _, err := Get[byte](sameFile, 0); err != nil { // a load: FUSE holds stores up while a size changes
		t.Errorf("a neighbour: %v", err)
	}
	if err := errors.Join(sameFile.Close(), b.Close()); err != nil {
		t.Errorf("the neighbours: %v", err)
	}
	if err := mapFor(t, "owned", args[1], c).Close(); err != nil { // mapped anew
		t.Error(err)
	}
	say(t, "closed")
	if err := <-resized; err != nil || a.Len() != 3*page {
		t.Errorf("Resize: %v, %v", err, a)
	}
	if err := <-waiting; err != nil { // it may have been before Close
		wantErr(t, err, ErrClosed)
	}
})

func TestASlowCloseStopsOnlyItself(t *testing.T) {
	for _, how := range []string{"Close", "the collector"} {
		t.Run(how, func(t *testing.T) {
			fs := newFuse(t)
			page := os.Getpagesize()
			a, b := fs.create("a", page, 'a'), fs.create("b", page, 'b')
			p := startPuppet(t, childSlowClose, how, a, b)
			p.want("mapped")
			fs.hold("flush", "a")
			p.tell("close")
			fs.waitHeld("flush", "a", 1)
			p.tell("go on")
			p.want("others went on")
			fs.release("flush", "a")
			p.end()
		})
	}
}

var childSlowClose = registerChild("one with a slow close", func(t testing.TB, args []string) {
	page := os.Getpagesize()
	r, err := Open(args[1], ReadWrite) // no cleanup, which would reach it
	if err == nil {
		err = Put(r, 0, 1.5)
	}
	if err != nil {
		t.Fatal(err)
	}
	addr := r.Addr()
	say(t, "mapped")
	hear(t)
	closed := make(chan error, 1)
	if args[0] == "Close" {
		go func() { closed <- r.Close() }()
	} else {
		m := r.o.mapping
		r = nil
		close(closed)
		collectTill(t, func() bool {
			m.file.mu.Lock()
			defer m.file.mu.Unlock()
			return m.file.released
		})
	}
	hear(t)
	if got := mapsAt(t, addr); args[0] == "Close" && got[0] != '-' {
		t.Errorf("the memory is %s while Close waits", got)
	}
	for _, name := range []string{args[2], tempFile(t, pattern(page))} {
		owned := open(t, name, ReadWrite)
		borrowed := mapFor(t, "borrowed", name, Config{})
		if err := errors.Join(Put(owned, 0, 1.5), owned.Sync(), owned.Resize(8), owned.Close(), borrowed.Close()); err != nil {
			t.Error(err)
		}
		// What is dropped is found, and given back.
		dropped, err := Open(name, ReadOnly)
		if err != nil {
			t.Fatal(err)
		}
		m := dropped.o.mapping
		dropped = nil
		collectTill(t, func() bool { return !listed(m) })
	}
	say(t, "others went on")
	if err := <-closed; err != nil {
		t.Error(err)
	}
})

func TestTwoFilesWithOneInodeNumberKeepApart(t *testing.T) {
	fs := newFuse(t)
	page := os.Getpagesize()
	c := Config{Mode: ReadWrite, Reserve: int64(64 * page)}
	names := []string{"a", "b"}
	var r [2]*Region
	for i, name := range names {
		r[i] = mapFor(t, "owned", fs.create(name, (i+1)*page, name[0], 77), c)
	}
	// In turns, and at the same time.
	turns := [][]int{{5, 0}, {0, 7}, {2, 3}, {9, 1}, {1, 9}, {4, 4}}
	want := [2][]int{{}, {}}
	for _, turn := range turns {
		done := make(chan error, 2)
		for i, pages := range turn {
			if pages == 0 {
				done <- nil
				continue
			}
			if was := r[i].Len() / page; pages < was {
				want[i] = append(want[i], pages*page)
			}
			go func() { done <- r[i].Resize(int64(pages * page)) }()
		}
		if err := errors.Join(<-done, <-done); err != nil {
			t.Fatal(err)
		}
		for i, pages := range turn {
			if pages > 0 && (fs.size(names[i]) != pages*page || r[i].Len() != pages*page) {
				t.Errorf("after turn %v, %s has %d bytes, and its region %d", turn, names[i], fs.size(names[i]), r[i].Len())
			}
		}
	}
	for i, name := range names {
		diff(t, "sizes that "+name+" was cut to", fs.sizes(name), want[i])
		if err := errors.Join(r[i].Refresh(), r[i].Sync()); err != nil || r[i].Len() != 4*page {
			t.Errorf("%s: %v, %v", name, err, r[i])
		}
		if b := r[i].Bytes()[0]; b != name[0] {
			t.Errorf("%s begins with %c", name, b)
		}
	}
	// A growth that fails gives only its own file its size back.
	fs.fail("fallocate", "a", unix.ENOSPC, 1)
	if err := r[0].Resize(int64(8 * page)); err == nil || fs.size("a") != 4*page || fs.size("b") != 4*page {
		t.Errorf("Resize: %v, and a has %d bytes, b %d", err, fs.size("a"), fs.size("b"))
	}
	// And a Create empties only its own.
	n, err := Create(fs.path("b"), int64(page))
	need(t, n, err)
	if fs.size("a") != 4*page || fs.size("b") != page || r[0].Bytes()[0] != 'a' {
		t.Errorf("after Create of b, a has %d bytes, b %d", fs.size("a"), fs.size("b"))
	}
}
