package mmap

import (
	"container/list"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// The idea: an address that a program may still hold must not be used for
// anything else. Close therefore does not unmap. It puts a tombstone, address
// space that nothing can access, where the mapping was, in one atomic step of
// mmap(2) with MAP_FIXED over what is ours. The tombstone keeps the address out
// of use until
//
//   - the garbage collector finds that no Region or View is left that could
//     reach it, and no Guard that may ask about it; then it is unmapped, or
//   - if raw memory was handed out, which the collector cannot follow, it then
//     waits in the quarantine until that exceeds its budget and it is the
//     oldest there.
//
// A region that becomes unreachable without Close goes the same way, but with
// raw memory handed out it stays mapped: a slice of it may be in use.

// Close replaces the mapping by inaccessible address space and gives back
// everything else: memory, descriptor, locks. What was stored and not yet
// synced is still written back by the system, though not at any promised time.
//
// Close waits for no access. One that happens meanwhile or later, on whatever
// goroutine, through a method, a View or raw memory, either sees the region's
// own bytes or faults; it never sees another mapping. Methods return ErrClosed
// from then on, except Close, which returns nil.
func (r *Region) Close() error {
	m := r.m
	defer runtime.KeepAlive(r)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state.Load() == stateClosed {
		return nil
	}
	// A deferred call of what a fault stopped must not hide the fault's cause.
	if m.kind == regularFile && m.size > 0 && afterFault() {
		if size, err := m.fileSize(); err == nil {
			m.ended = size - m.config.Offset
		}
	}
	// In this order, so that an access that faults finds the region closed.
	m.state.Store(stateClosed)
	old := m.len.Swap(0)
	if m.size > 0 {
		if err := m.bury(); err != nil {
			m.len.Store(old)
			m.state.Store(stateOpen)
			return m.pathError("mmap", err)
		}
		buried(m)
	}
	err := m.file.release()
	m.file = nil
	return err
}

// afterFault reports whether the caller of its caller was, most likely, deferred
// by a function in which an access faulted.
func afterFault() bool {
	var pcs [8]uintptr
	for _, pc := range pcs[:runtime.Callers(3, pcs[:])] {
		if runtime.FuncForPC(pc-1).Name() == "runtime.sigpanic" {
			return true
		}
	}
	return false
}

// unreachable is called by the garbage collector when neither the Region nor a
// View of it is left.
func (m *mapping) unreachable() {
	closed := m.state.Load() == stateClosed
	if closed && m.size > 0 {
		collected(m)
	}
	switch {
	case !m.raw.Load():
		holdForGuards(m)
	case closed:
		rawQuarantine.hold(m)
	default:
		m.mu.Lock()
		defer m.mu.Unlock()
		m.file.release()
		m.file = nil
	}
}

// release gives everything back, address space included.
func (m *mapping) release() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state.Store(stateClosed)
	m.file.release()
	m.file = nil
	if m.size > 0 {
		mappings.remove(m)
		m.unmap()
	}
}

// An access may have been the last use of its Region, and have faulted. Then
// the collector may find the Region unreachable before Guard, after the deferred
// calls of the function that it stopped, can ask for the cause. So nothing is
// released before every Guard is over that had begun when its Region became
// unreachable. Guards are not counted, for which each would have to store to
// memory that all share: each holds the epoch that it began in, an epoch holds
// those after it, and each is over when the collector finds that nobody holds it.
type epoch struct{ next *epoch }

var (
	currentEpoch atomic.Pointer[epoch]
	epochEnd     sync.Mutex
)

func init() { currentEpoch.Store(new(epoch)) }

// holdForGuards ends the epoch, and releases m when the collector finds the end
// of those up to it.
func holdForGuards(m *mapping) {
	held := guardQuarantine.hold(m)
	epochEnd.Lock()
	defer epochEnd.Unlock()
	old, next := currentEpoch.Load(), new(epoch)
	runtime.AddCleanup(old, guardQuarantine.release, held)
	old.next = next
	currentEpoch.Store(next)
}

