//go:build (race || atomicasm) && (amd64 || arm64)

package mmap

// With -race, sync/atomic calls the detector, which makes the operation in C.
// It learns nothing there, because it does not follow mapped memory, but a
// fault in C ends the process. So the instructions are ours here, where a fault
// can be recovered from. (The tag atomicasm has them without the detector, for
// tests on an emulated processor.)

//go:noescape
func load32(p *uint32) uint32

//go:noescape
func load64(p *uint64) uint64

//go:noescape
func store32(p *uint32, x uint32)

//go:noescape
func store64(p *uint64, x uint64)

//go:noescape
func cas32(p *uint32, old, x uint32) bool

//go:noescape
func cas64(p *uint64, old, x uint64) bool

func swap32(p *uint32, x uint32) (old uint32) {
	return update(p, load32, cas32, func(uint32) uint32 { return x })
}

func swap64(p *uint64, x uint64) (old uint64) {
	return update(p, load64, cas64, func(uint64) uint64 { return x })
}

func add32(p *uint32, d uint32) (sum uint32) {
	return d + update(p, load32, cas32, func(old uint32) uint32 { return old + d })
}

func add64(p *uint64, d uint64) (sum uint64) {
	return d + update(p, load64, cas64, func(old uint64) uint64 { return old + d })
}

func and32(p *uint32, m uint32) (old uint32) {
	return update(p, load32, cas32, func(old uint32) uint32 { return old & m })
}

func and64(p *uint64, m uint64) (old uint64) {
	return update(p, load64, cas64, func(old uint64) uint64 { return old & m })
}

func or32(p *uint32, m uint32) (old uint32) {
	return update(p, load32, cas32, func(old uint32) uint32 { return old | m })
}

func or64(p *uint64, m uint64) (old uint64) {
	return update(p, load64, cas64, func(old uint64) uint64 { return old | m })
}

// update replaces *p by f of it, atomically, and returns what was there.
func update[T uint32 | uint64](p *T, load func(*T) T, cas func(p *T, old, x T) bool, f func(T) T) (old T) {
	for {
		if old = load(p); cas(p, old, f(old)) {
			return old
		}
	}
}
