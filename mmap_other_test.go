//go:build (!unix && !windows) || aix

package mmap

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// A Config that other systems can satisfy is refused here with a sentence that
// names the file and the system.
func TestEveryConstructorSaysThatNothingCanBeMapped(t *testing.T) {
	data := pattern(100)
	there := tempFile(t, data)
	dir := t.TempDir()
	absent := filepath.Join(dir, "absent")
	f, err := os.OpenFile(there, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()

	refused := func(what string, name string, r *Region, err error) {
		t.Helper()
		if r != nil || err == nil {
			t.Errorf("%s: %v, %v; want no region and an error", what, r, err)
			return
		}
		wantSentence(t, err, errors.ErrUnsupported, name, runtime.GOOS)
	}
	const memory = "anonymous memory"
	for _, mode := range []Mode{ReadOnly, ReadWrite, CopyOnWrite} {
		r, err := Open(there, mode)
		refused("Open", there, r, err)
		r, err = Map(f, mode)
		refused("Map", there, r, err)
	}
	for _, name := range []string{there, absent} {
		r, err := Create(name, 50)
		refused("Create", name, r, err)
		r, err = OpenOrCreate(name, 500)
		refused("OpenOrCreate", name, r, err)
	}
	r, err := Anonymous(100)
	refused("Anonymous", memory, r, err)
	r, err = Shared("name", 100)
	refused("Shared", "name", r, err)
	wantSentence(t, RemoveShared("name"), errors.ErrUnsupported, "remove shared memory", "name")

	for what, c := range map[string]Config{
		"Addr":      {Addr: 1 << 20},
		"Reserve":   {Reserve: 1 << 20},
		"Populate":  {Populate: true},
		"Lock":      {Lock: true},
		"HugePages": {HugePages: TransparentHugePages},
		"Sparse":    {Sparse: true},
		"Exec":      {Exec: true},
		"Flags":     {Flags: 1},
	} {
		r, err := c.Open(there)
		refused("Open with "+what, there, r, err)
		r, err = c.Map(f)
		refused("Map with "+what, there, r, err)
		r, err = c.Create(absent, 50)
		refused("Create with "+what, absent, r, err)
		r, err = c.OpenOrCreate(there, 500)
		refused("OpenOrCreate with "+what, there, r, err)
		r, err = c.Anonymous(100)
		refused("Anonymous with "+what, memory, r, err)
	}

	diff(t, "the file that was there", contents(t, there), data)
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("the constructors left %v, %v", left, err)
	}
}

// Memory of no bytes takes nothing from the system. It is the only region here, and
// its methods are those of any other.
func TestMemoryOfNoBytesIsARegion(t *testing.T) {
	r := anonymousRegion(t, 0)
	if r.Len() != 0 || r.Cap() != 0 || r.Bytes() == nil || len(r.Bytes()) != 0 {
		t.Errorf("Len %d, Cap %d, Bytes %v", r.Len(), r.Cap(), r.Bytes())
	}
	for what, err := range map[string]error{
		"Sync":     r.Sync(),
		"Populate": r.Populate(0, ToEnd),
		"Flush":    r.Flush(0, ToEnd),
		"Protect":  r.Protect(ReadOnly),
	} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	wantSentence(t, r.Resize(1), ErrRange, "anonymous memory", "1")
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	wantSentence(t, r.Sync(), ErrClosed)
}
