package mmap

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Slow storage: a file system on which each read takes 2 ms (internal/fusetest).
//
//	go test -run '^$' -bench Slow .
//
// 64 goroutines on two processors read blocks of 64 KiB, each once, in a random
// order. Beside them a goroutine counts the beats of a ticker of 1 ms: how long others
// must wait. pread-reads and pread-beats are ratios: 1 is as good as pread(2).

const (
	slowDelay   = 2 * time.Millisecond
	slowReaders = 64
	slowBlock   = 64 << 10
)

// A slowFile is a file whose reads take long, and that is in no cache.
type slowFile struct {
	fs *fuseFS
	f  *os.File
	r  *Region
	v  View[uint64]
}

// newSlowFile makes one of n bytes, each of them a 1. The kernel reads ahead 4 KiB at
// most, so that a read is a read, or as it likes.
func newSlowFile(t testing.TB, n int, readsAhead bool) *slowFile {
	t.Helper()
	flags := []string{"-keep", "-valid", "1h"}
	if !readsAhead {
		flags = append(flags, "-readahead", "4096")
	}
	fs := newFuse(t, flags...)
	s := &slowFile{fs: fs, f: fuseOpen(t, fs.create("slow", n, 1))}
	r, err := Map(s.f, ReadOnly)
	s.r = need(t, r, err)
	s.v = mustView[uint64](s.r)
	fs.delay("read", "slow", slowDelay)
	return s
}

// A speed is how much is done in a second.
type speed struct{ reads, beats float64 }

