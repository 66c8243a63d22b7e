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

func TestOpenMapsTheWholeFileInEveryMode(t *testing.T) {
	data := pattern(3*os.Getpagesize() + 17)
	for _, mode := range []Mode{ReadOnly, ReadWrite, CopyOnWrite} {
		t.Run(mode.String(), func(t *testing.T) {
			name := tempFile(t, data)
			r := open(t, name, mode)
			if r.Len() != len(data) || r.Cap() != len(data) || r.Offset() != 0 || r.Mode() != mode || r.Addr() == 0 {
				t.Errorf("Len %d, Cap %d, Offset %d, Mode %v, Addr %#x", r.Len(), r.Cap(), r.Offset(), r.Mode(), r.Addr())
			}
			if !bytes.Equal(r.Bytes(), data) {
				t.Error("the mapped bytes are not those of the file")
			}
			if got := cap(r.Bytes()); got != len(data) {
				t.Errorf("Bytes has capacity %d: an append would store beyond the region", got)
			}
			for _, want := range []string{name, mode.String()} {
				if !strings.Contains(r.String(), want) {
					t.Errorf("String %q lacks %q", r, want)
				}
			}
		})
	}
}

func TestStoresReachTheFileOnlyWhenShared(t *testing.T) {
	for mode, want := range map[Mode]string{ReadWrite: "Xbc", CopyOnWrite: "abc"} {
		name := tempFile(t, []byte("abc"))
		r := open(t, name, mode)
		r.Bytes()[0] = 'X'
		if got := string(r.Bytes()); got != "Xbc" {
			t.Errorf("%v: region reads %q after a store", mode, got)
		}
		if got := string(contents(t, name)); got != want {
			t.Errorf("%v: file has %q, want %q", mode, got, want)
		}
	}
}

