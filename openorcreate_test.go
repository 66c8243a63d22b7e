package mmap

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

func TestOpenOrCreateKeepsWhatIsThereAndNeverMakesItShorter(t *testing.T) {
	for _, sparse := range []bool{false, true} {
		for _, tt := range []struct {
			there         int // bytes of the file before; -1: no file
			c             Config
			size          int64
			file, off, to int // bytes of the file after, and which of them the region has
		}{
			{-1, Config{}, 100, 100, 0, 100},
			{-1, Config{}, 0, 0, 0, 0},
			{10, Config{}, 100, 100, 0, 100},
			{100, Config{}, 10, 100, 0, 100},
			{100, Config{}, 0, 100, 0, 100},
			{100, Config{Offset: 60}, 50, 100, 60, 100},
			{100, Config{Offset: 100}, 50, 100, 100, 100},
			{10, Config{Offset: 5, Length: 20}, 50, 50, 5, 25},
			{10, Config{Mode: ReadWrite, Reserve: 1 << 20}, 50, 50, 0, 50},
		} {
			t.Run(fmt.Sprintf("sparse=%v/%d bytes/%+v/size=%d", sparse, tt.there, tt.c, tt.size), func(t *testing.T) {
				name := filepath.Join(t.TempDir(), "file")
				want := make([]byte, tt.file)
				if tt.there >= 0 {
					copy(want, pattern(tt.there))
					if err := os.WriteFile(name, pattern(tt.there), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				tt.c.Sparse = sparse
				r, err := tt.c.OpenOrCreate(name, tt.size)
				need(t, r, err)
				if r.Mode() != ReadWrite || r.Offset() != tt.c.Offset || r.Name() != name {
					t.Errorf("%v", r)
				}
				if !bytes.Equal(contents(t, name), want) || !bytes.Equal(r.Bytes(), want[tt.off:tt.to]) {
					t.Errorf("the file has %d bytes, the region %d; want %d and %d", len(contents(t, name)), r.Len(), tt.file, tt.to-tt.off)
				}
			})
		}
	}
}

func TestAFailedOpenOrCreateLeavesTheFile(t *testing.T) {
	taken := anonymousRegion(t, 1)
	name := tempFile(t, pattern(10))
	for _, tt := range []struct {
		c    Config
		size int64
		kind error
	}{
		{Config{Length: 100}, 50, ErrRange},
		{Config{Offset: 51}, 50, ErrRange},
		{Config{Addr: taken.Addr()}, 50, fs.ErrExist},
		{Config{Mode: CopyOnWrite}, 50, errors.ErrUnsupported},
	} {
		_, err := tt.c.OpenOrCreate(name, tt.size)
		wantSentence(t, err, tt.kind, name)
		if !bytes.Equal(contents(t, name), pattern(10)) {
			t.Errorf("%+v: the file has other bytes now", tt.c)
		}
	}
	fresh := filepath.Join(t.TempDir(), "new")
	_, err := Config{Addr: taken.Addr()}.OpenOrCreate(fresh, 50)
	wantSentence(t, err, fs.ErrExist, fresh)
	if n := len(contents(t, fresh)); n != 0 {
		t.Errorf("the new file has %d bytes, want it empty", n)
	}
	_, err = Config{Mode: CopyOnWrite}.Create(name, 5)
	wantSentence(t, err, errors.ErrUnsupported, "CopyOnWrite", name)
	_, err = Config{Mode: CopyOnWrite}.Anonymous(5)
	wantSentence(t, err, errors.ErrUnsupported, "CopyOnWrite")
}

// Who calls it at the same time maps the same file, and nobody's bytes are lost.
func TestOpenOrCreateAtTheSameTimeIsOneFile(t *testing.T) {
	needMappings(t)
	const callers = 8
	for range 20 {
		name := filepath.Join(t.TempDir(), "file")
		t.Cleanup(func() { letGo(t, name) })
		var all sync.WaitGroup
		for i := range callers {
			all.Go(func() {
				r, err := OpenOrCreate(name, callers)
				if err != nil {
					t.Error(err)
					return
				}
				defer r.Close()
				if err := Put(r, i, uint8(i+1)); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if got := contents(t, name); !bytes.Equal(got, []byte{1, 2, 3, 4, 5, 6, 7, 8}) {
			t.Fatalf("the file has %v", got)
		}
	}
}
