package mmap

import (
	"context"
	"errors"
	"math"
	"reflect"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"
)

// Waiting for an integer that others change.
//
// The system's part is a queue for each word of memory, as futex(2) has it. A wait
// compares the word and joins the queue in one step, to which the wake of the same
// word comes before or after. Where there is no such queue, or a thread too much
// would wait in one, the waiter looks at the word again and again.
//
// No wake-up is lost. The waker first changes the word, then wakes. A wait in the
// system either compares after the change, and returns, or is in the queue before
// the wake looks into it. A waiter that polls announces itself, notes how often the
// word was woken, and then loads it. The waker changes the word, looks whether anyone
// is announced, and then counts. If it finds nobody, it changed the word before the
// announcement, and the waiter loads the new value. Otherwise it counts: before the
// waiter noted the count, and then the change was before that, and is loaded too; or
// after, and the waiter finds another count. All of these are sequentially
// consistent.
//
// Nobody keeps a list of waiters, so what else ends a wait (the context, Close, a
// file that was truncated) cannot wake them. Instead they sleep for a short time,
// look, and sleep again. A wake-up that comes while a waiter looks is counted, as
// above, if the same process makes it. Otherwise only the change of the word tells.

// longestSleep is how long a waiter sleeps in the system before it looks again, if its
// context has no deadline before. Only tests change it.
var longestSleep = 20 * time.Millisecond

const (
	shortestSleep = 50 * time.Microsecond

	firstPause   = time.Microsecond // of a poll; each is twice as long as the one before
	longestPause = 10 * time.Millisecond
	shortPause   = 50 * time.Microsecond // timers cannot be that short

	// A thread waits in the system with each waiter, and Go ends a process that has
	// 10,000.
	maxSleepers = 1000
)

var (
	waiters  atomic.Int32 // in Wait, of this process
	sleepers atomic.Int32 // of those, in the system

	// wakes counts wake-ups that may not have reached all waiters of this process:
	// that of each word is in one of these, which it shares with others.
	wakes [256]atomic.Uint32
)

// Wait waits until integer i is woken by [AtomicView.Wake], or does not equal old. The
// wake-up may come from another process that maps the same memory. Wait returns nil either
// way, and now and then without a reason: load the integer again, and wait again if it is
// still what it was.
//
// The integer must have 32 bits. For one of 64 bits, Wait returns
// errors.ErrUnsupported: wait for a 32-bit counter beside it.
//
// If ctx ends, Wait returns ctx.Err(), at most about 20 ms later. But if the integer does
// not equal old, or Wait was woken, it returns nil. If the region is closed meanwhile, it
// returns ErrClosed. If the file is truncated, it returns a [*FaultError]. Both may take
// as long. A process that died or was stopped wakes nobody: give Wait a context that ends.
//
// Any number of goroutines may wait. Waiting needs no right to store, so a view of a
// read-only region will do. A bad index panics.
//
// A waiter looks every 20 ms. A hundred waiters take a few percent of a processor; a
// thousand slow down the program. Let one goroutine wait for many others.
//
// On Linux and FreeBSD a waiter sleeps in the system (futex(2), _umtx_op(2)), and has a
// thread for itself. At most 1,000 waiters of a process do; any more poll. All waiters
// poll on other systems, in memory of devices, in CopyOnWrite regions, and where the
// system refuses. To poll is to look again and again, first after a microsecond, later
// every 10 ms. A waiter that polls notices every Wake of its own process, but of other
// processes only the changes that it sees.
func (v AtomicView[T]) Wait(ctx context.Context, i int, old T) error {
	p := v.loadable(i)
	if unsafe.Sizeof(old) != 4 {
		return v.unsupported("wait for", i)
	}
	err := v.region.wait(ctx, (*uint32)(p), uint32(old))
	if raceEnabled && err == nil { // the integer was loaded
		raceLoaded(v.region, p, 4)
	}
	runtime.KeepAlive(v.region)
	return err
}

