package mmap

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A puppet is a child that does one step after the other, each when the test says
// so: both write lines to each other. It serves where the test has to do something
// between two steps, such as to release a call that the child waits in.
type puppet struct {
	t      testing.TB
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	lines  chan string // closed when the puppet has ended
	err    error       // how it ended
	stderr bytes.Buffer
}

// puppetPatience is how long a test waits for a step that should come at once.
const puppetPatience = 20 * time.Second

// startPuppet starts a child. What holds up calls of the child is to be released
// by cleanups that are registered after this: then the child ends.
func startPuppet(t testing.TB, name string, args ...string) *puppet {
	t.Helper()
	return startPuppetOf(t, childCommand(t, name, args...))
}

// startPuppetOf is startPuppet for a command that was made and changed before.
func startPuppetOf(t testing.TB, cmd *exec.Cmd) *puppet {
	t.Helper()
	p := &puppet{t: t, cmd: cmd, lines: make(chan string, 100)}
	p.cmd.Stderr = &p.stderr
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			p.lines <- lines.Text()
		}
		p.err = p.cmd.Wait()
		close(p.lines)
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill() // which may have ended long ago
		for range p.lines {
		}
	})
	return p
}

// tell lets the puppet go on, which waits in hear.
func (p *puppet) tell(word string) {
	p.t.Helper()
	if _, err := io.WriteString(p.stdin, word+"\n"); err != nil {
		p.t.Fatalf("tell the child %q: %v", word, err)
	}
}

// want waits until the puppet says this line.
func (p *puppet) want(line string) {
	p.t.Helper()
	select {
	case got, ok := <-p.lines:
		if !ok {
			reportChild(p.t, p.err, p.stderr.String())
			p.t.Fatalf("the child has ended, and did not say %q", line)
		}
		if got != line {
			p.t.Fatalf("the child says %q, want %q", got, line)
		}
	case <-time.After(puppetPatience):
		p.t.Fatalf("the child does not say %q%s", line, p.whereabouts())
	}
}

// whereabouts says what the puppet's threads wait for, as far as the system tells.
func (p *puppet) whereabouts() (s string) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", p.cmd.Process.Pid))
	for _, task := range tasks {
		stack, _ := os.ReadFile(task + "/stack")
		s += fmt.Sprintf("\n%s:\n%s", filepath.Base(task), stack)
	}
	return s
}

// end waits until the puppet has ended, and fails or skips the test as it did.
func (p *puppet) end() {
	p.t.Helper()
	p.stdin.Close()
	select {
	case got, ok := <-p.lines:
		if ok {
			p.t.Fatalf("the child says %q, and should end", got)
		}
		reportChild(p.t, p.err, p.stderr.String())
	case <-time.After(puppetPatience):
		p.t.Fatal("the child does not end")
	}
}

// The puppet's side.

var heard = bufio.NewReader(os.Stdin)

func say(t testing.TB, line string) {
	if _, err := io.WriteString(os.Stdout, line+"\n"); err != nil {
		t.Fatal(err)
	}
}

// hear waits for the next word.
func hear(t testing.TB) string {
	line, err := heard.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(line, "\n")
}
