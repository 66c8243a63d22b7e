//go:build !(386 || amd64 || arm64 || loong64 || ppc64 || ppc64le || s390x || wasm)

package mmap

import "unsafe"

// On these machines a load or store of a whole number traps, or is slow, if its
// address is not a multiple of its size. At such an address it is made of byte
// accesses, in ascending order: a fault is then at the first byte of the number
// that is not accessible.

const unalignedAccess = false

func load[T Fixed](p *T) (x T) {
	if uintptr(unsafe.Pointer(p))%unsafe.Sizeof(x) == 0 {
		return *p
	}
	copyAscending(unsafe.Pointer(&x), unsafe.Pointer(p), unsafe.Sizeof(x))
	return x
}

func store[T Fixed](p *T, x T) {
	if uintptr(unsafe.Pointer(p))%unsafe.Sizeof(x) == 0 {
		*p = x
		return
	}
	copyAscending(unsafe.Pointer(p), unsafe.Pointer(&x), unsafe.Sizeof(x))
}

// copyAscending copies n bytes one by one. It is a loop and a function of its
// own, so that the compiler cannot put the accesses in another order.
//
//go:noinline
func copyAscending(dst, src unsafe.Pointer, n uintptr) {
	for i := range n {
		*(*byte)(unsafe.Add(dst, i)) = *(*byte)(unsafe.Add(src, i))
	}
}
