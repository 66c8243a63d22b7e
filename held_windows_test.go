package mmap

import (
	"errors"
	"os"
	"slices"
	"sync"
	"testing"
	"time"
)

// Close waits for nobody: every call of another method that may wait for a disk is
// held, one at a time, and Close returns meanwhile. held_linux_test.go is the like.

// memoryCalls change address space, and wait for no disk. They alone may be made
// while Close would have to wait. Close itself makes no other, but for the CloseHandle
// of a file that the region owns.
var memoryCalls = []string{"VirtualAlloc", "VirtualAlloc2", "VirtualFree", "VirtualProtect", "MapViewOfFile3", "MapViewOfFileEx", "UnmapViewOfFile2", "UnmapViewOfFile"}

// callsOf returns what fn calls.
func callsOf(fn func()) (calls []string) {
	var mu sync.Mutex
	ask := func(call string) error {
		mu.Lock()
		defer mu.Unlock()
		calls = append(calls, call)
		return nil
	}
	intercept.Store(&ask)
	defer intercept.Store(nil)
	fn()
	return calls
}

// holdingCall holds the nth call from now on. held is closed when it is made; it goes on
// when release is called.
func holdingCall(nth int) (held <-chan struct{}, release func()) {
	reached, released := make(chan struct{}), make(chan struct{})
	var mu sync.Mutex
	ask := func(string) error {
		mu.Lock()
		nth--
		last := nth == 0
		mu.Unlock()
		if last {
			close(reached)
			<-released
		}
		return nil
	}
	intercept.Store(&ask)
	return reached, sync.OnceFunc(func() { close(released) })
}

func TestCloseReturnsWhileACallIsHeld(t *testing.T) {
	page := os.Getpagesize()
	grow := func(r *Region) error { return r.Resize(int64(20 * page)) }
	for _, tt := range []struct {
		name   string
		grows  bool
		sparse bool
		locked bool
		longer bool // another grows the file before
		call   func(r *Region) error
		want   string // among the calls that are held
	}{
		{name: "Resize that allocates", grows: true, call: grow, want: "CreateFileMapping"},
		{name: "Resize", grows: true, sparse: true, call: grow, want: "SetFileInformationByHandle"},
		{name: "Resize that shrinks", call: func(r *Region) error { return r.Resize(int64(page)) }, want: "SetFileInformationByHandle"},
		{name: "Refresh", grows: true, longer: true, call: (*Region).Refresh, want: "CreateFileMapping"},
		{name: "Sync", call: (*Region).Sync, want: "FlushFileBuffers"},
		{name: "SyncRange", call: func(r *Region) error { return r.SyncRange(page, page) }, want: "FlushViewOfFile"},
		{name: "Populate", call: func(r *Region) error { return r.Populate(0, ToEnd) }, want: "ReadFile"},
		{name: "Resize of what is locked", grows: true, locked: true, call: grow, want: "VirtualLock"},
	} {
		for _, kind := range []string{"owned", "borrowed"} {
			t.Run(tt.name+" of a file "+kind, func(t *testing.T) {
				if tt.grows {
					growsFiles(t)
				}
				var name string
				prepare := func() *Region {
					name = tempFile(t, quiet(5*page))
					c := Config{Mode: ReadWrite, Sparse: tt.sparse, Lock: tt.locked}
					if cannotGrow == "" {
						c.Reserve = int64(100 * page)
					}
					f, err := os.OpenFile(name, os.O_RDWR, 0)
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { f.Close() })
					var r *Region
					if kind == "owned" {
						r, err = c.Open(name)
					} else {
						r, err = c.Map(f)
					}
					need(t, r, err)
					if tt.longer {
						if err := f.Truncate(int64(20 * page)); err != nil {
							t.Fatal(err)
						}
					}
					return r
				}
				r := prepare()
				calls := callsOf(func() { tt.call(r) })
				r.Close()
				if !slices.Contains(calls, tt.want) {
					t.Fatalf("%s is not among the calls: %q", tt.want, calls)
				}
				for i, call := range calls {
					if slices.Contains(memoryCalls, call) {
						continue
					}
					r := prepare()
					v, err := ViewOf[byte](r, 0, ToEnd)
					if err != nil {
						t.Fatal(err)
					}
					held, release := holdingCall(i + 1)
					t.Cleanup(release)
					returned := make(chan error, 1)
					go func() { returned <- tt.call(r) }()
					<-held
					closed := make(chan error, 1)
					asked := callsOf(func() {
						go func() { closed <- r.Close() }()
						select {
						case err = <-closed:
						case <-time.After(puppetPatience):
							t.Errorf("Close waits for %s, call %d of %q", call, i+1, calls)
							release()
							err = <-closed
						}
					})
					if err != nil {
						t.Errorf("Close during %s: %v", call, err)
					}
					for _, c := range asked {
						if !slices.Contains(memoryCalls, c) && (kind == "borrowed" || c != "CloseHandle") {
							t.Errorf("during %s, Close called %s", call, c)
						}
					}
					if err := Guard(func() error { sinkInt64(int64(v.At(0))); return nil }); !errors.Is(err, ErrClosed) {
						t.Errorf("an access during %s: %v", call, err)
					}
					select {
					case err := <-returned:
						t.Errorf("held in %s, it returned %v", call, err)
						continue
					default:
					}
					release()
					wantErr(t, <-returned, ErrClosed, name)
					want := int64(5 * page)
					if tt.longer {
						want = int64(20 * page)
					}
					if fi, err := os.Stat(name); err != nil || fi.Size() != want && tt.name != "Resize that shrinks" {
						t.Errorf("after Close during %s the file has %d bytes, %v", call, fi.Size(), err)
					}
				}
			})
		}
	}
}
