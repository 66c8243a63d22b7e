package mmap

import (
	"context"
	"errors"
	"math"
	"os"
	"runtime"
	"testing"
	"time"
)

// words returns n words that can be waited for, in memory.
func words(t testing.TB, n int) AtomicView[uint32] {
	t.Helper()
	return wordsOf(t, anonymousRegion(t, int64(4*n)))
}

// wordsOf returns all of a region as words.
func wordsOf(t testing.TB, r *Region) AtomicView[uint32] {
	t.Helper()
	v, err := AtomicOf[uint32](r, 0, ToEnd)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// await waits until word i is not old, as programs are to do it.
func await(v AtomicView[uint32], i int, old uint32) error {
	return awaitFor(context.Background(), v, i, old)
}

func awaitFor(ctx context.Context, v AtomicView[uint32], i int, old uint32) error {
	for v.Load(i) == old {
		if err := v.Wait(ctx, i, old); err != nil {
			return err
		}
	}
	return nil
}

// ring stores x in word i, and wakes who waits for it.
func ring(v AtomicView[uint32], i int, x uint32) error {
	v.Store(i, x)
	_, err := v.Wake(i, 1)
	return err
}

// inWait calls Wait on a goroutine, and returns when it has begun.
func inWait(ctx context.Context, v AtomicView[uint32], i int, old uint32) (result <-chan error) {
	before := waiters.Load()
	c := make(chan error, 1)
	go func() { c <- v.Wait(ctx, i, old) }()
	for waiters.Load() <= before && len(c) == 0 {
		runtime.Gosched()
	}
	return c
}

const waitPatience = 20 * time.Second

// resultOf waits for the end of a Wait.
func resultOf(t testing.TB, result <-chan error) error {
	t.Helper()
	select {
	case err := <-result:
		return err
	case <-time.After(waitPatience):
		t.Fatal("Wait does not return")
		return nil
	}
}

// wakeTill calls Wake until a Wait has ended, and returns how many it says it woke. A
// call may come before the other sleeps.
func wakeTill(t testing.TB, v AtomicView[uint32], i, n int, result <-chan error) (woken int) {
	t.Helper()
	for begin := time.Now(); ; runtime.Gosched() {
		k, err := v.Wake(i, n)
		if err != nil {
			t.Fatal(err)
		}
		woken += k
		select {
		case err := <-result:
			if err != nil {
				t.Errorf("Wait that is woken returns %v", err)
			}
			return woken
		default:
		}
		if time.Since(begin) > waitPatience {
			t.Fatal("Wake does not end Wait")
		}
	}
}

// noQueues makes the library poll.
func noQueues(t testing.TB) {
	ask := func(call string) error {
		if call == "futex" || call == "_umtx_op" {
			return errors.ErrUnsupported
		}
		return nil
	}
	intercept.Store(&ask)
	t.Cleanup(func() { intercept.Store(nil) })
}

// eachWay runs a test with waiters that sleep in the system, if they can, and with
// those that poll.
func eachWay(t *testing.T, test func(t *testing.T, polling bool)) {
	needMappings(t)
	if waitsInSystem {
		t.Run("sleeping", func(t *testing.T) { test(t, false) })
	}
	t.Run("polling", func(t *testing.T) {
		noQueues(t)
		test(t, true)
	})
}

func TestWaitReturnsAtOnceForAnotherValue(t *testing.T) {
	v := words(t, 4)
	v.Store(3, 7)
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for _, ctx := range []context.Context{context.Background(), ended} {
		if err := v.Wait(ctx, 3, 8); err != nil {
			t.Error(err)
		}
	}
	if err := v.Wait(ended, 3, 7); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait with an ended context returns %v", err)
	}
}

func TestWakeEndsAWaitAlthoughNothingChanged(t *testing.T) {
	eachWay(t, func(t *testing.T, _ bool) {
		v := words(t, 4)
		wakeTill(t, v, 2, 1, inWait(context.Background(), v, 2, 0))
		// Negative numbers, as the processor has them.
		x, err := AtomicOf[int32](v.Region(), 0, ToEnd)
		if err != nil {
			t.Fatal(err)
		}
		x.Store(1, -5)
		if err := x.Wait(context.Background(), 1, 5); err != nil {
			t.Error(err)
		}
		c := make(chan error, 1)
		go func() { c <- x.Wait(context.Background(), 1, -5) }()
		wakeTill(t, v, 1, math.MaxInt, c)
	})
}