func TestOffsetMayBeAnyByte(t *testing.T) {
	needMappings(t)
	page := os.Getpagesize()
	data := pattern(3 * page)
	name := tempFile(t, data)
	for _, off := range []int{0, 1, 6, page - 1, page, page + 1, 2*page + 4095, 3*page - 1} {
		for _, length := range []int{0, 1, 3*page - off} {
			r, err := Config{Offset: int64(off), Length: int64(length)}.Open(name)
			if err != nil {
				t.Fatalf("offset %d, length %d: %v", off, length, err)
			}
			want := data[off:]
			if length > 0 {
				want = want[:length]
			}
			if !bytes.Equal(r.Bytes(), want) || r.Offset() != int64(off) {
				t.Errorf("offset %d, length %d: %d bytes, not the file's", off, length, r.Len())
			}
			if r.Addr()%uintptr(page) != uintptr(off%page) {
				t.Errorf("offset %d: first byte at address %#x, not that far into a page", off, r.Addr())
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestEmptyFileIsARegionOfNoBytes(t *testing.T) {
	name := tempFile(t, nil)
	for _, mode := range []Mode{ReadOnly, ReadWrite, CopyOnWrite} {
		r := open(t, name, mode)
		if b := r.Bytes(); b == nil || len(b) != 0 || r.Len() != 0 {
			t.Errorf("%v: Bytes %#v, Len %d", mode, b, r.Len())
		}
		n, err := r.ReadAt(make([]byte, 1), 0)
		if n != 0 || err != io.EOF {
			t.Errorf("%v: ReadAt: %d, %v", mode, n, err)
		}
		v, err := ViewOf[int64](r, 0, ToEnd)
		if err != nil || v.Len() != 0 || len(v.Slice()) != 0 {
			t.Errorf("%v: view of %d elements, %v", mode, v.Len(), err)
		}
		if err := r.Sync(); err != nil {
			t.Error(err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if r.Bytes() != nil {
			t.Errorf("%v: Bytes is not nil after Close", mode)
		}
	}
}

func TestRangesOutsideTheFileAreRefused(t *testing.T) {
	name := tempFile(t, make([]byte, 100))
	const huge = math.MaxInt64
	for _, tt := range []struct {
		name  string
		c     Config
		words []string
	}{
		{"length beyond the end", Config{Length: 101}, []string{"101", "100", name}},
		{"offset and length beyond the end", Config{Offset: 60, Length: 41}, []string{"41", "60", "100"}},
		{"offset beyond the end", Config{Offset: 101}, []string{"101", "100"}},
		{"negative offset", Config{Offset: -1}, []string{"-1"}},
		{"negative length", Config{Length: -1}, []string{"-1"}},
		{"negative reservation", Config{Reserve: -1}, []string{"-1"}},
		{"overflowing sum", Config{Offset: huge, Length: 1}, []string{"overflows"}},
		{"overflowing sum of two large", Config{Offset: huge/2 + 1, Length: huge/2 + 1}, []string{"overflows"}},
		{"length over the address space", Config{Length: huge}, []string{"address space"}},
		{"reservation over the address space", Config{Reserve: huge}, []string{"address space"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.c.check("map", name, regular) == nil {
				needMappings(t) // for the size of the file
			}
			r, err := tt.c.Open(name)
			wantErr(t, err, ErrRange, tt.words...)
			if r != nil {
				t.Error("a region came with the error")
			}
			tt.c.Mode = ReadWrite
			// Nothing that check refuses gets as far as the file's name.
			if tt.c.check("map", name, regular) != nil {
				_, err = tt.c.Open(filepath.Join(name, "no such file"))
				wantErr(t, err, ErrRange)
			}
		})
	}
}

func TestMoreThanA32BitAddressSpaceIsRefusedThere(t *testing.T) {
	if math.MaxInt > math.MaxInt32 {
		t.Skip("int has 64 bits here; GOARCH=386 go test runs this")
	}
	name := filepath.Join(t.TempDir(), "large")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const size = 5 << 30 // sparse
	if err := f.Truncate(size); err != nil {
		t.Skipf("the file system has no file of %d bytes: %v", int64(size), err)
	}
	_, err = Map(f, ReadOnly)
	wantErr(t, err, ErrRange, "5368709120", "address space")
	_, err = Config{Offset: 1, Length: math.MaxInt32}.Map(f)
	wantErr(t, err, ErrRange, "address space")
	if _, err := f.WriteAt([]byte("beyond 4 GiB"), 4<<30+5); err != nil {
		t.Fatal(err)
	}
	r, err := Config{Offset: 4<<30 + 5, Length: 12}.Map(f)
	need(t, r, err)
	if got := string(r.Bytes()); got != "beyond 4 GiB" {
		t.Errorf("read %q", got)
	}
}

func TestSystemErrorsArePathErrors(t *testing.T) {
	needMappings(t)
	dir := t.TempDir()
	for _, tt := range []struct {
		name string
		open func() (*Region, error)
		is   error
	}{
		{"no file", func() (*Region, error) { return Open(filepath.Join(dir, "none"), ReadOnly) }, fs.ErrNotExist},
		{"directory", func() (*Region, error) { return Open(dir, ReadOnly) }, nil},
		{"directory for writing", func() (*Region, error) { return Open(dir, ReadWrite) }, nil},
		{"file in no directory", func() (*Region, error) { return Create(filepath.Join(dir, "none", "f"), 1) }, fs.ErrNotExist},
		{"file over a directory", func() (*Region, error) { return Create(dir, 1) }, nil},
		{"closed file", func() (*Region, error) {
			f, err := os.Create(filepath.Join(dir, "closed"))
			if err != nil {
				t.Fatal(err)
			}
			f.Close()
			return Map(f, ReadOnly)
		}, fs.ErrClosed},
		{"write-only file", func() (*Region, error) {
			f, err := os.OpenFile(filepath.Join(dir, "writeonly"), os.O_WRONLY|os.O_CREATE, 0o600)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			f.WriteString("some")
			return Map(f, ReadWrite)
		}, fs.ErrPermission},
		{"file opened for reading", func() (*Region, error) {
			f, err := os.Open(tempFile(t, []byte("some")))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			return Map(f, ReadWrite)
		}, fs.ErrPermission},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := tt.open()
			var pe *fs.PathError
			if r != nil || !errors.As(err, &pe) {
				t.Fatalf("region %v, error %v: want an *fs.PathError", r, err)
			}
			if tt.is != nil {
				wantErr(t, err, tt.is)
			}
			if pe.Path == "" || pe.Op == "" {
				t.Errorf("the error names operation %q and path %q", pe.Op, pe.Path)
			}
		})
	}
}

func TestAFilePermissionIsNeeded(t *testing.T) {
	needMappings(t)
	switch {
	case os.Geteuid() == 0:
		t.Skip("root may open every file")
	case runtime.GOOS == "windows":
		t.Skip("a file's mode has no bits for reading on Windows")
	}
	name := tempFile(t, []byte("secret"))
	if err := os.Chmod(name, 0); err != nil {
		t.Fatal(err)
	}
	_, err := Open(name, ReadOnly)
	wantErr(t, err, fs.ErrPermission, name)
}

func TestCreateMakesAPrivateFileOfZeros(t *testing.T) {
	name := filepath.Join(t.TempDir(), "new.bin")
	r, err := Create(name, 10000)
	need(t, r, err)
	if r.Len() != 10000 || r.Mode() != ReadWrite {
		t.Errorf("%v", r)
	}
	if !bytes.Equal(contents(t, name), make([]byte, 10000)) {
		t.Error("the file is not 10000 zeros")
	}
	fi, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	if fi.Mode().Perm() != 0o600 && runtime.GOOS != "windows" { // where access follows the directory
		t.Errorf("the file's mode is %v", fi.Mode())
	}
}

func TestCreateUsesPerm(t *testing.T) {
	name := filepath.Join(t.TempDir(), "new.bin")
	r, err := Config{Perm: 0o640}.Create(name, 1)
	need(t, r, err)
	fi, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS == "windows" {
		t.Skip("a file's mode has only the read-only bit on Windows; access follows the directory")
	}
	if fi.Mode().Perm()&^0o640 != 0 || fi.Mode().Perm()&0o600 != 0o600 {
		t.Errorf("the file's mode is %v", fi.Mode())
	}
}

func TestCreateEmptiesAFileThatIsThere(t *testing.T) {
	name := tempFile(t, pattern(20000))
	r, err := Create(name, 8)
	need(t, r, err)
	if got := contents(t, name); !bytes.Equal(got, make([]byte, 8)) {
		t.Errorf("the file has %d bytes, %x", len(got), got[:min(8, len(got))])
	}
}

func TestCreateOfWhatCannotBeLeavesNoFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "new.bin")
	for _, tt := range []struct {
		c    Config
		size int64
	}{
		{Config{}, -1},
		{Config{Length: 11}, 10},
		{Config{Offset: 11}, 10},
		{Config{Reserve: -1}, 10},
	} {
		_, err := tt.c.Create(name, tt.size)
		wantErr(t, err, ErrRange)
		if _, err := os.Stat(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%+v: the file is there: %v", tt.c, err)
		}
	}
	// This one fails in the last step, after the file was made.
	taken, err := Anonymous(1)
	need(t, taken, err)
	if _, err := (Config{Addr: taken.Addr()}).Create(name, 10); err == nil {
		t.Error("mapped over another mapping")
	}
	if _, err := os.Stat(name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file is there: %v", err)
	}
}

func TestCreateOfAWindowOfTheFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "new.bin")
	r, err := Config{Offset: 5, Length: 3}.Create(name, 10)
	need(t, r, err)
	copy(r.Bytes(), "abc")
	if got := string(contents(t, name)); got != "\x00\x00\x00\x00\x00abc\x00\x00" {
		t.Errorf("the file has %q", got)
	}
}

