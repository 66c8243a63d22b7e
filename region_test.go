package mmap

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

var (
	_ io.ReaderAt = (*Region)(nil)
	_ io.WriterAt = (*Region)(nil)
	_ io.WriterTo = (*Region)(nil)
	_ io.Closer   = (*Region)(nil)
)

func TestReadAt(t *testing.T) {
	page := os.Getpagesize()
	size := 2*page + 1808
	data := pattern(size)
	r := open(t, tempFile(t, data), ReadOnly)
	for _, tt := range []struct {
		off  int64
		size int
		n    int
		err  error
	}{
		{0, size, size, nil},
		{0, 0, 0, nil},
		{5, 10, 10, nil},
		{int64(page - 6), page, page, nil},
		{int64(size - 1), 1, 1, nil},
		{int64(size - 1), 2, 1, io.EOF},
		{0, size + 1, size, io.EOF},
		{int64(size), 0, 0, nil},
		{int64(size), 1, 0, io.EOF},
		{int64(size + 1), 1, 0, io.EOF},
		{math.MaxInt64, 8, 0, io.EOF},
		{-1, 8, 0, ErrRange},
		{math.MinInt64, 8, 0, ErrRange},
	} {
		p := make([]byte, tt.size)
		n, err := r.ReadAt(p, tt.off)
		if n != tt.n || !errors.Is(err, tt.err) {
			t.Errorf("ReadAt(%d bytes, %d) = %d, %v; want %d, %v", tt.size, tt.off, n, err, tt.n, tt.err)
		}
		if n > 0 && !bytes.Equal(p[:n], data[tt.off:tt.off+int64(n)]) {
			t.Errorf("ReadAt(%d bytes, %d) read other bytes", tt.size, tt.off)
		}
	}
	all, err := io.ReadAll(io.NewSectionReader(r, 0, int64(r.Len())))
	if err != nil || !bytes.Equal(all, data) {
		t.Errorf("io.SectionReader read %d bytes, %v", len(all), err)
	}
}

func TestWriteAt(t *testing.T) {
	page := os.Getpagesize()
	size := 2*page + 1808
	model := pattern(size)
	name := tempFile(t, model)
	r := open(t, name, ReadWrite)
	for _, tt := range []struct {
		off  int64
		size int
		n    int
		err  error
	}{
		{0, 7, 7, nil},
		{int64(page - 3), 9, 9, nil},
		{int64(size - 1), 1, 1, nil},
		{int64(size - 2), 3, 2, ErrRange},
		{int64(size), 0, 0, nil},
		{int64(size), 1, 0, ErrRange},
		{int64(size + 1), 0, 0, ErrRange},
		{math.MaxInt64, 8, 0, ErrRange},
		{-1, 8, 0, ErrRange},
		{-1, 0, 0, ErrRange},
	} {
		p := bytes.Repeat([]byte{byte(tt.off)}, tt.size)
		n, err := r.WriteAt(p, tt.off)
		if n != tt.n || !errors.Is(err, tt.err) {
			t.Errorf("WriteAt(%d bytes, %d) = %d, %v; want %d, %v", tt.size, tt.off, n, err, tt.n, tt.err)
		}
		if n > 0 {
			copy(model[tt.off:], p[:n])
		}
	}
	if !bytes.Equal(contents(t, name), model) {
		t.Error("the file has other bytes than were written")
	}
	_, err := r.WriteAt([]byte("abc"), int64(size-1))
	wantErr(t, err, ErrRange, "3 bytes", itoa(size-1), name, itoa(size))
}

func TestAReadOnlyRegionRefusesToWrite(t *testing.T) {
	name := tempFile(t, []byte("abcd"))
	r := open(t, name, ReadOnly)
	n, err := r.WriteAt([]byte("xy"), 1)
	if n != 0 {
		t.Errorf("wrote %d bytes", n)
	}
	wantErr(t, err, ErrReadOnly, name, "2 bytes", "offset 1")
	wantErr(t, err, fs.ErrPermission)
	wantErr(t, Put(r, 0, int16(5)), ErrReadOnly, name)
	wantErr(t, r.Resize(2), ErrReadOnly, name)
	if got := string(contents(t, name)); got != "abcd" {
		t.Errorf("the file has %q", got)
	}
}

// shortWriter takes n bytes and then fails.
type shortWriter struct {
	n   int
	err error
}

func (w *shortWriter) Write(p []byte) (int, error) {
	k := min(w.n, len(p))
	w.n -= k
	if k < len(p) {
		return k, w.err
	}
	return k, nil
}

