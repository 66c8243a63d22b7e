package main

import (
	"fmt"
	"iter"
	"math"

	"github.com/seed-498deeca/mmap"
)

// Stats are statistics of numbers. What is not a number (NaN) is counted, and left
// out of the rest.
type Stats[T mmap.Fixed] struct {
	Count, NaN int
	Min, Max   T
	sum        float64
	squares    float64 // of the distances from the mean
}

func (s *Stats[T]) numbers() float64 { return float64(s.Count - s.NaN) }

// Mean returns the mean.
func (s *Stats[T]) Mean() float64 { return s.sum / s.numbers() }

// Deviation returns the standard deviation of the numbers that there are.
func (s *Stats[T]) Deviation() float64 { return math.Sqrt(s.squares / s.numbers()) }

// Add adds every step-th number of a block, from the given first one on. It goes
// over the block twice, because distances from a mean that is known are exact.
func (s *Stats[T]) Add(block []T, first, step int) {
	before, sum, n := s.numbers(), 0.0, 0.0
	for i := first; i < len(block); i += step {
		x := block[i]
		s.Count++
		if math.IsNaN(float64(x)) {
			s.NaN++
			continue
		}
		if before+n == 0 {
			s.Min, s.Max = x, x
		}
		s.Min, s.Max = min(s.Min, x), max(s.Max, x)
		sum += float64(x)
		n++
	}
	if n == 0 {
		return
	}
	mean, squares := sum/n, 0.0
	for i := first; i < len(block); i += step {
		if d := float64(block[i]) - mean; !math.IsNaN(float64(block[i])) {
			squares += d * d
		}
	}
	if before > 0 {
		d := mean - s.sum/before
		squares += d * d * before * n / (before + n)
	}
	s.sum += sum
	s.squares += squares
}

func (s *Stats[T]) String() string {
	text := fmt.Sprintf("count %d", s.Count)
	if s.NaN > 0 {
		text += fmt.Sprintf(", NaN %d", s.NaN)
	}
	if s.numbers() > 0 {
		text += fmt.Sprintf(", min %v, max %v, mean %v, std %v", s.Min, s.Max, s.Mean(), s.Deviation())
	}
	return text
}

// float16s converts the bits of floating-point numbers of 16 bits, which Go does not
// have, to float32.
func float16s(blocks iter.Seq2[[]uint16, error]) iter.Seq2[[]float32, error] {
	return func(yield func([]float32, error) bool) {
		var numbers []float32
		for block, err := range blocks {
			numbers = numbers[:0]
			for _, b := range block {
				numbers = append(numbers, float16(b))
			}
			if !yield(numbers, err) {
				return
			}
		}
	}
}

func float16(b uint16) float32 {
	sign, exponent, fraction := uint32(b>>15)<<31, uint32(b>>10&31), uint32(b&1023)
	switch exponent {
	case 0: // fraction × 2^-24
		return math.Float32frombits(sign | math.Float32bits(float32(fraction)/(1<<24)))
	case 31: // infinite, or not a number
		return math.Float32frombits(sign | 255<<23 | fraction<<13)
	}
	return math.Float32frombits(sign | (exponent+127-15)<<23 | fraction<<13)
}
