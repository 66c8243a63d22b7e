//go:build !((race || atomicasm) && (amd64 || arm64))

package mmap

import "sync/atomic"

func load32(p *uint32) uint32                 { return atomic.LoadUint32(p) }
func load64(p *uint64) uint64                 { return atomic.LoadUint64(p) }
func store32(p *uint32, x uint32)             { atomic.StoreUint32(p, x) }
func store64(p *uint64, x uint64)             { atomic.StoreUint64(p, x) }
func swap32(p *uint32, x uint32) (old uint32) { return atomic.SwapUint32(p, x) }
func swap64(p *uint64, x uint64) (old uint64) { return atomic.SwapUint64(p, x) }
func cas32(p *uint32, old, x uint32) bool     { return atomic.CompareAndSwapUint32(p, old, x) }
func cas64(p *uint64, old, x uint64) bool     { return atomic.CompareAndSwapUint64(p, old, x) }
func add32(p *uint32, d uint32) (sum uint32)  { return atomic.AddUint32(p, d) }
func add64(p *uint64, d uint64) (sum uint64)  { return atomic.AddUint64(p, d) }
func and32(p *uint32, m uint32) (old uint32)  { return atomic.AndUint32(p, m) }
func and64(p *uint64, m uint64) (old uint64)  { return atomic.AndUint64(p, m) }
func or32(p *uint32, m uint32) (old uint32)   { return atomic.OrUint32(p, m) }
func or64(p *uint64, m uint64) (old uint64)   { return atomic.OrUint64(p, m) }
