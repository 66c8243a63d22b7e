package mmap

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestReservationsOverALargeHeapDoNotStall(t *testing.T) {
	if is64 == 0 {
		t.Skip("a 32-bit address space has no 64 GiB to reserve")
	}
	if emulated() {
		t.Skipf("how long something takes says nothing on an emulated processor (%s)", roundsVariable)
	}
	rounds, heap := "40000", "1000"
	if testing.Short() || raceDetector {
		rounds, heap = "2500", "100"
	}
	t.Log(runChild(t, childStall, rounds, heap))
}

// A heapNode is heap memory that the collector has to follow, pointer by pointer.
type heapNode struct {
	left, right *heapNode
	_           [2]uintptr
}

func newHeap(nodes int) *heapNode {
	if nodes == 0 {
		return nil
	}
	return &heapNode{left: newHeap((nodes - 1) / 2), right: newHeap(nodes / 2)}
}

var childStall = registerChild("reservations over a large heap", func(t testing.TB, args []string) {
	rounds, _ := strconv.Atoi(args[0])
	heap, _ := strconv.Atoi(args[1])
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil || uint64(info.Freeram)*uint64(info.Unit) < 3*uint64(heap)<<20 {
		t.Skipf("memory is short for a heap of %d MB", heap)
	}
	keep := newHeap(heap << 20 / 32)
	name := tempFile(t, quiet(100))
	took := make([]time.Duration, rounds)
	for i := range took {
		begin := time.Now()
		r, err := Config{Mode: ReadWrite, Reserve: 64 << 30}.Open(name)
		if err != nil {
			t.Fatalf("round %d: %v", i, err)
		}
		r.Bytes()
		r.Close()
		took[i] = time.Since(begin)
	}
	slices.Sort(took)
	second := took[rounds-2] // the worst may be the machine's
	fmt.Printf("%d rounds: the slowest took %v and %v, the median %v", rounds, took[rounds-1], second, took[rounds/2])
	if second > time.Second/10 {
		t.Errorf("two rounds took %v and more", second)
	}
	runtime.KeepAlive(keep)
})

func TestCloseUnmapsWhatWasNeverInReach(t *testing.T) {
	page := os.Getpagesize()
	reserve := int64(1<<28) << (12 * is64)
	for _, exposes := range []string{"nothing", "bytes", "all"} {
		r, err := Config{Reserve: reserve, Sparse: true}.Create(filepath.Join(t.TempDir(), "f"), int64(page))
		need(t, r, err)
		want := uintptr(page)
		switch exposes {
		case "bytes":
			r.Bytes()
		case "all":
			r.Reserved()
			want = uintptr(reserve)
		}
		m := r.o.mapping
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if m.space.size != want || m.node.size != want {
			t.Errorf("%s handed out: %d bytes are kept, want %d", exposes, m.space.size, want)
		}
		if mapsAt(t, r.Addr()) != tombstone || mapsAt(t, r.Addr()+want-1) != tombstone {
			t.Errorf("%s handed out: what was in reach is not a tombstone", exposes)
		}
		if far := r.Addr() + uintptr(reserve) - 1; exposes != "all" && registry.find(far) == m {
			t.Errorf("%s handed out: the end of the reservation is still the region's", exposes)
		}
	}
}
