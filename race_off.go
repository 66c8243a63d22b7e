//go:build !race

package mmap

import "unsafe"

// raceEnabled says that this is a build with -race. All that race_on.go defines is
// called where it is true, and costs nothing where it is not.
const raceEnabled = false

type raceMirrors struct{}

func (*raceMirrors) join(m *mapping, hasOwnID bool)                               {}
func (*raceMirrors) leave()                                                       {}
func raceRead(o *owner, p unsafe.Pointer, n int)                                  {}
func raceWrite(o *owner, p unsafe.Pointer, n int)                                 {}
func raceLoaded(o *owner, p unsafe.Pointer, size uintptr)                         {}
func raceLoad[T AtomicInteger](o *owner, p unsafe.Pointer) (x T)                  { return x }
func raceStore[T AtomicInteger](o *owner, p unsafe.Pointer, x T)                  {}
func raceUpdate[T AtomicInteger](o *owner, p unsafe.Pointer, f func(T) T) (old T) { return old }
func raceCompareAndSwap[T AtomicInteger](o *owner, p unsafe.Pointer, old, x T) bool {
	return false
}