// How much address space and how many of the process's mappings
// (vm.max_map_count: 65530 on Linux) dead regions may take up.
const budgetMappings = 4096

var budgetBytes = func() uintptr {
	switch {
	case is64 == 0:
		return 1 << 28 // of 2^31 or more
	case runtime.GOARCH == "riscv64":
		return 1 << (35 * is64) // of 2^38 or more
	}
	return 1 << (43 * is64) // of 2^47 or more, as a rule
}()

// is64 is 1 on 64-bit machines and 0 on others, to shift by.
const is64 = ^uint(0) >> 63

// A quarantine holds mappings that may still be accessed, oldest first, within
// a budget.
type quarantine struct {
	maxMappings int
	maxBytes    uintptr

	mu    sync.Mutex
	held  list.List // of *mapping; nil once released
	bytes uintptr
}

var (
	// rawQuarantine holds the tombstones that raw memory may still point into.
	rawQuarantine = quarantine{maxMappings: budgetMappings, maxBytes: budgetBytes}

	// guardQuarantine holds what waits for Guards to be over. It comes to its
	// budget only if one goes on while very many regions come and go.
	guardQuarantine = quarantine{maxMappings: 4 * budgetMappings, maxBytes: 4 * budgetBytes}
)

// hold puts m into the quarantine and releases those that it displaces.
func (q *quarantine) hold(m *mapping) *list.Element {
	q.mu.Lock()
	e := q.held.PushBack(m)
	q.bytes += m.size
	var old []*mapping
	for q.held.Len() > q.maxMappings || q.bytes > q.maxBytes {
		old = append(old, q.remove(q.held.Front()))
	}
	q.mu.Unlock()
	for _, m := range old {
		m.release()
	}
	return e
}

// release releases what hold returned e for, unless that was displaced.
func (q *quarantine) release(e *list.Element) {
	q.mu.Lock()
	m := q.remove(e)
	q.mu.Unlock()
	if m != nil {
		m.release()
	}
}

func (q *quarantine) remove(e *list.Element) *mapping {
	m, _ := q.held.Remove(e).(*mapping)
	if m != nil {
		q.bytes -= m.size
		e.Value = nil
	}
	return m
}

// tombstones counts those that the collector has not yet found unreachable.
// Collections normally come with allocation, but a Region is a small thing for
// the Go heap and may be a large one for the address space. So when the
// tombstones exceed the budget, a collection is started; if that does not bring
// them down, because the program still holds its closed regions, the next one
// waits until there are twice as many.
var tombstones struct {
	mu           sync.Mutex
	mappings     int
	bytes        uintptr
	nextMappings int
	nextBytes    uintptr
}

func buried(m *mapping) {
	t := &tombstones
	t.mu.Lock()
	t.mappings++
	t.bytes += m.size
	collect := t.mappings > max(t.nextMappings, budgetMappings) || t.bytes > max(t.nextBytes, budgetBytes)
	if collect {
		t.nextMappings = 2 * t.mappings
		t.nextBytes = 2 * t.bytes
	}
	t.mu.Unlock()
	if collect {
		go runtime.GC()
	}
}

func collected(m *mapping) {
	t := &tombstones
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mappings--
	t.bytes -= m.size
	t.nextMappings = min(t.nextMappings, 2*t.mappings)
	t.nextBytes = min(t.nextBytes, 2*t.bytes)
}

// retryAfterCollection calls try again, for a while, as long as it fails for
// want of address space and there is some that a collection may free. Two may be
// needed: one finds the regions, the other the epochs that keep them.
func retryAfterCollection(try func() error) error {
	err := try()
	for i := 0; i < 40 && isNoMemory(err) && !mappings.empty(); i++ {
		if i%20 == 0 {
			runtime.GC()
		} else {
			time.Sleep(time.Millisecond) // cleanups run on goroutines of the runtime
		}
		err = try()
	}
	return err
}
