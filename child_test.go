package mmap

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// What could end the process, limits it, or has to happen in another one, runs
// in a child: the test binary again, with a variable that names what to do.

// A childFunc is what a child does. Its t ends the child where it fails or
// skips, and runChild passes both on to the test that started it.
type childFunc func(t testing.TB, args []string)

var children = make(map[string]childFunc)

// registerChild makes fn known under a name. It returns a value so that a
// package-level variable can call it, which is early enough for TestMain.
func registerChild(name string, fn childFunc) string {
	if children[name] != nil {
		panic("two children are called " + name)
	}
	children[name] = fn
	return name
}

const (
	childVariable = "MMAP_TEST_CHILD"

	// The program that runs the test binary where the system cannot by itself,
	// such as qemu-s390x-static.
	runnerVariable = "MMAP_TEST_RUNNER"

	childFailed  = 3 // the exit codes of Go's own crashes are 1 and 2, the race detector's is 66
	childSkipped = 4
)

func TestMain(m *testing.M) {
	name, is := os.LookupEnv(childVariable)
	if !is {
		os.Exit(m.Run())
	}
	t := &childTB{name: name}
	fn := children[name]
	if fn == nil {
		t.Fatalf("no such child")
	}
	fn(t, os.Args[1:])
	t.exit(0)
}

// childCommand is the command that runs a child. What the child writes to its
// TempDir is removed at the end of the test.
func childCommand(t testing.TB, name string, args ...string) *exec.Cmd {
	t.Helper()
	needMappings(t)
	path := os.Args[0]
	if runner := os.Getenv(runnerVariable); runner != "" {
		path, args = runner, append([]string{path}, args...)
	}
	cmd := exec.Command(path, args...)
	cmd.Env = append(childEnv(name), "TMPDIR="+t.TempDir())
	return cmd
}

// childEnv is the environment of a child. The race detector would sleep for a
// second at the end of each.
func childEnv(name string) []string {
	return append(os.Environ(), childVariable+"="+name, fmt.Sprintf("%s=%g", roundsVariable, roundsPercent()),
		"GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE"))
}

// runChild runs a child to its end, and fails or skips the test as the child
// did. It returns what the child wrote to its standard output.
func runChild(t testing.TB, name string, args ...string) string {
	t.Helper()
	return endChild(t, childCommand(t, name, args...))
}

// endChild is runChild for a command that was made and changed before.
func endChild(t testing.TB, cmd *exec.Cmd) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	reportChild(t, err, stderr.String())
	return stdout.String()
}

// reportChild turns how a child ended into how the test goes on.
func reportChild(t testing.TB, err error, stderr string) {
	t.Helper()
	var exit *exec.ExitError
	switch {
	case err == nil:
		if stderr != "" {
			t.Log(strings.TrimSpace(stderr))
		}
	case errors.As(err, &exit) && exit.ExitCode() == childSkipped:
		t.Skip(strings.TrimSpace(stderr))
	default:
		t.Errorf("the child ended with %v:\n%s", err, shortened(stderr))
	}
}

// shortened keeps what tells most of a crash with very many goroutines.
func shortened(s string) string {
	const most = 8000
	if len(s) > most {
		s = s[:most] + "\n..."
	}
	return s
}

// crashChild runs a child that must be ended by the Go runtime, and returns what
// that printed.
func crashChild(t testing.TB, name string, args ...string) string {
	t.Helper()
	cmd := childCommand(t, name, args...)
	cmd.Env = append(cmd.Env, "GOTRACEBACK=all")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 2 {
		t.Errorf("the child ended with %v, want a crash:\n%s", err, shortened(stderr.String()))
	}
	return stderr.String()
}

// A childTB is the testing.TB of a child. It has what helpers use; the rest is
// nil and panics.
type childTB struct {
	testing.TB
	name     string
	failed   atomic.Bool
	cleanups []func()
}

