//go:build mips || mips64 || ppc64 || s390x

package mmap

const hostBig = 1 // the machine stores the most significant byte first
