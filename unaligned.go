//go:build 386 || amd64 || arm64 || loong64 || ppc64 || ppc64le || s390x || wasm

package mmap

// On these machines a load or store of a whole number may have any address.

const unalignedAccess = true

func load[T Fixed](p *T) T     { return *p }
func store[T Fixed](p *T, x T) { *p = x }
