package mmap

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"
)

// tryMethods calls every function that returns an error, without Guard, on
// ranges around where the trouble begins.
func tryMethods(t testing.TB, r *Region, name string, tr trouble) {
	t.Helper()
	n := r.Len()
	view, err := ViewOf[int32](r, 0, n/4)
	if err != nil {
		t.Fatal(err)
	}
	word, err := AtomicOf[uint32](r, 0, n/4)
	if err != nil {
		t.Fatal(err)
	}
	want := bytes.Clone(tr.was)
	tr.happen()
	shorter := false // the file is, which is what Sync says
	if fi, err := os.Stat(name); err == nil && tr.kind == ErrTruncated {
		have := max(int(fi.Size()-r.Offset()), 0)
		shorter = have < n
		clear(want[min(have, n):])
	}
	check := func(what string, off, size, got int, err error, store bool) {
		t.Helper()
		label := fmt.Sprintf("%s, %s of %d bytes at %d", tr.name, what, size, off)
		at, faults := tr.expected(inTurn, store, off, off+size)
		done := size
		if faults {
			done = at - off
		}
		switch {
		case got != done:
			t.Errorf("%s: %d bytes, %v; want %d", label, got, err, done)
		case !faults && err != nil:
			t.Errorf("%s: %v, want no error", label, err)
		case faults && (tr.kind == ErrClosed || tr.kind == ErrReadOnly):
			// Noticed before there was a fault.
			wantErr(t, err, tr.kind, name)
		case faults:
			wantFault(t, label, err, r, name, at, tr.kind)
		}
	}
	for _, off := range []int{0, 1, tr.bad - 5, tr.bad - 1, tr.bad, tr.bad + 1, n / 2, n - 8} {
		for _, size := range []int{0, 1, 8, 100, 5000, 70000, n} {
			if off < 0 || size > n-off || size == 0 {
				continue
			}
			p := make([]byte, size)
			got, err := r.ReadAt(p, int64(off))
			check("ReadAt", off, size, got, err, false)
			if !bytes.Equal(p[:got], want[off:off+got]) {
				t.Errorf("%s: ReadAt(%d bytes, %d) read other bytes before the fault", tr.name, size, off)
			}

			store := make([]byte, size)
			for i := range store {
				store[i] = ^want[off+i]
			}
			got, err = r.WriteAt(store, int64(off))
			check("WriteAt", off, size, got, err, true)
			if got == 0 {
				continue
			}
			if _, err := r.ReadAt(p[:got], int64(off)); err != nil || !bytes.Equal(p[:got], store[:got]) {
				t.Errorf("%s: WriteAt(%d bytes, %d) did not store the %d bytes before the fault: %v", tr.name, size, off, got, err)
			}
			if got, err := r.WriteAt(want[off:off+got], int64(off)); err != nil {
				t.Errorf("%s: WriteAt of what was there: %d, %v", tr.name, got, err)
			}
		}
		if off >= 0 && off+8 <= n {
			// The bytes before the fault are not counted: a value is whole, or
			// not there. Machines of 32 bits may leave half of it.
			count := func(store bool, err error) int {
				if at, faults := tr.expected(inTurn, store, off, off+8); faults {
					return at - off
				}
				return 8
			}
			x, err := Get[uint64](r, off)
			check("Get", off, 8, count(false, err), err, false)
			if err == nil && !bytes.Equal(nativeBytes(x), want[off:off+8]) {
				t.Errorf("%s: Get at %d: %#x", tr.name, off, x)
			}
			err = Put(r, off, x)
			check("Put", off, 8, count(true, err), err, true)
			if there, _ := r.WriteAt(want[off:off+8], int64(off)); there < 8 && err == nil {
				t.Errorf("%s: Put stored 8 bytes at %d, WriteAt %d", tr.name, off, there)
			}
		}
	}

	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for _, i := range []int{0, tr.bad/4 - 1, tr.bad / 4, tr.bad/4 + 1, n/4 - 1} {
		if i < 0 || i >= n/4 {
			continue
		}
		err := word.Wait(ended, i, binary.NativeEndian.Uint32(want[4*i:]))
		if errors.Is(err, context.Canceled) { // it has seen the value, and would wait
			err = nil
		}
		_, errWake := word.Wake(i, 1)
		_, faults := tr.expected(inTurn, false, 4*i, 4*i+4)
		for what, err := range map[string]error{"Wait": err, "Wake": errWake} {
			switch {
			case !faults && err != nil:
				t.Errorf("%s, %s for word %d: %v, want no error", tr.name, what, i, err)
			case faults && tr.kind == ErrClosed:
				wantErr(t, err, tr.kind, name)
			case faults:
				wantFault(t, tr.name+", "+what, err, r, name, 4*i, tr.kind)
			}
		}
	}

	var buf bytes.Buffer
	wrote, err := r.WriteTo(&buf)
	check("WriteTo a buffer", 0, n, int(wrote), err, false)
	if !bytes.Equal(buf.Bytes(), want[:wrote]) {
		t.Errorf("%s: WriteTo a buffer wrote %d bytes, other ones", tr.name, buf.Len())
	}
	// Not on the file's own disk, which may be the one that is full.
	f, err := os.CreateTemp("", "out")
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	wrote, err = r.WriteTo(f)
	check("WriteTo a file", 0, n, int(wrote), err, false)
	if !bytes.Equal(contents(t, f.Name()), want[:wrote]) {
		t.Errorf("%s: WriteTo a file wrote other bytes", tr.name)
	}
	pr, pw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	piped := make(chan []byte)
	go func() { b, _ := io.ReadAll(pr); piped <- b }()
	wrote, err = r.WriteTo(pw)
	pw.Close()
	check("WriteTo a pipe", 0, n, int(wrote), err, false)
	if got := <-piped; !bytes.Equal(got, want[:wrote]) {
		t.Errorf("%s: WriteTo a pipe wrote other bytes", tr.name)
	}
	pr.Close()

	for _, span := range [][2]int{{0, n}, {0, tr.bad}, {tr.bad, n}} {
		if span[0] == span[1] || tr.kind == ErrIO && span[1] > tr.bad && tr.stores { // holes can be read
			continue
		}
		err := r.Populate(span[0], span[1]-span[0])
		if at, faults := tr.expected(inTurn, false, span[0], span[1]); faults && tr.kind != ErrClosed {
			wantFault(t, tr.name+", Populate", err, r, name, at, tr.kind)
		} else if faults {
			wantErr(t, err, tr.kind, name)
		} else if err != nil {
			t.Errorf("%s, Populate: %v", tr.name, err)
		}
	}
	err = view.Populate()
	if at, faults := tr.expected(inTurn, false, 0, n&^3); faults && tr.kind != ErrClosed {
		wantFault(t, tr.name+", View.Populate", err, r, name, at, tr.kind)
	} else if faults {
		wantErr(t, err, tr.kind, name)
	} else if err != nil {
		t.Errorf("%s, View.Populate: %v", tr.name, err)
	}
	for what, err := range map[string]error{"Sync": r.Sync(), "View.Sync": view.Sync()} {
		switch {
		case tr.kind == ErrClosed || shorter && (what == "Sync" || n%4 == 0):
			wantErr(t, err, tr.kind, name)
		case !shorter && err != nil:
			t.Errorf("%s, %s: %v", tr.name, what, err)
		}
	}
	if before := tr.bad / 4; before > 0 && tr.kind == ErrTruncated {
		fi, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		there := int(fi.Size()-r.Offset()) / 4
		if there <= view.Len() {
			if err := view.Sub(0, there).Sync(); err != nil {
				t.Errorf("%s: Sync of a view before the cut: %v", tr.name, err)
			}
		}
	}
}

func TestEveryFunctionWithAnErrorReturnsItWithoutGuard(t *testing.T) {
	eachTrouble(t, func(t *testing.T, r *Region, name string, tr trouble) { tryMethods(t, r, name, tr) })
}
