package mmap

import (
	"runtime"
	"sync"
	"time"
)

// The idea: an address that a program may still hold must not be used for
// anything else. Close therefore does not unmap. It puts a tombstone, address
// space that nothing can access, where the mapping was, in one atomic step of
// mmap(2) with MAP_FIXED over what is ours. The tombstone keeps the address out
// of use until
//
//   - the garbage collector finds that no Region or View is left that could
//     reach it; then it is unmapped, or
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

// unreachable is called by the garbage collector when neither the Region nor a
// View of it is left.
func (m *mapping) unreachable() {
	m.file.release()
	m.file = nil
	switch closed := m.state.Load() == stateClosed; {
	case m.size == 0:
	case closed:
		collected(m)
		if m.raw.Load() {
			hold(m)
		} else {
			m.release()
		}
	case !m.raw.Load():
		m.release()
	}
}

// release gives the address space back.
func (m *mapping) release() {
	mappings.remove(m)
	m.unmap()
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

// quarantine holds the tombstones that raw memory may still point into, oldest
// first.
var quarantine struct {
	mu    sync.Mutex
	held  []*mapping
	bytes uintptr
}

// hold puts the unreachable tombstone m into the quarantine and releases those
// that it displaces.
func hold(m *mapping) {
	q := &quarantine
	q.mu.Lock()
	q.held = append(q.held, m)
	q.bytes += m.size
	n := 0
	for len(q.held)-n > budgetMappings || q.bytes > budgetBytes {
		q.bytes -= q.held[n].size
		n++
	}
	old := q.held[:n:n]
	q.held = q.held[n:]
	q.mu.Unlock()
	for _, m := range old {
		m.release()
	}
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
// want of address space and there are tombstones that a collection may free.
func retryAfterCollection(try func() error) error {
	err := try()
	for i := 0; i < 20 && isNoMemory(err); i++ {
		tombstones.mu.Lock()
		n := tombstones.mappings
		tombstones.mu.Unlock()
		if n == 0 {
			break
		}
		if i == 0 {
			runtime.GC()
		} else {
			time.Sleep(time.Millisecond) // cleanups run on goroutines of the runtime
		}
		err = try()
	}
	return err
}
