package mmap

import (
	"cmp"
	"runtime"
	"slices"
	"sync"
	"time"
)

// The idea: an address that a program may still hold must not be used for
// anything else. Close therefore does not unmap. It puts a tombstone, address
// space that nothing can access, where the mapping was, in one step of the system.
// Linux's guard pages (madvise(2), MADV_GUARD_INSTALL) are no substitute: the file
// would stay mapped, and its space taken, and they cost time for each page of the
// space, touched or not. A mapping under mseal(2) can never be closed.
//
// The life of the address space of a region:
//
//	           Close                collector                     collector
//	  open ───────────► buried ───────────────► unreachable ──┬──────────────► held for Guards ──► released
//	    │                                            ▲        │                                      ▲
//	    │        collector, no raw memory            │        │ raw memory was handed out            │
//	    ├────────────────────────────────────────────┘        └──► quarantined ──────────────────────┘
//	    │        collector, raw memory was handed out                        the oldest first, beyond the budget
//	    └──► open for ever: a slice of it may be in use
//
// Buried means that the region is closed and something may still reach it. To be
// held for Guards is explained in grace.go. What was never within reach of the
// program, the reservation beyond the most that the region ever had, is released
// by Close at once.

// bury ends the life of an open mapping. The caller holds mu and has seen that it
// is open.
func (m *mapping) bury() error {
	// In this order, so that an access that faults finds the region closed.
	m.closed.Store(true)
	m.len.Store(0)
	if raceEnabled {
		m.race.leave() // while the mapping still keeps the file
	}
	if m.space.size == 0 {
		return nil
	}
	m.high = min(max(m.high, m.page()), m.space.size)
	if m.exposedAll.Load() {
		m.high = m.space.size
	}
	return m.deny()
}

// deny takes all access to a closed mapping. The caller holds mu.
func (m *mapping) deny() error {
	if m.lingers && m.space.deny() == nil {
		return nil
	}
	return m.entomb()
}