// TestWhatEndsAWaitWithoutAWake looks how late. The machine may be busy, so one of
// some tries has to be in time.
func TestWhatEndsAWaitWithoutAWake(t *testing.T) {
	const late = 60 * time.Millisecond
	type waiting struct {
		r      *Region
		v      AtomicView[uint32]
		name   string
		cancel context.CancelFunc
		begin  time.Time // of what ends it
	}
	for _, tt := range []struct {
		name string
		ends func(t *testing.T, w *waiting)
		want error
	}{
		{"the value changes after a while", func(t *testing.T, w *waiting) { // when pauses are long
			time.Sleep(150 * time.Millisecond)
			w.begin = time.Now()
			w.v.Store(1, 5)
		}, nil},
		{"the value changes", func(t *testing.T, w *waiting) { w.v.Store(1, 5) }, nil},
		{"the context ends", func(t *testing.T, w *waiting) { w.cancel() }, context.Canceled},
		{"the region is closed", func(t *testing.T, w *waiting) {
			if err := w.r.Close(); err != nil {
				t.Error(err)
			}
		}, ErrClosed},
		{"the file is truncated", func(t *testing.T, w *waiting) {
			shortensMapped(t)
			if err := os.Truncate(w.name, 0); err != nil {
				t.Fatal(err)
			}
		}, ErrTruncated},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachWay(t, func(t *testing.T, _ bool) {
				var took time.Duration
				for range 20 {
					w := &waiting{name: tempFile(t, make([]byte, 100))}
					w.r = open(t, w.name, ReadWrite)
					w.v = wordsOf(t, w.r)
					ctx, cancel := context.WithCancel(context.Background())
					defer cancel()
					w.cancel = cancel
					result := inWait(ctx, w.v, 1, 0)
					w.begin = time.Now()
					tt.ends(t, w)
					err := resultOf(t, result)
					took = time.Since(w.begin)
					if !errors.Is(err, tt.want) {
						t.Errorf("Wait returns %v, want %v", err, tt.want)
					}
					if tt.want == ErrTruncated {
						wantFault(t, "Wait", err, w.r, w.name, 4, ErrTruncated)
					}
					if took < late || emulated() {
						return
					}
				}
				t.Errorf("Wait ends only after %v", took)
			})
		})
	}
}

func TestAWaitEndsAtItsDeadline(t *testing.T) {
	eachWay(t, func(t *testing.T, _ bool) {
		v := words(t, 1)
		var took time.Duration
		for range 20 {
			begin := time.Now()
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
			err := v.Wait(ctx, 0, 0)
			took = time.Since(begin)
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("Wait returns %v", err)
			}
			if took < 5*time.Millisecond {
				t.Fatalf("Wait returns its deadline after %v", took)
			}
			if took < 15*time.Millisecond || emulated() {
				return
			}
		}
		t.Errorf("Wait with a deadline of 5 ms takes %v", took)
	})
}

func TestWaitAndWakeAfterCloseAndTruncation(t *testing.T) {
	eachWay(t, func(t *testing.T, _ bool) {
		name := tempFile(t, make([]byte, 100))
		r := open(t, name, ReadWrite)
		v := wordsOf(t, r)
		if canShortenMapped {
			if err := os.Truncate(name, 0); err != nil {
				t.Fatal(err)
			}
			wantFault(t, "Wait", v.Wait(context.Background(), 3, 0), r, name, 12, ErrTruncated)
			_, err := v.Wake(3, 1)
			wantFault(t, "Wake", err, r, name, 12, ErrTruncated)
		}
		r.Close()
		wantSentence(t, v.Wait(context.Background(), 3, 0), ErrClosed, name)
		for _, n := range []int{0, 1, -1} {
			_, err := v.Wake(3, n)
			wantSentence(t, err, ErrClosed, name)
		}
	})
}