func TestWriteToCopiesEverything(t *testing.T) {
	data := pattern(300001)
	r := open(t, tempFile(t, data), ReadOnly)
	var buf bytes.Buffer
	if n, err := r.WriteTo(&buf); n != int64(len(data)) || err != nil || !bytes.Equal(buf.Bytes(), data) {
		t.Errorf("WriteTo a buffer = %d, %v", n, err)
	}
	out := filepath.Join(t.TempDir(), "out")
	f, err := os.Create(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if n, err := r.WriteTo(f); n != int64(len(data)) || err != nil || !bytes.Equal(contents(t, out), data) {
		t.Errorf("WriteTo a file = %d, %v", n, err)
	}
	broken := errors.New("broken pipe")
	if n, err := r.WriteTo(&shortWriter{70000, broken}); n != 70000 || err != broken {
		t.Errorf("WriteTo a writer that fails after 70000 bytes = %d, %v", n, err)
	}
	if n, err := r.WriteTo(&shortWriter{70000, nil}); n != 70000 || err != io.ErrShortWrite {
		t.Errorf("WriteTo a writer that takes 70000 bytes = %d, %v", n, err)
	}
}

func TestSyncAndFlushTakeAnyRangeWithin(t *testing.T) {
	data := pattern(3 * os.Getpagesize())
	name := tempFile(t, data)
	for _, c := range []Config{{Mode: ReadWrite}, {Mode: ReadWrite, Offset: 5}, {Mode: ReadOnly}, {Mode: CopyOnWrite}} {
		r, err := c.Open(name)
		need(t, r, err)
		for _, tt := range []struct {
			off, n int
			err    error
		}{
			{0, 0, nil}, {0, 1, nil}, {1, 1, nil}, {os.Getpagesize() - 1, 2, nil}, {0, r.Len(), nil}, {r.Len(), 0, nil},
			{0, r.Len() + 1, ErrRange}, {r.Len(), 1, ErrRange}, {-1, 1, ErrRange}, {1, -1, ErrRange},
			{math.MaxInt, 1, ErrRange}, {1, math.MaxInt, ErrRange}, {math.MaxInt, math.MaxInt, ErrRange},
		} {
			for what, got := range map[string]error{
				"SyncRange": r.SyncRange(tt.off, tt.n), "Flush": r.Flush(tt.off, tt.n), "Populate": r.Populate(tt.off, tt.n),
				"Advise": r.Advise(tt.off, tt.n, Normal), "Unlock": r.Unlock(tt.off, tt.n),
			} {
				if !errors.Is(got, tt.err) {
					t.Errorf("%v: %s(%d, %d) = %v, want %v", r, what, tt.off, tt.n, got, tt.err)
				}
			}
		}
		if err := r.Sync(); err != nil {
			t.Errorf("%v: Sync: %v", r, err)
		}
	}
}

func TestEveryMethodAfterCloseSaysClosed(t *testing.T) {
	name := tempFile(t, pattern(100))
	for _, mode := range []Mode{ReadOnly, ReadWrite, CopyOnWrite} {
		r := open(t, name, mode)
		v, err := ViewOf[int32](r, 0, 4)
		if err != nil {
			t.Fatal(err)
		}
		addr := r.Addr()
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Errorf("second Close: %v", err)
		}
		if r.Len() != 0 || r.Cap() != 0 || r.Bytes() != nil || r.Addr() != addr {
			t.Errorf("%v: Len %d, Cap %d, Addr %#x", r, r.Len(), r.Cap(), r.Addr())
		}
		if !strings.Contains(r.String(), "closed") {
			t.Errorf("String is %q", r)
		}
		_, readErr := r.ReadAt(make([]byte, 1), 0)
		_, readNothing := r.ReadAt(nil, 5)
		_, writeErr := r.WriteAt([]byte{1}, 0)
		_, writeToErr := r.WriteTo(io.Discard)
		_, residentErr := r.Resident(0, 0)
		_, getErr := Get[int32](r, 0)
		_, viewErr := ViewOf[int32](r, 0, 0)
		_, structErr := StructViewOf[[2]int32](r, 0, 1)
		_, atomicErr := AtomicOf[int32](r, 0, 1)
		_, bigErr := BigEndianOf[int32](r, 0, 1)
		_, littleErr := LittleEndianOf[int32](r, 0, ToEnd)
		for what, err := range map[string]error{
			"ReadAt": readErr, "ReadAt of nothing": readNothing, "WriteAt": writeErr, "WriteTo": writeToErr, "Get": getErr,
			"Put": Put(r, 0, int32(1)), "Sync": r.Sync(), "SyncRange": r.SyncRange(0, 0), "Flush": r.Flush(0, 0),
			"Resize": r.Resize(1), "Refresh": r.Refresh(), "Protect": r.Protect(ReadOnly), "Populate": r.Populate(0, 0),
			"Advise": r.Advise(0, 0, Normal), "Lock": r.Lock(0, 0), "Unlock": r.Unlock(0, ToEnd), "Resident": residentErr,
			"View.Populate": v.Populate(), "View.Sync": v.Sync(), "empty View.Sync": v.Sub(0, 0).Sync(), "ViewOf": viewErr, "StructViewOf": structErr, "AtomicOf": atomicErr,
			"BigEndianOf": bigErr, "LittleEndianOf": littleErr,
		} {
			if !errors.Is(err, ErrClosed) || !errors.Is(err, fs.ErrClosed) {
				t.Errorf("%v: %s: %v, want ErrClosed", mode, what, err)
			} else if !strings.Contains(err.Error(), name) {
				t.Errorf("%s: %q does not name the file", what, err)
			}
		}
	}
}