// denyAgain does what failed for want of a mapping, when the quarantine has given
// way.
func (m *mapping) denyAgain(err error) error {
	if !wantsSpace(err) || !rawQuarantine.giveWay() {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.deny()
}

// entomb leaves a tombstone, and releases what the program never had within
// reach. The region is closed.
func (m *mapping) entomb() error {
	registry.shrink(m, m.high) // what is released may be another's in a moment
	end := uintptr(m.space.addr) + m.space.size
	err := m.space.bury(m.high)
	m.curtail()
	vacant.add(uintptr(m.space.addr)+m.space.size, end)
	return err
}

// entombLater is for file systems that write back what is dirty when a mapping
// goes, and keep the process from mapping anything meanwhile. So it is written
// back before, and nobody waits. The owner is kept until then. The caller holds
// the inode for it.
func (o *owner) entombLater() {
	o.writeBackAll()
	o.file.inode.release()
	o.entomb()
	runtime.KeepAlive(o)
}

// writeBackAll writes back what is dirty. If that fails, other regions have to
// know: the system may not tell them.
func (m *mapping) writeBackAll() {
	m.file.inode.writeBack(func() error { return m.space.sync(0, m.high) })
}

// unreachable is called by the garbage collector when neither a Region nor a view
// is left.
func (m *mapping) unreachable() {
	closed := m.closed.Load()
	if closed && m.high > 0 {
		tombstones.remove(m.high)
	}
	switch {
	case m.exposed.Load() == 0:
		holdForGuards(m)
	case closed:
		rawQuarantine.hold(m)
	default:
		go m.letGo() // and stay mapped
	}
}

// letGo gives back everything but the address space. More calls do nothing.
func (m *mapping) letGo() error {
	m.mu.Lock()
	if raceEnabled {
		m.race.leave()
	}
	dir := m.dir
	m.dir = nil
	m.mu.Unlock()
	dir.release()
	return m.file.release()
}

// release gives everything back, address space included. Of a region that was
// never closed it does so on a goroutine of its own: close(2) may wait for a disk,
// and all cleanups of the program have to share a few goroutines.
func (m *mapping) release() { release([]*mapping{m}) }

func release(all []*mapping) {
	spaces := make([]space, 0, len(all))
	for _, m := range all {
		if m.closed.Load() || m.file.inode == nil {
			spaces = append(spaces, m.end())
		} else {
			go func() { unmapped.release(m.end()) }()
		}
	}
	unmapped.release(spaces...)
}

// end gives everything back but the address space, and returns that.
func (m *mapping) end() space {
	if !m.closed.Swap(true) {
		if m.lingers {
			m.writeBackAll()
		}
		m.letGo()
	}
	if m.space.size > 0 {
		registry.remove(m)
	}
	return m.space
}

// unmapped gives address space back, neighbours in one call: the tombstones of regions
// that came one after the other lie side by side, and to unmap each by itself would take
// as long as to map it. Where the system has put several tombstones together and is at
// its limit of mappings, it refuses to cut one out: then that waits for the next time.
var unmapped leftovers

type leftovers struct {
	mu   sync.Mutex // a leaf
	left []space
}

func (l *leftovers) release(all ...space) {
	l.mu.Lock()
	all = append(all, l.left...)
	l.left = nil
	l.mu.Unlock()
	for _, s := range joined(all) {
		if s.size > 0 && s.unmap() != nil {
			l.mu.Lock()
			l.left = append(l.left, s)
			l.mu.Unlock()
		}
	}
}

// joined makes one of spaces that lie side by side, where the system unmaps them so.
func joined(all []space) []space {
	if !unmapsNeighbours || len(all) < 2 {
		return all
	}
	slices.SortFunc(all, func(a, b space) int { return cmp.Compare(uintptr(a.addr), uintptr(b.addr)) })
	runs := all[:1]
	for _, s := range all[1:] {
		if last := &runs[len(runs)-1]; uintptr(last.addr)+last.size == uintptr(s.addr) {
			last.size += s.size
		} else {
			runs = append(runs, s)
		}
	}
	return runs
}

// A quarantine holds mappings that may still be accessed, oldest first, within a
// budget: an eighth of the address space and of the mappings that the process may
// have.
type quarantine struct {
	mu    sync.Mutex // a leaf
	held  []*mapping
	bytes uintptr
	out   uint64 // how many have left; the first that is held has the next number
}

var (
	// rawQuarantine holds the tombstones that raw memory may still point into.
	rawQuarantine quarantine

	// guardQuarantine holds what waits for Guards to be over. It comes to its
	// budget only if one goes on while very many regions come and go.
	guardQuarantine quarantine
)

const budgetShare = 8

// batch is how many leave a quarantine that has too many, so that they are unmapped
// together: see unmapped.
const batch = 100

// hold puts m into the quarantine, and releases those that it displaces. It
// returns m's number: they count up from 1.
func (q *quarantine) hold(m *mapping) (seq uint64) {
	budget := tombstones.allowance().share(1, budgetShare)
	q.mu.Lock()
	q.held = append(q.held, m)
	q.bytes += m.space.size
	seq = q.out + uint64(len(q.held))
	var old []*mapping
	if len(q.held) > budget.mappings {
		for range min(batch, len(q.held)) {
			old = append(old, q.pop())
		}
	}
	for q.bytes > budget.bytes {
		old = append(old, q.pop())
	}
	q.mu.Unlock()
	release(old)
	return seq
}

// releaseUpTo releases the mappings up to the one with this number.
func (q *quarantine) releaseUpTo(seq uint64) {
	q.mu.Lock()
	var old []*mapping
	for q.out < seq && len(q.held) > 0 {
		old = append(old, q.pop())
	}
	q.mu.Unlock()
	release(old)
}

// giveWay releases all, and reports whether there were any.
func (q *quarantine) giveWay() bool {
	q.mu.Lock()
	seq := q.out + uint64(len(q.held))
	some := len(q.held) > 0
	q.mu.Unlock()
	q.releaseUpTo(seq)
	return some
}

func (q *quarantine) pop() *mapping {
	m := q.held[0]
	q.held[0] = nil // for the collector
	q.held = q.held[1:]
	q.bytes -= m.space.size
	q.out++
	return m
}

// userSpace is the address space of a process, in bytes, on the smallest common
// system of this kind.
var userSpace = func() uintptr {
	switch {
	case is64 == 0:
		return 1 << 31
	case runtime.GOARCH == "riscv64":
		return 1 << (38 * is64)
	}
	return 1 << (47 * is64)
}()

// tombstones counts what is buried and not yet unreachable. Collections normally
// come with allocation, but a Region is a small thing for the Go heap and may be a
// large one for the address space. So when the tombstones exceed a quarantine's
// budget, a collection is started; and when they crowd the process, the next
// mapping waits for one. If that does not bring them down, because the program
// still keeps its closed regions, it is not tried again until there are twice as
// many.
var tombstones burials

type burials struct {
	mu     sync.Mutex // a leaf
	stale  int        // how many may still be added before the limits are read again
	limits allowance
	now    allowance // what the tombstones take up
	start  allowance // beyond this a collection is started
	wait   allowance // beyond this a mapping waits for one
}

// allowance returns the limits, as they were when they were read last.
func (b *burials) allowance() allowance {
	b.mu.Lock()
	known := b.limits
	b.mu.Unlock()
	if known == (allowance{}) {
		known = limits()
	}
	return known
}

// add counts a tombstone, and reports whether it is time for a collection.
func (b *burials) add(size uintptr) (collect bool) {
	b.mu.Lock()
	b.stale--
	stale := b.stale < 0 || size >= 1<<20
	b.mu.Unlock()
	var fresh allowance
	if stale { // to read the limits takes longer than to close a region
		fresh = limits()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if stale {
		b.limits, b.stale = fresh, 256
	}
	b.now.bytes += size
	b.now.mappings++
	if !b.now.exceeds(b.limits.share(1, budgetShare), b.start) {
		return false
	}
	b.start = b.now.twice()
	return true
}

func (b *burials) remove(size uintptr) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now.bytes -= size
	b.now.mappings--
	b.start, b.wait = b.start.atMost(b.now.twice()), b.wait.atMost(b.now.twice())
}

// crowd reports whether the tombstones crowd the process.
func (b *burials) crowd() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now.exceeds(b.limits.share(1, 2), b.wait)
}

