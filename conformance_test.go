package mmap

import (
	"runtime"
	"slices"
	"strings"
	"testing"
)

// What public tests of mapped memory check, asked through this package's interface.
// Each case names the test and says in our words what that checks. It is written
// from the behaviour. What the interface gives no way to ask has a reason in place
// of a function, and is skipped with it.
//
// conformance_ltp, _posix and _libraries have the cases, and those for Linux alone
// their _linux_test.go.

// A suite is the public tests of one project.
type suite struct {
	name  string
	tests string // that must have a case
	cases []conformance
}

type conformance struct {
	test   string // its name there
	checks string
	ask    func(t *testing.T)
	cannot string // why there is no ask
}

// also adds the cases of one system. It returns a value for a package-level variable.
func (s *suite) also(cases ...conformance) bool {
	s.cases = append(s.cases, cases...)
	return true
}

func TestConformance(t *testing.T) {
	for _, s := range []*suite{&ltp, &openPOSIX, &memmap2, &cpython, &dotnet, &cilium} {
		t.Run(s.name, func(t *testing.T) {
			for _, c := range s.cases {
				t.Run(c.test, func(t *testing.T) { c.run(t) })
			}
			for _, test := range strings.Fields(s.tests) {
				has := func(c conformance) bool { return c.test == test }
				if !slices.ContainsFunc(s.cases, has) {
					t.Run(test, func(t *testing.T) {
						if runtime.GOOS != "linux" {
							t.Skip("its cases are for Linux alone")
						}
						t.Error("no case asks what it checks, or says why not")
					})
				}
			}
		})
	}
}

func (c *conformance) run(t *testing.T) {
	switch {
	case c.checks == "" || (c.ask == nil) == (c.cannot == ""):
		t.Fatal("a case says what is checked, and has a function or a reason why not")
	case c.ask == nil:
		t.Skipf("%s: cannot be asked: %s", c.checks, c.cannot)
	}
	needMappings(t)
	defer func() {
		if t.Failed() {
			t.Logf("this is what it checks: %s", c.checks)
		}
	}()
	c.ask(t)
}

// loadFrom and storeTo access raw memory, and return the fault.

func loadFrom(b []byte, i int) error {
	return Guard(func() error {
		sinkByte = b[i]
		return nil
	})
}

func storeTo(b []byte, i int, x byte) error {
	return Guard(func() error {
		b[i] = x
		return nil
	})
}