func TestAnonymousMemoryIsZeroAndWritable(t *testing.T) {
	r, err := Anonymous(100000)
	need(t, r, err)
	if r.Len() != 100000 || r.Mode() != ReadWrite || !bytes.Equal(r.Bytes(), make([]byte, 100000)) {
		t.Errorf("%v is not 100000 writable zeros", r)
	}
	if _, err := r.WriteAt([]byte("abc"), 99997); err != nil {
		t.Error(err)
	}
	if err := r.Sync(); err != nil {
		t.Errorf("Sync of memory: %v", err)
	}
	for _, bad := range []struct {
		c    Config
		size int64
	}{{Config{}, -1}, {Config{}, math.MaxInt64}, {Config{Offset: 1}, 10}, {Config{Length: 5}, 10}} {
		_, err := bad.c.Anonymous(bad.size)
		wantErr(t, err, ErrRange, "anonymous memory")
	}
}

func TestAnEmptyFileNeedsTheAccessThatTheModeAsksFor(t *testing.T) {
	needMappings(t)
	name := tempFile(t, nil)
	for _, tt := range []struct {
		flag int
		mode Mode
		err  error
	}{
		{os.O_RDONLY, ReadOnly, nil},
		{os.O_RDONLY, CopyOnWrite, nil},
		{os.O_RDONLY, ReadWrite, fs.ErrPermission},
		{os.O_WRONLY, ReadOnly, fs.ErrPermission},
		{os.O_WRONLY, ReadWrite, fs.ErrPermission},
		{os.O_RDWR, ReadWrite, nil},
	} {
		f, err := os.OpenFile(name, tt.flag, 0)
		if err != nil {
			t.Fatal(err)
		}
		r, err := Map(f, tt.mode)
		f.Close()
		if !errors.Is(err, tt.err) {
			t.Errorf("open flag %d, %v: %v, want %v", tt.flag, tt.mode, err, tt.err)
		}
		if err == nil {
			r.Close()
		}
	}
}