// any reports whether there are tombstones.
func (b *burials) any() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now.mappings > 0
}

// stay notes that the tombstones of now are there to stay.
func (b *burials) stay() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wait = b.now.twice()
}

// withSpace calls fn, which wants address space of size bytes, and makes room for
// it if it must.
//
// Where the system refuses, the quarantine gives way at once. The collector may find
// more, but is asked only if that can help: all regions together are as large, or there
// are tombstones, of which a small one keeps a large reservation out. It is never asked
// where the process is at a limit: it may need to map memory itself, and where that is
// refused Go ends the process. Before it comes to that, a mapping waits for the collector
// when tombstones crowd the process.
func withSpace(size uintptr, fn func() error) error {
	if tombstones.crowd() && !usedUp() {
		collectUntil(func() bool { return !tombstones.crowd() })
		tombstones.stay()
	}
	err := yielding(fn)
	if wantsSpace(err) && (registry.total() >= size || tombstones.any()) && !usedUp() {
		collectUntil(func() bool {
			rawQuarantine.giveWay()
			err = fn()
			return !wantsSpace(err)
		})
	}
	return err
}

// yielding calls fn, and once more if it wants what the quarantine can give back.
func yielding(fn func() error) error {
	err := fn()
	if wantsSpace(err) && rawQuarantine.giveWay() {
		err = fn()
	}
	return err
}

// collectUntil runs the collector until done says so, three times at most: one run
// finds the regions, the next the end of an epoch that was waited for already, and
// the last that of theirs. What it finds is dealt with on goroutines of the
// runtime, which are waited for a little.
func collectUntil(done func() bool) {
	for range 3 {
		runtime.GC()
		for range 20 {
			if done() {
				return
			}
			time.Sleep(time.Millisecond)
		}
	}
}

// vacant is where the next region with a reservation is welcome. Close releases
// the reservation and leaves a tombstone of what was in use: the system would find
// no room for another reservation of that size there, and lay the next one
// elsewhere, until a loop that opens and closes had used the address space up. So
// there is a little more room than is asked for, and the next region goes behind
// the tombstone.
var vacant vacancy

// A vacancy is only a hint: others may be there first.
type vacancy struct {
	mu       sync.Mutex // a leaf
	from, to uintptr
}

// Reservations of less are too small to use an address space up.
const minVacancy = 1 << 20 << (6 * is64)

// vacancyAlign keeps huge pages possible.
const vacancyAlign = 2 << 20

// add notes that the space from one address to another was released.
func (v *vacancy) add(from, to uintptr) {
	if to-from < minVacancy {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	from = roundUp(from, vacancyAlign)
	switch {
	case to == v.from:
		v.from = from
	case to-from > v.to-v.from:
		v.from, v.to = from, to
	}
}

// take returns an address with room for size bytes, 0 if none is known.
func (v *vacancy) take(size uintptr) (addr uintptr) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if size > v.to-v.from {
		return 0
	}
	addr = v.from
	v.from += size
	return addr
}

// find looks for room for size bytes, and a little more.
func (v *vacancy) find(size uintptr) (addr uintptr) {
	if size < minVacancy {
		return 0
	}
	if addr = v.take(size); addr != 0 {
		return addr
	}
	q := &request{hidden: true, private: true, page: vacancyAlign, size: size + roundUp(size/64, vacancyAlign)}
	s, err := mapSpace(noFile, q)
	if err != nil {
		return 0
	}
	unmapped.release(s)
	v.mu.Lock()
	v.from, v.to = roundUp(uintptr(s.addr), vacancyAlign), uintptr(s.addr)+s.size
	v.mu.Unlock()
	return v.take(size)
}