func TestWaitAndWakeRefuse(t *testing.T) {
	v := words(t, 2)
	for _, n := range []int{-1, math.MinInt32, ToEnd} {
		_, err := v.Wake(0, n)
		wantSentence(t, err, ErrRange, itoa(n), v.Region().Name())
	}
	for _, n := range []int{0, 1, math.MaxInt32, math.MaxInt} {
		if woken, err := v.Wake(0, n); woken != 0 || err != nil {
			t.Errorf("Wake(%d) where nobody waits: %d, %v", n, woken, err)
		}
	}
	for _, i := range []int{-1, 2, math.MaxInt, math.MinInt} {
		wantPanic(t, ErrRange, func() { v.Wait(context.Background(), i, 0) }, itoa(i), "2 elements")
		wantPanic(t, ErrRange, func() { v.Wake(i, 1) }, itoa(i), "2 elements")
	}
	wantPanic(t, ErrRange, func() { AtomicView[int32]{}.Wait(context.Background(), 0, 0) })
	wantPanic(t, ErrRange, func() { AtomicView[int32]{}.Wake(0, 1) })

	if !atomic64 {
		t.Skip("no 64-bit atomics")
	}
	long, err := AtomicOf[int64](v.Region(), 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	wantSentence(t, long.Wait(context.Background(), 0, 1), errors.ErrUnsupported, "int64", "integer 0", "32 bits", v.Region().Name())
	_, err = long.Wake(0, 1)
	wantSentence(t, err, errors.ErrUnsupported, "int64", "integer 0", "32 bits", v.Region().Name())
}

// TestAWakeReachesWaitersThroughOtherRegions wakes without a change, so that nothing
// but the wake-up ends the wait.
func TestAWakeReachesWaitersThroughOtherRegions(t *testing.T) {
	eachWay(t, func(t *testing.T, _ bool) {
		page := int64(os.Getpagesize())
		name := tempFile(t, make([]byte, 4*page))
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		regionAt := func(off int64, mode Mode) AtomicView[uint32] {
			r, err := Config{Mode: mode, Offset: off}.Map(f)
			return wordsOf(t, need(t, r, err))
		}
		all := regionAt(0, ReadWrite)
		word := int(2*page+12) / 4
		for what, other := range map[string]AtomicView[uint32]{
			"the same mode":            regionAt(0, ReadWrite),
			"another page":             regionAt(page, ReadWrite),
			"inside a page":            regionAt(page+8, ReadWrite),
			"inside the word's page":   regionAt(2*page+12, ReadWrite),
			"ReadOnly, inside a page":  regionAt(page+8, ReadOnly),
			"a region opened by name":  wordsOf(t, open(t, name, ReadWrite)),
			"ReadOnly, opened by name": wordsOf(t, open(t, name, ReadOnly)),
		} {
			t.Run(what, func(t *testing.T) {
				i := word - int(other.Region().Offset())/4
				wakeTill(t, all, word, 1, inWait(context.Background(), other, i, 0))
				wakeTill(t, other, i, 1, inWait(context.Background(), all, word, 0))
			})
		}
	})
}

func TestAWakeWakesNobodyElse(t *testing.T) {
	eachWay(t, func(t *testing.T, _ bool) {
		name := tempFile(t, make([]byte, 4096))
		shared := wordsOf(t, open(t, name, ReadWrite))
		private := wordsOf(t, open(t, name, CopyOnWrite))
		// Words may share a counter, and then a waiter may return without a reason.
		apart := func(v AtomicView[uint32], i int, w AtomicView[uint32], j int) bool {
			count := func(v AtomicView[uint32], i int) any { return v.region.wakesOf((*uint32)(v.loadable(i))) }
			return count(v, i) != count(w, j)
		}
		i := 0
		for !apart(shared, i, private, i) || !apart(shared, i, shared, i+1) {
			i++
		}
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		waiting := inWait(ctx, shared, i, 0)
		wakeTill(t, private, i, math.MaxInt, inWait(context.Background(), private, i, 0)) // its own are woken
		private.Store(i, 1)
		for range 100 {
			for _, wake := range []func() (int, error){
				func() (int, error) { return private.Wake(i, math.MaxInt) },
				func() (int, error) { return shared.Wake(i+1, math.MaxInt) },
				func() (int, error) { return shared.Wake(i, 0) },
			} {
				if n, err := wake(); n != 0 || err != nil {
					t.Fatalf("Wake: %d, %v", n, err)
				}
			}
		}
		// A poll sees what there is to see within its longest pause.
		select {
		case err := <-waiting:
			t.Fatalf("Wait returns %v", err)
		case <-time.After(5 * longestPause):
		}
		cancel()
		if err := resultOf(t, waiting); !errors.Is(err, context.Canceled) {
			t.Errorf("Wait returns %v", err)
		}
	})
}

// TestNothingIsUnmappedUnderAWaiter leaves the region to a waiter alone.
func TestNothingIsUnmappedUnderAWaiter(t *testing.T) {
	eachWay(t, func(t *testing.T, _ bool) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		m, result := func() (*mapping, <-chan error) {
			v := words(noCleanup{t}, 1)
			return v.region.mapping, inWait(ctx, v, 0, 0)
		}()
		collectAll(t)
		if !listed(m) {
			t.Error("the region of a waiter is unmapped")
		}
		cancel()
		if err := resultOf(t, result); !errors.Is(err, context.Canceled) {
			t.Errorf("Wait returns %v", err)
		}
		collectTill(t, func() bool { return !listed(m) })
	})
}
