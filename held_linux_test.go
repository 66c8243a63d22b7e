//go:build !mmap_posix

package mmap

import (
	"errors"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"testing"
)

// Close waits for nobody: here a file system holds what other methods wait for,
// and Close returns meanwhile. No clock proves that it does so at once: nobody
// releases the held call before Close has returned.
//
// The regions are in a child, for the reasons that fuse_linux_test.go gives.

const (
	heldPages = 256
	heldAdded = 32 // pages that a growth adds
)

// A heldCall is a method that waits for an operation of the file system.
type heldCall struct {
	name, op string
	sparse   bool
	faults   bool                               // it waits in a page fault
	prepare  func(fs *fuseFS)                   // of file f, before it is held and after it was mapped
	call     func(r *Region, page int) error    // the method
	release  func(fs *fuseFS)                   // how it is released, if something happens meanwhile
	sizes    func(before, after int) (to []int) // that the file was given in the end
}

func heldCalls() []heldCall {
	grow := func(r *Region, page int) error { return r.Resize(int64((heldPages + heldAdded) * page)) }
	sync := func(r *Region, page int) error { return r.Sync() }
	refresh := func(r *Region, page int) error { return r.Refresh() }
	untouched := heldPages - 1 // a page far from those that were touched
	return []heldCall{
		{name: "Resize", op: "setattr", sparse: true, call: grow,
			sizes: func(before, after int) []int { return []int{after, before} }},
		{name: "Resize that allocates", op: "fallocate", call: grow,
			sizes: func(before, after int) []int { return []int{before} }},
		{name: "Resize that looks at the size", op: "getattr", call: grow},
		{name: "Resize that shrinks", op: "setattr",
			call:  func(r *Region, page int) error { return r.Resize(int64(page)) },
			sizes: func(before, after int) []int { return []int{os.Getpagesize()} }},
		{name: "Resize while another process grows the file", op: "setattr", sparse: true, call: grow,
			release: func(fs *fuseFS) {
				fs.hold("getattr", "f")
				fs.release("setattr", "f")
				fs.waitHeld("getattr", "f", 1) // it has grown the file, and looks whether it was the last who did
				fs.truncate("f", fs.size("f")+1)
				fs.release("getattr", "f")
			},
			sizes: func(before, after int) []int { return []int{after} }},
		{name: "Refresh", op: "getattr", call: refresh},
		{name: "Refresh that touches", op: "read", call: refresh, faults: true,
			prepare: func(fs *fuseFS) { fs.truncate("f", (heldPages+heldAdded)*os.Getpagesize()) }},
		{name: "Sync", op: "fsync", call: sync},
		{name: "Sync that writes back", op: "write", call: sync},
		{name: "Sync that looks at the size", op: "getattr", call: sync},
		{name: "Populate", op: "read",
			call: func(r *Region, page int) error { return r.Populate(untouched*page, page) }},
		{name: "Lock", op: "read",
			call: func(r *Region, page int) error { return r.Lock(untouched*page, page) }},
		{name: "ReadAt", op: "read", faults: true, call: func(r *Region, page int) error {
			_, err := r.ReadAt(make([]byte, 10), int64(untouched*page))
			return err
		}},
		{name: "WriteAt", op: "read", faults: true, call: func(r *Region, page int) error {
			_, err := r.WriteAt(make([]byte, 10), int64(untouched*page))
			return err
		}},
		{name: "a load under Guard", op: "read", faults: true, call: func(r *Region, page int) error {
			v, err := ViewOf[byte](r, 0, ToEnd)
			if err != nil {
				return err
			}
			return Guard(func() error { held = v.At(untouched * page); return nil })
		}},
	}
}

var held byte // keeps a load

func TestCloseReturnsWhileAnotherMethodIsHeld(t *testing.T) {
	page := os.Getpagesize()
	before, after := heldPages*page, (heldPages+heldAdded)*page
	for _, c := range heldCalls() {
		for _, kind := range []string{"owned", "borrowed"} {
			t.Run(c.name+" of a file "+kind, func(t *testing.T) {
				fs := newFuse(t)
				p := startPuppet(t, childCloser, c.name, kind, fs.create("f", before, 'f'))
				p.want("mapped")
				if c.prepare != nil {
					c.prepare(fs)
				}
				var storer *puppet
				if c.op == "write" {
					storer = startPuppet(t, childStorer, fs.path("f"))
					storer.want("mapped")
				}
				fs.hold(c.op, "f")
				if storer != nil {
					storeOrHold(storer, fs)
				}
				p.tell("call")
				fs.waitHeld(c.op, "f", 1)
				p.tell("close")
				p.want("closed")
				if c.release != nil {
					c.release(fs)
				} else {
					fs.release(c.op, "f")
				}
				p.want("returned")
				p.end()
				want := []int{}
				if c.sizes != nil {
					want = c.sizes(before, after)
				}
				diff(t, "sizes that the file was given", fs.sizes("f"), want)
			})
		}
	}
}

