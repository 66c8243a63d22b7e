//go:build !mmap_posix

package mmap

import (
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// Refresh and Open of files that are strange: without a name, with another's name,
// with a size that means nothing, under a lease.

func TestRefreshIsOfTheFileThatWasMapped(t *testing.T) {
	page := os.Getpagesize()
	opened := func(t testing.TB, name string, flags int) *os.File {
		f, err := os.OpenFile(name, flags, 0o600)
		if err != nil {
			t.Skip(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	named := func(t testing.TB, change func(name string) error) *os.File {
		name := tempFile(t, nil)
		f := opened(t, name, os.O_RDWR)
		if err := change(name); err != nil {
			t.Fatal(err)
		}
		return f
	}
	for kind, tt := range map[string]func(t testing.TB) *os.File{
		"a file": func(t testing.TB) *os.File { return named(t, func(string) error { return nil }) },
		"a renamed file": func(t testing.TB) *os.File {
			return named(t, func(name string) error { return os.Rename(name, name+"2") })
		},
		"a removed file": func(t testing.TB) *os.File { return named(t, os.Remove) },
		"a replaced file": func(t testing.TB) *os.File {
			return named(t, func(name string) error {
				return errors.Join(os.Rename(name, name+"2"), os.WriteFile(name, pattern(50*page), 0o600))
			})
		},
		"a memory file": func(t testing.TB) *os.File {
			fd, err := unix.MemfdCreate("memory", unix.MFD_CLOEXEC)
			if err != nil {
				t.Skip(err)
			}
			f := os.NewFile(uintptr(fd), "memory")
			t.Cleanup(func() { f.Close() })
			return f
		},
		"a file that never had a name": func(t testing.TB) *os.File {
			return opened(t, t.TempDir(), os.O_RDWR|unix.O_TMPFILE)
		},
	} {
		for _, mode := range []Mode{ReadOnly, ReadWrite, CopyOnWrite} {
			for _, owner := range []string{"owned", "borrowed"} {
				t.Run(kind+", "+mode.String()+", "+owner, func(t *testing.T) {
					f := tt(t)
					if err := f.Truncate(int64(page)); err != nil {
						t.Fatal(err)
					}
					c := Config{Mode: mode, Reserve: int64(9 * page)}
					var r *Region
					var err error
					if owner == "owned" {
						r, err = c.Open("/proc/self/fd/" + strconv.Itoa(int(f.Fd())))
					} else {
						r, err = c.Map(f)
					}
					need(t, r, err)
					for _, pages := range []int{3, 1, 0, 8} {
						if err := f.Truncate(int64(pages * page)); err != nil {
							t.Fatal(err)
						}
						if pages > 0 {
							if _, err := f.WriteAt([]byte{byte(pages)}, int64(pages*page-1)); err != nil {
								t.Fatal(err)
							}
						}
						if err := r.Refresh(); err != nil || r.Len() != pages*page {
							t.Fatalf("Refresh with %d pages: %v, %v", pages, err, r)
						}
						if pages == 0 {
							continue
						}
						if b, err := Get[byte](r, pages*page-1); err != nil || b != byte(pages) {
							t.Errorf("the last of %d pages ends with %d, %v", pages, b, err)
						}
					}
				})
			}
		}
	}
}

func TestRefreshRefusesASizeThatTheMappingCannotReach(t *testing.T) {
	fs := newFuse(t)
	page := os.Getpagesize()
	name := fs.create("f", page, 'a')
	for _, owner := range []string{"owned", "borrowed"} {
		fs.truncate("f", page)
		r := mapFor(t, owner, name, Config{Mode: ReadWrite, Reserve: int64(8 * page)})
		raw := r.Reserved()
		fs.fill("f", page, 3*page, 'b')
		fs.fail("read", "f", unix.EIO, fuseAlways)
		for range 2 {
			wantErr(t, r.Refresh(), ErrIO, name, "cannot reach", strconv.Itoa(4*page))
			if r.Len() != page {
				t.Errorf("Len is %d after a Refresh that failed", r.Len())
			}
		}
		fs.heal("read", "f")
		if err := r.Refresh(); err != nil || r.Len() != 4*page || raw[4*page-1] != 'b' {
			t.Errorf("Refresh: %v, %v", err, r)
		}
		r.Close()
	}
}

// The holder is asked to give the lease up, and Open waits for that.
var leaseHolder = registerChild("one that holds a lease", func(t testing.TB, args []string) {
	f, err := os.OpenFile(args[0], os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, unix.SIGIO)
	if _, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
		t.Skipf("no lease: %v", err)
	}
	say(t, "leased")
	<-asked
	say(t, "asked")
	hear(t)
	if _, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_UNLCK); err != nil {
		t.Fatal(err)
	}
	hear(t) // and keeps the file open
})

func TestAFileUnderALeaseIsWaitedFor(t *testing.T) {
	for how, do := range map[string]func(name string) (*Region, error){
		"Open":             func(name string) (*Region, error) { return Open(name, ReadOnly) },
		"Open for writing": func(name string) (*Region, error) { return Open(name, ReadWrite) },
		"Create":           func(name string) (*Region, error) { return Create(name, 100) },
		"OpenOrCreate":     func(name string) (*Region, error) { return OpenOrCreate(name, 100) },
	} {
		t.Run(how, func(t *testing.T) {
			name := tempFile(t, pattern(100))
			p := startPuppet(t, leaseHolder, name)
			p.want("leased")
			type result struct {
				r   *Region
				err error
			}
			opened := make(chan result, 1)
			go func() {
				r, err := do(name)
				opened <- result{r, err}
			}()
			p.want("asked")
			select {
			case got := <-opened:
				t.Errorf("returned %v, %v while the lease was held", got.r, got.err)
			default:
			}
			p.tell("give it up")
			got := <-opened
			need(t, got.r, got.err)
			if got.r.Len() != 100 {
				t.Errorf("%v", got.r)
			}
			p.tell("end")
			p.end()
		})
	}
}

func TestOpenOrCreateFindsAFileThatAnotherMadeMeanwhile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	was := pattern(5000)
	opens := 0
	onCalls(t, func(call string) error {
		if call != "open" {
			return nil
		}
		// The directory, the file that is not there, and now it is to be made.
		if opens++; opens == 3 {
			return os.WriteFile(name, was, 0o600)
		}
		return nil
	})
	r, err := OpenOrCreate(name, 100)
	need(t, r, err)
	if r.Len() != len(was) || string(r.Bytes()) != string(was) || opens < 4 {
		t.Errorf("%v after %d calls of open(2), and another process had made the file with %d bytes", r, opens, len(was))
	}
	// And one that goes away again.
	opens = -1
	other := name + "2"
	if err := os.WriteFile(other, was, 0o600); err != nil {
		t.Fatal(err)
	}
	onCalls(t, func(call string) error {
		if call == "open" {
			if opens++; opens == 1 {
				return os.Remove(other)
			}
		}
		return nil
	})
	r, err = OpenOrCreate(other, 100)
	need(t, r, err)
	if r.Len() != 100 || len(contents(t, other)) != 100 {
		t.Errorf("%v, and another process had removed the file", r)
	}
}

func TestOpenOrCreateNeverShortensAFileThatAnotherGrowsMeanwhile(t *testing.T) {
	for _, c := range []Config{{}, {Sparse: true}} {
		name := tempFile(t, pattern(100))
		grown := false
		onCalls(t, func(call string) error {
			if !grown && (call == "fallocate" || call == "ftruncate") {
				grown = true
				return os.WriteFile(name, pattern(5000), 0o600)
			}
			return nil
		})
		r, err := c.OpenOrCreate(name, 1000)
		need(t, r, err)
		if !grown || r.Len() != 5000 || string(contents(t, name)) != string(pattern(5000)) {
			t.Errorf("Sparse %v: %v, and the file has %d bytes of 5000", c.Sparse, r, len(contents(t, name)))
		}
	}
}

var grower = registerChild("one who grows a file by eight bytes at a time", func(t testing.TB, args []string) {
	for {
		line, err := heard.ReadString('\n')
		if err != nil {
			return
		}
		r, err := Config{Reserve: 1 << 12}.OpenOrCreate(line[:len(line)-1], 8)
		need(t, r, err)
		for n := int64(16); n <= 1<<12; n += 8 {
			if err := r.Resize(n); err != nil {
				t.Fatal(err)
			}
		}
		r.Close()
		say(t, "grown")
	}
})

// Linux tells a file's new size before it has zeroed the rest of the page that the
// old one ended in. What is stored there in between must not be lost.
func TestAStoreRightAfterAnotherProcessGrewTheFileIsKept(t *testing.T) {
	p := startPuppet(t, grower)
	for round := range 20 {
		name := tempFile(t, pattern(8))
		r, err := Config{Mode: ReadWrite, Reserve: 1 << 12}.Open(name)
		need(t, r, err)
		p.tell(name)
		for next := 1; next < 1<<9; {
			if err := r.Refresh(); err != nil {
				t.Fatal(err)
			}
			for ; next < r.Len()/8; next++ {
				if err := Put(r, 8*next, uint64(next)); err != nil {
					t.Fatal(err)
				}
			}
		}
		p.want("grown")
		for i := 1; i < 1<<9; i++ {
			if got, err := Get[uint64](r, 8*i); err != nil || got != uint64(i) {
				t.Fatalf("round %d: the number at %d is %d, %v: want %d", round, 8*i, got, err, i)
			}
		}
		r.Close()
	}
	p.end()
}

const creators = 4

var creator = registerChild("one of those who create", func(t testing.TB, args []string) {
	slot := int(args[0][0] - '0')
	for {
		line, err := heard.ReadString('\n')
		if err != nil {
			return
		}
		r, err := OpenOrCreate(line[:len(line)-1], int64(8*(slot+1)))
		need(t, r, err)
		if err := errors.Join(Put(r, 8*slot, uint64(slot+1)), r.Close()); err != nil {
			t.Fatal(err)
		}
		say(t, "stored")
	}
})

func TestProcessesThatOpenOrCreateAtOnceNeverEmptyTheFile(t *testing.T) {
	rounds := 200
	if testing.Short() {
		rounds = 50
	}
	dir := t.TempDir()
	var p [creators]*puppet
	for i := range p {
		p[i] = startPuppet(t, creator, strconv.Itoa(i))
	}
	for round := range rounds {
		name := filepath.Join(dir, strconv.Itoa(round))
		for i := range p {
			p[i].tell(name)
		}
		for i := range p {
			p[i].want("stored")
		}
		r := open(t, name, ReadOnly)
		v, err := ViewOf[uint64](r, 0, ToEnd)
		if err != nil {
			t.Fatal(err)
		}
		want := []uint64{}
		for i := range p {
			want = append(want, uint64(i+1))
		}
		diff(t, "what the processes stored", v.Slice(), want)
		r.Close()
	}
	for i := range p {
		p[i].end()
	}
}
