package mmap

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// What another process does to a file while this one reads it.

const (
	changedPages = 16
	changedWords = 4 // values that are written, and zero
)

func changedValue(i int) byte { return byte(0x11 * (i + 1)) }

var childChanger = registerChild("one that cuts, grows and rewrites", func(t testing.TB, args []string) {
	f, err := os.OpenFile(args[0], os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	page := os.Getpagesize()
	rnd := rand.New(rand.NewPCG(4, 0))
	parent := os.Getppid()
	for i := 0; ; i++ {
		size := rnd.Int64N(int64(changedPages*page) + 1)
		switch rnd.IntN(4) {
		case 0:
			size &^= int64(page - 1)
			fallthrough
		case 1:
			err = f.Truncate(size)
		default:
			block := bytes.Repeat([]byte{changedValue(rnd.IntN(changedWords))}, 1+rnd.IntN(3*page))
			size = min(size, int64(changedPages*page-len(block)))
			_, err = f.WriteAt(block, size)
		}
		if err != nil {
			t.Fatal(err)
		}
		if os.Getppid() != parent { // the one that would kill this is gone
			return
		}
		if i == 100 {
			fmt.Println("the file changes")
		}
	}
})

func TestReadersSurviveAProcessThatChangesTheFile(t *testing.T) {
	shortensMapped(t)
	page := os.Getpagesize()
	name := tempFile(t, make([]byte, changedPages*page))
	changer := childCommand(t, childChanger, name)
	var stderr bytes.Buffer
	changer.Stderr = &stderr
	changing, err := changer.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := changer.Start(); err != nil {
		t.Fatal(err)
	}
	defer changer.Wait()
	defer changer.Process.Kill()
	if _, err := changing.Read(p1()); err != nil {
		changer.Wait()
		t.Fatalf("the file does not change: %v\n%s", err, stderr.String())
	}
	t.Log(runChild(t, childReader, name))
	changer.Process.Kill()
	if changer.Wait(); changer.ProcessState.Exited() {
		t.Errorf("the one that changes the file ended by itself:\n%s", stderr.String())
	}
}

// The reader is a child too: a crash of it is a failure and not the end.
var childReader = registerChild("one that reads what is being changed", func(t testing.TB, args []string) {
	rounds := rounds(50_000)
	name := args[0]
	page := os.Getpagesize()
	look := func(b []byte) {
		for _, x := range b {
			if x != 0 && x%0x11 != 0 || x > changedValue(changedWords-1) {
				t.Fatalf("found the byte %#x", x)
			}
		}
	}
	var err error
	for _, mode := range []Mode{ReadOnly, ReadWrite} {
		var r *Region
		var views []View[byte]
		// Until the other process has had its turns, too.
		faults, whole, begin := 0, 0, time.Now()
		for i := 0; i < rounds/2 || (whole == 0 || faults == 0) && time.Since(begin) < 20*time.Second; i++ {
			if r == nil || rand.IntN(300) == 0 {
				if r != nil {
					r.Close()
				}
				// The length was looked at before the file was cut again.
				r, err = Config{Mode: mode, Reserve: int64(changedPages * page)}.Open(name)
				if err != nil {
					t.Fatal(err)
				}
				views = views[:0]
			}
			switch rand.IntN(10) {
			case 0:
				if err := r.Refresh(); err != nil {
					t.Fatal(err)
				}
			case 1:
				v, err := ViewOf[byte](r, 0, ToEnd)
				if err != nil {
					t.Fatal(err)
				}
				views = append(views, v)
			case 2:
				if err := r.Sync(); err != nil && !errors.Is(err, ErrTruncated) {
					t.Fatal(err)
				}
			case 3:
				if err := r.Populate(0, r.Len()); err != nil {
					checkReadFault(t, r, err, 0, -1)
				}
			case 4:
				var buf bytes.Buffer
				n, err := r.WriteTo(&buf)
				look(buf.Bytes())
				if err != nil {
					checkReadFault(t, r, err, 0, int(n))
				}
			}
			if r.Len() == 0 {
				continue
			}
			off := rand.IntN(r.Len())
			p := make([]byte, 1+rand.IntN(3*page))
			n, err := r.ReadAt(p, int64(off))
			look(p[:n])
			switch {
			case err == io.EOF && off+n == r.Len(), err == nil && n == len(p):
				whole++
			default:
				faults++
				checkReadFault(t, r, err, off, n)
			}
			if len(views) == 0 {
				continue
			}
			v := views[rand.IntN(len(views))]
			if v.Len() == 0 {
				continue
			}
			i := rand.IntN(v.Len())
			err = Guard(func() error {
				look([]byte{v.At(i)})
				n, err := v.Sub(i, v.Len()).CopyTo(p)
				look(p[:n])
				return err
			})
			if err != nil {
				faults++
				// Truncated and extended again before Guard looked: in a writable
				// region it may as well have been a store that a disk refused.
				if mode == ReadOnly || !errors.Is(err, ErrIO) {
					checkReadFault(t, r, err, i, -1)
				}
			}
		}
		fmt.Printf("%v: %d reads of all that was asked for, %d faults\n", mode, whole, faults)
		if whole == 0 || faults == 0 {
			t.Errorf("%v: %d whole reads, %d faults: this proves nothing", mode, whole, faults)
		}
	}
})

// checkReadFault checks a fault of a read from off on, of which n bytes were
// there; n is -1 if nobody counted.
func checkReadFault(t testing.TB, r *Region, err error, off, n int) {
	t.Helper()
	var f *FaultError
	if !errors.As(err, &f) {
		t.Fatalf("reading %v: %v, want a *FaultError", r, err)
	}
	// Where nobody counts, the cut may have come in the middle of a bulk
	// operation, and begin before it.
	if f.Err != ErrTruncated || f.Region != r || n >= 0 && f.Offset != off+n {
		t.Fatalf("reading %v from %d: %d bytes, %v", r, off, n, err)
	}
}

func TestRegionsFindTheirFileFromAnotherWorkingDirectory(t *testing.T) {
	runChild(t, childElsewhere)
}

var childElsewhere = registerChild("another working directory", func(t testing.TB, args []string) {
	if err := os.Chdir(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("f", quiet(100), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := Config{Reserve: 1000}.Open("f")
	need(t, r, err)
	name, err := filepath.Abs("f")
	if err := errors.Join(err, os.Chdir("/"), os.Truncate(name, 300), r.Refresh()); err != nil || r.Len() != 300 {
		t.Errorf("Refresh: %v, %v", err, r)
	}
	if !strings.Contains(r.String(), " f,") {
		t.Errorf("%v does not say the name that the caller did", r)
	}
})

// TestDescriptors is about what a process has few of. Linux lists them in
// /proc/self/fd.
func TestDescriptors(t *testing.T) {
	needMappings(t)
	count := func() int {
		if systemDescriptors != nil {
			return systemDescriptors(t)
		}
		e, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skipf("cannot count descriptors: %v", err)
		}
		return len(e)
	}
	for _, mode := range []Mode{ReadOnly, CopyOnWrite, ReadWrite} {
		t.Run(mode.String(), func(t *testing.T) {
			name := tempFile(t, []byte("hello"))
			f, err := os.OpenFile(name, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			before := count()
			// Regions that own their file have one each, regions that borrow one have none.
			const owning = 100
			borrowing := 10000 // far more than the usual limit of 1024
			if runtime.GOOS == "windows" {
				borrowing = 1000 // there is no such limit
			}
			regions := make([]*Region, borrowing+owning)
			for i := range regions {
				var r *Region
				if i < borrowing {
					r, err = Map(f, mode)
				} else {
					r, err = Open(name, mode)
				}
				if err != nil {
					t.Fatalf("region %d: %v", i, err)
				}
				regions[i] = r
			}
			if got := count() - before; got != owning {
				t.Errorf("%d regions of a borrowed file and %d of their own keep %d descriptors", borrowing, owning, got)
			}
			for i, r := range regions {
				if b, err := Get[uint8](r, 4); b != 'o' || err != nil {
					t.Fatalf("region %d: read %q, %v", i, b, err)
				}
			}
			for _, r := range regions {
				if err := r.Close(); err != nil {
					t.Fatal(err)
				}
			}
			if got := count() - before; got > 0 {
				t.Errorf("%d descriptors are left after Close", got)
			}
		})
	}
}

func TestMapOutlivesTheFile(t *testing.T) {
	for _, mode := range []Mode{ReadOnly, ReadWrite, CopyOnWrite} {
		name := tempFile(t, []byte("hello"))
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		r, err := Map(f, mode)
		need(t, r, err)
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(name); err != nil && runtime.GOOS != "windows" { // which removes no file that is mapped
			t.Fatal(err)
		}
		if got := string(r.Bytes()); got != "hello" {
			t.Errorf("%v: read %q", mode, got)
		}
		// A system that needs the file to sync says so, and that it is closed.
		err = r.Sync()
		if mode == CopyOnWrite || syncsWithoutFile {
			if err != nil {
				t.Errorf("%v: %v", mode, err)
			}
		} else if wantErr(t, err, fs.ErrClosed, name); errors.Is(err, ErrClosed) {
			t.Errorf("%v: the region counts as closed: %v", mode, err)
		}
	}
}