var childCloser = registerChild("one that closes while a method is held", func(t testing.TB, args []string) {
	calls := heldCalls()
	c := calls[slices.IndexFunc(calls, func(c heldCall) bool { return c.name == args[0] })]
	page := os.Getpagesize()
	// A held fault keeps its P, and whoever would stop the world.
	runtime.GOMAXPROCS(max(4, runtime.GOMAXPROCS(0)))
	debug.SetGCPercent(-1)
	r := mapFor(t, args[1], args[2], Config{Mode: ReadWrite, Reserve: int64(2 * heldPages * page), Sparse: c.sparse})
	addr, raw := r.Addr(), r.Bytes()
	if err := r.Sync(); err != nil { // so that only these pages are dirty
		t.Fatal(err)
	}
	raw[0], raw[page] = 'd', 'd' // dirty
	say(t, "mapped")

	hear(t)
	returned := make(chan error, 1)
	begun := make(chan bool, 1)
	if c.op == "write" {
		onCalls(t, func(call string) error {
			if call == "msync" {
				begun <- true
			}
			return nil
		})
	} else {
		close(begun)
	}
	go func() { returned <- c.call(r, page) }()
	<-begun
	intercept.Store(nil)
	hear(t)
	// Otherwise a store waits: for its page's write-back, which may have begun and does
	// not go on while FUSE changes a size, or for the page itself.
	if c.op != "write" && c.op != "setattr" && c.prepare == nil {
		raw[0] = 'e'
	}
	closed := make(chan error, 1)
	go func() { closed <- r.Close() }()
	if c.op == "write" && args[1] == "owned" {
		// Of Close, close(2) is left, which waits too.
		for r.Cap() > 0 || mapsAt(t, addr)[0] != '-' {
			runtime.Gosched()
		}
	} else if err := <-closed; err != nil {
		t.Errorf("Close returned %v", err)
	}
	if c.op != "write" { // where Close may have been first
		select {
		case err := <-returned:
			// The read that is held may be one ahead of the page that the method is at. Then
			// Close may have been first, too.
			if c.op != "read" || !errors.Is(err, ErrClosed) {
				t.Errorf("%s returned %v, and was to be held", c.name, err)
			}
			returned <- err
		default:
		}
	}
	if got := mapsAt(t, addr); got != tombstone && got != "---s" {
		t.Errorf("the memory is %s", got)
	}
	wantErr(t, Guard(func() error { held = raw[0]; return nil }), ErrClosed)
	// The rest of the process goes on.
	other := open(t, tempFile(t, pattern(page)), ReadWrite)
	if err := errors.Join(Put(other, 0, int64(1)), other.Sync(), other.Resize(1), other.Close()); err != nil {
		t.Error(err)
	}
	if !c.faults {
		runtime.GC()
	}
	say(t, "closed")

	wantErr(t, <-returned, ErrClosed)
	say(t, "returned")
})

// storeOrHold lets another process store to a page of file f, for Sync to write back:
// what the region stored may have been written by now. The kernel may write that by
// itself, too, and then the process is held. Either way Sync will be.
func storeOrHold(p *puppet, fs *fuseFS) {
	p.t.Helper()
	p.tell("store")
	for fs.held("write", "f") == 0 {
		select {
		case line := <-p.lines:
			if line != "stored" {
				p.t.Fatalf("the child says %q, want \"stored\"", line)
			}
			return
		default:
		}
	}
}

var childStorer = registerChild("one that stores to a page", func(t testing.TB, args []string) {
	r := mapFor(t, "borrowed", args[0], Config{Mode: ReadWrite})
	say(t, "mapped")
	hear(t)
	r.Bytes()[2*os.Getpagesize()] = 'd'
	say(t, "stored")
})

// mapFor maps a file as c says, by Open or by Map.
func mapFor(t testing.TB, kind, name string, c Config) *Region {
	t.Helper()
	if kind == "owned" {
		r, err := c.Open(name)
		return need(t, r, err)
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	r, err := c.Map(f)
	return need(t, r, err)
}
