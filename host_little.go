//go:build !(mips || mips64 || ppc64 || s390x)

package mmap

const hostBig = 0 // the machine stores the least significant byte first