func (t *childTB) Helper()                   {}
func (t *childTB) Name() string              { return t.name }
func (t *childTB) Failed() bool              { return t.failed.Load() }
func (t *childTB) Cleanup(fn func())         { t.cleanups = append(t.cleanups, fn) }
func (t *childTB) Log(args ...any)           { fmt.Fprintln(os.Stderr, args...) }
func (t *childTB) Logf(f string, a ...any)   { t.Log(fmt.Sprintf(f, a...)) }
func (t *childTB) Error(args ...any)         { t.failed.Store(true); t.Log(args...) }
func (t *childTB) Errorf(f string, a ...any) { t.Error(fmt.Sprintf(f, a...)) }
func (t *childTB) Fatal(args ...any)         { t.Error(args...); t.exit(childFailed) }
func (t *childTB) Fatalf(f string, a ...any) { t.Fatal(fmt.Sprintf(f, a...)) }
func (t *childTB) Skip(args ...any)          { t.Log(args...); t.exit(childSkipped) }
func (t *childTB) Skipf(f string, a ...any)  { t.Skip(fmt.Sprintf(f, a...)) }

func (t *childTB) TempDir() string {
	dir, err := os.MkdirTemp("", "child")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func (t *childTB) exit(code int) {
	for _, fn := range slices.Backward(t.cleanups) {
		fn()
	}
	if code == 0 && t.failed.Load() {
		code = childFailed
	}
	os.Exit(code)
}

// raceDetector says whether the test binary was built with -race, under which
// loops are an order of magnitude slower.
var raceDetector = func() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}()

var (
	_ = registerChild("that fails", func(t testing.TB, args []string) { t.Errorf("not as it should be: %v", args) })
	_ = registerChild("that skips", func(t testing.TB, args []string) { t.Skip("for a reason") })
	_ = registerChild("that crashes", func(t testing.TB, args []string) { panic("on purpose") })
	_ = registerChild("that passes", func(t testing.TB, args []string) { fmt.Print(args[0]) })
)

// recorder is a testing.TB that notes what happens to it.
type recorder struct {
	testing.TB
	failed, skipped string
}

func (r *recorder) Helper()                   {}
func (r *recorder) Errorf(f string, a ...any) { r.failed += fmt.Sprintf(f, a...) }
func (r *recorder) Skip(a ...any)             { r.skipped += fmt.Sprint(a...) }

func TestWhatAChildDoesIsWhatItsTestDoes(t *testing.T) {
	needMappings(t)
	for _, tt := range []struct{ name, failed, skipped, stdout string }{
		{"that fails", "not as it should be: [one two]", "", ""},
		{"that skips", "", "for a reason", ""},
		{"that crashes", "panic: on purpose", "", ""},
		{"that passes", "", "", "one"},
		{"that is not there", "no such child", "", ""},
	} {
		r := &recorder{TB: t}
		stdout := runChild(r, tt.name, "one", "two")
		if !strings.Contains(r.failed, tt.failed) || (r.failed == "") != (tt.failed == "") || r.skipped != tt.skipped || stdout != tt.stdout {
			t.Errorf("child %s: failed with %q, skipped with %q, wrote %q", tt.name, r.failed, r.skipped, stdout)
		}
	}
	if got := crashChild(t, "that crashes"); !strings.Contains(got, "on purpose") {
		t.Errorf("the crash says %q", got)
	}
	r := &recorder{TB: t}
	if crashChild(r, "that passes", "one"); r.failed == "" {
		t.Error("a child that did not crash passes for one that did")
	}
}

// start starts a child that works beside the test. The channel is closed when
// the child has ended.
func start(t testing.TB, name string, args ...string) (ended <-chan struct{}) {
	t.Helper()
	cmd := childCommand(t, name, args...)
	done := make(chan struct{})
	go func() {
		defer close(done)
		endChild(t, cmd)
	}()
	return done
}
