//go:build linux

// Cutter runs in a machine whose power is cut. It looks whether all is there that
// earlier lives acknowledged, then goes on: it stores, makes durable, and says so on
// the console, until it is no more.
//
// It writes by the library alone, and reads by the system's read(2).
package main

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/seed-498deeca/mmap"
	"github.com/seed-498deeca/mmap/internal/vmtest/plan"
)

// A subject is a way to use the library. It brings files in the working directory
// from one state to the next; the first state is 1, and 0 is before it.
type subject struct {
	name string
	// check says how many of the changes up to the acknowledged state n, which is
	// not 0, are missing in a directory, and which. The next state may be there, or
	// parts of it.
	check func(dir string, n int) (missing int, what string)
	// open makes ready to go on from state n, whatever else is there. What it
	// returns makes the next states, and returns when one is durable.
	open func(dir string, n int, m mode) (next func(n int) error, err error)
	// apart means that it runs in a process of its own.
	apart bool
}

// A mode is what is done to make a region durable.
type mode string

// durable calls sync, or does what the mode has in its place.
func (m mode) durable(r *mmap.Region, sync func() error) error {
	switch m {
	case plan.Sync:
		return sync()
	case plan.Flush:
		return r.Flush(0, mmap.ToEnd)
	}
	return nil
}

// apart is the variable of a process that has one subject only.
const apart = "MMAP_CUT_APART"

func main() {
	if err := run("."); err != nil {
		fmt.Println("cutter:", err)
		os.Exit(1)
	}
}

func run(dir string) error {
	acked, err := plan.ParseAcked(os.Getenv(plan.CutAcked))
	if err != nil {
		return err
	}
	m := mode(os.Getenv(plan.CutMode))
	if !slices.Contains([]mode{plan.Sync, plan.NoSync, plan.Flush}, m) {
		return fmt.Errorf("%s=%s is no mode", plan.CutMode, m)
	}
	if name := os.Getenv(apart); name != "" {
		return work(dir, name, acked, m)
	}
	lost := check(dir, acked)
	say(plan.Said{Checked: true, Lost: lost})
	names := strings.FieldsFunc(os.Getenv(plan.CutSubjects), func(c rune) bool { return c == ',' })
	if len(lost) > 0 || len(names) == 0 {
		return nil
	}
	failed := make(chan error)
	for _, name := range names {
		go func() { failed <- start(dir, name, acked, m) }()
	}
	return <-failed
}

// check says what is lost of all that was acknowledged.
func check(dir string, acked plan.Acked) (lost []plan.Loss) {
	for _, s := range subjects {
		if n := acked[s.name]; n > 0 {
			if missing, what := s.check(dir, n); missing > 0 {
				lost = append(lost, plan.Loss{Changes: missing, What: fmt.Sprintf("%s %d: %s", s.name, n, what)})
			}
		}
	}
	return lost
}

// start works on a subject, in a process of its own if it is to have one.
func start(dir, name string, acked plan.Acked, m mode) error {
	s, err := find(name)
	if err != nil {
		return err
	}
	if !s.apart {
		return work(dir, name, acked, m)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Dir, cmd.Env = dir, append(os.Environ(), apart+"="+name)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return fmt.Errorf("the process of %s has ended: %v", name, cmd.Run())
}

// work brings a subject from state to state for ever.
func work(dir, name string, acked plan.Acked, m mode) error {
	s, err := find(name)
	if err != nil {
		return err
	}
	n := acked[name]
	next, err := s.open(dir, n, m)
	for err == nil {
		n++
		if err = next(n); err == nil {
			say(plan.Said{Subject: name, State: n})
		}
	}
	return fmt.Errorf("%s %d: %w", name, n, err)
}

func find(name string) (subject, error) {
	i := slices.IndexFunc(subjects, func(s subject) bool { return s.name == name })
	if i < 0 {
		return subject{}, fmt.Errorf("no subject is called %q", name)
	}
	return subjects[i], nil
}

// say prints a line by one write(2), so that lines of others do not mix with it.
func say(s plan.Said) { os.Stdout.WriteString(s.String()) }
