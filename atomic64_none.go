//go:build mips || mipsle || (arm && !arm.7)

package mmap

const atomic64 = false
