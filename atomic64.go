//go:build !(mips || mipsle || (arm && !arm.7))

package mmap

// atomic64 says that the processor has atomic instructions for 64 bits.
const atomic64 = true