// measure reads blocks until all are read or the time is over.
func (s *slowFile) measure(t testing.TB, most time.Duration, read func(off int) error) speed {
	t.Helper()
	s.fs.notify("slow")
	blocks := rand.Perm(s.r.Len() / slowBlock)
	runtime.GC()
	var next, beats atomic.Int64
	var readers, others sync.WaitGroup
	over := make(chan struct{})
	begin := time.Now()
	others.Go(func() {
		ticker := time.NewTicker(time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				beats.Add(1)
			case <-over:
				return
			}
		}
	})
	for range slowReaders {
		readers.Go(func() {
			for time.Since(begin) < most {
				i := int(next.Add(1)) - 1
				if i >= len(blocks) {
					return
				}
				if err := read(blocks[i] * slowBlock); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	readers.Wait()
	elapsed := time.Since(begin).Seconds()
	close(over)
	others.Wait()
	return speed{float64(min(next.Load(), int64(len(blocks)))) / elapsed, float64(beats.Load()) / elapsed}
}

// slowWays are the ways to read a block. The last is what to compare with: page faults.
func (s *slowFile) slowWays() []slowWay {
	buffers := sync.Pool{New: func() any { return new([slowBlock]byte) }}
	reading := func(read func(p []byte, off int64) (int, error)) func(off int) error {
		return func(off int) error {
			p := buffers.Get().(*[slowBlock]byte)
			defer buffers.Put(p)
			n, err := read(p[:], int64(off))
			if err == nil && (n != slowBlock || p[0] != 1 || p[slowBlock-1] != 1) {
				err = fmt.Errorf("%d bytes, %d to %d", n, p[0], p[slowBlock-1])
			}
			return err
		}
	}
	const ones = 0x0101010101010101
	loads := func(v View[uint64]) error {
		for i := 0; i < v.Len(); i += os.Getpagesize() / 8 {
			if x := v.At(i); x != ones {
				return fmt.Errorf("%#x at %d", x, v.Offset()+8*i)
			}
		}
		return nil
	}
	return []slowWay{
		{"pread", reading(s.f.ReadAt)},
		{"ReadAt", reading(s.r.ReadAt)},
		{"CopyTo", func(off int) error {
			p := make([]uint64, slowBlock/8)
			_, err := s.v.Sub(off/8, (off+slowBlock)/8).CopyTo(p)
			return err
		}},
		{"Populate, At", func(off int) error {
			v := s.v.Sub(off/8, (off+slowBlock)/8)
			if err := v.Populate(); err != nil {
				return err
			}
			return loads(v)
		}},
		{"Chunks, At", func(off int) error {
			for _, v := range s.v.Sub(off/8, (off+slowBlock)/8).Chunks(512) {
				if err := loads(v); err != nil {
					return err
				}
			}
			return nil
		}},
		{"At", func(off int) error { return loads(s.v.Sub(off/8, (off+slowBlock)/8)) }},
	}
}

type slowWay struct {
	name string
	read func(off int) error
}

// onTwoProcessors is for what measures waits: on more they hold up less.
func onTwoProcessors(t testing.TB) {
	old := runtime.GOMAXPROCS(2)
	t.Cleanup(func() { runtime.GOMAXPROCS(old) })
}

func TestReadsOfSlowStorageHoldNobodyUp(t *testing.T) {
	needLinuxWays(t, "system calls that bring pages in")
	if emulated() {
		t.Skip("an emulated processor has no speed")
	}
	onTwoProcessors(t)
	s := newSlowFile(t, 64<<20, true)
	ways := s.slowWays()
	const most = 200 * time.Millisecond
	// A machine that is busy with other things is given three tries.
	var said string
	for range 3 {
		pread := s.measure(t, most, ways[0].read)
		said = ""
		for _, way := range ways[1 : len(ways)-1] {
			got := s.measure(t, most, way.read)
			t.Logf("%s: %.0f reads/s, pread %.0f; %.0f beats/s, pread %.0f", way.name, got.reads, pread.reads, got.beats, pread.beats)
			if got.reads < pread.reads/2 || got.beats < pread.beats/2 {
				said += fmt.Sprintf("%s: %+v, pread %+v\n", way.name, got, pread)
			}
		}
		if said == "" {
			return
		}
	}
	t.Error(said)
}

func BenchmarkSlowBlocks(b *testing.B) {
	for _, readsAhead := range []bool{false, true} {
		b.Run(fmt.Sprintf("readahead=%v", readsAhead), func(b *testing.B) {
			onTwoProcessors(b)
			s := newSlowFile(b, 256<<20, readsAhead)
			ways := s.slowWays()
			sums := make([]speed, len(ways))
			rounds := 0
			for b.Loop() {
				for i, way := range ways {
					got := s.measure(b, time.Second, way.read)
					sums[i].reads += got.reads
					sums[i].beats += got.beats
				}
				rounds++
			}
			for i, way := range ways {
				b.Logf("%-12s %7.0f reads/s %5.0f beats/s: %.2f and %.2f of pread's", way.name, sums[i].reads/float64(rounds), sums[i].beats/float64(rounds),
					sums[i].reads/sums[0].reads, sums[i].beats/sums[0].beats)
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(sums[1].reads/sums[0].reads, "ReadAt-pread-reads")
			b.ReportMetric(sums[1].beats/sums[0].beats, "ReadAt-pread-beats")
			b.ReportMetric(sums[3].reads/sums[0].reads, "Populate-pread-reads")
			b.ReportMetric(sums[3].beats/sums[0].beats, "Populate-pread-beats")
		})
	}
}

// scans of a file: a way to add up all its 64-bit numbers.
func scanByPread(t testing.TB, f *os.File, size, buffer int) (sum uint64) {
	p := make([]uint64, buffer/8)
	b := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(p))), buffer)
	for off := 0; off < size; {
		n, err := f.ReadAt(b, int64(off))
		sum += sumOf(p[:n/8])
		if off += n; err != nil && off < size {
			t.Fatal(err)
		}
	}
	return sum
}

func scanByChunks(v View[uint64], n int) (sum uint64) {
	for _, c := range v.Chunks(n) {
		sum += sumOfView(c)
	}
	return sum
}

//go:noinline
func sumOf(p []uint64) (sum uint64) {
	for _, x := range p {
		sum += x
	}
	return sum
}

//go:noinline
func sumOfView(v View[uint64]) (sum uint64) {
	for i := range v.Len() {
		sum += v.At(i)
	}
	return sum
}

var preadBuffers = []int{4 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20}

// BenchmarkColdScan compares Chunks with the best loop of pread(2), over a file of
// which nothing is in memory:
//
//	go test -run '^$' -bench ColdScan -benchtime 5x .
func BenchmarkColdScan(b *testing.B) {
	const size = 256 << 20
	b.Run("on=disk", func(b *testing.B) {
		name := tempFile(b, pattern(size))
		f := fuseOpen(b, name)
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
		coldScan(b, f, func() {
			if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
				b.Fatal(err)
			}
		})
	})
	b.Run("on=slow", func(b *testing.B) {
		s := newSlowFile(b, size/8, true)
		coldScan(b, s.f, func() { s.fs.notify("slow") })
	})
	b.Run("on=memory", func(b *testing.B) {
		f := fuseOpen(b, tempFile(b, pattern(size)))
		coldScan(b, f, func() {})
	})
}

