//go:build race

package mmap

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
)

// Two files that a server gave one inode number, and what the detector says of them.
var childNumbers = registerChild("racers on a server", func(t testing.TB, names []string) {
	say := func(what string, fns ...func()) {
		before := runtime.RaceErrors()
		unseenTurns(t, fns...)
		fmt.Printf("%v: %s\n", runtime.RaceErrors() > before, what)
	}
	a, b, again := open(t, names[0], ReadWrite), open(t, names[1], ReadWrite), open(t, names[0], ReadWrite)
	if a.o.file.inode != b.o.file.inode {
		t.Fatal("the files have two numbers")
	}
	store := func(r *Region) func() { return func() { Put[uint32](r, 40, 1) } }
	say("stores to both", store(a), store(b))
	say("stores to one, through one region", store(a), store(a))
	heap := new(int)
	flag, same := atomicAt[uint32](t, a, 8), atomicAt[uint32](t, again, 8)
	say("a flag that is reached by separate Opens", func() { *heap = 1; flag.Store(0, 1) }, func() { spin(same, 1); *heap = 2 })
	f, err := os.OpenFile(names[0], os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c, err := Map(f, ReadWrite)
	need(t, c, err)
	d, err := Map(f, ReadWrite)
	say("stores to one, through regions of one os.File", store(c), store(need(t, d, err)))
	g, err := os.OpenFile(names[1], os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	e, err := Map(g, ReadWrite)
	say("stores to both, of two os.Files", func() { Put[uint32](c, 60, 1) }, func() { Put[uint32](need(t, e, err), 60, 1) })
})

func TestFilesOfOneNumberAreNotMistakenForOneByTheDetector(t *testing.T) {
	fs := newFuse(t)
	names := []string{fs.create("a", 8192, 0, 77), fs.create("b", 8192, 0, 77)}
	verdicts, stderr, _ := raceVerdicts(t, childCommand(t, childNumbers, names...))
	for what, racy := range map[string]bool{
		"stores to both": false, "stores to both, of two os.Files": false, "stores to one, through one region": true,
		"a flag that is reached by separate Opens": false, "stores to one, through regions of one os.File": true,
	} {
		if got, is := verdicts[what]; got != racy || !is {
			t.Errorf("%s: reported %v (%v), want %v\n%s", what, got, is, racy, strings.TrimSpace(shortened(stderr)))
		}
	}
}