func TestProtect(t *testing.T) {
	for _, tt := range []struct {
		mapped, to Mode
		err        error
	}{
		{ReadWrite, ReadOnly, nil},
		{ReadWrite, ReadWrite, nil},
		{ReadWrite, CopyOnWrite, errors.ErrUnsupported},
		{CopyOnWrite, ReadOnly, nil},
		{CopyOnWrite, ReadWrite, errors.ErrUnsupported},
		{ReadOnly, ReadOnly, nil},
		{ReadOnly, ReadWrite, fs.ErrPermission}, // opened for reading
		{ReadOnly, CopyOnWrite, errors.ErrUnsupported},
		{ReadWrite, Mode(9), errors.ErrUnsupported},
	} {
		name := tempFile(t, pattern(100))
		r := open(t, name, tt.mapped)
		err := r.Protect(tt.to)
		if !errors.Is(err, tt.err) {
			t.Errorf("%v to %v: %v, want %v", tt.mapped, tt.to, err, tt.err)
		}
		want := tt.to
		if tt.err != nil {
			want = tt.mapped
		}
		if r.Mode() != want {
			t.Errorf("%v to %v: mode is %v afterwards", tt.mapped, tt.to, r.Mode())
		}
		_, err = r.WriteAt([]byte{1}, 0)
		if want == ReadOnly {
			wantErr(t, err, ErrReadOnly)
		} else if err != nil {
			t.Errorf("%v to %v: %v", tt.mapped, tt.to, err)
		}
		if err := r.Protect(tt.mapped); err != nil {
			t.Errorf("back to %v: %v", tt.mapped, err)
		}
	}
}

func TestAReadOnlyRegionOfAWritableFileCanBecomeWritable(t *testing.T) {
	name := tempFile(t, []byte("abcd"))
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := Config{Reserve: 100}.Map(f)
	need(t, r, err)
	if err := r.Protect(ReadWrite); err != nil {
		t.Fatal(err)
	}
	r.Bytes()[0] = 'X'
	if err := r.Resize(5); err != nil {
		t.Error(err)
	}
	if got := string(contents(t, name)); got != "Xbcd\x00" {
		t.Errorf("the file has %q", got)
	}
}

func TestTwoRegionsOfOneFileShareItsBytes(t *testing.T) {
	name := tempFile(t, make([]byte, 10000))
	a, b := open(t, name, ReadWrite), open(t, name, ReadOnly)
	for off := 0; off < 10000; off += 1111 {
		if err := Put(a, off, uint8(off)); err != nil {
			t.Fatal(err)
		}
		if got, err := Get[uint8](b, off); got != uint8(off) || err != nil {
			t.Errorf("offset %d: %d, %v", off, got, err)
		}
	}
}

func TestCopyingIntoAReadOnlyRegion(t *testing.T) {
	name := tempFile(t, pattern(20000))
	r := open(t, name, ReadOnly)
	other := open(t, tempFile(t, pattern(4096)), ReadOnly)
	for _, into := range []*Region{r, other} {
		n, err := r.ReadAt(into.Bytes()[:100], 16384)
		var fault *FaultError
		if n != 0 || !errors.As(err, &fault) || fault.Region != into || fault.Offset != 0 || fault.Err != ErrReadOnly {
			t.Errorf("%d, %v, want a fault at offset 0 of %v with ErrReadOnly", n, err, into)
		}
	}
}

func TestReadAtAndWriteAtCountExactlyWhenClosedMeanwhile(t *testing.T) {
	const size = 4 << 20
	name := tempFile(t, bytes.Repeat([]byte{0x5A}, size))
	for i := range rounds(40) {
		r := open(t, name, ReadWrite)
		off := int64(i * 100)
		p := make([]byte, size-off)
		begun, done := make(chan struct{}), make(chan error)
		go func() {
			<-begun
			done <- r.Close()
		}()
		close(begun)
		for {
			clear(p)
			var n int
			var err error
			if i%2 == 0 {
				n, err = r.ReadAt(p, off)
				if !bytes.Equal(p[:n], bytes.Repeat([]byte{0x5A}, n)) {
					t.Errorf("ReadAt read bytes that never were in the file")
				}
			} else {
				n, err = r.WriteAt(bytes.Repeat([]byte{0x5A}, len(p)), off)
			}
			if err == nil {
				runtime.Gosched()
				continue
			}
			wantErr(t, err, ErrClosed, name)
			var f *FaultError
			if errors.As(err, &f) && int64(n) != int64(f.Offset)-off {
				t.Errorf("%d bytes at %d, but %v", n, off, err)
			} else if f == nil && n != 0 {
				t.Errorf("%d bytes at %d and %v", n, off, err)
			}
			break
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
}
