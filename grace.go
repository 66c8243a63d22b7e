package mmap

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// The idea: an access may be the last use of its region, and fault. Then the
// collector may find the region unreachable before Guard, after the deferred calls
// of the function that it stopped, asks for the cause. So nothing is released
// before every Guard is over that had begun when its region became unreachable.
//
// Guards are not counted: each would have to store to memory that all share.
// Instead each keeps the epoch in which it began, and the collector finds that an
// epoch is over when nobody keeps it. There are two at most: the current one, and
// the one that is waited for. What becomes unreachable meanwhile waits for the
// next. So a Guard that runs for hours costs no more than the budget of what it
// holds back.

// An epoch has a pointer, so that the collector treats it as an object of its own.
type epoch struct{ _ *epoch }

var currentEpoch atomic.Pointer[epoch]

func init() { currentEpoch.Store(new(epoch)) }

// grace waits for Guards to end.
var grace struct {
	mu      sync.Mutex // a leaf
	waiting bool       // an epoch is waited for
	last    uint64     // of those held, the last that became unreachable
}

// holdForGuards releases m when the Guards are over that run now.
func holdForGuards(m *mapping) {
	seq := guardQuarantine.hold(m)
	grace.mu.Lock()
	defer grace.mu.Unlock()
	grace.last = max(grace.last, seq)
	if !grace.waiting {
		nextEpoch()
	}
}

// nextEpoch begins one, and waits for the one before. The caller holds grace.mu.
func nextEpoch() {
	grace.waiting = true
	old := currentEpoch.Swap(new(epoch))
	runtime.AddCleanup(old, guardsAreOver, grace.last)
}

// guardsAreOver is called by the collector. No Guard is left that began before
// the mappings up to this one became unreachable.
func guardsAreOver(last uint64) {
	guardQuarantine.releaseUpTo(last)
	grace.mu.Lock()
	defer grace.mu.Unlock()
	grace.waiting = false
	if grace.last > last {
		nextEpoch()
	}
}
