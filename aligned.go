//go:build !(386 || amd64 || arm64 || loong64 || ppc64 || ppc64le || s390x || wasm)

package mmap

import "unsafe"

// On these machines a load or store of a whole integer traps, or is slow, if
// its address is not a multiple of its size. The compiler makes byte accesses
// of these array copies.

const unalignedAccess = false

func load[T Integer](p *T) (x T) {
	switch unsafe.Sizeof(x) {
	case 2:
		*(*[2]byte)(unsafe.Pointer(&x)) = *(*[2]byte)(unsafe.Pointer(p))
	case 4:
		*(*[4]byte)(unsafe.Pointer(&x)) = *(*[4]byte)(unsafe.Pointer(p))
	case 8:
		*(*[8]byte)(unsafe.Pointer(&x)) = *(*[8]byte)(unsafe.Pointer(p))
	default:
		x = *p
	}
	return x
}

func store[T Integer](p *T, x T) {
	switch unsafe.Sizeof(x) {
	case 2:
		*(*[2]byte)(unsafe.Pointer(p)) = *(*[2]byte)(unsafe.Pointer(&x))
	case 4:
		*(*[4]byte)(unsafe.Pointer(p)) = *(*[4]byte)(unsafe.Pointer(&x))
	case 8:
		*(*[8]byte)(unsafe.Pointer(p)) = *(*[8]byte)(unsafe.Pointer(&x))
	default:
		*p = x
	}
}