func TestCreateThroughASymbolicLink(t *testing.T) {
	dir := t.TempDir()
	link, target := filepath.Join(dir, "link"), filepath.Join(dir, "target")
	if err := os.Symlink("target", link); err != nil {
		t.Skipf("no symbolic links: %v", err)
	}
	if to, err := os.Readlink(link); to != "target" { // Wine makes something else
		t.Skipf("no symbolic links: this one leads to %q, %v", to, err)
	}
	// One byte more than any file can have.
	if _, err := (Config{Length: 1}.Create(link, math.MaxInt64)); err == nil {
		t.Fatal("a file of the largest size was made")
	}
	if _, err := os.Stat(target); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what Create made is still there: %v", err)
	}
	r, err := Create(link, 4)
	need(t, r, err)
	if err := errors.Join(Put(r, 0, int32(900)), r.Sync()); err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Lstat(target); err != nil || fi.Size() != 4 || fi.Mode() != 0o600 && runtime.GOOS != "windows" {
		t.Errorf("the target is %v, %v", fi, err)
	}
}

func TestUnknownModesAreRefused(t *testing.T) {
	name := tempFile(t, []byte("x"))
	for _, c := range []Config{{Mode: 3}, {Mode: -1}, {HugePages: 4}, {HugePages: -1}} {
		_, err := c.Open(name)
		wantErr(t, err, errors.ErrUnsupported, name)
	}
	for h, want := range []string{"NoHugePages", "TransparentHugePages", "HugePages2M", "HugePages1G", "HugePages(4)"} {
		if got := HugePages(h).String(); got != want {
			t.Errorf("HugePages(%d) is called %q, want %q", h, got, want)
		}
	}
	if got := Mode(7).String(); got != "Mode(7)" {
		t.Errorf("String of a bad mode: %q", got)
	}
}