func coldScan(b *testing.B, f *os.File, forget func()) {
	fi, err := f.Stat()
	if err != nil {
		b.Fatal(err)
	}
	size := int(fi.Size())
	want := scanByPread(b, f, size, 1<<20)
	type way struct {
		name string
		scan func(v View[uint64]) uint64
	}
	var ways []way
	for _, buffer := range preadBuffers {
		ways = append(ways, way{fmt.Sprintf("pread of %d KiB", buffer>>10), func(View[uint64]) uint64 { return scanByPread(b, f, size, buffer) }})
	}
	preads := len(ways)
	for _, chunk := range []int{64, 4096, 64 << 10, 1 << 20, 4 << 20, 16 << 20} {
		ways = append(ways, way{fmt.Sprintf("Chunks of %d bytes", chunk), func(v View[uint64]) uint64 { return scanByChunks(v, chunk/8) }})
	}
	chunks := len(ways)
	ways = append(ways, way{"At", sumOfView}, way{"CopyTo of 1 MiB", func(v View[uint64]) (sum uint64) {
		p := make([]uint64, 1<<17)
		for i := 0; i < v.Len(); i += len(p) {
			n, _ := v.Sub(i, min(v.Len(), i+len(p))).CopyTo(p)
			sum += sumOf(p[:n])
		}
		return sum
	}})
	times := make([][]float64, len(ways))
	for b.Loop() {
		for i, way := range ways {
			r, err := Map(f, ReadOnly)
			if err != nil {
				b.Fatal(err)
			}
			v := mustView[uint64](r)
			forget()
			begin := time.Now()
			if got := way.scan(v); got != want {
				b.Fatalf("%s: sum %d, want %d", way.name, got, want)
			}
			times[i] = append(times[i], float64(size)/1e6/time.Since(begin).Seconds())
			r.Close()
		}
	}
	speeds, said := make([]float64, len(ways)), ""
	for i, way := range ways {
		slices.Sort(times[i])
		speeds[i] = times[i][len(times[i])/2]
		said += fmt.Sprintf("%-26s %6.0f MB/s\n", way.name, speeds[i])
	}
	b.Logf("median speeds\n%s", said)
	best := speeds[0]
	for _, s := range speeds[:preads] {
		best = max(best, s)
	}
	b.ReportMetric(0, "ns/op")
	for i := preads; i < chunks; i++ {
		b.ReportMetric(speeds[i]/best, fmt.Sprintf("pread-speeds-%s", ways[i].name[len("Chunks of "):len(ways[i].name)-len(" bytes")]))
	}
}

// BenchmarkHotCopies compares copies of many bytes that are in memory with those of the
// same function without the question whether they are. bare-speeds: 1 is as fast.
//
//	go test -run '^$' -bench HotCopies .
func BenchmarkHotCopies(b *testing.B) {
	const size = 64 << 20
	r := open(b, tempFile(b, pattern(size)), ReadOnly)
	if err := r.Populate(0, ToEnd); err != nil {
		b.Fatal(err)
	}
	for _, n := range []int{manyBytes, 256 << 10, window, 8 * window} {
		b.Run(fmt.Sprintf("bytes=%d", n), func(b *testing.B) {
			p := make([]byte, n)
			at := 0
			next := func() int {
				if at += n; at+n > size {
					at = 0
				}
				return at
			}
			compare(b, 32<<20/n, func() {
				transfer(unsafe.Pointer(&p[0]), r.o.at(next()), n, 1, false)
			}, func() {
				r.ReadAt(p, int64(next()))
			})
		})
	}
}