// Wake wakes at most n waiters for integer i, in this process and in all others
// that map the same memory. First change the integer, then call Wake. Then no
// waiter misses the change, even one that is just about to wait.
//
// It returns how many waiters it woke that slept in the system. Waiters that poll are
// not counted, and more than n of them may wake. Where the system does not tell,
// which is everywhere but on Linux, the count is 0.
//
// A negative n is ErrRange, [ToEnd] too; to wake all, use [math.MaxInt]. The integer
// must have 32 bits, or Wake returns errors.ErrUnsupported. It returns ErrClosed after
// Close, and a [*FaultError] where the file was truncated. A bad index panics. A view
// of a read-only region will do, except on FreeBSD, which does not wake through it.
//
// In a CopyOnWrite region nobody else sees what is stored, and Wake wakes nobody
// else.
func (v AtomicView[T]) Wake(i, n int) (int, error) {
	p := v.loadable(i)
	if unsafe.Sizeof(*v.atomic) != 4 {
		return 0, v.unsupported("wake those who wait for", i)
	}
	woken, err := v.region.wake((*uint32)(p), n)
	runtime.KeepAlive(v.region)
	return woken, err
}

func (v AtomicView[T]) unsupported(op string, i int) error {
	return failf(errors.ErrUnsupported, "%s integer %d of a view of %d %v of %s: only integers of 32 bits have waiters: use one beside it, as a counter",
		op, i, v.n, reflect.TypeFor[T](), v.region.describe())
}

func (m *mapping) wait(ctx context.Context, p *uint32, old uint32) error {
	waiters.Add(1)
	defer waiters.Add(-1)
	count := m.wakesOf(p)
	seen := count.Load()
	var timer *time.Timer
	for pause := firstPause; ; {
		x, err := m.peek(p)
		switch {
		case err != nil:
			return err
		case x != old, count.Load() != seen:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		}
		if woken, slept := m.sleep(ctx, p, old); woken {
			return nil
		} else if slept {
			continue
		}
		if pause <= shortPause {
			for begin := time.Now(); time.Since(begin) < pause; {
				runtime.Gosched()
			}
		} else {
			if timer == nil {
				timer = time.NewTimer(pause)
				defer timer.Stop()
			} else {
				timer.Reset(pause)
			}
			select {
			case <-timer.C:
			case <-ctx.Done():
			}
		}
		pause = min(2*pause, longestPause)
	}
}

// sleep waits in the system for a while, if it can.
func (m *mapping) sleep(ctx context.Context, p *uint32, old uint32) (woken, slept bool) {
	if !m.queues() {
		return false, false
	}
	defer sleepers.Add(-1)
	if sleepers.Add(1) > maxSleepers {
		return false, false
	}
	d := longestSleep
	if end, ok := ctx.Deadline(); ok {
		d = min(d, max(time.Until(end), shortestSleep))
	}
	woken, err := waitWord(p, old, d)
	return woken, err == nil
}

func (m *mapping) wake(p *uint32, n int) (int, error) {
	if err := m.check("wake those who wait for an integer of"); err != nil {
		return 0, err
	}
	if n < 0 {
		return 0, failf(ErrRange, "wake %d of those who wait for an integer of %s: the number may not be negative: math.MaxInt wakes all", n, m.describe())
	}
	if n == 0 {
		return 0, nil
	}
	woken, err := 0, errors.ErrUnsupported
	if m.queues() {
		woken, err = wakeWord(p, min(n, math.MaxInt32))
	}
	if err != nil {
		if _, err := m.peek(p); err != nil {
			return 0, err
		}
	}
	if woken < n && waiters.Load() > 0 {
		m.wakesOf(p).Add(1)
	}
	return woken, nil
}

// peek loads the word at p.
func (m *mapping) peek(p *uint32) (x uint32, err error) {
	f, _ := catch(func() error {
		x = load32(p)
		return nil
	})
	if f != nil {
		return 0, f.from(unsafe.Pointer(p)).explain(aLoad)
	}
	return x, nil
}

// queues reports whether the system is asked at all. To ask it about a private page of
// a file would make that a copy, which shows no longer what others store in the file.
func (m *mapping) queues() bool { return waitsInSystem && (m.kind == memory || !m.request.private) }

// wakesOf returns the counter of the word at p. It is the same for all regions of a
// file.
func (m *mapping) wakesOf(p *uint32) *atomic.Uint32 {
	at := uint64(uintptr(unsafe.Pointer(p)))
	if m.kind != memory && !m.request.private {
		at += uint64(m.offset) - uint64(uintptr(m.base)) + uint64(uintptr(unsafe.Pointer(m.file.inode)))
	}
	return &wakes[scrambled(at)>>56]
}
