//go:build !(cgo && unix)

package main

import (
	"errors"
	"unsafe"
)

const haveC = false

type language struct {
	name  string
	read  func(place, kind int, p unsafe.Pointer, n, passes int) uint64
	write func(place, kind int, p unsafe.Pointer, n int, seed int64, passes int)
}

var scalarC, vectorC language

const flagsOfC = "Compiled without cgo: C is left out."

func cCopy(dst, src []byte, n, piece, span int)             {}
func cRandomRead(b []byte, at []uint32) uint64              { return 0 }
func cRandomWrite(b []byte, at []uint32, x uint64)          {}
func cRandomPread(fd uintptr, at []uint32) (uint64, error)  { return 0, errors.ErrUnsupported }
func cRandomPwrite(fd uintptr, at []uint32, x uint64) error { return errors.ErrUnsupported }
