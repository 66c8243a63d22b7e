//go:build 386 || amd64 || arm64 || loong64 || ppc64 || ppc64le || s390x || wasm

package mmap

// On these machines a load or store of a whole integer may have any address.

const unalignedAccess = true

func load[T Integer](p *T) T     { return *p }
func store[T Integer](p *T, x T) { *p = x }
