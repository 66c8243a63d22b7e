package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// The idea: absolute times drift, on shared machines by half and more. So ways to do
// the same work take turns, round after round, and what is compared are the times of
// one round. Reported is the median over the rounds: of each way's time, and of each
// goal's ratio.

// A contest is the same work done in several ways.
type contest struct {
	name string // unique, such as "random reads, 1 goroutine"
	work string // in a sentence: what one turn does
	n    int    // how often a turn does it
	per  string // what: "read", "file", "byte"
	unit string // of what a turn returns; "" is nanoseconds

	rounds int // 0: as many as usual
	ways   []way
	goals  []goal
}

// A way does the work. The first of a contest is the library's, as its documentation
// recommends to do this work.
type way struct {
	name string

	// before, if not nil, prepares a turn. It is not timed.
	before func() error

	// turn does the work once, and returns what it took. Most are made by timed. The
	// round chooses the place in memory of the code, where that matters.
	turn func(round int) (float64, error)
}

// A goal is a figure of each round whose median must be within a limit.
type goal struct {
	text  string // "pread takes at least 100 times as long as View.At"
	value func(r round) float64

	atLeast, atMost float64 // one of them; the other is 0
	code            bool    // it compares code with code, not with the disk: CI insists on it
	compiler        bool    // it compares what two compilers make of a loop, a copy, or a deferred call
}

// A round is what each way took, for one of n, by its name.
type round map[string]float64

// best returns the least of several ways.
func (r round) best(names ...string) float64 {
	least := math.Inf(1)
	for _, name := range names {
		least = min(least, r[name])
	}
	return least
}

// timed makes a turn of a function.
func timed(fn func() error) func(int) (float64, error) {
	return func(int) (float64, error) {
		start := time.Now()
		err := fn()
		return float64(time.Since(start)), err
	}
}

// A result is a contest that was held.
type result struct {
	contest
	times map[string][]float64 // of each way, round by round, for one of n
	met   []verdict
}

// A verdict is what became of a goal.
type verdict struct {
	goal
	got float64
}

func (v verdict) met() bool { return v.within(1) }

// within reports whether the goal was met, but for a factor.
func (v verdict) within(slack float64) bool {
	if v.atLeast > 0 {
		return v.got*slack >= v.atLeast
	}
	return v.got <= v.atMost*slack
}

func (v verdict) limit() string {
	if v.atLeast > 0 {
		return fmt.Sprintf("at least %.4g", v.atLeast)
	}
	return fmt.Sprintf("at most %.4g", v.atMost)
}

// missed returns the goals of code that are missed by more than 10 percent.
func (r *result) missed() (missed []verdict) {
	for _, v := range r.met {
		if v.code && !v.within(1.1) {
			missed = append(missed, v)
		}
	}
	return missed
}

// A session is one run of the program.
type session struct {
	quick   bool
	dir     string // for files
	start   time.Time
	machine [][2]string
	results []*result
	insists bool     // on goals of code: a contest that misses one is held again, twice at most
	skipped []string // what could not be done, and why
}

// rounds is how many are counted, unless a contest says so itself.
func (s *session) rounds() int {
	if s.quick {
		return 10
	}
	return 24
}

// hold holds a contest, and more than once if a goal that it is to insist on is missed:
// on a machine that others use, that may be their doing.
func (s *session) hold(c contest) error {
	for try := 1; ; try++ {
		res, err := s.holdOnce(c)
		if err != nil {
			return err
		}
		if !s.insists || try == 3 || len(res.missed()) == 0 {
			s.results = append(s.results, res)
			return nil
		}
	}
}

// holdOnce does it once. The first round warms up and does not count.
func (s *session) holdOnce(c contest) (*result, error) {
	n := c.rounds
	if n == 0 {
		n = s.rounds()
	}
	res := &result{contest: c, times: make(map[string][]float64)}
	values := make([][]float64, len(c.goals))
	start := time.Now()
	for i := range n + 1 {
		progress("%s: round %d of %d", c.name, i, n)
		r := make(round)
		for _, j := range rand.Perm(len(c.ways)) { // what a way leaves in the caches is another's luck
			w := c.ways[j]
			if w.before != nil {
				if err := w.before(); err != nil {
					return nil, fmt.Errorf("%s: %s: %w", c.name, w.name, err)
				}
			}
			took, err := w.turn(i)
			if err != nil {
				return nil, fmt.Errorf("%s: %s: %w", c.name, w.name, err)
			}
			r[w.name] = took / float64(c.n)
		}
		if i == 0 {
			continue
		}
		for name, t := range r {
			res.times[name] = append(res.times[name], t)
		}
		for k, g := range c.goals {
			values[k] = append(values[k], g.value(r))
		}
	}
	for k, g := range c.goals {
		res.met = append(res.met, verdict{g, median(values[k])})
	}
	finished(c.name, start)
	return res, nil
}

// skip notes what cannot be done here.
func (s *session) skip(format string, args ...any) {
	s.skipped = append(s.skipped, fmt.Sprintf(format, args...))
}

func median(x []float64) float64 {
	x = slices.Sorted(slices.Values(x))
	if len(x)%2 == 1 {
		return x[len(x)/2]
	}
	return (x[len(x)/2-1] + x[len(x)/2]) / 2
}
