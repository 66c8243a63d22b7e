package main

import (
	"fmt"
	"math"

	"github.com/seed-498deeca/mmap"
)

// sums has a function for each type that this program can add up: what a tensor's
// elements add up to, each taken as a float64.
var sums = map[string]func(Tensor) (float64, error){
	"F64": sumOf(number[float64]), "F32": sumOf(number[float32]),
	"F16": sumOf(fromFloat16), "BF16": sumOf(fromBFloat16),
	"I64": sumOf(number[int64]), "U64": sumOf(number[uint64]),
	"I32": sumOf(number[int32]), "U32": sumOf(number[uint32]),
	"I16": sumOf(number[int16]), "U16": sumOf(number[uint16]),
	"I8": sumOf(number[int8]), "U8": sumOf(number[uint8]),
	"BOOL": sumOf(fromBool),
}

// Sum adds up the elements of a tensor.
func (f *File) Sum(t Tensor) (float64, error) {
	sum, ok := sums[t.Type]
	if !ok {
		return 0, fmt.Errorf("tensor %s: this program lists elements of type %s and cannot add them up", short(t.Name), t.Type)
	}
	x, err := sum(t)
	if err == nil {
		err = f.Whole()
	}
	return x, err
}

// sumOf makes the loop over the mapped elements of type T. Each is made a number when it
// is its turn, so that no copy of the tensor is ever in memory. Chunks has the disk read
// ahead, and Guard makes an error of a file that somebody truncates meanwhile.
func sumOf[T mmap.Fixed](value func(T) float64) func(Tensor) (float64, error) {
	return func(t Tensor) (total float64, err error) {
		elements, err := Elements[T](t)
		if err != nil {
			return 0, err
		}
		err = mmap.Guard(func() error {
			sum := 0.0
			for _, chunk := range elements.Chunks(1 << 17) {
				for _, x := range chunk.All() {
					sum += value(x)
				}
			}
			total = sum
			return nil
		})
		return total, err
	}
}

func number[T mmap.Fixed](x T) float64 { return float64(x) }

// fromBool takes every byte but 0 for true.
func fromBool(x uint8) float64 {
	if x == 0 {
		return 0
	}
	return 1
}

// A bfloat16 is the upper half of a float32.
func fromBFloat16(x uint16) float64 { return float64(math.Float32frombits(uint32(x) << 16)) }

// A float16 has a sign, 5 bits of exponent, and 10 of fraction.
func fromFloat16(x uint16) float64 {
	sign, exponent, fraction := uint32(x>>15), uint32(x>>10&0x1f), uint32(x&0x3ff)
	switch exponent {
	case 0: // zero, or a multiple of the smallest number
		return math.Copysign(float64(fraction)/(1<<24), 0.5-float64(sign))
	case 0x1f: // infinity, or no number
		exponent = 0xff
	default: // the exponents of the two types are counted from different numbers
		exponent += 127 - 15
	}
	return float64(math.Float32frombits(sign<<31 | exponent<<23 | fraction<<13))
}
