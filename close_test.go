package mmap

import (
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// Close says that the region is closed before it says that it has no bytes: a
// method meanwhile never finds a region that is open and empty. The two stores are
// next to each other, so they are watched very often, without the system calls.
func TestARegionIsNeverOpenAndEmptyWhileItIsClosed(t *testing.T) {
	if runtime.GOMAXPROCS(0) == 1 {
		t.Skip("to watch Close needs a second processor")
	}
	limit := time.Second
	if testing.Short() {
		limit = limit / 5
	}
	var watched atomic.Pointer[mapping]
	var wrong atomic.Pointer[error]
	go func() {
		for last := (*mapping)(nil); ; {
			m := watched.Load()
			if m == last {
				continue
			}
			last = m
			if m == nil {
				return
			}
			ready.Store(m)
			for {
				if _, err := m.within("read", 0, 1); err != nil {
					if !errors.Is(err, ErrClosed) {
						wrong.Store(&err)
					}
					break
				}
			}
			ready.Store(nil)
		}
	}()
	for begin := time.Now(); time.Since(begin) < limit && wrong.Load() == nil; {
		m := new(mapping)
		m.len.Store(1)
		watched.Store(m)
		for ready.Load() != m {
		}
		m.bury()
		for ready.Load() == m {
		}
	}
	watched.Store(nil)
	if err := wrong.Load(); err != nil {
		t.Errorf("a method during Close: %v, want ErrClosed", *err)
	}
}

var ready atomic.Pointer[mapping]
